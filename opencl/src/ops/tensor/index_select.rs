//! Slices along an axis, chosen by index.

use termwise_autograd::Array;
use termwise_ops::shape::split_at_axis;
use termwise_ops::tensor::IndexSelectKernel;

use crate::ops::groups::groups;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const INDEX_SELECT: Source = source!("tensor/index_select");

/// A shape with another extent of one axis.
fn with_extent(shape: &[usize], axis: usize, extent: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = extent;
    shape
}

impl<T: Real> IndexSelectKernel for OpenCl<T> {
    fn index_select_forward(x: &Array<Self>, index: &[usize], axis: usize) -> Array<Self> {
        let (backend, (_, extent, inner)) = (x.backend(), split_at_axis(x.shape(), axis));
        let y = backend.arbitrary(&with_extent(x.shape(), axis, index.len()));
        let places = backend.indices(index);
        let launch = backend.launch(INDEX_SELECT, "index_select_forward").array(x).buffer(&places).array(&y);
        launch.int(extent).int(index.len()).int(inner).int(y.len()).items(y.len());
        y
    }

    fn index_select_backward(
        grad_output: &Array<Self>,
        index: &[usize],
        axis: usize,
        extent: usize,
    ) -> Array<Self> {
        let (backend, (outer, len, inner)) =
            (grad_output.backend(), split_at_axis(grad_output.shape(), axis));
        let grad_x = Array::zeros(backend, &with_extent(grad_output.shape(), axis, extent));
        let slices = groups(backend, index, None);
        let launch = backend.launch(INDEX_SELECT, "index_select_backward").array(grad_output);
        let launch = launch.buffer(&slices.targets).buffer(&slices.starts).buffer(&slices.sources);
        let (launch, count) = (launch.array(&grad_x), outer * slices.count * inner);
        launch.int(extent).int(len).int(inner).int(slices.count).int(count).items(count);
        grad_x
    }
}
