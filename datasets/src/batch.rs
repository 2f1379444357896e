//! From samples to the arrays of a training step.

use ndarray::{Array3, Array4, Axis, s};

use crate::sample::Sample;
use crate::seed::{Use, shuffle, stream};

/// The mean and the standard deviation of each channel.
///
/// # Examples
/// ```
/// use ndarray::{Array3, array};
/// use termwise_datasets::batch::Normalisation;
/// let image: Array3<f32> = array![[[0.0, 1.0]], [[0.25, 0.75]], [[0.5, 0.5]]]; // (3, 1, 2)
/// let normalisation = Normalisation::measure_images([&image].into_iter());
/// assert_eq!(normalisation.mean, [0.5; 3]);
/// assert_eq!(normalisation.std, [0.5, 0.25, 1.0]); // blue does not vary
/// let mut normalised = image.clone();
/// normalisation.apply(&mut normalised);
/// assert_eq!(normalised, array![[[-1.0, 1.0]], [[-1.0, 1.0]], [[0.0, 0.0]]]);
/// normalisation.undo(&mut normalised);
/// assert_eq!(normalised, image);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Mean of red, green, blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue; positive.
    pub std: [f32; 3],
}

impl Normalisation {
    /// Changes nothing: mean 0, standard deviation 1.
    pub const NONE: Self = Self { mean: [0.0; 3], std: [1.0; 3] };

    /// Measures all pixels of the samples, in f64 and in order: the mean, and the root of the mean squared distance from
    /// it. A channel without variation (a variance of at most 1e-12) gets the deviation 1.
    ///
    /// # Panics
    /// Without samples.
    #[track_caller]
    pub fn measure(samples: &[Sample]) -> Self {
        Self::measure_images(samples.iter().map(|sample| &sample.image))
    }

    /// Measures all pixels of images (3, H, W) of any sizes, as [`measure`](Self::measure) does.
    ///
    /// # Panics
    /// Without pixels, or where an image has other than three channels.
    #[track_caller]
    pub fn measure_images<'a>(images: impl Iterator<Item = &'a Array3<f32>> + Clone) -> Self {
        let pixels: f64 = images.clone().map(|image| (image.len() / 3) as f64).sum();
        assert!(pixels > 0.0, "Normalisation::measure: expected at least one sample, found none");
        for shape in images.clone().map(|image| image.shape()) {
            assert_eq!(shape[0], 3, "Normalisation::measure: expected images (3, H, W), found {shape:?}");
        }
        let mut normalisation = Self::NONE;
        for channel in 0..3 {
            let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
                let channels = images.clone().map(|image| image.index_axis(Axis(0), channel));
                channels.map(|values| values.iter().map(|&value| of(f64::from(value))).sum::<f64>()).sum()
            };
            let mean = sum(&|value| value) / pixels;
            // The second pass is on differences: no cancellation.
            let variance = sum(&|value| (value - mean).powi(2)) / pixels;
            normalisation.mean[channel] = mean as f32;
            normalisation.std[channel] = if variance > 1e-12 { variance.sqrt() as f32 } else { 1.0 };
        }
        normalisation
    }

    /// (image - mean) / std, for each channel, in place.
    ///
    /// # Panics
    /// Where the image has more than three channels.
    pub fn apply(&self, image: &mut Array3<f32>) {
        for (channel, mut values) in image.outer_iter_mut().enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            values.mapv_inplace(|value| (value - mean) / std);
        }
    }

    /// The image that [`apply`](Self::apply) was given, up to rounding: for pictures of a batch.
    pub fn undo(&self, image: &mut Array3<f32>) {
        for (channel, mut values) in image.outer_iter_mut().enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            values.mapv_inplace(|value| value * std + mean);
        }
    }
}

/// Samples of one size, stacked.
///
/// # Examples
/// ```
/// use ndarray::{Array3, array, s};
/// use termwise_datasets::Sample;
/// use termwise_datasets::batch::{Batch, Normalisation, class_pixels};
/// let sample = |grey: f32, labels| Sample {
///     name: String::new(),
///     image: Array3::from_elem((3, 1, 2), grey),
///     labels,
///     objects: Vec::new(),
/// };
/// let samples = [sample(0.5, array![[0, 255]]), sample(1.0, array![[2, 2]])];
/// let normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };
/// let batch = Batch::stack(&samples, &normalisation, 255);
/// assert_eq!(batch.images.slice(s![.., 0, 0, 0]), array![0.0, 2.0]); // (1 - 0.5) / 0.25
/// assert_eq!((batch.labels, batch.ignore), (array![[[0, 255]], [[2, 2]]], 255)); // (N, H, W)
/// let pixels = class_pixels(&samples);
/// assert_eq!((pixels[0], pixels[1], pixels[2], pixels[255]), (1, 0, 2, 1));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The normalised images.
    pub images: Array4<f32>, // (N, 3, H, W)
    /// The class of each pixel, or `ignore`.
    pub labels: Array3<i64>, // (N, H, W)
    /// The id that no loss and no metric counts.
    pub ignore: i64,
}

impl Batch {
    /// Normalises and stacks samples, in their order.
    ///
    /// # Panics
    /// Without samples, or where their sizes differ, of two samples or of image and labels of one.
    #[track_caller]
    pub fn stack<'a>(
        samples: impl IntoIterator<Item = &'a Sample>,
        normalisation: &Normalisation,
        ignore: u8,
    ) -> Self {
        let samples: Vec<&Sample> = samples.into_iter().collect();
        assert!(!samples.is_empty(), "Batch::stack: expected at least one sample, found none");
        let (height, width) = samples[0].size();
        let mut images = Array4::zeros((samples.len(), 3, height, width));
        let mut labels = Array3::zeros((samples.len(), height, width));
        for (index, sample) in samples.iter().enumerate() {
            sample.check();
            assert!(
                sample.size() == (height, width),
                "Batch::stack: samples differ in size: {} is {:?}, {} is {:?}",
                samples[0].name,
                (height, width),
                sample.name,
                sample.size()
            );
            let mut image = sample.image.clone();
            normalisation.apply(&mut image);
            images.slice_mut(s![index, .., .., ..]).assign(&image);
            labels.index_axis_mut(Axis(0), index).assign(&sample.labels.mapv(i64::from));
        }
        Self { images, labels, ignore: i64::from(ignore) }
    }
}

/// How many pixels have each label id.
pub fn class_pixels<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> [u64; 256] {
    let mut counts = [0; 256];
    for &id in samples.into_iter().flat_map(|sample| &sample.labels) {
        counts[usize::from(id)] += 1;
    }
    counts
}

/// The order of the samples in each epoch: a pure function of (seed, epoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochShuffler {
    len: usize,
    seed: u64,
}

impl EpochShuffler {
    /// For `len` samples.
    pub fn new(len: usize, seed: u64) -> Self {
        Self { len, seed }
    }

    /// Every index below `len` once, in the order of an epoch.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut rng = stream(Use::Order, self.seed, epoch, self.len as u64);
        let mut order: Vec<usize> = (0..self.len).collect();
        shuffle(&mut order, &mut rng);
        order
    }

    /// The order in batches; the last one has what is left.
    ///
    /// ```
    /// use termwise_datasets::batch::EpochShuffler;
    /// let shuffler = EpochShuffler::new(10, 3);
    /// let batches = shuffler.batches(0, 4);
    /// assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    /// assert_eq!(batches.concat(), shuffler.order(0));
    /// let mut sorted = shuffler.order(1); // of the next epoch
    /// sorted.sort_unstable();
    /// assert_eq!(sorted, (0..10).collect::<Vec<_>>());
    /// ```
    ///
    /// # Panics
    /// Where `batch_size` is zero.
    #[track_caller]
    pub fn batches(&self, epoch: u64, batch_size: usize) -> Vec<Vec<usize>> {
        assert!(batch_size > 0, "EpochShuffler::batches: the batch size must be positive");
        self.order(epoch).chunks(batch_size).map(<[usize]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn sample(red: Array2<f32>, labels: Array2<u8>) -> Sample {
        let (height, width) = red.dim();
        let mut image = Array3::from_elem((3, height, width), 0.25);
        image.index_axis_mut(Axis(0), 0).assign(&red);
        Sample { name: "s".to_owned(), image, labels, objects: Vec::new() }
    }

    #[test]
    #[should_panic(expected = "expected images (3, H, W), found [4, 1, 2]")]
    fn only_colour_images_are_measured() {
        Normalisation::measure_images([&Array3::zeros((3, 1, 1)), &Array3::zeros((4, 1, 2))].into_iter());
    }

    #[test]
    fn a_batch_is_normalised_per_channel_and_keeps_the_ignore_id() {
        let samples =
            [sample(array![[0.0, 1.0]], array![[0, 255]]), sample(array![[0.5, 0.5]], array![[3, 1]])];
        let normalisation = Normalisation::measure(&samples);
        // Red: mean 1/2, variance (1/4 + 1/4 + 0 + 0) / 4. The other channels are constant.
        assert_eq!(normalisation.mean, [0.5, 0.25, 0.25]);
        assert_eq!(normalisation.std, [0.125f32.sqrt(), 1.0, 1.0]);
        let batch = Batch::stack(&samples, &normalisation, 255);
        let deviation = -0.5 / 0.125f32.sqrt();
        assert_eq!(batch.images.slice(s![.., 0, 0, ..]), array![[deviation, -deviation], [0.0, 0.0]]);
        assert!(batch.images.slice(s![.., 1.., .., ..]).iter().all(|value| *value == 0.0));
        assert_eq!(batch.labels, array![[[0i64, 255]], [[3, 1]]]);
        assert_eq!(batch.ignore, 255);
        let mut image = batch.images.index_axis(Axis(0), 0).to_owned();
        normalisation.undo(&mut image);
        assert!((image - &samples[0].image).iter().all(|difference| difference.abs() < 1e-6));
        let counts = class_pixels(&samples);
        assert_eq!((counts[0], counts[1], counts[2], counts[3], counts[255]), (1, 1, 0, 1, 1));
    }

    #[test]
    #[should_panic(expected = "samples differ in size: s is (1, 2), s is (1, 1)")]
    fn samples_of_two_sizes_do_not_stack() {
        let samples = [sample(array![[0.0, 1.0]], array![[0, 0]]), sample(array![[0.5]], array![[3]])];
        let _ = Batch::stack(&samples, &Normalisation::NONE, 255);
    }

    #[test]
    fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
        let order = EpochShuffler::new(50, 1).order(0);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(order, EpochShuffler::new(50, 1).order(0));
        assert_ne!(order, EpochShuffler::new(50, 1).order(1));
        assert_ne!(order, EpochShuffler::new(50, 2).order(0));
        assert_eq!(EpochShuffler::new(50, 1).batches(0, 7).concat(), order);
    }

    /// Each index is equally likely at each place: 6000 epochs of 4 samples, 1500 expected, standard deviation 34.
    #[test]
    fn the_order_is_uniform() {
        let mut counts = Array2::<i32>::zeros((4, 4));
        for epoch in 0..6000 {
            for (place, index) in EpochShuffler::new(4, 9).order(epoch).into_iter().enumerate() {
                counts[[place, index]] += 1;
            }
        }
        assert!(counts.iter().all(|count| (count - 1500).abs() < 5 * 34), "{counts}");
    }
}
