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
