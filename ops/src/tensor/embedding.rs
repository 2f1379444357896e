//! Rows of a table, looked up by number.

use std::ops::Range;

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::index_select::checked;
use crate::{par, rows};

/// The rows of `weight` that `ids` name.
///
/// # Formula
/// `y[i, j, ..] = weight[ids[i, j]]`
///
/// # Shapes
/// `weight` (V, D), `ids` any, below V; `y` the shape of `ids` with D appended.
///
/// # Gradient
/// `dweight[v]` is the sum of `dy` over the places where `ids` is `v`, in row-major order, and 0 for the row
/// `padding_idx` (negative counts from the end), whose value is looked up like any other.
///
/// # Panics
/// If `weight` does not have rank 2, or an id or `padding_idx` is out of range.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let weight = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into()); // (V, D)
/// let y = termwise_ops::embedding(&weight, &arr1(&[1, 0, 1]).into_dyn(), Some(0));
/// assert_eq!(y.value().as_slice(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
/// let gradients = tape.backward_with(&[(&y, arr2(&[[1.0, 1.0], [5.0, 5.0], [2.0, 3.0]]).into())]);
/// assert_eq!(gradients.of(&weight).unwrap().as_slice(), [0.0, 0.0, 3.0, 4.0]);
/// ```
#[track_caller]
pub fn embedding<B: EmbeddingKernel>(weight: &Var<B>, ids: &ArrayD<i64>, padding_idx: Option<i64>) -> Var<B> {
    let shape = weight.shape();
    assert!(shape.len() == 2, "embedding: weight must be (V, D), its shape is {shape:?}");
    let rows = checked("embedding", ids, shape, 0);
    let padding = padding_idx.map(|index| {
        let row = if index < 0 { index + shape[0] as i64 } else { index };
        assert!(
            (0..shape[0] as i64).contains(&row),
            "embedding: padding_idx {index} is out of range for weight of shape {shape:?}"
        );
        row as usize
    });
    apply(Embedding { rows, ids: ids.shape().to_vec(), padding }, [weight])
}

struct Embedding {
    rows: Vec<usize>,
    /// Shape of the ids.
    ids: Vec<usize>,
    padding: Option<usize>,
}

impl<B: EmbeddingKernel> Op<B, 1> for Embedding {
    /// Number of rows of the table.
    type Saved = usize;

    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward(&self, [weight]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let mut shape = self.ids.clone();
        shape.push(weight.shape()[1]);
        (B::embedding_forward(weight, &self.rows).reshape(&shape), weight.shape()[0])
    }

    fn backward(&self, &count: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y_i = weight[row_i]  =>  dweight[row_i] += dy_i, unless row_i is the padding row
        let dim = *grad_output.shape().last().expect("D is appended to the shape of the ids");
        let grad_output = grad_output.reshape(&[self.rows.len(), dim]);
        [Some(B::embedding_backward(&grad_output, &self.rows, count, self.padding))]
    }
}

/// Kernels of [`embedding`].
pub trait EmbeddingKernel: Backend {
    /// The rows of `weight` (V, D) that `rows` name: (rows, D).
    fn embedding_forward(weight: &Array<Self>, rows: &[usize]) -> Array<Self>;

    /// Each row of `grad_output` (rows, D) added to the row it came from, in order, but for rows from
    /// `padding`: (count, D).
    fn embedding_backward(
        grad_output: &Array<Self>,
        rows: &[usize],
        count: usize,
        padding: Option<usize>,
    ) -> Array<Self>;
}

impl<T: Scalar> EmbeddingKernel for Cpu<T> {
    fn embedding_forward(weight: &Array<Self>, rows: &[usize]) -> Array<Self> {
        let dim = weight.shape()[1];
        let mut y = Buffer::arbitrary(rows.len() * dim);
        par::for_each_rows(&mut y, dim, 4 * dim, |first, y| {
            for (y, row) in y.chunks_exact_mut(dim).zip(&rows[first..]) {
                y.copy_from_slice(&weight.as_slice()[row * dim..][..dim]);
            }
        });
        Array::from_buffer(&[rows.len(), dim], y)
    }

    fn embedding_backward(
        grad_output: &Array<Self>,
        rows: &[usize],
        count: usize,
        padding: Option<usize>,
    ) -> Array<Self> {
        let dim = grad_output.shape()[1];
        let mut grad = Buffer::arbitrary(count * dim);
        // A task owns some rows of the table and looks for them among all.
        let part = count.div_ceil(PARTS).max(1);
        let work = 4 * part * dim + rows.len() + rows.len() * dim / PARTS;
        par::for_each_chunk(&mut grad, part * dim, work, |i, grad| {
            let own = i * part..(i + 1) * part;
            let grad_output = grad_output.as_slice();
            simd::run(Gradient { grad_output, rows, own, padding, dim, grad });
        });
        Array::from_buffer(&[count, dim], grad)
    }
}

/// Parts of the table, each of which may go to another thread.
const PARTS: usize = 8;

/// Adds the rows of `grad_output` that come from some rows of the table.
struct Gradient<'a, T> {
    grad_output: &'a [T],
    rows: &'a [usize],
    /// The rows of the table.
    own: Range<usize>,
    padding: Option<usize>,
    dim: usize,
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Gradient { grad_output, rows, own, padding, dim, grad } = self;
        grad.fill(T::zero());
        for (i, row) in rows.iter().enumerate() {
            if own.contains(row) && Some(*row) != padding {
                rows::add::<V>(&mut grad[(row - own.start) * dim..][..dim], &grad_output[i * dim..][..dim]);
            }
        }
    }
}

/// Test cases of [`embedding`], each made from (V, D). There is no padding row: its gradient is 0 by
/// decree, which no finite difference sees.
pub fn cases<B: EmbeddingKernel>() -> Vec<Case<B>> {
    let case = |ids: &'static [usize], shape: &[usize]| {
        Case::new("embedding", format!("ids of shape {ids:?}"), shape, move |shape, samples| {
            (shape[0] > 0 || ids.contains(&0)).then_some(())?;
            let ids = samples.integers(ids, 0, shape[0].max(1) as i64);
            Built::new([("weight", samples.normal(shape))], move |v| embedding(&v[0], &ids, None))
        })
    };
    vec![case(&[], &[1, 1]), case(&[2, 6], &[9, 5]), case(&[7], &[4, 3]), case(&[0, 3], &[2, 2])]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::Tape;

    use super::*;

    fn zeros(tape: &Tape<Cpu<f32>>) -> Var<Cpu<f32>> {
        tape.leaf(Array::zeros(&Cpu::new(), &[3, 2]))
    }

    #[test]
    #[should_panic(expected = "embedding: index 3 is out of range for axis 0 of shape [3, 2]")]
    fn an_id_out_of_range_is_named() {
        embedding(&zeros(&Tape::new(Cpu::new())), &arr1(&[0, 3]).into_dyn(), None);
    }

    #[test]
    #[should_panic(expected = "embedding: padding_idx -4 is out of range for weight of shape [3, 2]")]
    fn a_padding_row_out_of_range_is_named() {
        embedding(&zeros(&Tape::new(Cpu::new())), &arr1(&[0]).into_dyn(), Some(-4));
    }
}
