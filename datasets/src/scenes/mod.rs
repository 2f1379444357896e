//! Scenes made from a seed: objects that rotate, scale and occlude each other on textured ground.
//!
//! The class of an object is its shape. All shapes have the same area at the same scale, and colour, texture, scale,
//! place and angle are drawn alike for every class, so that neither colour nor size decides. (An object is drawn again
//! where too little of it, or of another behind it, would be seen.) Class 0 is the ground, seen through the hole of a
//! ring too; class k is the k-th shape of the options.
//!
//! Sample i of split s under seed k is a function of (options, k, s, i) alone: any number of samples can be made, in
//! any order, by any number of threads, and come out the same.
//!
//! ```
//! use termwise_datasets::{BoundingBox, Split, scenes::{SceneOptions, Scenes, Shape}};
//!
//! let shapes = vec![Shape::Disc, Shape::Ring];
//! let scenes = Scenes::new(SceneOptions { height: 48, width: 64, shapes, ..SceneOptions::default() }, 11);
//! assert_eq!(scenes.classes().names(), ["ground", "disc", "ring"]);
//! let sample = scenes.sample(Split::Val, 3);
//! assert_eq!(sample.image.dim(), (3, 48, 64));
//! let object = &sample.objects[0];
//! let mask = object.mask.as_ref().unwrap();
//! assert_eq!(BoundingBox::around(mask), Some(object.bounds));
//! assert!(mask.indexed_iter().all(|(at, &inside)| !inside || sample.labels[at] == object.class));
//! assert_eq!(scenes.samples(Split::Val, 2..5)[1], sample); // the same, however it is asked for
//! ```

mod detection;
mod place;
mod render;
mod shape;
#[cfg(test)]
mod tests;
mod texture;

use std::ops::{Range, RangeInclusive};

use ndarray::Array2;
use rayon::prelude::*;

use crate::classes::ClassList;
use crate::sample::{BoundingBox, Object, Sample};
use crate::seed::{Split, Use, stream};

pub use shape::Shape;

/// The id of pixels without an object.
pub const GROUND: u8 = 0;

/// The ignore id of scenes. No pixel of a scene has it; the padding of a crop does.
pub const IGNORE: u8 = 255;

/// What scenes look like.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    /// Height in pixels, at least 8.
    pub height: usize,
    /// Width in pixels, at least 8.
    pub width: usize,
    /// How many objects. Where the drawn number does not fit under `min_visible`, there are fewer, but at least one.
    pub objects: RangeInclusive<usize>,
    /// The classes 1, 2, ...
    pub shapes: Vec<Shape>,
    /// The scale of an object: the radius of the disc of the same area, as a part of the shorter side of the picture.
    /// Drawn uniformly on a logarithmic axis.
    pub radius: RangeInclusive<f32>,
    /// The part of each object's pixels that no other object may cover, in (0, 1].
    pub min_visible: f32,
    /// Whether edges blend into what is behind them. Labels and masks are never blended.
    pub antialias: bool,
}

impl Default for SceneOptions {
    /// 64 x 64 pixels, 3 to 6 objects of 6 classes.
    fn default() -> Self {
        Self {
            height: 64,
            width: 64,
            objects: 3..=6,
            shapes: vec![Shape::Disc, Shape::Square, Shape::Triangle, Shape::Bar, Shape::Ring, Shape::Cross],
            radius: 0.1..=0.22,
            min_visible: 0.45,
            antialias: true,
        }
    }
}

/// A generator of scenes.
#[derive(Clone, Debug)]
pub struct Scenes {
    options: SceneOptions,
    seed: u64,
    classes: ClassList,
}

impl Scenes {
    /// A generator with these options.
    ///
    /// # Panics
    /// Where the options make no sense: a side below 8 pixels, no shape or one shape twice, an empty range, a range of
    /// objects that starts at zero, a radius outside of (0, 0.5], a visible part outside of (0, 1].
    #[track_caller]
    pub fn new(options: SceneOptions, seed: u64) -> Self {
        let SceneOptions { height, width, objects, shapes, radius, min_visible, .. } = &options;
        assert!(*height >= 8 && *width >= 8, "scenes: sides are at least 8 pixels, not {height} x {width}");
        assert!(
            *objects.start() >= 1 && !objects.is_empty(),
            "scenes: objects is a range from 1, not {objects:?}"
        );
        let repeated = (1..shapes.len()).any(|index| shapes[..index].contains(&shapes[index]));
        assert!(!shapes.is_empty() && !repeated, "scenes: shapes are one or more, each once, not {shapes:?}");
        assert!(
            *radius.start() > 0.0 && *radius.end() <= 0.5 && radius.start() <= radius.end(),
            "scenes: radius is a range in (0, 0.5], not {radius:?}"
        );
        assert!(
            *min_visible > 0.0 && *min_visible <= 1.0,
            "scenes: min_visible is in (0, 1], not {min_visible}"
        );
        let names = std::iter::once("ground").chain(shapes.iter().map(|shape| shape.name()));
        let classes = ClassList::new(names, IGNORE);
        Self { options, seed, classes }
    }

    /// `ground` and the names of the shapes.
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// The options.
    pub fn options(&self) -> &SceneOptions {
        &self.options
    }

    /// One scene.
    pub fn sample(&self, split: Split, index: u64) -> Sample {
        let mut rng = stream(Use::Scene, self.seed, split as u64, index);
        let scene = place::place(&self.options, &mut rng);
        let image = render::render(&self.options, &scene, &mut rng);
        let mut labels = Array2::from_elem((self.options.height, self.options.width), GROUND);
        let mut objects = Vec::with_capacity(scene.figures.len());
        for (front, figure) in scene.figures.iter().enumerate() {
            let class = figure.class;
            let mask = scene.owner.mapv(|owner| owner == Some(front));
            labels.zip_mut_with(&mask, |label, inside| {
                if *inside {
                    *label = class;
                }
            });
            // Every figure keeps visible pixels: that is what placing ensures.
            let bounds = BoundingBox::around(&mask).expect("a placed figure is visible");
            objects.push(Object { class, bounds, mask: Some(mask) });
        }
        Sample { name: format!("{}/{index:06}", split.name()), image, labels, objects }
    }

    /// The scenes of a range of indices, several at a time, in order.
    pub fn samples(&self, split: Split, indices: Range<u64>) -> Vec<Sample> {
        indices.into_par_iter().map(|index| self.sample(split, index)).collect()
    }
}
