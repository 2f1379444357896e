//! Convolution of sequences as plain loops over steps, sequences, channels and taps.

use crate::attention::TapRange;
use crate::attention::dynamic_conv_per_step::StepGeometry;

/// Output, and gradients in input and kernels (T, B, H, K) or, where they are shared, (H, K).
pub(super) fn reference(geometry: &StepGeometry, x: &[f64], kernels: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let StepGeometry { steps, inputs, batch, channels, heads, taps, first_tap, shared } = *geometry;
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; kernels.len()]);
    for step in 0..steps {
        for b in 0..batch {
            for c in 0..channels {
                for tap in 0..taps {
                    let input = step as isize + first_tap + tap as isize;
                    let Some(input) = usize::try_from(input).ok().filter(|&at| at < inputs) else { continue };
                    let row = if shared { 0 } else { step * batch + b };
                    let kernel = (row * heads + c / (channels / heads)) * taps + tap;
                    let (output, input) =
                        ((step * batch + b) * channels + c, (input * batch + b) * channels + c);
                    y[output] += kernels[kernel] * x[input];
                    dx[input] += kernels[kernel] * dy[output];
                    dw[kernel] += x[input] * dy[output];
                }
            }
        }
    }
    [y, dx, dw]
}

/// The softmax of each kernel (T, B, H, K), over all taps or those within the sequence.
pub(super) fn softmax(geometry: &StepGeometry, logits: &[f64], range: TapRange) -> Vec<f64> {
    let &StepGeometry { inputs, batch, heads, taps, first_tap, .. } = geometry;
    let mut weights = vec![0.0; logits.len()];
    for (at, (weights, logits)) in weights.chunks_mut(taps).zip(logits.chunks(taps)).enumerate() {
        let step = at / (batch * heads);
        let counts = |tap: usize| {
            let input = step as isize + first_tap + tap as isize;
            range == TapRange::All || (0..inputs as isize).contains(&input)
        };
        let taps = || (0..taps).filter(|&tap| counts(tap));
        let max = taps().map(|tap| logits[tap]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = taps().map(|tap| (logits[tap] - max).exp()).sum();
        taps().for_each(|tap| weights[tap] = (logits[tap] - max).exp() / sum);
    }
    weights
}

/// The gradient before the softmax.
pub(super) fn softmax_backward(geometry: &StepGeometry, weights: &[f64], dw: &[f64]) -> Vec<f64> {
    let kernels = weights.chunks(geometry.taps).zip(dw.chunks(geometry.taps));
    let backward = |(w, dw): (&[f64], &[f64])| {
        let mean: f64 = w.iter().zip(dw).map(|(w, dw)| w * dw).sum();
        w.iter().zip(dw).map(|(w, dw)| w * (dw - mean)).collect::<Vec<_>>()
    };
    kernels.flat_map(backward).collect()
}
