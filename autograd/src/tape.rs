//! The record of a computation and its reverse sweep.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::tamper::{self, Fault};
use crate::var::{Backward, Var};
use crate::{Array, Backend, Param};

/// One recorded operation (or a leaf), in the order of execution.
struct Node<B: Backend> {
    shape: Vec<usize>,
    /// Node of each input; `None` for an input that takes no part in differentiation.
    inputs: Vec<Option<usize>>,
    /// `None` for a leaf: its gradient is what the caller asks for.
    backward: Option<Box<dyn Backward<B>>>,
    retained: bool,
}

/// One input of one recorded op that takes part in differentiation.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) op: &'static str,
    pub(crate) position: usize,
    /// The node that the input is.
    pub(crate) from: usize,
    /// The node of the op.
    pub(crate) to: usize,
    pub(crate) input_shape: Vec<usize>,
    pub(crate) output_shape: Vec<usize>,
}

/// What happens when an op makes a NaN or an infinity.
#[derive(Clone)]
enum Check {
    Off,
    Panic,
    Remember(Rc<RefCell<Option<String>>>),
}

struct Record<B: Backend> {
    nodes: Vec<Node<B>>,
    /// Leaf and value of each parameter that was asked for. Not a `Var`, which would hold this record
    /// and so keep a tape alive that is dropped without a sweep.
    params: HashMap<u64, (usize, Array<B>)>,
    swept: bool,
}

/// Records operations as they run, to differentiate them afterwards.
///
/// A tape serves one computation: make one per training step. Cloning gives another handle on the
/// same record. Nodes are pushed in execution order, so the reverse sweep is a single loop. The
/// [crate's documentation](crate#example) shows a tape at work with an op of two inputs.
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
    check: Check,
    fault: Option<Rc<Fault>>,
    record: Rc<RefCell<Record<B>>>,
}

impl<B: Backend> Clone for Tape<B> {
    fn clone(&self) -> Self {
        Tape {
            backend: self.backend.clone(),
            recording: self.recording,
            check: self.check.clone(),
            fault: self.fault.clone(),
            record: Rc::clone(&self.record),
        }
    }
}

impl<B: Backend> Tape<B> {
    /// An empty tape that records.
    pub fn new(backend: B) -> Self {
        let record = Record { nodes: Vec::new(), params: HashMap::new(), swept: false };
        Tape {
            backend,
            recording: true,
            check: Check::Off,
            fault: None,
            record: Rc::new(RefCell::new(record)),
        }
    }

    /// A tape that records nothing: for evaluation. What an op saves is dropped at once.
    pub fn inference(backend: B) -> Self {
        Tape { recording: false, ..Tape::new(backend) }
    }

    /// The same tape in check mode: the first op, forward or backward, whose result holds a NaN or
    /// an infinity panics with its name, its input shapes and the element. Leaves and cotangents are
    /// not looked at. Handles that were cloned before stay as they were, and so do values made on them.
    pub fn checked(self) -> Self {
        Tape { check: Check::Panic, ..self }
    }

    /// The same tape, which remembers what [`checked`](Tape::checked) would panic with: see
    /// [`first_non_finite`](Tape::first_non_finite).
    pub fn watched(self) -> Self {
        Tape { check: Check::Remember(Rc::default()), ..self }
    }

    /// On a [`watched`](Tape::watched) tape: which op made the first NaN or infinity, forward or backward, and
    /// where in its result.
    pub fn first_non_finite(&self) -> Option<String> {
        match &self.check {
            Check::Remember(found) => found.borrow().clone(),
            _ => None,
        }
    }

    /// Looks for a NaN or an infinity in what an op made, where that is wanted; `describe` gets the value and
    /// its element.
    #[track_caller]
    pub(crate) fn look(&self, made: &Array<B>, describe: impl FnOnce(B::Scalar, usize) -> String) {
        let found = match &self.check {
            Check::Off => return,
            Check::Panic => None,
            Check::Remember(found) if found.borrow().is_some() => return,
            Check::Remember(found) => Some(found),
        };
        if let Some((element, value)) = self.backend.first_non_finite(made) {
            match found {
                None => panic!("{}", describe(value, element)),
                Some(found) => *found.borrow_mut() = Some(describe(value, element)),
            }
        }
    }

    /// The same tape with a deliberate mistake in its reverse sweep.
    ///
    /// For those who check a gradient checker: see [`gradcheck::plant`](crate::gradcheck::plant).
    pub fn tampered(self, fault: Fault) -> Self {
        Tape { fault: Some(Rc::new(fault)), ..self }
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
    ///
    /// # Panics
    /// If the tape was swept already.
    #[track_caller]
    pub fn leaf(&self, value: Array<B>) -> Var<B> {
        // A node pushed now would take the number, and so the gradient, of one that was swept.
        assert!(!self.is_swept(), "leaf: this tape was swept already; record a new one");
        let shape = value.shape().to_vec();
        let node = self.recording.then(|| self.push(shape, Vec::new(), None));
        Var::new(self.clone(), node, value)
    }

    /// A value that takes no part in differentiation.
    pub fn constant(&self, value: Array<B>) -> Var<B> {
        Var::new(self.clone(), None, value)
    }

    /// The leaf that stands for a parameter on this tape: the same one each time it is asked for, so
    /// that a parameter used twice collects both gradients.
    ///
    /// # Panics
    /// If the tape was swept already.
    #[track_caller]
    pub fn param(&self, param: &Param<B>) -> Var<B> {
        if !param.is_trainable() {
            return self.constant(param.value());
        }
        if let Some((node, value)) = self.record.borrow().params.get(&param.id()) {
            return Var::new(self.clone(), Some(*node), value.clone());
        }
        let var = self.leaf(param.value());
        if let Some(node) = var.node() {
            self.record.borrow_mut().params.insert(param.id(), (node, var.value().clone()));
        }
        var
    }

    /// Gradients of a scalar with respect to every leaf and parameter: [`backward_with`](Tape::backward_with)
    /// under the cotangent 1.
    ///
    /// Frees the record as it passes: a tape is swept once.
    ///
    /// # Panics
    /// If `output` has more than one element, belongs to another tape, or the tape was swept before.
    #[track_caller]
    pub fn backward(&self, output: &Var<B>) -> Gradients<B> {
        assert!(
            output.value().len() == 1,
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
    ///
    /// # Examples
    /// ```
    /// # use termwise_autograd::{Array, Cpu, Tape};
    /// let tape = Tape::new(Cpu::<f64>::new());
    /// let pair = |a, b| Array::host(&[2], vec![a, b]);
    /// let x = tape.leaf(pair(5.0, 7.0));
    /// let gradients = tape.backward_with(&[(&x, pair(1.0, 2.0)), (&x, pair(10.0, 20.0))]);
    /// assert_eq!(gradients.of(&x).unwrap().as_slice(), [11.0, 22.0]); // an output twice: both count
    /// ```
    #[track_caller]
    pub fn backward_with(&self, outputs: &[(&Var<B>, Array<B>)]) -> Gradients<B> {
        for (output, cotangent) in outputs {
            assert!(self.is_same(output.tape()), "backward: the output belongs to another tape");
            assert!(
                cotangent.shape() == output.shape(),
                "backward: the cotangent has shape {:?}, the output {:?}",
                cotangent.shape(),
                output.shape()
            );
        }
        let (nodes, params) = {
            let mut record = self.record.borrow_mut();
            assert!(!record.swept, "backward: this tape was swept before; record a new one");
            record.swept = true;
            (std::mem::take(&mut record.nodes), std::mem::take(&mut record.params))
        };
        let shapes: Vec<Vec<usize>> = nodes.iter().map(|node| node.shape.clone()).collect();
        let mut gradients: Vec<Option<Array<B>>> = shapes.iter().map(|_| None).collect();
        for (output, cotangent) in outputs {
            if let Some(node) = output.node() {
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
        let params = params.into_iter().map(|(id, (node, _))| (id, node)).collect();
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
        let fault = self.fault.as_deref().filter(|fault| fault.op == op.name());
        let contributions = match fault {
            None => op.backward(grad_output, &needs),
            Some(fault) => tamper::backward(fault, op, grad_output, &needs),
        };
        for (position, (input, contribution)) in inputs.iter().zip(contributions).enumerate() {
            let Some(input) = *input else { continue };
            let Some(contribution) = contribution else { missing_gradient(op.name(), position) };
            if contribution.shape() != shapes[input] {
                wrong_gradient_shape(op.name(), position, &shapes[input], contribution.shape());
            }
            self.look(&contribution, |value, element| {
                let (name, shape) = (op.name(), contribution.shape());
                format!(
                    "{name}: backward made the first {value}, in the gradient of input {position} of shape {shape:?} at element {element}"
                )
            });
            if fault.is_some_and(|fault| fault.overwrites(position)) {
                gradients[input] = None;
            }
            self.add(&mut gradients[input], contribution);
        }
    }

    /// The input edges of every recorded op, in order of execution.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let record = self.record.borrow();
        let mut edges = Vec::new();
        for (node, recorded) in record.nodes.iter().enumerate() {
            let Some(op) = &recorded.backward else { continue };
            for (position, from) in recorded.inputs.iter().enumerate() {
                let Some(from) = *from else { continue };
                edges.push(Edge {
                    op: op.name(),
                    position,
                    from,
                    to: node,
                    input_shape: record.nodes[from].shape.clone(),
                    output_shape: recorded.shape.clone(),
                });
            }
        }
        edges
    }

    pub(crate) fn is_swept(&self) -> bool {
        self.record.borrow().swept
    }

    #[track_caller]
    pub(crate) fn retain(&self, node: usize) {
        assert!(!self.is_swept(), "retain_grad: this tape was swept already; ask before the sweep");
        self.record.borrow_mut().nodes[node].retained = true;
    }

    fn add(&self, slot: &mut Option<Array<B>>, contribution: Array<B>) {
        *slot = Some(match slot.take() {
            None => contribution,
            Some(sum) => self.backend.accumulate(sum, &contribution),
        });
    }

    pub(crate) fn push(
        &self,
        shape: Vec<usize>,
        inputs: Vec<Option<usize>>,
        backward: Option<Box<dyn Backward<B>>>,
    ) -> usize {
        let mut record = self.record.borrow_mut();
        record.nodes.push(Node { shape, inputs, backward, retained: false });
        record.nodes.len() - 1
    }

    pub(crate) fn is_same(&self, other: &Tape<B>) -> bool {
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

/// What the reverse sweep returns: a gradient for each leaf, parameter and retained value that the
/// output depends on.
pub struct Gradients<B: Backend> {
    by_node: HashMap<usize, Array<B>>,
    params: HashMap<u64, usize>,
    record: Weak<RefCell<Record<B>>>,
}

impl<B: Backend> Gradients<B> {
    /// The gradient with respect to a leaf or a retained value, of its shape; `None` where the output does
    /// not depend on it, for a value that was not retained, and for one of another tape.
    pub fn of(&self, var: &Var<B>) -> Option<&Array<B>> {
        if !std::ptr::eq(self.record.as_ptr(), Rc::as_ptr(&var.tape().record)) {
            return None;
        }
        self.by_node.get(&var.node()?)
    }

    /// The gradient with respect to a parameter; `None` where the output does not depend on it.
    pub fn param(&self, param: &Param<B>) -> Option<&Array<B>> {
        self.by_node.get(self.params.get(&param.id())?)
    }
}
