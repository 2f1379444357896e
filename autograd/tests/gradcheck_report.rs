//! The report: its text, its length, its JSON, and the shrunk case with a test to paste.

mod small_ops;

use ndarray::{ArrayD, s};
use small_ops::{V, custom, map, square, values, vector};
use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::{Built, Case, Check, Mode, Report, Verdict, check, check_case};

/// `y = x^2` with `spoil` applied to its right gradient.
fn square_spoiled(x: &V, spoil: fn(&mut ArrayD<f64>)) -> V {
    custom(
        "square",
        [x],
        |[x]| x * x,
        move |[x], g| {
            let mut grad = x * g * 2.0;
            spoil(&mut grad);
            [grad]
        },
    )
}

fn one_percent_in_one_column() -> Report {
    let x = ndarray::arr2(&[[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -3.0, 1.0], [2.5, -0.5, 1.25, 4.0]]);
    check("square", &[("x", x.into_dyn())], |v| {
        square_spoiled(&v[0], |grad| grad.slice_mut(s![.., 2]).mapv_inplace(|g| 1.01 * g))
    })
}

#[test]
fn one_percent_in_one_column_reads_like_this() {
    // The numbers come from additions and multiplications alone, so they are the same everywhere.
    let expected = "\
gradcheck square: FAIL, seed 0; tolerance 10 x finite-difference error, 1e-8 x gradient scale
  input x (3, 4): FAIL, 3 of 12 elements wrong (3 of 144 cells of the full Jacobian); gradient scale 1.08e0, largest error 5.54 % of it
  diagnosis: one slice: only index 2 of axis 1 is wrong, there analytic = 1.01 x numeric
    index          output               analytic          numeric      error
    [1, 2]         [1, 2]          -6.06000000e0    -6.00000000e0     1.6e12 FD errors
    [0, 2]         [0, 2]           4.04000000e0     4.00000000e0     2.2e12 FD errors
    [2, 2]         [2, 2]           2.52500000e0     2.50000000e0     3.0e12 FD errors
    where  ..#.
           ..#.
           ..#.
  laws that hold: linear, twice, unchanged, threads, repeatable";
    assert_eq!(one_percent_in_one_column().to_string(), expected);
}

#[test]
fn a_pass_is_a_few_lines() {
    let report =
        Check::new().mode(Mode::Elements).run("square", &[("x", values(&[3, 4]))], |v| square(&v[0]));
    let text = report.to_string();
    assert!(text.starts_with("gradcheck square: PASS, seed 0;"), "{text}");
    assert!(text.contains("input x (3, 4): right, 12 elements, random cotangents, largest error"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn the_json_holds_everything_and_parses() {
    let json: serde_json::Value = serde_json::from_str(&one_percent_in_one_column().to_json()).unwrap();
    assert_eq!(json["verdict"], "FAIL");
    let input = &json["inputs"][0];
    assert_eq!((&input["name"], &input["wrong_elements"]), (&"x".into(), &3.into()));
    assert_eq!(input["worst"][0]["index"], serde_json::json!([1, 2]));
    assert!((input["worst"][0]["analytic"].as_f64().unwrap() + 6.06).abs() < 1e-12);
    assert_eq!(input["diagnoses"][0]["kind"], "one_slice");
    assert_eq!(json["laws"][0]["law"], "linear");
    assert!(!one_percent_in_one_column().to_json().contains('\n'));
}

#[test]
fn a_summary_is_one_line_of_a_table() {
    let summary = one_percent_in_one_column().summary();
    assert_eq!((summary.verdict, summary.cells, summary.wrong), (Verdict::Fail, 144, 3));
    assert_eq!((summary.mode, summary.laws), ("full", [5, 5]));
    assert_eq!(
        summary.finding,
        "x: one slice: only index 2 of axis 1 is wrong, there analytic = 1.01 x numeric"
    );
    let right = check("square", &[("x", values(&[2]))], |v| square(&v[0])).summary();
    assert_eq!((right.verdict, right.finding.as_str()), (Verdict::Pass, ""));
}

#[test]
#[should_panic(expected = "only index 2 of axis 1 is wrong, there analytic = 1.01 x numeric")]
fn assert_pass_panics_with_the_report() {
    one_percent_in_one_column().assert_pass();
}

#[test]
#[should_panic(expected = "gradcheck abs: KINK")]
fn assert_pass_does_not_take_a_kink_for_a_pass() {
    check("abs", &[("x", vector(&[0.0]))], |v| map("abs", &v[0], f64::abs, f64::signum)).assert_pass();
}

/// `y = x^2` on (N, C), wrong in the last column once there are at least three.
#[expect(clippy::extra_unused_type_parameters, reason = "called the way the cases of an op are")]
fn cases<B>() -> Vec<Case<Cpu<f64>>> {
    vec![Case::new("square_but", "the \"third\"", &[5, 6], |shape, samples| {
        Built::new([("x", samples.normal(shape))], |v: &[V]| {
            square_spoiled(&v[0], |grad| {
                if grad.shape()[1] > 2 {
                    grad.slice_mut(s![.., -1]).mapv_inplace(|g| -g);
                }
            })
        })
    })]
}

#[test]
fn a_failing_case_is_shrunk_to_the_smallest_shape_that_fails() {
    let case = cases::<Cpu<f64>>().remove(0);
    let report = check_case(&case, &Check::new().seed(3));
    assert_eq!(report.case_shape.as_deref(), Some(&[1, 3][..]), "{report}");
    assert_eq!(report.shrunk_from.as_deref(), Some(&[5, 6][..]));
    let pasted = report.reproduction.as_deref().unwrap();
    let (first, rest) = pasted.split_once('\n').unwrap();
    assert!(first.contains("gradcheck_report.rs"), "{first}");
    // The test below is this text, so it compiles and fails as it should.
    assert!(include_str!("gradcheck_report.rs").contains(rest), "{rest}");
    let whole = check_case(&case, &Check::new().seed(3).shrink(false));
    assert_eq!(whole.case_shape.as_deref(), Some(&[5, 6][..]));
    assert!(whole.shrunk_from.is_none());
}

#[rustfmt::skip]
#[should_panic(expected = "gradcheck square_but [the \"third\"]: FAIL, shape [1, 3], seed 3")]
#[test] // the case is made in this file
fn gradient_of_square_but() {
    use termwise_autograd::{Cpu, gradcheck::*};
    let mut cases = cases::<Cpu<f64>>().into_iter().filter(|c| c.op() == "square_but" && c.label() == "the \"third\"");
    let case = cases.find_map(|case| case.at_shape(&[1, 3])).unwrap();
    check_case(&case, &Check::new().seed(3)).assert_pass();
}

#[test]
fn the_longest_report_has_25_lines() {
    // Several failing inputs, a tall map, a broken law and a test to paste.
    let case: Case<Cpu<f64>> = Case::new("many", "", &[9, 9], |shape, samples| {
        if shape != [9, 9] {
            return None;
        }
        let inputs = ["a", "b", "c", "d", "e", "f"].map(|name| (name, samples.normal(shape)));
        let count = std::cell::Cell::new(0.0);
        Built::new(inputs, move |v: &[V]| {
            count.set(count.get() + 1e-12);
            let drift = count.get();
            let vars = [&v[0], &v[1], &v[2], &v[3], &v[4], &v[5]];
            custom(
                "many",
                vars,
                move |x| x.iter().fold(ArrayD::zeros(x[0].shape()), |sum, x| sum + x * x) + drift,
                |x, g| x.each_ref().map(|x| x * x * g),
            )
        })
    });
    let report = check_case(&case, &Check::new());
    assert_eq!(report.verdict(), Verdict::Fail);
    let text = report.to_string();
    assert_eq!(text.lines().count(), 25, "{text}");
    for part in [
        "input a (9, 9): FAIL",
        "input f (9, 9): FAIL",
        "law broken: repeatable",
        "#[test]",
        "assert_pass();",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
