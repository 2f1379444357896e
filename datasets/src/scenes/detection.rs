//! Scenes as pictures with boxes.

use std::ops::Range;

use rayon::prelude::*;

use super::{GROUND, Scenes};
use crate::detection::{DetectionObject, DetectionSample};
use crate::seed::Split;

impl Scenes {
    /// The classes of the objects: as [`classes`](Self::classes) without the ground. Class k of a
    /// [`DetectionObject`] is class k + 1 of the label map.
    pub fn detection_classes(&self) -> Vec<String> {
        self.classes.names()[usize::from(GROUND) + 1..].to_vec()
    }

    /// The scene that [`sample`](Self::sample) gives, as a picture with boxes and masks of what is visible. Its
    /// `image_id` is the index; no object is a crowd or difficult.
    ///
    /// # Examples
    /// ```
    /// use termwise_datasets::{Split, scenes::{SceneOptions, Scenes}};
    /// let scenes = Scenes::new(SceneOptions::default(), 11);
    /// assert_eq!(scenes.detection_classes(), ["disc", "square", "triangle", "bar", "ring", "cross"]);
    /// let (sample, scene) = (scenes.detection_sample(Split::Val, 3), scenes.sample(Split::Val, 3));
    /// assert_eq!((sample.image_id, sample.image), (3, scene.image));
    /// for object in &sample.objects {
    ///     // As many pixels as the label map has of this object; class 0 is "disc" here, and 1 there.
    ///     let pixels = object.mask.as_ref().unwrap().iter().zip(&scene.labels);
    ///     let seen = pixels.filter(|&(&inside, &label)| inside && usize::from(label) == object.class + 1);
    ///     assert_eq!(seen.count() as f32, object.area);
    /// }
    /// ```
    pub fn detection_sample(&self, split: Split, index: u64) -> DetectionSample {
        let sample = self.sample(split, index);
        let objects = sample.objects.into_iter().map(|object| DetectionObject {
            class: usize::from(object.class - GROUND - 1),
            bounds: object.bounds,
            area: object
                .mask
                .as_ref()
                .map_or(object.bounds.area(), |mask| mask.iter().filter(|inside| **inside).count() as f32),
            crowd: false,
            difficult: false,
            mask: object.mask,
        });
        DetectionSample {
            image_id: index,
            name: sample.name,
            objects: objects.collect(),
            image: sample.image,
        }
    }

    /// The scenes of a range of indices with boxes, several at a time, in order.
    pub fn detection_samples(&self, split: Split, indices: Range<u64>) -> Vec<DetectionSample> {
        indices.into_par_iter().map(|index| self.detection_sample(split, index)).collect()
    }
}
