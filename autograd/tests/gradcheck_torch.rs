//! What `torch.autograd.gradcheck` (2.15) passes, or fails without saying why.

mod small_ops;

use small_ops::{V, custom, exp_spoiled, map, relu, sample, values, vector};
use termwise_autograd::gradcheck::{DiagnosisKind, Side, Verdict, check};

#[test]
fn a_gradient_of_1e_6_that_is_wholly_wrong_fails() {
    // There it is below the absolute tolerance and passes.
    let report = check("scaled_sum", &[("x", values(&[4]))], |v| map("scaled", &v[0], |x| 1e-6 * x, |_| 0.0));
    assert_eq!(report.verdict(), Verdict::Fail, "{report}");
    let report =
        check("scaled_sum", &[("x", values(&[4]))], |v| map("scaled", &v[0], |x| 1e-6 * x, |_| 2e-6));
    assert_eq!(report.diagnoses().next().unwrap().kind, DiagnosisKind::Factor, "{report}");
}

#[test]
fn an_error_of_one_percent_in_one_column_is_reported_with_its_indices() {
    // There the answer is two whole Jacobians.
    let report = check("exp", &[("x", values(&[3, 4]))], |v| {
        exp_spoiled(&v[0], |mut g| {
            g.slice_mut(ndarray::s![.., 2]).mapv_inplace(|v| 1.01 * v);
            g
        })
    });
    let text = report.to_string();
    assert!(text.contains("only index 2 of axis 1 is wrong, there analytic = 1.01 x numeric"), "{text}");
    assert!(
        report.inputs[0]
            .worst
            .iter()
            .all(|cell| cell.index[1] == 2 && cell.output.as_ref() == Some(&cell.index))
    );
}

#[test]
fn relu_at_zero_is_a_kink() {
    let report = check("relu", &[("x", vector(&[0.0, 1.0, -1.0]))], |v| relu(&v[0], 0.0));
    assert_eq!(report.verdict(), Verdict::Kink, "{report}");
    assert_eq!(report.inputs[0].worst[0].side, Some(Side::Left));
}

#[test]
fn bilinear_sampling_at_integer_positions_is_a_kink() {
    // The state of a deformable convolution right after it was initialised.
    let inputs = [("signal", vector(&[0.3, -0.8, 0.5, 0.9])), ("position", vector(&[0.0, 1.0, 2.0, 2.5]))];
    let report = check("sample", &inputs, |v| sample(&v[0], &v[1]));
    assert_eq!(report.verdict(), Verdict::Kink, "{report}");
    let [signal, position] = &report.inputs[..] else { panic!("two inputs") };
    assert_eq!(signal.verdict, Verdict::Pass, "{report}");
    assert!(position.worst.iter().all(|cell| cell.side == Some(Side::Right)), "{report}");
    assert_eq!(position.map, ["kkk."]);
}

#[test]
fn a_backward_that_ignores_grad_output_is_named() {
    // There it is a generic mismatch, and no mismatch at all under a plain sum.
    let report = check("square", &[("x", values(&[3]))], |v: &[V]| {
        custom("square", [&v[0]], |[x]| x * x, |[x], _| [x * 2.0])
    });
    let text = report.to_string();
    assert!(text.contains("grad_output ignored: another cotangent gives the same gradient"), "{text}");
}
