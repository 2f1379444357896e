//! Maxima over windows.

use termwise_autograd::Array;
use termwise_ops::spatial::{MaxPool2dKernel, WindowAxis};

use super::with_size;
use crate::launch::Launch;
use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

const MAX_POOL2D: Source = source!("spatial/max_pool2d");

/// Where the maxima of [`max_pool2d`](termwise_ops::max_pool2d()) were, and the windows.
#[derive(Debug)]
pub struct MaxIndices {
    index: Buffer<i32>,
    axes: [WindowAxis; 2],
}

/// The numbers of the windows as the kernels take them.
fn windows<'a, T: Real>(launch: Launch<'a, T>, [rows, cols]: [WindowAxis; 2]) -> Launch<'a, T> {
    let numbers: [fn(WindowAxis) -> usize; 6] = [
        |axis| axis.input,
        |axis| axis.output,
        |axis| axis.kernel,
        |axis| axis.stride,
        |axis| axis.padding,
        |axis| axis.dilation,
    ];
    numbers.iter().fold(launch, |launch, number| launch.int(number(rows)).int(number(cols)))
}

impl<T: Real> MaxPool2dKernel for OpenCl<T> {
    type Indices = MaxIndices;

    fn max_pool2d_forward(x: &Array<Self>, axes: [WindowAxis; 2]) -> (Array<Self>, MaxIndices) {
        let (backend, [rows, cols]) = (x.backend(), axes);
        let y = backend.arbitrary(&with_size(x.shape(), [rows.output, cols.output]));
        let index = backend.scratch(y.len());
        let launch = backend.launch(MAX_POOL2D, "max_pool2d_forward").array(x).array(&y).buffer(&index);
        windows(launch, axes).int(y.len()).items(y.len());
        (y, MaxIndices { index, axes })
    }

    fn max_pool2d_backward(
        MaxIndices { index, axes }: &MaxIndices,
        grad_output: &Array<Self>,
        x_shape: &[usize],
    ) -> Array<Self> {
        let (backend, grad_x) = (grad_output.backend(), grad_output.backend().arbitrary(x_shape));
        let launch = backend.launch(MAX_POOL2D, "max_pool2d_backward").array(grad_output);
        let launch = launch.buffer(index).array(&grad_x);
        windows(launch, *axes).int(grad_x.len()).items(grad_x.len());
        grad_x
    }

    fn max_pool2d_indices(indices: &MaxIndices) -> Vec<i64> {
        indices.index.download().into_iter().map(i64::from).collect()
    }
}
