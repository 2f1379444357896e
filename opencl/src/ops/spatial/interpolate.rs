//! Resizing of images.

use termwise_autograd::{Array, Scalar};
use termwise_ops::spatial::{InterpolateKernel, ResizeAxis};

use super::{users, with_size};
use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

const INTERPOLATE: Source = source!("spatial/interpolate");

/// The pairs of neighbours and the weights of the output positions.
fn upload<T: Real>(backend: &OpenCl<T>, axis: &ResizeAxis) -> (Buffer<i32>, Buffer<T>) {
    let pairs: Vec<usize> = axis.sources.iter().flat_map(|source| [source.low, source.high]).collect();
    let weights: Vec<T> = axis.sources.iter().map(|source| <T as Scalar>::of(source.weight)).collect();
    (backend.indices(&pairs), backend.constants(&weights))
}

impl<T: Real> InterpolateKernel for OpenCl<T> {
    fn interpolate_forward(x: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self> {
        let (backend, size) = (x.backend(), [rows.sources.len(), cols.sources.len()]);
        let y = backend.arbitrary(&with_size(x.shape(), size));
        let [(row_pairs, row_weights), (col_pairs, col_weights)] =
            [rows, cols].map(|axis| upload(backend, axis));
        let launch = backend.launch(INTERPOLATE, "interpolate_forward").array(x);
        let launch = launch.buffer(&row_pairs).buffer(&row_weights).buffer(&col_pairs).buffer(&col_weights);
        let launch = launch.array(&y).int(rows.input).int(cols.input).int(size[0]).int(size[1]);
        launch.int(y.len()).items(y.len());
        y
    }

    fn interpolate_backward(grad_output: &Array<Self>, rows: &ResizeAxis, cols: &ResizeAxis) -> Array<Self> {
        let (backend, size) = (grad_output.backend(), [rows.sources.len(), cols.sources.len()]);
        let grad_x = backend.arbitrary(&with_size(grad_output.shape(), [rows.input, cols.input]));
        let [(row_pairs, row_weights), (col_pairs, col_weights)] =
            [rows, cols].map(|axis| upload(backend, axis));
        let [row_users, col_users] = [rows, cols].map(|axis| {
            users(backend, axis.input, axis.sources.iter().map(|source| source.low..source.high + 1))
        });
        let launch = backend.launch(INTERPOLATE, "interpolate_backward").array(grad_output);
        let launch = launch.buffer(&row_pairs).buffer(&row_weights).buffer(&col_pairs).buffer(&col_weights);
        let launch = launch.buffer(&row_users).buffer(&col_users).array(&grad_x);
        let launch = launch.int(rows.input).int(cols.input).int(size[0]).int(size[1]);
        launch.int(grad_x.len()).items(grad_x.len());
        grad_x
    }
}
