//! Softmax over those taps of a predicted kernel that lie within the sequence.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use crate::activations::SoftmaxKernel;
use crate::par;

/// Softmax over the taps of a kernel that lie within the sequence; the others get weight 0.
///
/// # Formula
/// `y[t, b, h, k] = exp(x[t, b, h, k]) / sum_j exp(x[t, b, h, j])`, `j` over the taps with `0 <= t + first_tap + j < inputs`
///
/// # Shapes
/// `x` and `y` (T, B, H, K).
///
/// # Gradient
/// That of the softmax, `dx_k = y_k (dy_k - sum_j dy_j y_j)`; zero for taps outside.
///
/// # Edge cases
/// Where no tap lies within the sequence all weights are 0.
#[track_caller]
pub(super) fn tap_softmax<B: TapSoftmaxKernel>(logits: &Var<B>, first_tap: isize, inputs: usize) -> Var<B> {
    assert!(logits.ndim() == 4, "tap_softmax: logits must be (T, B, H, K), they are {:?}", logits.shape());
    apply(TapSoftmax { first_tap, inputs }, [logits])
}

struct TapSoftmax {
    first_tap: isize,
    inputs: usize,
}

impl<B: TapSoftmaxKernel> Op<B, 1> for TapSoftmax {
    type Saved = Array<B>;

    fn name(&self) -> &'static str {
        "tap_softmax"
    }

    fn forward(&self, [logits]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::tap_softmax_forward(logits, self.first_tap, self.inputs);
        (y.clone(), y)
    }

    fn backward(&self, y: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = softmax(x)  =>  dx = y (dy - <dy, y>), and y = 0 outside
        [Some(B::softmax_backward(y, grad_output, 3))]
    }
}

/// Kernel of the softmax over taps within the sequence; its backward is that of the softmax.
pub trait TapSoftmaxKernel: SoftmaxKernel {
    /// Softmax of `logits` (T, B, H, K) over the taps `k` with `0 <= t + first_tap + k < inputs`.
    fn tap_softmax_forward(logits: &Array<Self>, first_tap: isize, inputs: usize) -> Array<Self>;
}

impl<T: Scalar> TapSoftmaxKernel for Cpu<T> {
    fn tap_softmax_forward(logits: &Array<Self>, first_tap: isize, inputs: usize) -> Array<Self> {
        let &[steps, batch, heads, taps] = logits.shape() else { unreachable!("checked by tap_softmax") };
        let values = logits.as_slice();
        let mut y = vec![T::zero(); values.len()];
        let per_step = batch * heads * taps;
        par::for_each_chunk(&mut y, per_step, 16 * per_step, |step, y| {
            // Taps within the sequence: 0 <= step + first_tap + k < inputs.
            let origin = step as isize + first_tap;
            let inside = |bound: isize| (bound - origin).clamp(0, taps as isize).unsigned_abs();
            let (start, end) = (inside(0), inside(inputs as isize));
            let logits = &values[step * per_step..][..per_step];
            for (y, logits) in y.chunks_mut(taps.max(1)).zip(logits.chunks(taps.max(1))) {
                let (y, logits) = (&mut y[start..end.max(start)], &logits[start..end.max(start)]);
                let max = logits.iter().fold(T::neg_infinity(), |m, &v| m.max(v));
                let mut sum = T::zero();
                for (y, &logit) in y.iter_mut().zip(logits) {
                    *y = (logit - max).exp();
                    sum += *y;
                }
                y.iter_mut().for_each(|y| *y /= sum);
            }
        });
        Array::host(&[steps, batch, heads, taps], y)
    }
}

/// Test cases. Shapes are (T, B, H, K).
pub fn cases<B: TapSoftmaxKernel>() -> Vec<Case<B>> {
    let case = |first_tap: isize, scale: f64, shape: [usize; 4]| {
        let label = format!("first tap {first_tap}, scale {scale}");
        Case::new("tap_softmax", label, &shape, move |shape, samples| {
            let inputs = *shape.first()?;
            Built::new([("logits", samples.normal(shape) * scale)], move |v| {
                tap_softmax(&v[0], first_tap, inputs)
            })
        })
    };
    vec![
        case(0, 1.0, [1, 1, 1, 1]),
        case(-1, 1.0, [4, 2, 2, 3]),
        case(-4, 30.0, [3, 1, 2, 5]),
        case(-7, 1.0, [4, 1, 1, 3]),
        case(-1, 1.0, [0, 2, 2, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn taps_outside_get_nothing() {
        let tape = Tape::new(Cpu::<f64>::new());
        let logits = tape.leaf(Array::host(&[4, 1, 1, 2], vec![9.0, 0.0, 2.0, 2.0, 0.0, 1e3, -1e3, 7.0]));
        // Two inputs: step 0 sees tap 1, step 1 both, step 2 the second input with tap 0, step 3 none.
        let y = tap_softmax(&logits, -1, 2);
        assert_eq!(y.value().as_slice(), [0.0, 1.0, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0]);
    }
}
