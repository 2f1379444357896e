//! Depthwise convolution in direct loops: one input channel per group leaves nothing for a matrix
//! product to share.

use termwise_autograd::Scalar;

use super::vector::{axpy, dot};
use super::{ConvGeometry, Window};
use crate::par;

/// Whether each group has one input channel.
pub(crate) fn applies(geometry: &ConvGeometry) -> bool {
    geometry.groups > 1 && geometry.group_inputs() == 1
}

/// Calls `f(tap, outputs, inputs)` for each tap and output row: the run of outputs, and where in the
/// input plane the run that they read starts (its step is the horizontal stride).
fn for_each_run(window: &Window, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
    for tap in 0..window.taps() {
        let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
        let inside = window.inside(1, j);
        if inside.is_empty() {
            continue;
        }
        let first = (inside.start * window.stride[1]).wrapping_add_signed(window.origin(1, j));
        for oh in window.inside(0, i) {
            let Some(y) = window.input(0, i, oh) else { continue };
            let row = oh * window.output[1];
            f(tap, row + inside.start..row + inside.end, y * window.image[1] + first);
        }
    }
}

/// `y[o] = b[o] + sum_m W[o, m] x[c(o), q + p_m]`. // (N, O, Ho, Wo)
pub(crate) fn forward<T: Scalar>(
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Vec<T> {
    let window = &geometry.window;
    let (positions, pixels, taps, stride) =
        (window.positions(), window.pixels(), window.taps(), window.stride[1]);
    let mut y = vec![T::zero(); geometry.batch * geometry.out_channels * positions];
    par::for_each_chunk(&mut y, positions, positions * taps, |plane, y| {
        let (n, o) = (plane / geometry.out_channels, plane % geometry.out_channels);
        let x = &x[(n * geometry.in_channels + o / geometry.group_outputs()) * pixels..][..pixels];
        y.fill(bias.map_or(T::zero(), |bias| bias[o]));
        for_each_run(window, |tap, outputs, start| {
            let (w, y) = (weight[o * taps + tap], &mut y[outputs]);
            if stride == 1 {
                axpy(w, &x[start..], y);
            } else {
                for (y, &x) in y.iter_mut().zip(x[start..].iter().step_by(stride)) {
                    *y += w * x;
                }
            }
        });
    });
    y
}

/// `dx[c, q + p_m] += W[o, m] dy[o, q]` for the outputs `o` of `c`. // (N, C, H, W)
pub(crate) fn input_gradient<T: Scalar>(geometry: &ConvGeometry, weight: &[T], grad_output: &[T]) -> Vec<T> {
    let window = &geometry.window;
    let (positions, pixels, taps, stride) =
        (window.positions(), window.pixels(), window.taps(), window.stride[1]);
    let outputs_per_input = geometry.group_outputs();
    let mut grad = vec![T::zero(); geometry.batch * geometry.in_channels * pixels];
    par::for_each_chunk(&mut grad, pixels, outputs_per_input * positions * taps, |plane, grad| {
        let (n, c) = (plane / geometry.in_channels, plane % geometry.in_channels);
        for o in c * outputs_per_input..(c + 1) * outputs_per_input {
            let grad_output = &grad_output[(n * geometry.out_channels + o) * positions..][..positions];
            for_each_run(window, |tap, outputs, start| {
                let (w, from) = (weight[o * taps + tap], &grad_output[outputs]);
                if stride == 1 {
                    axpy(w, from, &mut grad[start..]);
                } else {
                    for (x, &g) in grad[start..].iter_mut().step_by(stride).zip(from) {
                        *x += w * g;
                    }
                }
            });
        }
    });
    grad
}

/// `dW[o, m] = sum_{n, q} dy[n, o, q] x[n, c(o), q + p_m]`. // (O, 1, kh, kw)
pub(crate) fn weight_gradient<T: Scalar>(geometry: &ConvGeometry, x: &[T], grad_output: &[T]) -> Vec<T> {
    let window = &geometry.window;
    let (positions, pixels, taps, stride) =
        (window.positions(), window.pixels(), window.taps(), window.stride[1]);
    let mut grad = vec![T::zero(); geometry.out_channels * taps];
    par::for_each_chunk(&mut grad, taps, geometry.batch * positions * taps, |o, grad| {
        for n in 0..geometry.batch {
            let x = &x[(n * geometry.in_channels + o / geometry.group_outputs()) * pixels..][..pixels];
            let grad_output = &grad_output[(n * geometry.out_channels + o) * positions..][..positions];
            for_each_run(window, |tap, outputs, start| {
                let from = &grad_output[outputs];
                grad[tap] += if stride == 1 {
                    dot(from, &x[start..])
                } else {
                    from.iter().zip(x[start..].iter().step_by(stride)).map(|(&g, &x)| g * x).sum()
                };
            });
        }
    });
    grad
}
