//! Convolution as an implicit matrix product: `y[o, q] = b[o] + sum_k W[o, k] grid[step_k + q]`.
//!
//! The forward pass and the gradient in the input are the same computation over different [`Axis`] readings.
//!
//! ```text
//! pack the weights in the order in which tiles read them
//! for each sample, run of groups, block of rows, run of result channels, in parallel
//!     for each group of the run
//!         copy the rows that are read into a grid of the task's own, which stays in its core's cache
//!         for each tile of result channels, for each vectors' worth of positions
//!             one tile, over all source channels and taps
//! ```

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::Isa;

use super::axis::Axis;
use super::plan::Plan;
use super::{Shared, for_each_task};
use crate::conv::ConvGeometry;

/// `y = W x + bias`. // (N, O, Ho, Wo)
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    let (inputs, taps) = (geometry.group_inputs(), geometry.window.taps());
    let product = Product {
        isa,
        batch: geometry.batch,
        groups: geometry.groups,
        sources: inputs,
        results: geometry.group_outputs(),
        taps,
        kernel_width: geometry.window.kernel[1],
        result_stride: inputs * taps,
        source_stride: taps,
        axes: [0, 1].map(|axis| Axis::convolution(&geometry.window, axis)),
    };
    product.compute(x, weight, bias)
}

/// `dx = W^T dy`. // (N, C, H, W)
pub(super) fn input_gradient<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    weight: &[T],
    grad_output: &[T],
) -> Buffer<T> {
    let (inputs, taps) = (geometry.group_inputs(), geometry.window.taps());
    let product = Product {
        isa,
        batch: geometry.batch,
        groups: geometry.groups,
        sources: geometry.group_outputs(),
        results: inputs,
        taps,
        kernel_width: geometry.window.kernel[1],
        result_stride: taps,
        source_stride: inputs * taps,
        axes: [0, 1].map(|axis| Axis::transposed(&geometry.window, axis)),
    };
    product.compute(grad_output, weight, None)
}

/// What is convolved with what.
pub(super) struct Product {
    pub isa: Isa,
    pub batch: usize,
    pub groups: usize,
    /// Channels of a group that are read and written.
    pub sources: usize,
    pub results: usize,
    pub taps: usize,
    pub kernel_width: usize,
    /// Distance in the weights of neighbouring result and source channels.
    pub result_stride: usize,
    pub source_stride: usize,
    pub axes: [Axis; 2],
}

impl Product {
    fn compute<T: Scalar>(&self, source: &[T], weight: &[T], bias: Option<&[T]>) -> Buffer<T> {
        let plane = self.axes[0].outputs * self.axes[1].outputs;
        let mut out = Buffer::arbitrary(self.batch * self.groups * self.results * plane);
        if out.is_empty() {
            return out;
        }
        if source.is_empty() {
            for (channel, out) in out.chunks_mut(plane).enumerate() {
                out.fill(bias.map_or(T::zero(), |bias| bias[channel % bias.len()]));
            }
            return out;
        }
        let plan = Plan::new::<T>(self);
        let packed = plan.pack(weight, bias);
        let shared = Shared::new(&mut out);
        for_each_task(plan.tasks(), self.work(), |task| plan.run(task, &packed, source, shared));
        out
    }

    /// Multiplications in all.
    pub fn work(&self) -> usize {
        let positions = self.axes[0].extent() * self.axes[1].extent();
        self.batch * self.groups * self.results * self.sources * self.taps * positions
    }
}
