//! A test case of an operation that can be rebuilt at another shape and on another backend.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use ndarray::ArrayD;

use super::Samples;
use crate::{Backend, Var};

type Run<B> = Rc<dyn Fn(&[Var<B>]) -> Var<B>>;
type Build<B> = Rc<dyn Fn(&[usize], &mut Samples) -> Option<Built<B>>>;

/// One case of an operation: a shape, and a recipe that makes inputs and a computation for *any*
/// shape, so that the checker can shrink a failure and a person can ask for a shape of their own.
///
/// Operations export `cases::<B>()`; the gradient check, the parity of backends and the parity of
/// kernel variants all consume the same list.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::{Built, Case, Check, check_case};
/// # use termwise_autograd::{Array, Cpu, Op, Var, apply};
/// # struct Map(fn(f64) -> f64, fn(f64) -> f64);
/// # impl Op<Cpu<f64>, 1> for Map {
/// #     type Saved = Array<Cpu<f64>>;
/// #     fn name(&self) -> &'static str { "map" }
/// #     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
/// #         (x.view().mapv(self.0).into(), x.clone())
/// #     }
/// #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
/// #         [Some((x.view().mapv(self.1) * g.view()).into())]
/// #     }
/// # }
/// # fn map(x: &Var<Cpu<f64>>, value: fn(f64) -> f64, derivative: fn(f64) -> f64) -> Var<Cpu<f64>> {
/// #     apply(Map(value, derivative), [x])
/// # }
/// // The number of groups divides the number of channels: no case for a shape where it does not.
/// let groups = 2;
/// let case = Case::new("grouped", "groups=2", &[3, 4], move |shape, samples| {
///     if shape[1] % groups > 0 {
///         return None;
///     }
///     Built::new([("x", samples.normal(shape))], |v| map(&v[0], |x| x * x, |x| 2.0 * x))
/// });
/// assert_eq!(format!("{case:?}"), "grouped [groups=2] [3, 4]");
/// assert_eq!(case.at_shape(&[5, 2]).unwrap().build(0).unwrap().inputs[0].1.shape(), [5, 2]);
/// assert!(case.at_shape(&[5, 3]).is_none()); // build says no
/// assert!(case.at_shape(&[4]).is_none()); // another rank
/// assert_eq!(case.build(7).unwrap().inputs, case.build(7).unwrap().inputs); // a pure function of the seed
/// check_case(&case, &Check::new()).assert_pass();
/// ```
pub struct Case<B: Backend> {
    op: &'static str,
    label: String,
    shape: Vec<usize>,
    made_at: &'static Location<'static>,
    build: Build<B>,
}

/// Inputs and computation of a [`Case`] at one shape.
pub struct Built<B: Backend> {
    /// Name and value of each input; all of them are differentiated.
    pub inputs: Vec<(&'static str, ArrayD<f64>)>,
    /// The computation. Whole-number operands and constants are captured by it.
    pub run: Run<B>,
}

impl<B: Backend> Built<B> {
    /// Inputs under their names, and the computation on them.
    pub fn new<const N: usize>(
        inputs: [(&'static str, ArrayD<f64>); N],
        run: impl Fn(&[Var<B>]) -> Var<B> + 'static,
    ) -> Option<Self> {
        Some(Built { inputs: inputs.into(), run: Rc::new(run) })
    }
}

impl<B: Backend> Clone for Case<B> {
    fn clone(&self) -> Self {
        Case { label: self.label.clone(), shape: self.shape.clone(), build: Rc::clone(&self.build), ..*self }
    }
}

impl<B: Backend> fmt::Debug for Case<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {:?}", self.op, self.label, self.shape)
    }
}

impl<B: Backend> Case<B> {
    /// A case of `op` at `shape`. `build` returns `None` for a shape that the operation, with the
    /// attributes of this case, cannot take (a kernel larger than the image, say).
    ///
    /// `label` tells the cases of one op apart: its attributes, in a few words.
    #[track_caller]
    pub fn new(
        op: &'static str,
        label: impl Into<String>,
        shape: &[usize],
        build: impl Fn(&[usize], &mut Samples) -> Option<Built<B>> + 'static,
    ) -> Self {
        Case {
            op,
            label: label.into(),
            shape: shape.to_vec(),
            made_at: Location::caller(),
            build: Rc::new(build),
        }
    }

    /// The operation's name.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// What sets this case apart from the others of its op.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The sizes that the inputs are made from.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The source line that made it.
    pub fn made_at(&self) -> &'static Location<'static> {
        self.made_at
    }

    /// The same case at another shape of the same rank; `None` where the rank differs or the
    /// operation cannot take it.
    pub fn at_shape(&self, shape: &[usize]) -> Option<Self> {
        if shape.len() != self.shape.len() {
            return None;
        }
        let case = Case { shape: shape.to_vec(), ..self.clone() };
        case.build(0).map(|_| case)
    }

    /// Makes the inputs from a seed, `None` where the operation cannot take the shape. The same case and seed give
    /// the same numbers on every backend.
    pub fn build(&self, seed: u64) -> Option<Built<B>> {
        (self.build)(&self.shape, &mut Samples::new(seed))
    }
}
