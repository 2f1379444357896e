//! The record of a computation and its reverse sweep.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::{Array, Backend, Op, Param};

/// One recorded operation (or a leaf), in the order of execution.
struct Node<B: Backend> {
    shape: Vec<usize>,
    /// Node of each input; `None` for an input that takes no part in differentiation.
    inputs: Vec<Option<usize>>,
    /// `None` for a leaf: its gradient is what the caller asks for.
    backward: Option<Box<dyn Backward<B>>>,
    retained: bool,
}

/// An op together with what it saved, with the number of inputs erased.
trait Backward<B: Backend> {
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

struct Record<B: Backend> {
    nodes: Vec<Node<B>>,
    params: HashMap<u64, Var<B>>,
    swept: bool,
}

/// Records operations as they run, to differentiate them afterwards.
///
/// A tape serves one computation: make one per training step. Cloning gives another handle on the
/// same record. Nodes are pushed in execution order, so the reverse sweep is a single loop.
///
/// ```
/// # use termwise_autograd::{apply, Array, Cpu, Op, Scalar, Tape};
/// # struct Square;
/// # impl<T: Scalar> Op<Cpu<T>, 1> for Square {
/// #     type Saved = Array<Cpu<T>>;
/// #     fn name(&self) -> &'static str { "square" }
/// #     fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
/// #         (x.view().mapv(|v| v * v).into(), x.clone())
/// #     }
/// #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<T>>, _: [bool; 1]) -> [Option<Array<Cpu<T>>>; 1] {
/// #         [Some((&x.view() * &g.view()).mapv(|v| v + v).into())]
/// #     }
/// # }
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr0(3.0).into());
/// let y = apply(Square, [&x]);
/// let gradients = tape.backward(&y);
/// assert_eq!(gradients.of(&x).unwrap().item(), 6.0);
/// ```
pub struct Tape<B: Backend> {
    backend: B,
    recording: bool,
    checked: bool,
    record: Rc<RefCell<Record<B>>>,
}

impl<B: Backend> Clone for Tape<B> {
    fn clone(&self) -> Self {
        Tape {
            backend: self.backend.clone(),
            recording: self.recording,
            checked: self.checked,
            record: Rc::clone(&self.record),
        }
    }
}

impl<B: Backend> Tape<B> {
    /// An empty tape that records.
    pub fn new(backend: B) -> Self {
        let record = Record { nodes: Vec::new(), params: HashMap::new(), swept: false };
        Tape { backend, recording: true, checked: false, record: Rc::new(RefCell::new(record)) }
    }

    /// A tape that records nothing: for evaluation. What an op saves is dropped at once.
    pub fn inference(backend: B) -> Self {
        Tape { recording: false, ..Tape::new(backend) }
    }

    /// The same tape in check mode: the first op, forward or backward, whose result holds a NaN or
    /// an infinity panics with its name, its input shapes and the element.
    pub fn checked(self) -> Self {
        Tape { checked: true, ..self }
    }

    /// The device of this tape.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Whether operations are recorded, so that [`backward`](Tape::backward) can follow.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Number of recorded nodes, leaves included.
    pub fn len(&self) -> usize {
        self.record.borrow().nodes.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An input to differentiate with respect to.
    pub fn leaf(&self, value: Array<B>) -> Var<B> {
        let shape = value.shape().to_vec();
        let node = self.recording.then(|| self.push(shape, Vec::new(), None));
        Var { tape: self.clone(), node, value }
    }

    /// A value that takes no part in differentiation.
    pub fn constant(&self, value: Array<B>) -> Var<B> {
        Var { tape: self.clone(), node: None, value }
    }

    /// The leaf that stands for a parameter on this tape: the same one each time it is asked for, so
    /// that a parameter used twice collects both gradients.
    pub fn param(&self, param: &Param<B>) -> Var<B> {
        if !param.is_trainable() {
            return self.constant(param.value());
        }
        if let Some(var) = self.record.borrow().params.get(&param.id()) {
            return var.clone();
        }
        let var = self.leaf(param.value());
        if self.recording {
            self.record.borrow_mut().params.insert(param.id(), var.clone());
        }
        var
    }

    /// Gradients of a scalar with respect to every leaf and parameter.
    ///
    /// Frees the record as it passes: a tape is swept once.
    ///
    /// # Panics
    /// If `output` has more than one element, belongs to another tape, or the tape was swept before.
    #[track_caller]
    pub fn backward(&self, output: &Var<B>) -> Gradients<B> {
        assert!(
            output.value.len() == 1,
            "backward: the output must have one element, its shape is {:?}; give a cotangent with backward_with",
            output.shape()
        );
        let one = Array::full(&self.backend, output.shape(), 1.0);
        self.backward_with(&[(output, one)])
    }

    /// Gradients of `sum_i <cotangent_i, output_i>` with respect to every leaf and parameter.
    ///
    /// # Panics
    /// If a cotangent's shape differs from its output's, an output belongs to another tape or the
    /// tape was swept before; and if an op breaks its contract (a gradient that is missing or of the
    /// wrong shape), naming the op.
    #[track_caller]
    pub fn backward_with(&self, outputs: &[(&Var<B>, Array<B>)]) -> Gradients<B> {
        let (nodes, params) = {
            let mut record = self.record.borrow_mut();
            assert!(!record.swept, "backward: this tape was swept before; record a new one");
            record.swept = true;
            (std::mem::take(&mut record.nodes), std::mem::take(&mut record.params))
        };
        let shapes: Vec<Vec<usize>> = nodes.iter().map(|node| node.shape.clone()).collect();
        let mut gradients: Vec<Option<Array<B>>> = shapes.iter().map(|_| None).collect();
        for (output, cotangent) in outputs {
            assert!(self.is_same(&output.tape), "backward: the output belongs to another tape");
            assert!(
                cotangent.shape() == output.shape(),
                "backward: the cotangent has shape {:?}, the output {:?}",
                cotangent.shape(),
                output.shape()
            );
            if let Some(node) = output.node {
                self.add(&mut gradients[node], cotangent.clone());
            }
        }
        let mut kept = HashMap::new();
        // Reverse order of execution: when a node is reached, all its uses have contributed.
        for (index, node) in nodes.into_iter().enumerate().rev() {
            let Some(grad_output) = gradients[index].take() else { continue };
            if let Some(op) = node.backward {
                self.sweep_op(&*op, &node.inputs, &grad_output, &shapes, &mut gradients);
                if !node.retained {
                    continue;
                }
            }
            kept.insert(index, grad_output);
        }
        let params = params.into_iter().filter_map(|(id, var)| Some((id, var.node?))).collect();
        Gradients { by_node: kept, params, record: Rc::downgrade(&self.record) }
    }

    /// Runs one op backwards and adds its contributions to the gradients of its inputs.
    #[track_caller]
    fn sweep_op(
        &self,
        op: &dyn Backward<B>,
        inputs: &[Option<usize>],
        grad_output: &Array<B>,
        shapes: &[Vec<usize>],
        gradients: &mut [Option<Array<B>>],
    ) {
        let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
        let contributions = op.backward(grad_output, &needs);
        for (position, (input, contribution)) in inputs.iter().zip(contributions).enumerate() {
            let Some(input) = *input else { continue };
            let Some(contribution) = contribution else { missing_gradient(op.name(), position) };
            if contribution.shape() != shapes[input] {
                wrong_gradient_shape(op.name(), position, &shapes[input], contribution.shape());
            }
            if self.checked
                && let Some((element, value)) = self.backend.first_non_finite(&contribution)
            {
                let shape = contribution.shape();
                panic!(
                    "{}: backward made the first {value}, in the gradient of input {position} of shape {shape:?} at element {element}",
                    op.name()
                );
            }
            self.add(&mut gradients[input], contribution);
        }
    }

    fn add(&self, slot: &mut Option<Array<B>>, contribution: Array<B>) {
        *slot = Some(match slot.take() {
            None => contribution,
            Some(sum) => self.backend.accumulate(sum, &contribution),
        });
    }

    fn push(
        &self,
        shape: Vec<usize>,
        inputs: Vec<Option<usize>>,
        backward: Option<Box<dyn Backward<B>>>,
    ) -> usize {
        let mut record = self.record.borrow_mut();
        record.nodes.push(Node { shape, inputs, backward, retained: false });
        record.nodes.len() - 1
    }

    fn is_same(&self, other: &Tape<B>) -> bool {
        Rc::ptr_eq(&self.record, &other.record)
    }
}

#[cold]
#[track_caller]
fn missing_gradient(op: &str, input: usize) -> ! {
    panic!("{op}: backward returned no gradient for input {input}, which needs one");
}

#[cold]
#[track_caller]
fn wrong_gradient_shape(op: &str, input: usize, expected: &[usize], found: &[usize]) -> ! {
    panic!("{op}: backward returned a gradient of shape {found:?} for input {input} of shape {expected:?}");
}

/// A value on a [`Tape`]. Cheap to clone.
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

    /// `operand` itself, or the [absent](Array::absent) operand on this tape for `None`.
    pub fn optional(&self, operand: Option<&Var<B>>) -> Var<B> {
        operand.cloned().unwrap_or_else(|| self.tape.constant(Array::absent(&self.tape.backend)))
    }

    /// Keeps the gradient of this value, which the sweep would free otherwise, for
    /// [`Gradients::of`]. Leaves are kept anyway.
    pub fn retain_grad(&self) -> &Self {
        if let Some(node) = self.node {
            self.tape.record.borrow_mut().nodes[node].retained = true;
        }
        self
    }
}

/// Runs an op forward and records it on the tape of its inputs.
///
/// # Panics
/// If the inputs live on different tapes, or the tape was swept already; in check mode, if the
/// output holds a NaN or an infinity.
#[track_caller]
pub fn apply<B: Backend, O: Op<B, N>, const N: usize>(op: O, inputs: [&Var<B>; N]) -> Var<B> {
    apply_saving(op, inputs).0
}

/// [`apply`] that also hands out what the op saved, for public functions that report more than
/// their differentiable output (attention weights, batch statistics).
///
/// # Panics
/// As [`apply`].
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
    if tape.checked
        && let Some((element, number)) = tape.backend.first_non_finite(&value)
    {
        let shapes = inputs.map(|input| input.shape());
        panic!(
            "{name}: forward made the first {number}, at element {element} of shape {:?}; input shapes {shapes:?}",
            value.shape()
        );
    }
    let saved = Rc::new(saved);
    let recorded = tape.recording && inputs.iter().any(|input| input.requires_grad());
    let node = recorded.then(|| {
        assert!(!tape.record.borrow().swept, "{name}: this tape was swept already; record a new one");
        let parents = inputs.iter().map(|input| input.node).collect();
        let backward = Recorded::<O, O::Saved, N> { op, saved: Rc::clone(&saved) };
        tape.push(value.shape().to_vec(), parents, Some(Box::new(backward)))
    });
    (Var { tape: tape.clone(), node, value }, saved)
}

/// What the reverse sweep returns: a gradient for each leaf, parameter and retained value that the
/// output depends on.
pub struct Gradients<B: Backend> {
    by_node: HashMap<usize, Array<B>>,
    params: HashMap<u64, usize>,
    record: Weak<RefCell<Record<B>>>,
}

impl<B: Backend> Gradients<B> {
    /// The gradient with respect to a leaf or a retained value; `None` where the output does not
    /// depend on it.
    pub fn of(&self, var: &Var<B>) -> Option<&Array<B>> {
        if !std::ptr::eq(self.record.as_ptr(), Rc::as_ptr(&var.tape.record)) {
            return None;
        }
        self.by_node.get(&var.node?)
    }

    /// The gradient with respect to a parameter; `None` where the output does not depend on it.
    pub fn param(&self, param: &Param<B>) -> Option<&Array<B>> {
        self.by_node.get(self.params.get(&param.id())?)
    }
}
