//! Deliberate mistakes in a reverse sweep, to find out whether a gradient checker notices them.

use crate::var::Backward;
use crate::{Array, Backend, Scalar};

/// A mistake in what the ops of one name contribute to one of their inputs.
///
/// Put it on a tape with [`Tape::tampered`](crate::Tape::tampered): forward is untouched, the sweep
/// goes wrong the way a faulty `backward` would. A fault in an input that needs no gradient, or that the
/// op does not have, changes nothing.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Fault, FaultKind, Op, Tape, apply};
/// # struct Square;
/// # impl Op<Cpu<f64>, 1> for Square {
/// #     type Saved = Array<Cpu<f64>>;
/// #     fn name(&self) -> &'static str { "square" }
/// #     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
/// #         (x.view().mapv(|v| v * v).into(), x.clone())
/// #     }
/// #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
/// #         [Some((&x.view() * &g.view()).mapv(|v| v + v).into())]
/// #     }
/// # }
/// let gradient = |kind| {
///     let tape = Tape::new(Cpu::new()).tampered(Fault { op: "square", input: 0, kind });
///     let x = tape.leaf(Array::host(&[3], vec![1.0, 2.0, 3.0]));
///     let y = apply(Square, [&x]);
///     let cotangent = Array::host(&[3], vec![1.0, 1.0, 10.0]);
///     tape.backward_with(&[(&y, cotangent)]).of(&x).unwrap().as_slice().to_vec()
/// };
/// assert_eq!(gradient(FaultKind::Scale(1.0)), [2.0, 4.0, 60.0]); // right: 2 x times the cotangent
/// assert_eq!(gradient(FaultKind::Scale(-0.5)), [-1.0, -2.0, -30.0]);
/// assert_eq!(gradient(FaultKind::OffByOne), [60.0, 2.0, 4.0]);
/// assert_eq!(gradient(FaultKind::DroppedTerm), [2.0, 0.0, 60.0]);
/// assert_eq!(gradient(FaultKind::GradOutputIgnored), [2.0, 4.0, 6.0]);
/// assert_eq!(gradient(FaultKind::MissingReduction { axis: 0 }), [2.0, 0.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// [`Op::name`](crate::Op::name) of the ops to spoil.
    pub op: &'static str,
    /// Which of their inputs gets the wrong gradient.
    pub input: usize,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// The mistakes that people make in a backward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// The contribution is multiplied by a constant.
    Scale(f64),
    /// The contribution's last two axes are swapped, its elements then laid out in the old shape.
    Transposed,
    /// One slice of the contribution, in the middle of its longest axis, is zero.
    DroppedTerm,
    /// The contribution is rolled by one element along its last axis of more than one.
    OffByOne,
    /// Backward sees ones in place of `grad_output`.
    GradOutputIgnored,
    /// Backward sees only the first slice of `grad_output` along an axis that should be summed over.
    MissingReduction {
        /// The axis of the output.
        axis: usize,
    },
    /// The contribution replaces what earlier uses have added up.
    Overwritten,
    /// The contribution is zero.
    Disconnected,
}

impl Fault {
    pub(crate) fn overwrites(&self, position: usize) -> bool {
        self.kind == FaultKind::Overwritten && self.input == position
    }
}

/// The op's backward with the fault in it.
pub(crate) fn backward<B: Backend>(
    fault: &Fault,
    op: &dyn Backward<B>,
    grad_output: &Array<B>,
    needs: &[bool],
) -> Vec<Option<Array<B>>> {
    let mut contributions = op.backward(grad_output, needs);
    let Some(Some(contribution)) = contributions.get(fault.input) else { return contributions };
    let backend = contribution.backend().clone();
    let shape = contribution.shape().to_vec();
    let spoiled_output = match fault.kind {
        FaultKind::GradOutputIgnored => Some(Array::full(&backend, grad_output.shape(), 1.0)),
        FaultKind::MissingReduction { axis } => Some(first_slice(grad_output, axis)),
        _ => None,
    };
    if let Some(spoiled_output) = spoiled_output {
        contributions[fault.input] = op.backward(&spoiled_output, needs).swap_remove(fault.input);
    } else {
        let values = spoil(fault.kind, &shape, backend.download(contribution.buffer()));
        contributions[fault.input] = Some(Array::from_vec(&backend, &shape, values));
    }
    contributions
}

fn spoil<T: Scalar>(kind: FaultKind, shape: &[usize], mut values: Vec<T>) -> Vec<T> {
    match kind {
        FaultKind::Scale(factor) => values.iter_mut().for_each(|v| *v *= T::of(factor)),
        FaultKind::Disconnected => values.fill(T::zero()),
        FaultKind::Transposed => {
            if let [.., rows, columns] = *shape {
                for matrix in values.chunks_exact_mut((rows * columns).max(1)) {
                    let original = matrix.to_vec();
                    for (to, value) in matrix.iter_mut().enumerate() {
                        *value = original[to % rows * columns + to / rows];
                    }
                }
            }
        }
        FaultKind::DroppedTerm => {
            if let Some(axis) = (0..shape.len()).max_by_key(|&axis| shape[axis]) {
                let inner: usize = shape[axis + 1..].iter().product();
                let middle = shape[axis] / 2;
                for (element, value) in values.iter_mut().enumerate() {
                    if element / inner % shape[axis] == middle {
                        *value = T::zero();
                    }
                }
            }
        }
        FaultKind::OffByOne => {
            if let Some(axis) = (0..shape.len()).rev().find(|&axis| shape[axis] > 1) {
                let length = shape[axis..].iter().product::<usize>().max(1);
                values.chunks_exact_mut(length).for_each(|row| row.rotate_right(1));
            }
        }
        FaultKind::GradOutputIgnored | FaultKind::MissingReduction { .. } | FaultKind::Overwritten => {}
    }
    values
}

/// The array with everything but the first slice of `axis` set to zero.
fn first_slice<B: Backend>(array: &Array<B>, axis: usize) -> Array<B> {
    let mut values = array.backend().download(array.buffer());
    let inner: usize = array.shape()[axis + 1..].iter().product();
    for (element, value) in values.iter_mut().enumerate() {
        let index = element / inner % array.shape()[axis];
        if index > 0 {
            *value = B::Scalar::of(0.0);
        }
    }
    Array::from_vec(array.backend(), array.shape(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_changes_what_its_name_says() {
        let shape = [2, 2, 3];
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let spoiled = |kind| spoil(kind, &shape, values.clone())[..6].to_vec();
        assert_eq!(spoiled(FaultKind::Scale(-1.0)), [-0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
        assert_eq!(spoiled(FaultKind::Transposed), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(spoiled(FaultKind::DroppedTerm), [0.0, 0.0, 2.0, 3.0, 0.0, 5.0]);
        assert_eq!(spoiled(FaultKind::OffByOne), [2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
        assert_eq!(spoiled(FaultKind::Disconnected), [0.0; 6]);
    }

    #[test]
    fn only_the_first_slice_of_an_axis_is_left() {
        let array = Array::host(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(first_slice(&array, 0).as_slice(), [1.0, 2.0, 0.0, 0.0]);
        assert_eq!(first_slice(&array, 1).as_slice(), [1.0, 0.0, 3.0, 0.0]);
    }
}
