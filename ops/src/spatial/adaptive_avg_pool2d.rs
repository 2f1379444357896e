//! Average pooling to a given size, whatever the size of the input.
//!
//! Output `i` of `O` averages positions `floor(i H / O) .. ceil((i + 1) H / O)` of `H`, along both axes.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};

use super::avg_pool2d::{AvgPoolKernel, average_bins};
use super::window::Bin;

/// Average pooling to `output_size`, `[vertical, horizontal]`.
///
/// # Formula
/// `y[.., i, j]` is the mean of `x` over rows `floor(i H / H') .. ceil((i + 1) H / H')` and columns likewise.
///
/// # Shapes
/// `x`: (.., H, W); `y`: (.., H', W') with `output_size = [H', W']`.
///
/// # Gradient
/// Each `dy`, divided by the number of elements of its bin, goes to all of them.
///
/// # Edge cases
/// Bins overlap where H is not a multiple of H'; a larger output repeats elements.
///
/// # Panics
/// If `x` has fewer than two axes, no pixel, or `output_size` holds 0.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 3], vec![1.0, 3.0, 8.0]));
/// let y = termwise_ops::adaptive_avg_pool2d(&x, [1, 2]);
/// assert_eq!(y.value().as_slice(), [2.0, 5.5]);
/// ```
#[track_caller]
pub fn adaptive_avg_pool2d<B: AvgPoolKernel>(x: &Var<B>, output_size: [usize; 2]) -> Var<B> {
    let shape = x.shape();
    assert!(shape.len() >= 2, "adaptive_avg_pool2d: x must be (.., H, W), its shape is {shape:?}");
    let size = [shape[shape.len() - 2], shape[shape.len() - 1]];
    assert!(
        !size.contains(&0) && !output_size.contains(&0),
        "adaptive_avg_pool2d: no pixel in x {shape:?} or in output_size {output_size:?}"
    );
    let bins = [0, 1].map(|axis| {
        let (input, output) = (size[axis], output_size[axis]);
        let bin = |i: usize| {
            let (start, end) = (i * input / output, ((i + 1) * input).div_ceil(output));
            Bin { start, end, count: end - start }
        };
        (0..output).map(bin).collect()
    });
    average_bins("adaptive_avg_pool2d", x, bins, None)
}

/// Test cases of [`adaptive_avg_pool2d`].
pub fn cases<B: AvgPoolKernel>() -> Vec<Case<B>> {
    let case = |output_size: [usize; 2], shape: &[usize]| {
        Case::new("adaptive_avg_pool2d", format!("to {output_size:?}"), shape, move |shape, samples| {
            if shape.len() < 2 || shape[shape.len() - 2..].contains(&0) {
                return None;
            }
            Built::new([("x", samples.normal(shape))], move |v| adaptive_avg_pool2d(&v[0], output_size))
        })
    };
    vec![
        case([1, 1], &[1, 1, 1, 1]),
        case([1, 1], &[2, 3, 5, 4]),
        case([3, 2], &[1, 2, 7, 8]),
        case([5, 6], &[1, 2, 3, 4]),
        case([2, 3], &[5, 7]),
        case([2, 2], &[0, 2, 3, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Array, Cpu, Tape};

    use super::*;

    #[test]
    fn bins_overlap_where_the_sizes_do_not_divide() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[5, 1], vec![1.0, 2.0, 4.0, 8.0, 16.0]));
        // rows 0 .. 2, 1 .. 4, 3 .. 5
        let y = adaptive_avg_pool2d(&x, [3, 1]);
        assert_eq!(y.value().as_slice(), [1.5, 14.0 / 3.0, 12.0]);
        let gradients = tape.backward_with(&[(&y, Array::host(&[3, 1], vec![6.0, 6.0, 6.0]))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [3.0, 5.0, 2.0, 5.0, 3.0]);
    }
}
