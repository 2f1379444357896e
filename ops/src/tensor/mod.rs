//! Arithmetic with broadcasting, reductions, matrix products, indexing and shape, one file each.

mod add;
mod amax;
mod cat;
mod div;
mod expand;
mod linear;
mod logsumexp;
mod math;
mod matmul;
mod maximum;
mod mean;
mod minimum;
mod mul;
mod permute;
mod reduction;
mod reshape;
mod slice;
mod split;
mod strided;
mod sub;
mod sum;
mod var;

pub use add::add;
pub use amax::{AmaxKernel, amax};
pub use cat::cat;
pub use div::div;
pub use expand::expand;
pub use linear::{LinearKernel, linear};
pub use logsumexp::{LogsumexpKernel, logsumexp};
pub use math::{abs, add_scalar, clamp, cube, exp, log, neg, pow, scale, sqrt, square};
pub use matmul::{MatmulKernel, MatmulPlan, matmul};
pub use maximum::maximum;
pub use mean::mean;
pub use minimum::minimum;
pub use mul::mul;
pub use permute::{permute, transpose};
pub use reshape::reshape;
pub use slice::{narrow, slice};
pub use split::split;
pub use strided::{StridedKernel, Window};
pub use sub::sub;
pub use sum::sum;
pub use var::{VarKernel, var};

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case, Samples};
use termwise_autograd::{Backend, Var};

use crate::broadcast::{BinaryKernel, BroadcastKernel};
use crate::elementwise::ElementwiseKernel;

/// What a backend must offer for every operation in this folder.
pub trait TensorKernels:
    ElementwiseKernel
    + BroadcastKernel
    + BinaryKernel
    + MatmulKernel
    + LinearKernel
    + StridedKernel
    + AmaxKernel
    + VarKernel
    + LogsumexpKernel
{
}

impl<B> TensorKernels for B where
    B: ElementwiseKernel
        + BroadcastKernel
        + BinaryKernel
        + MatmulKernel
        + LinearKernel
        + StridedKernel
        + AmaxKernel
        + VarKernel
        + LogsumexpKernel
{
}

/// Test cases of every operation in this folder.
pub fn cases<B: TensorKernels>() -> Vec<Case<B>> {
    [
        add::cases::<B>(),
        sub::cases::<B>(),
        mul::cases::<B>(),
        div::cases::<B>(),
        maximum::cases::<B>(),
        minimum::cases::<B>(),
        math::cases::<B>(),
        matmul::cases::<B>(),
        linear::cases::<B>(),
        sum::cases::<B>(),
        mean::cases::<B>(),
        amax::cases::<B>(),
        var::cases::<B>(),
        logsumexp::cases::<B>(),
        reshape::cases::<B>(),
        permute::cases::<B>(),
        expand::cases::<B>(),
        cat::cases::<B>(),
        slice::cases::<B>(),
        split::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How the two operands of a test case come from its shape, which is that of the result.
const PAIRS: [(&str, fn(&[usize]) -> [Vec<usize>; 2]); 5] = [
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
fn pair_cases<B: Backend>(
    op: &'static str,
    [sample_a, sample_b]: [fn(&mut Samples, &[usize]) -> ArrayD<f64>; 2],
    run: fn(&[Var<B>]) -> Var<B>,
) -> Vec<Case<B>> {
    let case = |(label, operands): (&'static str, fn(&[usize]) -> [Vec<usize>; 2]), shape: &[usize]| {
        Case::new(op, label, shape, move |shape, samples| {
            let [a, b] = operands(shape);
            Built::new([("a", sample_a(samples, &a)), ("b", sample_b(samples, &b))], run)
        })
    };
    let mut cases = vec![case(PAIRS[0], &[1]), case(PAIRS[0], &[0, 3]), case(PAIRS[3], &[4, 6])];
    cases.extend(PAIRS.map(|pair| case(pair, &[2, 3, 5])));
    cases
}
