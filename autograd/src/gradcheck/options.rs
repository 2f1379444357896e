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
/// ```no_run
/// # use termwise_autograd::gradcheck::{Check, Mode};
/// # let (x, function) = (ndarray::ArrayD::zeros(vec![2]), |v: &[termwise_autograd::Var<termwise_autograd::Cpu<f64>>]| v[0].clone());
/// Check::new().seed(7).mode(Mode::Full).run("softplus", &[("x", x)], function).assert_pass();
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

    /// Checks `function` at `inputs`.
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
