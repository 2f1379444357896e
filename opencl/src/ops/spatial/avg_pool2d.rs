//! Means over windows.

use termwise_autograd::Array;
use termwise_ops::spatial::{AvgPoolKernel, Bin};

use super::{users, with_size};
use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

const AVG_POOL2D: Source = source!("spatial/avg_pool2d");

fn upload<T: Real>(backend: &OpenCl<T>, bins: &[Bin]) -> Buffer<i32> {
    backend.indices(&bins.iter().flat_map(|bin| [bin.start, bin.end, bin.count]).collect::<Vec<_>>())
}

impl<T: Real> AvgPoolKernel for OpenCl<T> {
    fn avg_pool_forward(x: &Array<Self>, rows: &[Bin], cols: &[Bin], divisor: Option<f64>) -> Array<Self> {
        let (backend, size) = (x.backend(), &x.shape()[x.ndim() - 2..]);
        let y = backend.arbitrary(&with_size(x.shape(), [rows.len(), cols.len()]));
        let [row_bins, col_bins] = [rows, cols].map(|bins| upload(backend, bins));
        let launch = backend.launch(AVG_POOL2D, "avg_pool2d_forward").array(x).buffer(&row_bins);
        let launch = launch.buffer(&col_bins).array(&y).int(size[0]).int(size[1]);
        let launch = launch.int(rows.len()).int(cols.len()).real(divisor.unwrap_or(0.0));
        launch.int(y.len()).items(y.len());
        y
    }

    fn avg_pool_backward(
        grad_output: &Array<Self>,
        x_shape: &[usize],
        rows: &[Bin],
        cols: &[Bin],
        divisor: Option<f64>,
    ) -> Array<Self> {
        let (backend, size) = (grad_output.backend(), &x_shape[x_shape.len() - 2..]);
        let grad_x = backend.arbitrary(x_shape);
        let [row_bins, col_bins] = [rows, cols].map(|bins| upload(backend, bins));
        let [row_users, col_users] = [(size[0], rows), (size[1], cols)]
            .map(|(extent, bins)| users(backend, extent, bins.iter().map(|bin| bin.start..bin.end)));
        let launch = backend.launch(AVG_POOL2D, "avg_pool2d_backward").array(grad_output).buffer(&row_bins);
        let launch = launch.buffer(&col_bins).buffer(&row_users).buffer(&col_users).array(&grad_x);
        let launch = launch.int(size[0]).int(size[1]).int(rows.len()).int(cols.len());
        launch.real(divisor.unwrap_or(0.0)).int(grad_x.len()).items(grad_x.len());
        grad_x
    }
}
