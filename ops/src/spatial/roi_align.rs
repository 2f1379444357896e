//! Region of interest alignment: each box of an image is resampled to a small map of fixed size.
//!
//! A box is divided into bins, each bin is sampled at a grid of points by bilinear interpolation, and the
//! samples are averaged. Whether a sample counts, its neighbours and their weights depend on each axis
//! alone, so the map of a box is `R x C^T` with a few weights per row of `R` (bins by rows of the image)
//! and of `C` (bins by columns).
//!
//! Source: He et al., "Mask R-CNN", ICCV 2017; conventions of torchvision.

use ndarray::{ArrayD, Ix2};
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

pub use super::roi_geometry::{RoiAlign, RoiAxis, RoiMap};
use crate::par;

/// Resamples boxes of `x` to maps of one size.
///
/// # Formula
/// `y[k, c, i, j]` is the mean of bilinear samples of `x[batch_k, c]` at a grid of points in bin `(i, j)`
/// of box `k`; see [`RoiAlign`] for the settings. A sample more than one pixel outside the image is 0,
/// one within that pixel is moved to the edge.
///
/// # Shapes
/// `x`: (N, C, H, W); `boxes`: (K, 5), each row `batch index, x1, y1, x2, y2`; `y`: (K, C, H', W').
///
/// # Gradient
/// The transpose in `x`: each `dy` goes to the neighbours of its samples with their weights. Boxes are
/// constants.
///
/// # Panics
/// If the shapes are others, `x` has no pixel, `output_size` holds 0, a batch index is not a whole number
/// below N, or a box or the scale is not finite.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{RoiAlign, roi_align};
/// let tape = Tape::new(Cpu::<f64>::new());
/// // A ramp along the columns: the mean over a bin is the ramp at the bin's centre.
/// let x = tape.leaf(Array::host(&[1, 1, 2, 6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].repeat(2)));
/// let boxes = ndarray::arr2(&[[0.0, 1.0, 0.0, 5.0, 2.0]]).into_dyn();
/// let settings =
///     RoiAlign { output_size: [1, 2], spatial_scale: 1.0, sampling_ratio: 2, aligned: true };
/// let y = roi_align(&x, &boxes, &settings);
/// assert_eq!(y.shape(), [1, 1, 1, 2]);
/// assert_eq!(y.value().as_slice(), [1.5, 3.5]);
/// ```
#[track_caller]
pub fn roi_align<B: RoiAlignKernel>(x: &Var<B>, boxes: &ArrayD<f64>, settings: &RoiAlign) -> Var<B> {
    let (shape, box_shape) = (x.shape(), boxes.shape());
    assert!(
        shape.len() == 4 && box_shape.len() == 2 && box_shape[1] == 5,
        "roi_align: x must be (N, C, H, W) and boxes (K, 5), they are {shape:?} and {box_shape:?}"
    );
    assert!(
        !shape[2..].contains(&0) && !settings.output_size.contains(&0),
        "roi_align: no pixel in x {shape:?} or in output_size {:?}",
        settings.output_size
    );
    let boxes = boxes.view().into_dimensionality::<Ix2>().expect("checked to have two axes");
    let maps = boxes
        .outer_iter()
        .enumerate()
        .map(|(k, row)| {
            let batch = row[0];
            assert!(
                batch >= 0.0 && batch.fract() == 0.0 && batch < shape[0] as f64,
                "roi_align: batch index {batch} of box {k} is not one of the {} images of x {shape:?}",
                shape[0]
            );
            assert!(
                row.iter().all(|v| v.is_finite()) && settings.spatial_scale.is_finite(),
                "roi_align: box {k} and the scale must be finite, they are {row} and {}",
                settings.spatial_scale
            );
            settings.map(batch as usize, [row[1], row[2], row[3], row[4]], [shape[2], shape[3]])
        })
        .collect();
    apply(RoiAlignOp { maps, output_size: settings.output_size }, [x])
}

struct RoiAlignOp {
    maps: Vec<RoiMap>,
    output_size: [usize; 2],
}

impl<B: RoiAlignKernel> Op<B, 1> for RoiAlignOp {
    /// Shape of `x`.
    type Saved = Vec<usize>;

    fn name(&self) -> &'static str {
        "roi_align"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::roi_align_forward(x, &self.maps, self.output_size), x.shape().to_vec())
    }

    fn backward(&self, x_shape: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = R x C^T with sparse matrices R, C of each box  =>  dx += R^T dy C
        [Some(B::roi_align_backward(grad_output, &self.maps, x_shape))]
    }
}

/// Kernels of [`roi_align`].
pub trait RoiAlignKernel: Backend {
    /// The map of each box: (K, C, H', W').
    fn roi_align_forward(x: &Array<Self>, maps: &[RoiMap], output_size: [usize; 2]) -> Array<Self>;

    /// Gradient in `x`.
    fn roi_align_backward(grad_output: &Array<Self>, maps: &[RoiMap], x_shape: &[usize]) -> Array<Self>;
}

impl<T: Scalar> RoiAlignKernel for Cpu<T> {
    fn roi_align_forward(
        x: &Array<Self>,
        maps: &[RoiMap],
        [out_height, out_width]: [usize; 2],
    ) -> Array<Self> {
        let (channels, height, width) = (x.shape()[1], x.shape()[2], x.shape()[3]);
        let data = x.as_slice();
        let mut y = Buffer::arbitrary(maps.len() * channels * out_height * out_width);
        let work = 8 * out_height * (width + out_width);
        par::for_each_chunk(&mut y, out_height * out_width, work, |i, y| {
            let map = &maps[i / channels];
            let columns = map.cols.hull();
            let x = &data[(map.batch * channels + i % channels) * height * width..][..height * width];
            let mut line = vec![T::zero(); width];
            for (y, bin) in y.chunks_exact_mut(out_width).zip(&map.rows.bins) {
                // 1. line = the rows of the bin, weighted
                line[columns.clone()].fill(T::zero());
                for &(row, weight) in bin {
                    let x = &x[row * width..][columns.clone()];
                    let weight = T::of(weight);
                    line[columns.clone()].iter_mut().zip(x).for_each(|(sum, &x)| *sum += weight * x);
                }
                // 2. y = the columns of each bin, weighted
                for (y, bin) in y.iter_mut().zip(&map.cols.bins) {
                    *y = bin.iter().map(|&(col, weight)| T::of(weight) * line[col]).sum();
                }
            }
        });
        Array::from_buffer(&[maps.len(), channels, out_height, out_width], y)
    }

    fn roi_align_backward(grad_output: &Array<Self>, maps: &[RoiMap], x_shape: &[usize]) -> Array<Self> {
        let (channels, height, width) = (x_shape[1], x_shape[2], x_shape[3]);
        let (out_height, out_width) = (grad_output.shape()[2], grad_output.shape()[3]);
        let g = grad_output.as_slice();
        let mut grad = Buffer::zeros(x_shape.iter().product());
        let work = height * width + 8 * maps.len() * out_height * (width + out_width);
        // Boxes overlap: a plane belongs to one task, which adds box by box, in order.
        par::for_each_chunk(&mut grad, height * width, work, |plane, grad| {
            let (batch, channel) = (plane / channels, plane % channels);
            let mut line = vec![T::zero(); width];
            for (k, map) in maps.iter().enumerate().filter(|(_, map)| map.batch == batch) {
                let columns = map.cols.hull();
                let g = &g[(k * channels + channel) * out_height * out_width..][..out_height * out_width];
                for (g, bin) in g.chunks_exact(out_width).zip(&map.rows.bins) {
                    // 2. y = sum of weight line[col]
                    line[columns.clone()].fill(T::zero());
                    for (&g, bin) in g.iter().zip(&map.cols.bins) {
                        bin.iter().for_each(|&(col, weight)| line[col] += T::of(weight) * g);
                    }
                    // 1. line = sum of weight x[row]
                    for &(row, weight) in bin {
                        let grad = &mut grad[row * width..][columns.clone()];
                        let weight = T::of(weight);
                        grad.iter_mut().zip(&line[columns.clone()]).for_each(|(sum, &g)| *sum += weight * g);
                    }
                }
            }
        });
        Array::from_buffer(x_shape, grad)
    }
}

/// Test cases of [`roi_align`]: boxes inside, across the edge, tiny, and on several images.
pub fn cases<B: RoiAlignKernel>() -> Vec<Case<B>> {
    let case = |settings: RoiAlign, shape: &[usize]| {
        let RoiAlign { output_size, spatial_scale, sampling_ratio, aligned } = settings;
        let label = format!("to {output_size:?}, ratio {sampling_ratio}, aligned {aligned}");
        Case::new("roi_align", label, shape, move |shape, samples| {
            let &[n, _, height, width] = shape else { return None };
            if n * height * width == 0 {
                return None;
            }
            let mut boxes = ndarray::Array2::zeros((4, 5));
            for (k, mut row) in boxes.outer_iter_mut().enumerate() {
                row[0] = (k % n) as f64;
                for (axis, size) in [width, height].into_iter().enumerate() {
                    let (centre, half) = (samples.unit() * size as f64, samples.unit() * size as f64 / 2.0);
                    row[1 + axis] = (centre - half) / spatial_scale;
                    row[3 + axis] = (centre + half) / spatial_scale;
                }
            }
            let boxes = boxes.into_dyn();
            Built::new([("x", samples.normal(shape))], move |v| roi_align(&v[0], &boxes, &settings))
        })
    };
    let settings = |output_size: [usize; 2], spatial_scale: f64, sampling_ratio: i64, aligned: bool| {
        RoiAlign { output_size, spatial_scale, sampling_ratio, aligned }
    };
    vec![
        case(settings([1, 1], 1.0, 1, true), &[1, 1, 1, 1]),
        case(settings([3, 2], 1.0, 2, true), &[2, 2, 5, 6]),
        case(settings([2, 2], 0.5, 2, false), &[2, 1, 7, 4]),
        case(settings([2, 3], 0.25, -1, true), &[1, 2, 6, 9]),
        case(settings([2, 2], 1.0, 0, false), &[3, 1, 4, 5]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    const SETTINGS: RoiAlign =
        RoiAlign { output_size: [2, 2], spatial_scale: 1.0, sampling_ratio: 2, aligned: true };

    fn boxes(rows: &[[f64; 5]]) -> ArrayD<f64> {
        ndarray::arr2(rows).into_dyn()
    }

    #[test]
    fn a_constant_image_gives_its_constant_inside_and_zero_far_outside() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[2, 1, 4, 4], [[3.0; 16], [5.0; 16]].concat()));
        let boxes = boxes(&[[1.0, 0.3, 1.0, 2.9, 3.3], [0.0, 20.0, 0.0, 22.0, 2.0]]);
        let y = roi_align(&x, &boxes, &SETTINGS);
        assert!(y.value().as_slice()[..4].iter().all(|y| (y - 5.0).abs() < 1e-14));
        assert_eq!(y.value().as_slice()[4..], [0.0; 4]);
        let gradients = tape.backward_with(&[(&y, Array::host(&[2, 1, 2, 2], vec![1.0; 8]))]);
        let grad = gradients.of(&x).unwrap().as_slice();
        assert_eq!(grad[..16].iter().sum::<f64>(), 0.0);
        assert!((grad[16..].iter().sum::<f64>() - 4.0).abs() < 1e-14);
    }

    #[test]
    fn no_boxes_give_no_maps_and_no_gradient() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[1, 1, 2, 2], vec![1.0; 4]));
        let y = roi_align(&x, &ArrayD::zeros(vec![0, 5]), &SETTINGS);
        assert_eq!(y.shape(), [0, 1, 2, 2]);
        let gradients = tape.backward_with(&[(&y, Array::host(&[0, 1, 2, 2], vec![]))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0; 4]);
    }

    #[test]
    #[should_panic(
        expected = "roi_align: batch index 1 of box 0 is not one of the 1 images of x [1, 1, 2, 2]"
    )]
    fn a_box_on_a_missing_image_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[1, 1, 2, 2], vec![1.0; 4]));
        roi_align(&x, &boxes(&[[1.0, 0.0, 0.0, 1.0, 1.0]]), &SETTINGS);
    }
}
