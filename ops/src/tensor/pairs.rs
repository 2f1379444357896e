//! Test cases of operations on two operands that broadcast.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case, Samples};
use termwise_autograd::{Backend, Var};

/// Draws an operand of a shape.
pub(super) type Sample = fn(&mut Samples, &[usize]) -> ArrayD<f64>;
/// A label, and the shapes of two operands from that of the result.
type Pair = (&'static str, fn(&[usize]) -> [Vec<usize>; 2]);

/// How the two operands of a test case come from its shape, which is that of the result.
const PAIRS: [Pair; 5] = [
    ("same", |s| [s.to_vec(), s.to_vec()]),
    ("last axis only", |s| [s.to_vec(), s[s.len() - 1..].to_vec()]),
    ("scalar", |s| [s.to_vec(), vec![]]),
    ("crossed", |s| {
        let every_other = |kept: usize| (0..s.len()).map(|i| if i % 2 == kept { s[i] } else { 1 }).collect();
        [every_other(0), every_other(1)]
    }),
    ("first repeated", |s| [s[1..].to_vec(), s.to_vec()]),
];

/// Test cases of an operation on two operands that broadcast, in every way they can.
pub(super) fn pair_cases<B: Backend>(
    op: &'static str,
    [sample_a, sample_b]: [Sample; 2],
    run: fn(&[Var<B>]) -> Var<B>,
) -> Vec<Case<B>> {
    let case = |(label, operands): Pair, shape: &[usize]| {
        Case::new(op, label, shape, move |shape, samples| {
            let [a, b] = operands(shape);
            Built::new([("a", sample_a(samples, &a)), ("b", sample_b(samples, &b))], run)
        })
    };
    let mut cases = vec![case(PAIRS[0], &[1]), case(PAIRS[0], &[0, 3]), case(PAIRS[3], &[4, 6])];
    cases.extend(PAIRS.map(|pair| case(pair, &[2, 3, 5])));
    cases
}
