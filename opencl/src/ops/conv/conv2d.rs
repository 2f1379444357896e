//! Two-dimensional convolution.

use termwise_autograd::Array;
use termwise_ops::conv::{Conv2dKernel, ConvGeometry};

use crate::ops::fold::{fold, sum_parts};
use crate::program::{Source, source};
use crate::tiles::Tiles;
use crate::{OpenCl, Real};

const CONV2D: Source = source!("conv/conv2d");

/// Channels of a group from which on a product in tiles pays.
const ENOUGH_ROWS: usize = 8;
/// Work-groups that keep a large device busy.
const ENOUGH_GROUPS: usize = 256;
/// Terms of a sum that are worth a part of their own.
const PART: usize = 256;

/// Into how many parts a sum of `terms` is taken apart, where that many work-groups compute it whole.
pub(crate) fn parts(groups: usize, terms: usize) -> usize {
    ENOUGH_GROUPS.div_ceil(groups.max(1)).min(terms / PART).max(1)
}

/// The tiles of a product of so many rows whose columns are gathered: a work-item gathers a column of the tile.
pub(crate) fn gathering<T: Real>(rows: usize) -> Tiles {
    Tiles::standard::<T>().fitted(rows, usize::MAX)
}

/// A product of the weight with numbers that are gathered from images.
fn gathered<T: Real>(
    geometry: &ConvGeometry,
    adjoint: bool,
    weight: &Array<OpenCl<T>>,
    x: &Array<OpenCl<T>>,
    bias: Option<&Array<OpenCl<T>>>,
) -> Array<OpenCl<T>> {
    let &ConvGeometry { batch, groups, window, .. } = geometry;
    let (taps, inputs, outputs) = (window.taps(), geometry.group_inputs(), geometry.group_outputs());
    let (shape, rows, inner, row_step, inner_step) = if adjoint {
        (geometry.input_shape(), inputs, outputs, taps, inputs * taps)
    } else {
        (geometry.output_shape(), outputs, inputs, inputs * taps, taps)
    };
    let (backend, y) = (x.backend(), x.backend().arbitrary(&shape));
    if y.is_empty() {
        return y;
    }
    if rows < ENOUGH_ROWS {
        let launch = backend.launch(CONV2D, "conv2d_each").array(weight).array(x).optional(bias).array(&y);
        let launch = launch.window(&window).flag(adjoint).int(groups).int(rows).int(inner);
        launch.int(row_step).int(inner_step).int(y.len()).items(y.len());
        return y;
    }
    let tiles = gathering::<T>(rows);
    let count = tiles.cover(rows, batch * shape[2] * shape[3]) * groups;
    let parts = if bias.is_some() { 1 } else { parts(count, inner * taps) };
    let length = (inner * taps).div_ceil(tiles.depth).div_ceil(parts);
    let y = backend.arbitrary(&[&[parts], &shape[..]].concat());
    let source = Source { defines: tiles.defines(), ..CONV2D };
    let launch = backend.launch(source, "conv2d_tiles").array(weight).array(x).optional(bias).array(&y);
    let launch = launch.window(&window).flag(adjoint).int(batch).int(groups).int(rows).int(inner);
    launch.int(row_step).int(inner_step).int(length).groups(count * parts);
    sum_parts(y, &shape, parts)
}

impl<T: Real> Conv2dKernel for OpenCl<T> {
    fn conv2d_forward(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self> {
        gathered(geometry, false, weight, x, bias)
    }

    fn conv2d_backward_input(
        geometry: &ConvGeometry,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        gathered(geometry, true, weight, grad_output, None)
    }

    fn conv2d_backward_weight(
        geometry: &ConvGeometry,
        x: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let &ConvGeometry { batch, groups, window, .. } = geometry;
        let (rows, inner) = (geometry.group_outputs(), geometry.group_inputs());
        let (columns, terms) = (inner * window.taps(), batch * window.positions());
        let (backend, shape) = (x.backend(), geometry.weight_shape());
        let in_tiles = rows >= ENOUGH_ROWS && columns >= ENOUGH_ROWS;
        let tiles = Tiles::standard::<T>().fitted(rows, columns);
        let whole = if in_tiles { tiles.cover(rows, columns) * groups } else { shape.iter().product() };
        let parts = parts(whole, terms);
        let grad = backend.arbitrary(&[&[parts], &shape[..]].concat());
        let kernel = if in_tiles { "conv2d_weight_tiles" } else { "conv2d_weight_each" };
        let source = if in_tiles { Source { defines: tiles.defines(), ..CONV2D } } else { CONV2D };
        let launch = backend.launch(source, kernel).array(grad_output).array(x).array(&grad).window(&window);
        let launch = launch.int(batch).int(groups).int(rows).int(inner);
        if in_tiles {
            launch.int(terms.div_ceil(tiles.depth).div_ceil(parts)).groups(whole * parts);
        } else {
            launch.int(whole).int(terms.div_ceil(parts)).groups(whole * parts);
        }
        sum_parts(grad, &shape, parts)
    }

    fn conv2d_backward_bias(grad_output: &Array<Self>) -> Array<Self> {
        let (batch, channels) = (grad_output.shape()[0], grad_output.shape()[1]);
        let positions = grad_output.shape()[2..].iter().product();
        let planes = grad_output.reshape(&[batch, channels, positions]);
        fold(source!("tensor/sum", "fold"), &planes, &[1, channels, 1], None, 1.0).reshape(&[channels])
    }

    fn conv2d_add_bias(y: Array<Self>, bias: &Array<Self>) -> Array<Self> {
        let backend = bias.backend();
        let (channels, positions) = (y.shape()[1], y.shape()[2..].iter().product());
        let (y, sum) = backend.reuse(y);
        let launch = backend.launch(CONV2D, "conv2d_add_bias").array(&y).array(bias).array(&sum);
        launch.int(channels).int(positions).int(sum.len()).items(sum.len());
        sum
    }
}
