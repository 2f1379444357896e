//! What a check is asked to do.

use ndarray::ArrayD;

use super::{Report, examine};
use crate::{Cpu, Var};

/// How much of the Jacobian is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The full Jacobian where it is tiny, else every input element where an input is small, else
    /// projections; decided by shape alone.
    Auto,
    /// Every output element against every input element.
    Full,
    /// Random combinations of the outputs against every input element.
    Elements,
    /// Random combinations of the outputs along random directions of each input; a failure is
    /// then traced to its elements by bisection.
    Projected,
}

/// Options of a gradient check; [`Check::run`] performs it.
///
/// # Examples
/// `map` applies a value and a derivative elementwise:
/// ```
/// use termwise_autograd::gradcheck::{Check, Mode, Verdict};
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
/// // The mode decides what is compared: 6 elements against 6 outputs, against 2 cotangents, or 2 directions
/// // under 2 cotangents.
/// let x = ndarray::arr1(&[0.3, -1.2, 2.0, 0.7, -0.4, 1.5]).into_dyn();
/// for (mode, cells) in [(Mode::Full, 36), (Mode::Elements, 12), (Mode::Projected, 4)] {
///     let check = Check::new().seed(7).mode(mode);
///     let report = check.run("cube", &[("x", x.clone())], |v| map(&v[0], |x| x * x * x, |x| 3.0 * x * x));
///     assert_eq!(report.assert_pass().inputs[0].cells, cells);
/// }
///
/// // The derivative of relu at 0 may be 0, 1 or what lies between; said so, a kink is no reason to fail.
/// let x = ndarray::arr1(&[-1.0, 0.0, 2.0]).into_dyn();
/// let relu = |check: Check| {
///     let derivative = |x| if x > 0.0 { 1.0 } else { 0.0 };
///     check.run("relu", &[("x", x.clone())], |v| map(&v[0], |x| x.max(0.0), derivative)).verdict()
/// };
/// assert_eq!(relu(Check::new()), Verdict::Kink);
/// assert_eq!(relu(Check::new().allow_kinks(true)), Verdict::Pass);
/// ```
#[derive(Clone, Debug)]
pub struct Check {
    pub(super) seed: u64,
    pub(super) error_multiple: f64,
    pub(super) relative: f64,
    pub(super) resolution: f64,
    pub(super) mode: Mode,
    pub(super) projections: usize,
    pub(super) laws: bool,
    pub(super) threads: bool,
    pub(super) kinks_allowed: bool,
    pub(super) shrink: bool,
    pub(super) f32_bound: f64,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            seed: 0,
            error_multiple: 10.0,
            relative: 1e-8,
            resolution: 1e-3,
            mode: Mode::Auto,
            projections: 2,
            laws: true,
            threads: true,
            kinks_allowed: false,
            shrink: true,
            f32_bound: 1e-5,
        }
    }
}

impl Check {
    /// The default options.
    pub fn new() -> Self {
        Check::default()
    }

    /// Seed of the inputs of a [`Case`](super::Case), of the cotangents and of the directions.
    pub fn seed(self, seed: u64) -> Self {
        Check { seed, ..self }
    }

    /// A cell is wrong where analytic and numeric differ by more than `error_multiple` times the
    /// estimated error of the finite difference *and* more than `relative` times the root mean
    /// square of that input's gradient. Default: 10 and 1e-8.
    ///
    /// # Examples
    /// For a backward that only approximates, here by 1 %:
    /// ```
    /// # use termwise_autograd::{Array, Cpu, Op, apply};
    /// use termwise_autograd::gradcheck::{Check, Verdict};
    /// # struct Square;
    /// # impl Op<Cpu<f64>, 1> for Square {
    /// #     type Saved = Array<Cpu<f64>>;
    /// #     fn name(&self) -> &'static str { "square" }
    /// #     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
    /// #         (x.view().mapv(|v| v * v).into(), x.clone())
    /// #     }
    /// #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
    /// #         [Some((&x.view() * &g.view()).mapv(|v| 2.02 * v).into())]
    /// #     }
    /// # }
    /// let x = ndarray::arr1(&[0.5, -1.0, 2.0]).into_dyn();
    /// let verdict = |relative| {
    ///     let check = Check::new().tolerance(10.0, relative);
    ///     check.run("square", &[("x", x.clone())], |v| apply(Square, [&v[0]])).verdict()
    /// };
    /// assert_eq!((verdict(0.005), verdict(0.05)), (Verdict::Fail, Verdict::Pass));
    /// ```
    pub fn tolerance(self, error_multiple: f64, relative: f64) -> Self {
        Check { error_multiple, relative, ..self }
    }

    /// An error of this fraction of an input's gradient scale must be visible above the noise of
    /// the finite difference, otherwise the verdict is INCONCLUSIVE. Default: 1e-3.
    pub fn resolution(self, resolution: f64) -> Self {
        Check { resolution, ..self }
    }

    /// How much of the Jacobian is compared. Default: [`Mode::Auto`].
    pub fn mode(self, mode: Mode) -> Self {
        Check { mode, ..self }
    }

    /// Number of random cotangents, and of random directions for each. Default: 2.
    ///
    /// # Panics
    /// If zero.
    #[track_caller]
    pub fn projections(self, projections: usize) -> Self {
        assert!(projections > 0, "gradcheck: at least one projection is needed");
        Check { projections, ..self }
    }

    /// Whether the laws that hold for every gradient are checked too. Default: yes.
    pub fn laws(self, laws: bool) -> Self {
        Check { laws, ..self }
    }

    /// Whether the law that 1, 2 and 3 threads give the same bits is among them. Default: yes.
    pub fn threads(self, threads: bool) -> Self {
        Check { threads, ..self }
    }

    /// Accept inputs at a kink where the analytic derivative is one of the two one-sided ones or
    /// lies between them. Default: no, the verdict is KINK.
    pub fn allow_kinks(self, kinks_allowed: bool) -> Self {
        Check { kinks_allowed, ..self }
    }

    /// Whether a failing [`Case`](super::Case) is shrunk. Default: yes.
    pub fn shrink(self, shrink: bool) -> Self {
        Check { shrink, ..self }
    }

    /// How far the `f32` run may be from the `f64` run, relative to the largest magnitude of the
    /// tensor; 2.4e-7, and 16 times what rounding the inputs to `f32` does to the `f64` run, are
    /// allowed on top.
    /// Default: 1e-5.
    pub fn f32_bound(self, f32_bound: f64) -> Self {
        Check { f32_bound, ..self }
    }

    /// Checks `function` at `inputs`: all of them are differentiated, in `f64`. `op` is a name for the report.
    ///
    /// `function` runs many times, on tapes of its own, and must give the same output for the same inputs: a
    /// dropout needs a fixed seed. Whole numbers and constants are captured by it. An output that is not finite is
    /// a FAIL without any comparison.
    ///
    /// # Panics
    /// If the function itself does, or gives an output of another shape when an input value changes.
    pub fn run(
        &self,
        op: &str,
        inputs: &[(&str, ArrayD<f64>)],
        function: impl Fn(&[Var<Cpu<f64>>]) -> Var<Cpu<f64>>,
    ) -> Report {
        examine::examine(self, op, inputs, &function)
    }
}
