//! Convolution with a kernel for each position as plain loops over outputs, channels and taps.

use crate::attention::dynamic_conv_per_position::PositionGeometry;

/// Calls `f(n, c, kernel, output, input)` for each output under each tap that lies in the image, with where the
/// kernel, the output and the input lie in their arrays.
fn for_each_tap(geometry: &PositionGeometry, mut f: impl FnMut(usize, usize, usize)) {
    let PositionGeometry { batch, channels, groups, window } = *geometry;
    let (taps, positions, pixels) = (window.taps(), window.positions(), window.pixels());
    for plane in 0..batch * channels {
        let group = plane / (channels / groups);
        for tap in 0..taps {
            for q in 0..positions {
                let row = window.input(0, tap / window.kernel[1], q / window.output[1]);
                let col = window.input(1, tap % window.kernel[1], q % window.output[1]);
                if let (Some(row), Some(col)) = (row, col) {
                    let input = plane * pixels + row * window.image[1] + col;
                    f((group * taps + tap) * positions + q, plane * positions + q, input);
                }
            }
        }
    }
}

/// Output, and gradients in the input and in the kernels (N, G, taps, positions).
pub(super) fn reference(
    geometry: &PositionGeometry,
    x: &[f64],
    kernels: &[f64],
    grad_output: &[f64],
) -> [Vec<f64>; 3] {
    let mut y = vec![0.0; grad_output.len()];
    let (mut dx, mut dkernels) = (vec![0.0; x.len()], vec![0.0; kernels.len()]);
    for_each_tap(geometry, |kernel, output, input| {
        y[output] += kernels[kernel] * x[input];
        dx[input] += kernels[kernel] * grad_output[output];
        dkernels[kernel] += x[input] * grad_output[output];
    });
    [y, dx, dkernels]
}

/// Where the query of output `q` of sample `n` lies in channel `c` of the input.
fn query(geometry: &PositionGeometry, n: usize, c: usize, q: usize) -> usize {
    let window = &geometry.window;
    let (row, col) = (q / window.output[1] * window.stride[0], q % window.output[1] * window.stride[1]);
    ((n * geometry.channels + c) * window.image[0] + row) * window.image[1] + col
}

/// The softmax over the taps of `d x_q`. // (N, G, taps, positions)
pub(super) fn predict(geometry: &PositionGeometry, x: &[f64], d: &[f64]) -> Vec<f64> {
    let PositionGeometry { batch, channels, groups, window } = *geometry;
    let (taps, positions) = (window.taps(), window.positions());
    let mut kernels = vec![0.0; batch * groups * taps * positions];
    for n in 0..batch {
        for group in 0..groups {
            for q in 0..positions {
                let logit = |tap: usize| {
                    let d = &d[(group * taps + tap) * channels..][..channels];
                    d.iter().enumerate().map(|(c, d)| d * x[query(geometry, n, c, q)]).sum::<f64>()
                };
                let sum: f64 = (0..taps).map(|tap| logit(tap).exp()).sum();
                for tap in 0..taps {
                    kernels[((n * groups + group) * taps + tap) * positions + q] = logit(tap).exp() / sum;
                }
            }
        }
    }
    kernels
}

/// Adds to dx, and returns, what the gradient of predicted kernels makes of the gradients in `x` and `d`.
pub(super) fn predict_backward(
    geometry: &PositionGeometry,
    x: &[f64],
    d: &[f64],
    kernels: &[f64],
    dkernels: &[f64],
    dx: &mut [f64],
) -> Vec<f64> {
    let PositionGeometry { batch, channels, groups, window } = *geometry;
    let (taps, positions) = (window.taps(), window.positions());
    let mut dd = vec![0.0; d.len()];
    for n in 0..batch {
        for group in 0..groups {
            for q in 0..positions {
                let at = |tap: usize| ((n * groups + group) * taps + tap) * positions + q;
                let mean: f64 = (0..taps).map(|tap| kernels[at(tap)] * dkernels[at(tap)]).sum();
                for tap in 0..taps {
                    let ds = kernels[at(tap)] * (dkernels[at(tap)] - mean);
                    for c in 0..channels {
                        let (row, query) = ((group * taps + tap) * channels + c, query(geometry, n, c, q));
                        dd[row] += ds * x[query];
                        dx[query] += ds * d[row];
                    }
                }
            }
        }
    }
    dd
}
