//! Numbers that outlive a tape, and the modules that own them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Array, Backend, Tape, Var};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A named-by-its-owner array that training changes (or a buffer that it only carries along).
///
/// Clones are handles on the same numbers, so a weight shared by two layers is one `Param`.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Param, Tape, apply};
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
/// let weight = Param::new(Array::host(&[], vec![3.0]));
/// let tape = Tape::new(Cpu::new());
/// let loss = apply(Square, [&weight.var(&tape)]);
/// let gradients = tape.backward(&loss);
/// assert_eq!(gradients.param(&weight).unwrap().item(), 6.0);
/// weight.set(Array::host(&[], vec![3.0 - 0.5 * 6.0])); // a step of gradient descent
/// assert_eq!(weight.value().item(), 0.0);
/// ```
pub struct Param<B: Backend> {
    id: u64,
    trainable: bool,
    value: Rc<RefCell<Array<B>>>,
}

impl<B: Backend> Clone for Param<B> {
    fn clone(&self) -> Self {
        Param { id: self.id, trainable: self.trainable, value: Rc::clone(&self.value) }
    }
}

impl<B: Backend> Param<B> {
    /// A parameter: on a tape it is a leaf that collects a gradient.
    pub fn new(value: Array<B>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Param { id, trainable: true, value: Rc::new(RefCell::new(value)) }
    }

    /// A buffer: saved in checkpoints, never differentiated (running statistics).
    pub fn buffer(value: Array<B>) -> Self {
        Param { trainable: false, ..Param::new(value) }
    }

    /// Identity within this process, equal for clones of one parameter.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it collects gradients.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// The current numbers.
    pub fn value(&self) -> Array<B> {
        self.value.borrow().clone()
    }

    /// Extent of each axis.
    pub fn shape(&self) -> Vec<usize> {
        self.value.borrow().shape().to_vec()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.value.borrow().len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the numbers.
    ///
    /// # Panics
    /// If the shape would change.
    #[track_caller]
    pub fn set(&self, value: Array<B>) {
        let old = self.shape();
        assert!(value.shape() == old, "param: set to shape {:?}, it has shape {old:?}", value.shape());
        *self.value.borrow_mut() = value;
    }

    /// Changes the numbers in place: `update` gets the only handle on them where no tape holds one,
    /// so that an optimiser can reuse the storage. It must not ask for this parameter itself.
    ///
    /// # Panics
    /// If the shape would change, or `update` reads or sets this parameter. The numbers are lost then, as
    /// they are where `update` itself panics.
    ///
    /// # Examples
    /// ```
    /// # use termwise_autograd::{Array, Param};
    /// let weight = Param::new(Array::host(&[2], vec![1.0, 2.0]));
    /// let on_a_tape = weight.value();
    /// weight.update(|mut value| {
    ///     value.as_mut_slice()[0] -= 0.5;
    ///     value
    /// });
    /// assert_eq!(weight.value().as_slice(), [0.5, 2.0]);
    /// assert_eq!(on_a_tape.as_slice(), [1.0, 2.0]); // who holds the old numbers keeps them
    /// ```
    #[track_caller]
    pub fn update(&self, update: impl FnOnce(Array<B>) -> Array<B>) {
        let mut slot = self.value.borrow_mut();
        let shape = slot.shape().to_vec();
        let placeholder = Array::absent(slot.backend());
        let new = update(std::mem::replace(&mut *slot, placeholder));
        assert!(new.shape() == shape, "param: updated to shape {:?}, it has shape {shape:?}", new.shape());
        *slot = new;
    }

    /// Its leaf on `tape`; see [`Tape::param`].
    ///
    /// # Panics
    /// If the tape was swept already.
    #[track_caller]
    pub fn var(&self, tape: &Tape<B>) -> Var<B> {
        tape.param(self)
    }
}

/// Something made of parameters: a layer or a model.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Param, Parameters};
///
/// struct Norm {
///     weight: Param<Cpu<f32>>,
///     mean: Param<Cpu<f32>>,
/// }
///
/// impl Module<Cpu<f32>> for Norm {
///     fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
///         parameters.param("weight", &self.weight);
///         parameters.param("mean", &self.mean);
///     }
/// }
///
/// struct Model(Norm, Norm);
///
/// impl Module<Cpu<f32>> for Model {
///     fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
///         parameters.module("first", &self.0);
///         parameters.module("second", &self.1);
///     }
/// }
///
/// let numbers = |values: &[f32]| Array::host(&[values.len()], values.to_vec());
/// let norm = || Norm { weight: Param::new(numbers(&[1.0; 5])), mean: Param::buffer(numbers(&[0.0; 5])) };
/// let model = Model(norm(), norm());
/// let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["first.weight", "first.mean", "second.weight", "second.mean"]);
/// assert_eq!(model.num_parameters(), 10); // the means are not trained
/// ```
pub trait Module<B: Backend> {
    /// Lists the parameters of this module and of its parts, each under its name.
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>);

    /// All parameters and buffers, in the order of [`visit`](Module::visit), names joined by dots.
    fn parameters(&self) -> Vec<(String, &Param<B>)> {
        let mut parameters = Parameters { prefix: String::new(), list: Vec::new() };
        self.visit(&mut parameters);
        parameters.list
    }

    /// Number of trainable numbers. A parameter that is listed twice counts twice.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().filter(|(_, p)| p.is_trainable()).map(|(_, p)| p.len()).sum()
    }
}

/// Collects parameters under their dotted names; see [`Module::visit`].
pub struct Parameters<'a, B: Backend> {
    prefix: String,
    list: Vec<(String, &'a Param<B>)>,
}

impl<'a, B: Backend> Parameters<'a, B> {
    /// Adds a parameter of this module.
    pub fn param(&mut self, name: &str, param: &'a Param<B>) {
        self.list.push((format!("{}{name}", self.prefix), param));
    }

    /// Adds a part of this module, its names prefixed with `name` and a dot.
    pub fn module(&mut self, name: &str, module: &'a (impl Module<B> + ?Sized)) {
        let outer = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        module.visit(self);
        self.prefix.truncate(outer);
    }
}
