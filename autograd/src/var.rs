//! A value on a tape, and how an op puts its output there.

use std::rc::Rc;

use crate::{Array, Backend, Op, Tape};

/// An op together with what it saved, with the number of inputs erased.
pub(crate) trait Backward<B: Backend> {
    fn name(&self) -> &'static str;
    fn backward(&self, grad_output: &Array<B>, needs: &[bool]) -> Vec<Option<Array<B>>>;
}

struct Recorded<O, S, const N: usize> {
    op: O,
    saved: Rc<S>,
}

impl<B: Backend, O: Op<B, N>, const N: usize> Backward<B> for Recorded<O, O::Saved, N> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn backward(&self, grad_output: &Array<B>, needs: &[bool]) -> Vec<Option<Array<B>>> {
        let needs = std::array::from_fn(|i| needs[i]);
        self.op.backward(&self.saved, grad_output, needs).into()
    }
}

/// A value on a [`Tape`]. Cheap to clone.
///
/// # Examples
/// An op with an optional operand, and what takes part in differentiation:
/// ```
/// use termwise_autograd::{Array, Cpu, Op, Tape, Var, apply};
///
/// /// y = 2 x + bias, or 2 x without a bias.
/// struct Double;
///
/// impl Op<Cpu<f64>, 2> for Double {
///     type Saved = ();
///     fn name(&self) -> &'static str {
///         "double"
///     }
///     fn forward(&self, [x, bias]: [&Array<Cpu<f64>>; 2]) -> (Array<Cpu<f64>>, ()) {
///         let y = x.view().mapv(|v| 2.0 * v);
///         (bias.present().map_or(y.clone(), |bias| y + bias.view()).into(), ())
///     }
///     fn backward(&self, (): &(), g: &Array<Cpu<f64>>, needs: [bool; 2]) -> [Option<Array<Cpu<f64>>>; 2] {
///         [needs[0].then(|| g.view().mapv(|v| 2.0 * v).into()), needs[1].then(|| g.clone())]
///     }
/// }
///
/// fn double(x: &Var<Cpu<f64>>, bias: Option<&Var<Cpu<f64>>>) -> Var<Cpu<f64>> {
///     apply(Double, [x, &x.optional(bias)])
/// }
///
/// let tape = Tape::new(Cpu::new());
/// let x = tape.leaf(Array::host(&[], vec![3.0]));
/// let y = double(&double(&x, Some(&x)), None); // 2 (2 x + x)
/// assert_eq!(y.value().item(), 18.0);
/// let cut = double(&x.detach(), None);
/// assert!(y.requires_grad() && !cut.requires_grad());
/// assert_eq!(tape.backward(&y).of(&x).unwrap().item(), 6.0);
/// ```
pub struct Var<B: Backend> {
    tape: Tape<B>,
    node: Option<usize>,
    value: Array<B>,
}

impl<B: Backend> Clone for Var<B> {
    fn clone(&self) -> Self {
        Var { tape: self.tape.clone(), node: self.node, value: self.value.clone() }
    }
}

impl<B: Backend> std::fmt::Debug for Var<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Var").field("node", &self.node).field("value", &self.value).finish()
    }
}

impl<B: Backend> Var<B> {
    pub(crate) fn new(tape: Tape<B>, node: Option<usize>, value: Array<B>) -> Self {
        Var { tape, node, value }
    }

    pub(crate) fn node(&self) -> Option<usize> {
        self.node
    }

    /// The value computed by forward.
    pub fn value(&self) -> &Array<B> {
        &self.value
    }

    /// Extent of each axis of the value.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Number of axes of the value.
    pub fn ndim(&self) -> usize {
        self.value.ndim()
    }

    /// The tape it lives on.
    pub fn tape(&self) -> &Tape<B> {
        &self.tape
    }

    /// Whether a gradient flows to it.
    pub fn requires_grad(&self) -> bool {
        self.node.is_some()
    }

    /// The same value cut off from the record: no gradient flows through it.
    pub fn detach(&self) -> Var<B> {
        Var { node: None, ..self.clone() }
    }

    /// `operand` itself, or the [absent](Array::absent) operand on this tape for `None`. An op is never
    /// asked for the gradient of an absent operand.
    pub fn optional(&self, operand: Option<&Var<B>>) -> Var<B> {
        operand.cloned().unwrap_or_else(|| self.tape.constant(Array::absent(self.tape.backend())))
    }

    /// Keeps the gradient of this value, which the sweep would free otherwise, for
    /// [`Gradients::of`](crate::Gradients::of). Leaves are kept anyway.
    ///
    /// # Panics
    /// If the tape was swept already.
    #[track_caller]
    pub fn retain_grad(&self) -> &Self {
        if let Some(node) = self.node {
            self.tape.retain(node);
        }
        self
    }
}

/// Runs an op forward and records it on the tape of its inputs.
///
/// Nothing is recorded, and what the op saves is dropped, on an [inference](Tape::inference) tape and where
/// no input takes part in differentiation.
///
/// # Panics
/// If the inputs live on different tapes, or the op is to be recorded and the tape was swept already; in
/// check mode, if the output holds a NaN or an infinity.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape, apply};
/// # use termwise_autograd::Op;
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
/// let tape = Tape::new(Cpu::new());
/// let x = tape.leaf(Array::host(&[2], vec![3.0, -1.0]));
/// assert_eq!(apply(Square, [&x]).value().as_slice(), [9.0, 1.0]);
/// ```
#[track_caller]
pub fn apply<B: Backend, O: Op<B, N>, const N: usize>(op: O, inputs: [&Var<B>; N]) -> Var<B> {
    apply_saving(op, inputs).0
}

/// [`apply`] that also hands out what the op saved, for public functions that report more than
/// their differentiable output (attention weights, batch statistics).
///
/// # Panics
/// As [`apply`].
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Op, Tape, apply_saving};
///
/// /// The largest of all elements; saves which one it is, as the gradient goes there alone.
/// struct Max;
///
/// impl Op<Cpu<f64>, 1> for Max {
///     type Saved = (usize, Vec<usize>);
///     fn name(&self) -> &'static str {
///         "max"
///     }
///     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
///         let values = x.as_slice();
///         let at = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
///         (Array::host(&[], vec![values[at]]), (at, x.shape().to_vec()))
///     }
///     fn backward(&self, saved: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
///         let (at, shape) = saved;
///         let mut grad = Array::zeros(&Cpu::new(), shape);
///         grad.as_mut_slice()[*at] = g.item();
///         [Some(grad)]
///     }
/// }
///
/// let tape = Tape::new(Cpu::new());
/// let x = tape.leaf(Array::host(&[3], vec![1.0, 9.0, 4.0]));
/// let (y, saved) = apply_saving(Max, [&x]);
/// assert_eq!((y.value().item(), saved.0), (9.0, 1));
/// assert_eq!(tape.backward(&y).of(&x).unwrap().as_slice(), [0.0, 1.0, 0.0]);
/// ```
#[track_caller]
pub fn apply_saving<B: Backend, O: Op<B, N>, const N: usize>(
    op: O,
    inputs: [&Var<B>; N],
) -> (Var<B>, Rc<O::Saved>) {
    const { assert!(N > 0, "an op has at least one input") };
    let tape = &inputs[0].tape;
    let name = op.name();
    for input in &inputs[1..] {
        assert!(tape.is_same(&input.tape), "{name}: the inputs live on different tapes");
    }
    let (value, saved) = op.forward(inputs.map(|input| &input.value));
    tape.look(&value, |number, element| {
        let (shapes, shape) = (inputs.map(|input| input.shape()), value.shape());
        format!(
            "{name}: forward made the first {number}, at element {element} of shape {shape:?}; input shapes {shapes:?}"
        )
    });
    let saved = Rc::new(saved);
    let recorded = tape.is_recording() && inputs.iter().any(|input| input.requires_grad());
    let node = recorded.then(|| {
        assert!(!tape.is_swept(), "{name}: this tape was swept already; record a new one");
        let parents = inputs.iter().map(|input| input.node).collect();
        let backward = Recorded::<O, O::Saved, N> { op, saved: Rc::clone(&saved) };
        tape.push(value.shape().to_vec(), parents, Some(Box::new(backward)))
    });
    (Var { tape: tape.clone(), node, value }, saved)
}
