//! Matrix product with batches: `y = a b`.
//!
//! The last two axes are the matrices, the axes before them batches that broadcast. An operand of
//! rank 1 is a row (on the left) or a column (on the right) whose extra axis is dropped afterwards.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::broadcast::Layout;
use crate::gemm::{gemm, matrix, matrix_mut};
use crate::{par, shape};

/// Product of matrices, of batches of them, or with vectors.
///
/// # Formula
/// `y_ij = sum_k a_ik b_kj` for each batch.
///
/// # Shapes
/// `a` (..., M, K), `b` (..., K, N), `y` (..., M, N); the leading axes broadcast. `a` (K) counts as (1, K)
/// and `b` (K) as (K, 1), and `y` lacks that axis: two vectors give a scalar of shape `[]`.
///
/// # Gradient
/// `da = dy b^T`, `db = a^T dy`, each summed over the batches along which the operand was repeated.
///
/// # Edge cases
/// `K = 0` gives zeros.
///
/// # Panics
/// If an operand has rank 0, the inner extents differ, or the batches do not broadcast.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into()); // (M, K)
/// let b = tape.leaf(arr1(&[10.0, 1.0]).into()); // (K)
/// let y = termwise_ops::matmul(&a, &b);
/// assert_eq!(y.value().as_slice(), [12.0, 34.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 2.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [10.0, 1.0, 20.0, 2.0]);
/// assert_eq!(gradients.of(&b).unwrap().as_slice(), [7.0, 10.0]);
/// ```
#[track_caller]
pub fn matmul<B: MatmulKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    apply(Matmul { plan: MatmulPlan::new(a.shape(), b.shape()) }, [a, b])
}

/// The extents of a product, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatmulPlan {
    /// Batch axes of the left operand.
    pub batch_a: Vec<usize>,
    /// Batch axes of the right operand.
    pub batch_b: Vec<usize>,
    /// Batch axes of the product.
    pub batch: Vec<usize>,
    /// Rows of the product.
    pub m: usize,
    /// Columns of the left and rows of the right operand.
    pub k: usize,
    /// Columns of the product.
    pub n: usize,
    /// Shape of the product, the axis of a vector operand dropped.
    pub output: Vec<usize>,
}

impl MatmulPlan {
    #[track_caller]
    fn new(a: &[usize], b: &[usize]) -> Self {
        assert!(!a.is_empty() && !b.is_empty(), "matmul: rank 0 operand: a is {a:?}, b is {b:?}");
        let (batch_a, [m, k]) = match a {
            [k] => (&[][..], [1, *k]),
            [batch @ .., m, k] => (batch, [*m, *k]),
            [] => unreachable!("ruled out above"),
        };
        let (batch_b, [rows, n]) = match b {
            [k] => (&[][..], [*k, 1]),
            [batch @ .., k, n] => (batch, [*k, *n]),
            [] => unreachable!("ruled out above"),
        };
        assert!(
            k == rows,
            "matmul: inner extents differ: a is {a:?}, its columns {k}; b is {b:?}, its rows {rows}"
        );
        let Some(batch) = shape::broadcast(batch_a, batch_b) else {
            panic!("matmul: batch axes {batch_a:?} and {batch_b:?} do not broadcast: a is {a:?}, b is {b:?}");
        };
        let mut output = batch.clone();
        if a.len() > 1 {
            output.push(m);
        }
        if b.len() > 1 {
            output.push(n);
        }
        let mut plan =
            MatmulPlan { batch_a: batch_a.into(), batch_b: batch_b.into(), batch, m, k, n, output };
        if plan.batch_b.iter().all(|&extent| extent == 1) && plan.batch_a.len() >= plan.batch_b.len() {
            // One right operand for all: the left ones stacked are a single matrix.
            plan.m *= plan.batch.iter().product::<usize>();
            (plan.batch_a, plan.batch_b, plan.batch) = (vec![], vec![], vec![]);
        }
        plan
    }

    fn batches(&self) -> usize {
        self.batch.iter().product()
    }

    /// Index of the operand's matrix for each batch of the product, as (of `a`, of `b`).
    fn operands(&self) -> Vec<[usize; 2]> {
        let layout = Layout::broadcast(&self.batch, [&self.batch_a, &self.batch_b]);
        (0..self.batches()).map(|i| layout.offsets(i)).collect()
    }
}

struct Matmul {
    plan: MatmulPlan,
}

impl<B: MatmulKernel> Op<B, 2> for Matmul {
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        "matmul"
    }

    fn forward(&self, [a, b]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        (B::matmul_forward(a, b, &self.plan), [a.clone(), b.clone()])
    }

    fn backward(
        &self,
        [a, b]: &Self::Saved,
        grad_output: &Array<B>,
        [need_a, need_b]: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y = a b  =>  da = dy b^T,  db = a^T dy
        [
            need_a.then(|| B::matmul_backward_a(grad_output, b, a.shape(), &self.plan)),
            need_b.then(|| B::matmul_backward_b(a, grad_output, b.shape(), &self.plan)),
        ]
    }
}

/// Kernels of [`matmul`].
pub trait MatmulKernel: Backend {
    /// `a b` for each batch.
    fn matmul_forward(a: &Array<Self>, b: &Array<Self>, plan: &MatmulPlan) -> Array<Self>;

    /// `grad_output b^T`, summed to the shape of `a`.
    fn matmul_backward_a(
        grad_output: &Array<Self>,
        b: &Array<Self>,
        shape_a: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self>;

    /// `a^T grad_output`, summed to the shape of `b`.
    fn matmul_backward_b(
        a: &Array<Self>,
        grad_output: &Array<Self>,
        shape_b: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self>;
}

/// For each of `count` operand matrices, the batches of the product that use it, in order.
fn users(operands: impl Iterator<Item = usize>, count: usize) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); count];
    operands.enumerate().for_each(|(batch, operand)| users[operand].push(batch));
    users
}

impl<T: Scalar> MatmulKernel for Cpu<T> {
    fn matmul_forward(a: &Array<Self>, b: &Array<Self>, plan: &MatmulPlan) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let operands = plan.operands();
        let mut y = Buffer::arbitrary(plan.batches() * m * n);
        par::for_each_chunk(&mut y, m * n, 2 * m * k * n, |batch, y| {
            let [ia, ib] = operands[batch];
            let a = matrix(&a.as_slice()[ia * m * k..][..m * k], m, k);
            let b = matrix(&b.as_slice()[ib * k * n..][..k * n], k, n);
            gemm(T::one(), a, b, T::zero(), &mut matrix_mut(y, m, n));
        });
        Array::from_buffer(&plan.output, y)
    }

    fn matmul_backward_a(
        grad_output: &Array<Self>,
        b: &Array<Self>,
        shape_a: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let operands = plan.operands();
        let mut grad = Buffer::arbitrary(shape_a.iter().product());
        let users = users(operands.iter().map(|o| o[0]), plan.batch_a.iter().product());
        let work = 2 * m * k * n * (operands.len() / users.len().max(1));
        par::for_each_chunk(&mut grad, m * k, work, |ia, grad| {
            if users[ia].is_empty() {
                grad.fill(T::zero());
            }
            for (i, &batch) in users[ia].iter().enumerate() {
                let beta = if i == 0 { T::zero() } else { T::one() };
                let g = matrix(&grad_output.as_slice()[batch * m * n..][..m * n], m, n);
                let b = matrix(&b.as_slice()[operands[batch][1] * k * n..][..k * n], k, n);
                gemm(T::one(), g, b.t(), beta, &mut matrix_mut(grad, m, k));
            }
        });
        Array::from_buffer(shape_a, grad)
    }

    fn matmul_backward_b(
        a: &Array<Self>,
        grad_output: &Array<Self>,
        shape_b: &[usize],
        plan: &MatmulPlan,
    ) -> Array<Self> {
        let &MatmulPlan { m, k, n, .. } = plan;
        let operands = plan.operands();
        let mut grad = Buffer::arbitrary(shape_b.iter().product());
        let users = users(operands.iter().map(|o| o[1]), plan.batch_b.iter().product());
        let work = 2 * m * k * n * (operands.len() / users.len().max(1));
        par::for_each_chunk(&mut grad, k * n, work, |ib, grad| {
            if users[ib].is_empty() {
                grad.fill(T::zero());
            }
            for (i, &batch) in users[ib].iter().enumerate() {
                let beta = if i == 0 { T::zero() } else { T::one() };
                let a = matrix(&a.as_slice()[operands[batch][0] * m * k..][..m * k], m, k);
                let g = matrix(&grad_output.as_slice()[batch * m * n..][..m * n], m, n);
                gemm(T::one(), a.t(), g, beta, &mut matrix_mut(grad, k, n));
            }
        });
        Array::from_buffer(shape_b, grad)
    }
}

/// Test cases of [`matmul`], each made from the extents (batch, M, K, N).
pub fn cases<B: MatmulKernel>() -> Vec<Case<B>> {
    type Shapes = fn(&[usize]) -> [Vec<usize>; 2];
    let case = |label: &'static str, shapes: Shapes, shape: &[usize]| {
        Case::new("matmul", label, shape, move |shape, samples| {
            let [a, b] = shapes(shape);
            Built::new([("a", samples.normal(&a)), ("b", samples.normal(&b))], |v| matmul(&v[0], &v[1]))
        })
    };
    let matrices: Shapes = |s| [s[1..3].to_vec(), s[2..4].to_vec()];
    let batched: Shapes = |s| [s[..3].to_vec(), vec![s[0], s[2], s[3]]];
    let left_repeated: Shapes = |s| [vec![s[1], s[2]], vec![s[0], s[2], s[3]]];
    let right_repeated: Shapes = |s| [s[..3].to_vec(), vec![1, s[2], s[3]]];
    let crossed: Shapes = |s| [vec![s[0], 1, s[1], s[2]], vec![1, 3, s[2], s[3]]];
    vec![
        case("matrices", matrices, &[1, 1, 1, 1]),
        case("matrices", matrices, &[1, 4, 5, 3]),
        case("matrices", matrices, &[1, 1, 9, 1]),
        case("batched", batched, &[2, 4, 5, 3]),
        case("batched", batched, &[2, 0, 5, 3]),
        case("batched", batched, &[2, 3, 0, 2]),
        case("left repeated", left_repeated, &[3, 2, 4, 3]),
        case("right repeated", right_repeated, &[3, 2, 4, 3]),
        case("both repeated", crossed, &[2, 3, 4, 2]),
        case("vector dot vector", |s| [vec![s[2]], vec![s[2]]], &[1, 1, 5, 1]),
        case("matrix times vector", |s| [s[1..3].to_vec(), vec![s[2]]], &[1, 3, 4, 1]),
        case("batch times vector", |s| [s[..3].to_vec(), vec![s[2]]], &[2, 3, 4, 1]),
        case("vector times batch", |s| [vec![s[2]], vec![s[0], s[2], s[3]]], &[2, 1, 4, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    fn ones(shape: &[usize]) -> Array<Cpu<f64>> {
        Array::full(&Cpu::new(), shape, 1.0)
    }

    #[test]
    fn nothing_to_sum_over_gives_zeros() {
        let tape = Tape::new(Cpu::new());
        let y = matmul(&tape.leaf(ones(&[2, 3, 0])), &tape.leaf(ones(&[0, 2])));
        assert_eq!((y.shape(), y.value().as_slice()), (&[2, 3, 2][..], &[0.0; 12][..]));
    }

    #[test]
    #[should_panic(
        expected = "matmul: inner extents differ: a is [2, 3], its columns 3; b is [4, 5], its rows 4"
    )]
    fn inner_extents_are_named() {
        let tape = Tape::new(Cpu::new());
        matmul(&tape.leaf(ones(&[2, 3])), &tape.leaf(ones(&[4, 5])));
    }

    #[test]
    #[should_panic(
        expected = "matmul: batch axes [2] and [3] do not broadcast: a is [2, 1, 4], b is [3, 4, 1]"
    )]
    fn batches_that_differ_are_named() {
        let tape = Tape::new(Cpu::new());
        matmul(&tape.leaf(ones(&[2, 1, 4])), &tape.leaf(ones(&[3, 4, 1])));
    }
}
