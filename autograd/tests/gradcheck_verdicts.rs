//! Verdicts of the gradient checker on right and wrong operations, kinks, zeros and noise.

mod small_ops;

use small_ops::{
    V, add_bias, custom, exp_spoiled, map, matmul, relu, sample, softmax, square, sum_rows, values, vector,
};
use termwise_autograd::gradcheck::{Check, Law, Mode, Report, Side, Verdict, check};

const MODES: [Mode; 4] = [Mode::Auto, Mode::Full, Mode::Elements, Mode::Projected];

/// The same check in every mode.
fn in_every_mode(op: &str, inputs: &[(&str, ndarray::ArrayD<f64>)], f: impl Fn(&[V]) -> V) -> Vec<Report> {
    MODES.iter().map(|&mode| Check::new().mode(mode).run(op, inputs, &f)).collect()
}

#[test]
fn right_operations_pass_in_every_mode() {
    let mut reports = in_every_mode("square", &[("x", values(&[3, 4]))], |v| square(&v[0]));
    reports.extend(in_every_mode("softmax", &[("x", values(&[3, 4]))], |v| softmax(&v[0], |g| g)));
    reports.extend(in_every_mode("matmul", &[("a", values(&[3, 4])), ("b", values(&[4, 2]))], |v| {
        matmul(&v[0], &v[1], |g| g)
    }));
    reports.extend(in_every_mode("add_bias", &[("x", values(&[3, 4])), ("bias", values(&[4]))], |v| {
        add_bias(&v[0], &v[1], sum_rows)
    }));
    let off_grid = vector(&[-0.3, 0.4, 1.7, 3.2, 2.5]);
    reports.extend(in_every_mode("sample", &[("signal", values(&[4])), ("position", off_grid)], |v| {
        sample(&v[0], &v[1])
    }));
    for report in reports {
        report.assert_pass();
        assert!(report.laws.iter().any(|law| law.law == Law::Threads), "{report}");
    }
}

#[test]
fn wrong_operations_fail_in_every_mode() {
    let mut reports =
        in_every_mode("square", &[("x", values(&[3, 4]))], |v| map("square", &v[0], |x| x * x, |x| x));
    reports.extend(in_every_mode("softmax", &[("x", values(&[3, 4]))], |v| softmax(&v[0], |g| g * 3.0)));
    reports.extend(in_every_mode("matmul", &[("a", values(&[3, 4])), ("b", values(&[4, 2]))], |v| {
        matmul(&v[0], &v[1], |mut g| {
            g[[3, 1]] *= 1.001;
            g
        })
    }));
    for report in reports {
        assert_eq!(report.verdict(), Verdict::Fail, "{report}");
    }
}

#[test]
fn large_inputs_are_projected_and_a_single_wrong_element_is_found() {
    let f = |wrong: bool| {
        move |v: &[V]| {
            exp_spoiled(&v[0], move |mut g| {
                if wrong {
                    g[[17, 23]] *= 1.01;
                }
                g
            })
        }
    };
    let inputs = [("x", values(&[40, 50]))];
    let right = check("exp", &inputs, f(false));
    right.assert_pass();
    assert_eq!(right.inputs[0].mode, "projected");
    assert!(right.inputs[0].miss_probability < 1e-6, "{right}");
    assert!(
        right.to_string().contains("misses an error of 1 % in one element with probability <"),
        "{right}"
    );
    let wrong = check("exp", &inputs, f(true));
    assert_eq!(wrong.verdict(), Verdict::Fail);
    assert_eq!(wrong.inputs[0].worst[0].index, [17, 23], "{wrong}");
    assert_eq!(wrong.inputs[0].wrong_elements, 1, "{wrong}");
}

#[test]
fn a_small_gradient_is_held_to_the_same_standard() {
    let tiny = |derivative: fn(f64) -> f64| move |v: &[V]| map("tiny", &v[0], |x| 1e-6 * x.sin(), derivative);
    let inputs = [("x", values(&[5]))];
    check("tiny", &inputs, tiny(|x| 1e-6 * x.cos())).assert_pass();
    assert_eq!(check("tiny", &inputs, tiny(|x| 2e-6 * x.cos())).verdict(), Verdict::Fail);
    assert_eq!(check("tiny", &inputs, tiny(|_| 0.0)).verdict(), Verdict::Fail);
    assert_eq!(check("tiny", &inputs, tiny(|x| 1.01e-6 * x.cos())).verdict(), Verdict::Fail);
    // Even beside a value of order one.
    let offset = |derivative: fn(f64) -> f64| {
        move |v: &[V]| map("offset", &v[0], |x| 1.0 + 1e-6 * x.sin(), derivative)
    };
    check("offset", &inputs, offset(|x| 1e-6 * x.cos())).assert_pass();
    assert_eq!(check("offset", &inputs, offset(|x| 2e-6 * x.cos())).verdict(), Verdict::Fail);
}

#[test]
fn inputs_of_very_different_scale_are_judged_each_by_its_own() {
    let f = |factor: f64| {
        move |v: &[V]| {
            custom(
                "mixed",
                [&v[0], &v[1]],
                |[a, b]| a * 1e6 + b * 1e-3,
                move |_, g| [g * 1e6, g * 1e-3 * factor],
            )
        }
    };
    let inputs = [("a", values(&[4]) * 1e-6), ("b", values(&[4]))];
    check("mixed", &inputs, f(1.0)).assert_pass();
    let report = check("mixed", &inputs, f(1.01));
    assert_eq!(report.inputs.iter().map(|i| i.verdict).collect::<Vec<_>>(), [Verdict::Pass, Verdict::Fail]);
}

#[test]
fn inputs_of_any_magnitude_pass() {
    for magnitude in [1e-12, 1e-6, 1e3, 1e8] {
        let inputs = [("x", values(&[6]) * magnitude)];
        check("square", &inputs, |v| square(&v[0])).assert_pass();
    }
}

#[test]
fn a_gradient_that_is_truly_zero_passes() {
    // The output does not depend on b at all, and not on a shift of all scores.
    let unused =
        |v: &[V]| custom("first", [&v[0], &v[1]], |[a, _]| a.clone(), |[_, b], g| [g.clone(), b * 0.0]);
    check("first", &[("a", values(&[3])), ("b", values(&[2]))], unused).assert_pass();
    let shifted = |v: &[V]| {
        let scores = custom(
            "shift",
            [&v[0], &v[1]],
            |[x, s]| x + s,
            |_, g| [g.clone(), ndarray::arr0(g.sum()).into_dyn()],
        );
        softmax(&scores, |g| g)
    };
    let report = check("shift", &[("x", values(&[2, 3])), ("shift", ndarray::arr0(0.3).into_dyn())], shifted);
    report.assert_pass();
    // At a minimum.
    check("square", &[("x", vector(&[0.0, 0.0]))], |v| square(&v[0])).assert_pass();
}

#[test]
fn empty_and_scalar_inputs_pass() {
    check("square", &[("x", values(&[0, 3]))], |v| square(&v[0])).assert_pass();
    check("square", &[("x", ndarray::arr0(0.7).into_dyn())], |v| square(&v[0])).assert_pass();
}

#[test]
fn kinks_are_called_kinks_and_the_side_is_named() {
    let at = |at_zero: f64| check("relu", &[("x", vector(&[-1.0, 0.0, 2.0]))], move |v| relu(&v[0], at_zero));
    for (at_zero, side) in [(0.0, Side::Left), (1.0, Side::Right), (0.5, Side::Mean), (0.3, Side::Between)] {
        let report = at(at_zero);
        assert_eq!(report.verdict(), Verdict::Kink, "{report}");
        let cell = &report.inputs[0].worst[0];
        assert_eq!(cell.side, Some(side), "{report}");
        assert_eq!((cell.index.as_slice(), cell.output.as_deref()), (&[1][..], Some(&[1][..])));
        let [left, right] = cell.one_sided.unwrap();
        assert!(left.abs() < 1e-8 && (right - 1.0).abs() < 1e-8, "{report}");
    }
    assert!(at(0.0).to_string().contains("where the analytic one is the left derivative"), "{}", at(0.0));
    let outside = at(2.0);
    assert_eq!(outside.verdict(), Verdict::Fail);
    assert!(outside.to_string().contains("outside the kink"), "{outside}");
}

#[test]
fn kinks_are_seen_in_every_mode_and_can_be_allowed() {
    let x = vector(&[-1.0, 0.0, 2.0]);
    for report in in_every_mode("relu", &[("x", x.clone())], |v| relu(&v[0], 0.0)) {
        assert_eq!(report.verdict(), Verdict::Kink, "{report}");
    }
    Check::new().allow_kinks(true).run("relu", &[("x", x)], |v| relu(&v[0], 0.0)).assert_pass();
}

#[test]
fn the_mean_at_the_kink_of_abs_is_not_mistaken_for_smooth() {
    // The central difference of |x| at 0 is exactly 0, as is this derivative.
    let abs = |v: &[V]| map("abs", &v[0], f64::abs, |x| if x == 0.0 { 0.0 } else { x.signum() });
    let report = check("abs", &[("x", vector(&[0.0, 1.5]))], abs);
    assert_eq!(report.verdict(), Verdict::Kink, "{report}");
    assert_eq!(report.inputs[0].worst[0].side, Some(Side::Mean));
}

#[test]
fn where_rounding_hides_the_gradient_the_verdict_is_inconclusive() {
    // 1e-11 of the value: 0.1 % of it is below the noise of any step at which sin is straight.
    let f = |v: &[V]| map("hidden", &v[0], |x| 1.0 + 1e-11 * (1e3 * x).sin(), |x| 1e-8 * (1e3 * x).cos());
    let report = check("hidden", &[("x", vector(&[0.3, 0.8]))], f);
    assert_eq!(report.verdict(), Verdict::Inconclusive, "{report}");
    assert!(report.to_string().contains("too noisy"), "{report}");
}

#[test]
fn jumps_and_edges_of_the_domain_are_inconclusive() {
    let floor = check("floor", &[("x", vector(&[1.0, 0.5]))], |v| map("floor", &v[0], f64::floor, |_| 0.0));
    assert_eq!(floor.verdict(), Verdict::Inconclusive, "{floor}");
    assert!(floor.to_string().contains("the function jumps here"), "{floor}");
    let edge = check("sqrt", &[("x", vector(&[0.0, 1.0]))], |v| {
        map("sqrt", &v[0], f64::sqrt, |x| 0.5 / (x + 1e-30).sqrt())
    });
    assert_eq!(edge.verdict(), Verdict::Inconclusive, "{edge}");
    assert!(edge.to_string().contains("edge of its domain"), "{edge}");
}

#[test]
fn a_forward_or_backward_that_is_not_finite_fails() {
    let log = |v: &[V]| map("log", &v[0], f64::ln, |x| 1.0 / x);
    let report = check("log", &[("x", vector(&[1.0, 0.0]))], log);
    assert_eq!(report.verdict(), Verdict::Fail);
    assert!(report.to_string().contains("forward gives -inf at output [1]"), "{report}");
    let nan = |v: &[V]| map("square", &v[0], |x| x * x, |x| if x > 0.5 { f64::NAN } else { 2.0 * x });
    let report = check("square", &[("x", vector(&[0.1, 0.7]))], nan);
    assert_eq!(report.verdict(), Verdict::Fail);
    assert!(report.to_string().contains("not finite: backward gives NaN"), "{report}");
}
