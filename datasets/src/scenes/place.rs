//! Where the objects of a scene are and which of them is seen at each pixel.

use std::f32::consts::TAU;

use ndarray::Array2;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SceneOptions;
use super::shape::Outline;

/// How often a place is drawn before the scene is left with fewer objects.
const ATTEMPTS: usize = 60;

/// The part of a figure's area that must lie inside the picture.
const MIN_INSIDE: f32 = 0.7;

/// An outline in the plane of the picture.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) class: u8,
    outline: Outline,
    centre: [f32; 2],
    /// The radius of the disc of the same area, in pixels.
    pub(super) radius: f32,
    /// Cosine and sine of the rotation.
    turn: [f32; 2],
    /// Factors along the own axes, of product 1.
    stretch: [f32; 2],
}

impl Figure {
    fn draw(options: &SceneOptions, rng: &mut ChaCha8Rng) -> Self {
        let index = rng.random_range(0..options.shapes.len() as u32) as usize;
        let (low, high) = (options.radius.start().ln(), options.radius.end().ln());
        let radius = (low + (high - low) * rng.random::<f32>()).exp();
        let angle = TAU * rng.random::<f32>();
        let stretch = (0.1 * (2.0 * rng.random::<f32>() - 1.0)).exp().sqrt();
        let place = |side: usize, rng: &mut ChaCha8Rng| side as f32 * rng.random::<f32>();
        Self {
            class: index as u8 + 1,
            outline: options.shapes[index].outline(),
            centre: [place(options.width, rng), place(options.height, rng)],
            radius: radius * options.height.min(options.width) as f32,
            turn: [angle.cos(), angle.sin()],
            stretch: [stretch, 1.0 / stretch],
        }
    }

    /// A point of the picture in the figure's own axes, where the outline has area pi.
    pub(super) fn local(&self, point: [f32; 2]) -> [f32; 2] {
        let [x, y] = self.offset(point);
        let [cos, sin] = self.turn;
        [(cos * x + sin * y) / self.stretch[0], (cos * y - sin * x) / self.stretch[1]]
    }

    /// A point of the picture relative to the centre, in radii, along the axes of the picture.
    pub(super) fn offset(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [(x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius]
    }

    /// The distance in pixels to the boundary, negative inside; next to the boundary of a stretched figure it is up to
    /// a tenth too small.
    pub(super) fn distance(&self, point: [f32; 2]) -> f32 {
        self.outline.distance(self.local(point)) * self.radius * self.stretch[0].min(self.stretch[1])
    }

    /// The pixels (row, column) within `margin` pixels of the circle around the figure.
    pub(super) fn pixels_around(
        &self,
        options: &SceneOptions,
        margin: f32,
    ) -> impl Iterator<Item = (usize, usize)> {
        let reach = self.outline.reach() * self.radius * self.stretch[0].max(self.stretch[1]) + margin;
        let range = |centre: f32, side: usize| {
            let first = (centre - reach).floor().max(0.0) as usize;
            first..((centre + reach).ceil().max(0.0) as usize).min(side)
        };
        let (rows, columns) = (range(self.centre[1], options.height), range(self.centre[0], options.width));
        rows.flat_map(move |row| columns.clone().map(move |column| (row, column)))
    }
}

/// The centre of a pixel.
pub(super) fn centre_of((row, column): (usize, usize)) -> [f32; 2] {
    [column as f32 + 0.5, row as f32 + 0.5]
}

/// The figures from back to front.
pub(super) struct Scene {
    pub(super) figures: Vec<Figure>,
    /// The figure that is seen at each pixel.
    pub(super) owner: Array2<Option<usize>>, // (H, W)
}

/// Places figures one in front of the other, so that each keeps enough visible pixels.
pub(super) fn place(options: &SceneOptions, rng: &mut ChaCha8Rng) -> Scene {
    let (first, last) = (*options.objects.start() as u64, *options.objects.end() as u64);
    let wanted = rng.random_range(first..=last) as usize;
    let mut scene =
        Scene { figures: Vec::new(), owner: Array2::from_elem((options.height, options.width), None) };
    let mut visible: Vec<usize> = Vec::new();
    let mut needed: Vec<usize> = Vec::new();
    let mut attempts = 0;
    while scene.figures.len() < wanted && (attempts < ATTEMPTS || scene.figures.is_empty()) {
        attempts += 1;
        let figure = Figure::draw(options, rng);
        let inside = |pixel: &(usize, usize)| figure.distance(centre_of(*pixel)) < 0.0;
        let pixels: Vec<(usize, usize)> = figure.pixels_around(options, 0.0).filter(inside).collect();
        let area = std::f32::consts::PI * figure.radius * figure.radius;
        if pixels.is_empty() || (pixels.len() as f32) < MIN_INSIDE * area {
            continue;
        }
        let mut left = visible.clone();
        for &pixel in &pixels {
            if let Some(behind) = scene.owner[pixel] {
                left[behind] -= 1;
            }
        }
        if left.iter().zip(&needed).any(|(left, needed)| left < needed) {
            continue;
        }
        let front = scene.figures.len();
        for &pixel in &pixels {
            scene.owner[pixel] = Some(front);
        }
        visible = left;
        visible.push(pixels.len());
        needed.push(((options.min_visible * pixels.len() as f32).ceil() as usize).max(1));
        scene.figures.push(figure);
        attempts = 0;
    }
    scene
}
