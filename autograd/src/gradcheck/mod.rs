//! Checks the gradient of an operation against finite differences.
//!
//! Three lines in a test of your own:
//!
//! ```
//! # use termwise_autograd::{apply, gradcheck, Array, Cpu, Op, Scalar};
//! # struct Square;
//! # impl<T: Scalar> Op<Cpu<T>, 1> for Square {
//! #     type Saved = Array<Cpu<T>>;
//! #     fn name(&self) -> &'static str { "square" }
//! #     fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
//! #         (x.view().mapv(|v| v * v).into(), x.clone())
//! #     }
//! #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<T>>, _: [bool; 1]) -> [Option<Array<Cpu<T>>>; 1] {
//! #         [Some((&x.view() * &g.view()).mapv(|v| v + v).into())]
//! #     }
//! # }
//! let x = ndarray::arr1(&[0.3, -1.2, 2.0]).into_dyn();
//! let report = gradcheck::check("square", &[("x", x)], |v| apply(Square, [&v[0]]));
//! report.assert_pass();
//! ```
//!
//! What is wrong is said in words, and as data. Here `map` applies a value and a derivative elementwise, and
//! the derivative lacks its factor 2:
//!
//! ```
//! # use termwise_autograd::{Array, Cpu, Op, Var, apply};
//! # struct Map(fn(f64) -> f64, fn(f64) -> f64);
//! # impl Op<Cpu<f64>, 1> for Map {
//! #     type Saved = Array<Cpu<f64>>;
//! #     fn name(&self) -> &'static str { "map" }
//! #     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
//! #         (x.view().mapv(self.0).into(), x.clone())
//! #     }
//! #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
//! #         [Some((x.view().mapv(self.1) * g.view()).into())]
//! #     }
//! # }
//! # fn map(x: &Var<Cpu<f64>>, value: fn(f64) -> f64, derivative: fn(f64) -> f64) -> Var<Cpu<f64>> {
//! #     apply(Map(value, derivative), [x])
//! # }
//! use termwise_autograd::gradcheck::{DiagnosisKind, Verdict, check};
//! let x = ndarray::arr1(&[0.5, -1.0, 2.0]).into_dyn();
//! let report = check("square", &[("x", x)], |v| map(&v[0], |x| x * x, |x| x));
//! assert_eq!(report.verdict(), Verdict::Fail);
//! let input = &report.inputs[0];
//! assert_eq!((input.wrong_elements, input.elements, input.wrong_cells, input.cells), (3, 3, 3, 9));
//! let worst = &input.worst[0]; // at x = 2, where the error is largest
//! assert_eq!((worst.index.as_slice(), worst.output.as_deref()), (&[2][..], Some(&[2][..])));
//! assert!((worst.analytic - 2.0).abs() < 1e-9 && (worst.numeric - 4.0).abs() < 1e-9);
//! let diagnosis = report.diagnoses().next().unwrap();
//! assert_eq!(diagnosis.kind, DiagnosisKind::Factor);
//! assert!((diagnosis.factor.unwrap() - 0.5).abs() < 1e-6); // analytic = 0.5 x numeric
//! ```
//!
//! # How it decides
//! - The numeric side runs in `f64`, with a step of `cbrt(eps)` times the scale of each element, two
//!   steps and Richardson extrapolation, and estimates its own error, rounding included. Where that is
//!   not good enough, or analytic and numeric disagree, steps from 1/512 to 32768 times that are tried.
//! - A cell is wrong where the two differ by more than ten times that error and by more than 1e-8 of
//!   the root mean square of *that input's* gradient. No tolerance is absolute: a gradient of size 1e-6
//!   that is wrong by a factor fails.
//! - The verdict is [FAIL](Verdict::Fail) where a cell is wrong, [INCONCLUSIVE](Verdict::Inconclusive)
//!   where the finite difference is too noisy to see an error of 0.1 % of the gradient scale,
//!   [KINK](Verdict::Kink) where left and right derivative differ and the analytic one is one of them
//!   or between them, and [PASS](Verdict::Pass) otherwise.
//! - Tiny problems get the full Jacobian. Others are projected on random cotangents, so that a wrong
//!   term cannot cancel by symmetry as it may under a sum or a mean; large inputs also on random
//!   directions. The report states the chance of a miss.
//! - Besides, the laws in [`Law`] are checked.
//! - A wrong gradient is compared with the usual mistakes ([`DiagnosisKind`]), and a failing [`Case`]
//!   is shrunk to the smallest shape that still fails.

mod case;
mod check_case;
mod compare;
mod diagnose;
mod difference;
mod display;
mod examine;
mod factor;
mod judge;
mod kill_rate;
mod laws;
mod lines;
mod map;
mod options;
mod plant;
mod precision;
mod problem;
mod reduction;
mod region;
mod report;
mod samples;
mod threads;

pub use case::{Built, Case};
pub use check_case::{check_case, check_case_and_f32};
pub use kill_rate::{FaultCount, KillRate, kill_rate};
pub use options::{Check, Mode};
pub use plant::{FaultOutcome, plant};
pub use report::{
    Cell, Diagnosis, DiagnosisKind, InputReport, Law, LawReport, Report, Side, Summary, Verdict,
};
pub use samples::Samples;

use ndarray::ArrayD;

use crate::{Cpu, Var};

/// Checks the gradients of `function` with respect to all `inputs`, with the default options.
///
/// `op` is a name for the report. More is set with [`Check`].
///
/// # Panics
/// If the function itself does, or gives an output of another shape when an input value changes.
pub fn check(
    op: &str,
    inputs: &[(&str, ArrayD<f64>)],
    function: impl Fn(&[Var<Cpu<f64>>]) -> Var<Cpu<f64>>,
) -> Report {
    Check::new().run(op, inputs, function)
}
