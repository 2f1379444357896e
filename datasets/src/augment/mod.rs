//! Augmentation: mirror images, rescaled crops and other colours of a sample.
//!
//! Each step is a pure function of the sample and of explicit parameters; image, labels, masks and boxes move along.
//! [`AugmentOptions::sample`] draws the parameters of all steps from (seed, epoch, index) alone, so that neither the
//! order of loading nor the number of threads changes an epoch.
//!
//! ```
//! use termwise_datasets::{Split, augment::{AugmentOptions, Padding}, scenes::{SceneOptions, Scenes}};
//!
//! let scenes = Scenes::new(SceneOptions::default(), 1);
//! let sample = scenes.sample(Split::Train, 0);
//! let padding = Padding::grey(scenes.classes());
//! let options = AugmentOptions { crop: Some((48, 48)), ..AugmentOptions::new(padding) };
//! let augmentation = options.sample(sample.size(), 1, 0, 0);
//! let augmented = augmentation.apply(&sample);
//! assert_eq!(augmented.size(), (48, 48));
//! assert_eq!(augmented, augmentation.apply(&sample));
//! assert_ne!(augmentation, options.sample(sample.size(), 1, 1, 0)); // another epoch, another draw
//! ```

mod colour;
mod detection;
#[cfg(test)]
mod detection_tests;
mod geometry;
mod letterbox;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use rand::RngExt;

use crate::detection::DetectionSample;
use crate::sample::Sample;
use crate::seed::{Use, stream};

pub use colour::{ColourJitter, colour_jitter, luma};
pub use detection::{flip_detection, scale_crop_detection};
pub use geometry::{Padding, ScaleCrop, flip_horizontal, scale_crop};
pub use letterbox::Letterbox;

/// From what augmentations are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct AugmentOptions {
    /// The probability of a mirror image.
    pub flip: f64,
    /// The scale factor, drawn uniformly on a logarithmic axis: 1/2 is as likely as 2.
    pub scale: RangeInclusive<f32>,
    /// (height, width) of the result; without it, that of the sample.
    pub crop: Option<(usize, usize)>,
    /// The brightness factor is drawn from [1 - b, 1 + b].
    pub brightness: f32,
    /// The contrast factor is drawn from [1 - c, 1 + c].
    pub contrast: f32,
    /// The saturation factor is drawn from [1 - s, 1 + s].
    pub saturation: f32,
    /// What stands outside of the picture.
    pub padding: Padding,
}

impl AugmentOptions {
    /// Mirrors half of the samples, scales by 0.75 to 1.5, keeps the size and varies brightness, contrast and
    /// saturation by a fifth.
    pub fn new(padding: Padding) -> Self {
        Self {
            flip: 0.5,
            scale: 0.75..=1.5,
            crop: None,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            padding,
        }
    }

    /// Draws the augmentation of sample `index` of size (height, width) in `epoch`.
    ///
    /// The crop lies inside the scaled picture where that is larger, and the picture inside the crop where it is
    /// smaller; its place is uniform.
    ///
    /// # Panics
    /// Where the options make no sense: a probability outside of [0, 1], a scale range that is empty or not
    /// positive, a colour variation outside of [0, 1], a size with a zero.
    #[track_caller]
    pub fn sample(&self, size: (usize, usize), seed: u64, epoch: u64, index: u64) -> Augmentation {
        self.draw(size, self.crop.unwrap_or(size), seed, epoch, index)
    }

    /// As [`sample`](Self::sample) for pictures of many sizes: the scale counts from the picture fitted into `target`
    /// (height, width), see [`Letterbox`], and the result has the size `target`, whatever [`crop`](Self::crop) is.
    ///
    /// # Panics
    /// As [`sample`](Self::sample).
    ///
    /// # Examples
    /// ```
    /// use termwise_datasets::augment::{AugmentOptions, Padding};
    /// let padding = Padding { colour: [0.5; 3], label: 255 };
    /// let options = AugmentOptions { scale: 2.0..=2.0, ..AugmentOptions::new(padding) };
    /// let drawn = options.sample_fitted((480, 640), (256, 256), 1, 0, 0).scale_crop;
    /// assert_eq!((drawn.scaled, drawn.size), ((384, 512), (256, 256))); // fitted: 192 x 256, then times 2
    /// assert!((0..=128).contains(&drawn.offset.0) && (0..=256).contains(&drawn.offset.1));
    /// ```
    #[track_caller]
    pub fn sample_fitted(
        &self,
        size: (usize, usize),
        target: (usize, usize),
        seed: u64,
        epoch: u64,
        index: u64,
    ) -> Augmentation {
        self.draw(Letterbox::new(size, target).parameters().scaled, target, seed, epoch, index)
    }

    #[track_caller]
    fn draw(
        &self,
        size: (usize, usize),
        crop: (usize, usize),
        seed: u64,
        epoch: u64,
        index: u64,
    ) -> Augmentation {
        self.check(size);
        let mut rng = stream(Use::Augmentation, seed, epoch, index);
        // Everything is drawn in every case: a change of one option leaves the other draws as they were.
        let flip = rng.random_bool(self.flip);
        let (low, high) = (self.scale.start().ln(), self.scale.end().ln());
        let factor = (low + (high - low) * rng.random::<f32>()).exp();
        let scaled = ScaleCrop::scaled_size(size, factor);
        let mut offset = |scaled: usize, crop: usize| {
            let room = scaled as f64 - crop as f64; // negative: padding
            let place = rng.random::<f64>();
            // The whole numbers from 0 to room have equal shares of the interval.
            (((room.abs() + 1.0) * place).floor() * room.signum()) as isize
        };
        let offset = (offset(scaled.0, crop.0), offset(scaled.1, crop.1));
        let mut vary = |by: f32| 1.0 + by * (2.0 * rng.random::<f32>() - 1.0);
        let jitter = ColourJitter {
            brightness: vary(self.brightness),
            contrast: vary(self.contrast),
            saturation: vary(self.saturation),
        };
        Augmentation {
            flip,
            jitter,
            scale_crop: ScaleCrop { scaled, offset, size: crop },
            padding: self.padding,
        }
    }

    #[track_caller]
    fn check(&self, size: (usize, usize)) {
        let (low, high) = (*self.scale.start(), *self.scale.end());
        assert!((0.0..=1.0).contains(&self.flip), "augment: flip is a probability, not {}", self.flip);
        assert!(
            low > 0.0 && low <= high && high.is_finite(),
            "augment: the scale is a range of positive factors, not {low}..={high}"
        );
        for (name, value) in
            [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)]
        {
            assert!((0.0..=1.0).contains(&value), "augment: {name} varies by 0 to 1, not by {value}");
        }
        let crop = self.crop.unwrap_or(size);
        assert!(
            size.0 > 0 && size.1 > 0 && crop.0 > 0 && crop.1 > 0,
            "augment: (height, width) must be positive: sample {size:?}, crop {crop:?}"
        );
    }
}

/// The parameters of every step, drawn or chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Whether to mirror.
    pub flip: bool,
    /// The colour factors.
    pub jitter: ColourJitter,
    /// The new scale and the part to keep.
    pub scale_crop: ScaleCrop,
    /// What stands outside of the picture.
    pub padding: Padding,
}

impl Augmentation {
    /// Mirrors, recolours, scales and crops, in this order: the padding is not recoloured.
    ///
    /// # Panics
    /// Where a size is zero, or where image, labels and masks of the sample differ in size.
    ///
    /// # Examples
    /// ```
    /// use ndarray::{Array3, array, s};
    /// use termwise_datasets::Sample;
    /// use termwise_datasets::augment::{Augmentation, ColourJitter, Padding, ScaleCrop};
    /// let augmentation = Augmentation {
    ///     flip: true,
    ///     jitter: ColourJitter { brightness: 0.5, ..ColourJitter::NONE },
    ///     scale_crop: ScaleCrop { scaled: (1, 2), offset: (0, 0), size: (1, 3) }, // a column of padding
    ///     padding: Padding { colour: [0.9; 3], label: 255 },
    /// };
    /// let image = Array3::from_shape_fn((3, 1, 2), |(_, _, column)| column as f32);
    /// let sample = Sample { name: String::new(), image, labels: array![[7, 8]], objects: Vec::new() };
    /// let augmented = augmentation.apply(&sample);
    /// assert_eq!(augmented.image.slice(s![0, .., ..]), array![[0.5, 0.0, 0.9]]);
    /// assert_eq!(augmented.labels, array![[8, 7, 255]]);
    /// ```
    pub fn apply(&self, sample: &Sample) -> Sample {
        let mut sample = if self.flip { flip_horizontal(sample) } else { sample.clone() };
        sample.image = colour_jitter(&sample.image, self.jitter);
        scale_crop(&sample, self.scale_crop, self.padding)
    }

    /// The same for a picture with boxes. Objects of which less than `min_visible` (a part of the area of the box) is
    /// left are dropped, as their rest may show nothing of them.
    ///
    /// # Panics
    /// As [`scale_crop_detection`].
    #[track_caller]
    pub fn apply_detection(&self, sample: &DetectionSample, min_visible: f32) -> DetectionSample {
        let mut sample = if self.flip { flip_detection(sample) } else { sample.clone() };
        sample.image = colour_jitter(&sample.image, self.jitter);
        scale_crop_detection(&sample, self.scale_crop, self.padding.colour, min_visible)
    }
}
