//! Pooling, resizing and region sampling, one file each.
//!
//! All work on planes (H, W): what each output reads is worked out once per axis, and the kernels apply it
//! along rows and columns in turn. Backward passes add within a plane, in order, one task per plane.

mod adaptive_avg_pool2d;
mod avg_pool2d;
mod interpolate;
mod max_pool2d;
mod resize;
mod roi_align;
mod roi_geometry;
mod window;

pub use adaptive_avg_pool2d::adaptive_avg_pool2d;
pub use avg_pool2d::{AvgPool2d, AvgPoolKernel, avg_pool2d};
pub use interpolate::{InterpolateKernel, Interpolation, Resize, ResizeAxis, interpolate};
pub use max_pool2d::{MaxPool2dKernel, max_pool2d, max_pool2d_with_indices};
pub use resize::Source;
pub use roi_align::{RoiAlign, RoiAlignKernel, RoiAxis, RoiMap, roi_align};
pub use window::{Bin, Window, WindowAxis};

use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait SpatialKernels: AvgPoolKernel + InterpolateKernel + MaxPool2dKernel + RoiAlignKernel {}

impl<B> SpatialKernels for B where B: AvgPoolKernel + InterpolateKernel + MaxPool2dKernel + RoiAlignKernel {}

/// Test cases of every operation in this folder.
pub fn cases<B: SpatialKernels>() -> Vec<Case<B>> {
    [
        max_pool2d::cases::<B>(),
        avg_pool2d::cases::<B>(),
        adaptive_avg_pool2d::cases::<B>(),
        interpolate::cases::<B>(),
        roi_align::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::same_bits::assert_same_bits;

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let image: &[&[usize]] = &[&[3, 8, 60, 70]];
        let window = Window::new(3).stride(2).padding(1);
        assert_same_bits("max_pool2d", image, |v| max_pool2d(&v[0], &window));
        assert_same_bits("avg_pool2d", image, |v| avg_pool2d(&v[0], &AvgPool2d::new(window)));
        let mode = Interpolation::Bilinear { align_corners: false };
        assert_same_bits("interpolate", image, |v| interpolate(&v[0], Resize::Size([95, 40]), mode));
        let boxes = ndarray::Array2::from_shape_fn((40, 5), |(k, i)| match i {
            0 => (k % 3) as f64,
            1 | 2 => k as f64 * 0.7,
            _ => k as f64 * 1.3 + 11.0,
        });
        let settings = RoiAlign { output_size: [7, 7], spatial_scale: 1.0, sampling_ratio: 2, aligned: true };
        assert_same_bits("roi_align", image, |v| roi_align(&v[0], &boxes.clone().into_dyn(), &settings));
    }
}
