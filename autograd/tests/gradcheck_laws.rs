//! The laws, each broken by an operation whose gradient is otherwise right.

mod small_ops;

use std::cell::Cell;
use std::rc::Rc;

use ndarray::ArrayD;
use rayon::prelude::*;
use small_ops::{V, custom, square, values};
use termwise_autograd::gradcheck::{Built, Case, Check, Law, Report, Verdict, check, check_case_and_f32};
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

fn broken(report: &Report) -> Vec<Law> {
    report.laws.iter().filter(|law| !law.holds).map(|law| law.law).collect()
}

#[test]
fn all_laws_hold_for_a_right_operation() {
    let report = check("product", &[("a", values(&[4])), ("b", values(&[4]))], |v| {
        custom("product", [&v[0], &v[1]], |[a, b]| a * b, |[a, b], g| [b * g, a * g])
    });
    report.assert_pass();
    let laws: Vec<Law> = report.laws.iter().map(|law| law.law).collect();
    assert_eq!(laws, [Law::Linear, Law::Twice, Law::Needs, Law::Unchanged, Law::Threads, Law::Repeatable]);
}

#[test]
fn a_backward_that_is_not_linear_in_grad_output_breaks_the_law() {
    // Right for every cotangent of the size that a check draws; clipped beyond.
    let report = check("clipped", &[("x", values(&[3]))], |v| {
        custom("clipped", [&v[0]], |[x]| x * 2.0, |_, g| [g.mapv(|g| (2.0 * g).clamp(-3.2, 3.2))])
    });
    assert_eq!(report.verdict(), Verdict::Fail);
    assert_eq!(broken(&report), [Law::Linear], "{report}");
    assert!(report.to_string().contains("law broken: linear"), "{report}");
}

/// A product whose backward forgets one input's gradient when the other needs none.
struct Careless;

impl Op<Cpu<f64>, 2> for Careless {
    type Saved = [ArrayD<f64>; 2];

    fn name(&self) -> &'static str {
        "careless"
    }

    fn forward(&self, [a, b]: [&Array<Cpu<f64>>; 2]) -> (Array<Cpu<f64>>, Self::Saved) {
        ((&a.view() * &b.view()).into(), [a.to_ndarray(), b.to_ndarray()])
    }

    fn backward(
        &self,
        [a, b]: &Self::Saved,
        g: &Array<Cpu<f64>>,
        needs: [bool; 2],
    ) -> [Option<Array<Cpu<f64>>>; 2] {
        let factor = if needs[0] { 1.0 } else { 0.5 };
        [Some((b * &g.view()).into()), Some((a * &g.view() * factor).into())]
    }
}

#[test]
fn a_gradient_that_depends_on_what_else_is_needed_breaks_the_law() {
    let report =
        check("careless", &[("a", values(&[3])), ("b", values(&[3]))], |v| apply(Careless, [&v[0], &v[1]]));
    assert_eq!(broken(&report), [Law::Needs], "{report}");
    assert!(report.to_string().contains("the gradient of input b changes"), "{report}");
}

#[test]
fn a_computation_with_a_memory_is_not_repeatable() {
    let count = Rc::new(Cell::new(0));
    let report = Check::new().run("drifting", &[("x", values(&[3]))], move |v: &[V]| {
        count.set(count.get() + 1);
        let drift = 1.0 + 1e-15 * f64::from(count.get());
        custom("drifting", [&v[0]], move |[x]| x * drift, move |_, g| [g * drift])
    });
    assert_eq!(report.verdict(), Verdict::Fail);
    assert!(broken(&report).contains(&Law::Repeatable), "{report}");
}

#[test]
fn a_sum_split_by_the_number_of_threads_breaks_the_law() {
    // The partition follows the pool, so that the rounding does as well.
    let report = check("sum", &[("x", values(&[400]))], |v| {
        let sum = |[x]: &[ArrayD<f64>; 1]| {
            let values: Vec<f64> = x.iter().copied().collect();
            let chunk = values.len().div_ceil(rayon::current_num_threads());
            let parts: Vec<f64> = values.par_chunks(chunk).map(|part| part.iter().sum()).collect();
            ndarray::arr0(parts.iter().sum()).into_dyn()
        };
        custom("sum", [&v[0]], sum, |[x], g| [ArrayD::from_elem(x.shape(), g.sum())])
    });
    assert_eq!(broken(&report), [Law::Threads], "{report}");
    assert!(report.to_string().contains("the output has other bits on 2 threads than on 1"), "{report}");
    Check::new().threads(false).run("square", &[("x", values(&[3]))], |v| square(&v[0])).assert_pass();
}

#[test]
fn the_law_of_threads_is_checked_from_a_rayon_worker_too() {
    let laws = |_| -> Vec<Law> {
        let report = check("square", &[("x", values(&[3]))], |v| square(&v[0]));
        report.laws.iter().map(|law| law.law).collect()
    };
    let checked: Vec<Vec<Law>> = (0..8).into_par_iter().map(laws).collect();
    assert!(checked.iter().all(|laws| laws.contains(&Law::Threads)));
}

/// `y = x + offset - offset`: exact but for rounding.
struct Cancelling {
    offset: f64,
}

impl<T: Scalar> Op<Cpu<T>, 1> for Cancelling {
    type Saved = ();

    fn name(&self) -> &'static str {
        "cancelling"
    }

    fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, ()) {
        let offset = T::of(self.offset);
        (x.view().mapv(|v| v + offset - offset).into(), ())
    }

    fn backward(&self, (): &(), g: &Array<Cpu<T>>, _: [bool; 1]) -> [Option<Array<Cpu<T>>>; 1] {
        [Some(g.clone())]
    }
}

#[test]
fn an_f32_run_far_from_the_f64_one_breaks_the_law() {
    fn case<T: Scalar>(offset: f64) -> Case<Cpu<T>> {
        Case::new("cancelling", "", &[3], move |shape, samples| {
            Built::new([("x", samples.normal(shape))], move |v: &[Var<Cpu<T>>]| {
                apply(Cancelling { offset }, [&v[0]])
            })
        })
    }
    let near = check_case_and_f32(&case(1.0), &case(1.0), &Check::new());
    near.assert_pass();
    assert!(near.laws.iter().any(|law| law.law == Law::F32));
    let far = check_case_and_f32(&case(1e4), &case(1e4), &Check::new());
    assert_eq!(broken(&far), [Law::F32], "{far}");
    assert!(far.to_string().contains("the output in f32 is"), "{far}");
}
