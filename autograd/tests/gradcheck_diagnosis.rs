//! Each usual mistake is recognised and named, in every mode that looks at elements.

mod small_ops;

use ndarray::{ArrayD, Axis, s};
use small_ops::{V, add_bias, custom, exp_spoiled, map, matmul, softmax, square, values, vector};
use termwise_autograd::gradcheck::{Check, Diagnosis, DiagnosisKind, Mode, Report, Verdict, check};

/// The first diagnosis of the only failing input, which must be the same in both modes.
fn diagnosis(op: &str, inputs: &[(&str, ArrayD<f64>)], f: impl Fn(&[V]) -> V) -> Diagnosis {
    let [full, elements] = [Mode::Full, Mode::Elements].map(|mode| {
        let report = Check::new().mode(mode).run(op, inputs, &f);
        assert_eq!(report.verdict(), Verdict::Fail, "{report}");
        report.diagnoses().next().unwrap_or_else(|| panic!("no diagnosis: {report}")).clone()
    });
    assert_eq!(full.kind, elements.kind);
    full
}

fn of_exp(shape: &[usize], spoil: impl Fn(ArrayD<f64>) -> ArrayD<f64> + Clone + 'static) -> Diagnosis {
    diagnosis("exp", &[("x", values(shape))], move |v| exp_spoiled(&v[0], spoil.clone()))
}

#[test]
fn constant_factors_are_named_with_where_they_come_from() {
    let text = |factor: f64| {
        let found = of_exp(&[3, 16], move |g| g * factor);
        assert_eq!(found.kind, DiagnosisKind::Factor);
        assert!((found.factor.unwrap() / factor - 1.0).abs() < 1e-8);
        found.text
    };
    assert_eq!(text(2.0), "constant factor: analytic = 2 x numeric");
    assert_eq!(text(0.5), "constant factor: analytic = 1/2 x numeric");
    assert_eq!(text(-1.0), "constant factor: analytic = -1 x numeric (the sign is wrong)");
    assert_eq!(text(1.01), "constant factor: analytic = 1.01 x numeric");
    assert_eq!(
        text(1.0 / 48.0),
        "constant factor: analytic = 1/48 x numeric (1/48, where 48 is the number of elements of x)"
    );
    assert_eq!(
        text(0.25),
        "constant factor: analytic = 1/4 x numeric (1/sqrt 16, where 16 is the extent of axis 1 of x)"
    );
    assert_eq!(
        text(3f64.sqrt()),
        "constant factor: analytic = 1.732051 x numeric (sqrt 3, where 3 is the extent of axis 0 of x)"
    );
}

#[test]
fn a_transposed_gradient_is_named() {
    let swapped = |g: ArrayD<f64>| {
        let shape = g.shape().to_vec();
        let values: Vec<f64> = g.t().iter().copied().collect();
        ArrayD::from_shape_vec(shape, values).unwrap()
    };
    for shape in [[3, 3], [2, 4]] {
        let found = of_exp(&shape, swapped);
        assert_eq!(found.kind, DiagnosisKind::Transposed);
        assert_eq!(found.text, "transposed: axes 0 and 1 are swapped");
    }
}

#[test]
fn the_product_with_the_transposed_jacobian_is_named() {
    // y = A x with backward A g in place of A^T g.
    let a = values(&[3, 3]).into_dimensionality::<ndarray::Ix2>().unwrap();
    let f = move |v: &[V]| {
        let product = |a: &ndarray::Array2<f64>, x: &ArrayD<f64>| {
            a.dot(&x.clone().into_dimensionality::<ndarray::Ix1>().unwrap()).into_dyn()
        };
        let (forward, backward) = (a.clone(), a.clone());
        custom("linear", [&v[0]], move |[x]| product(&forward, x), move |_, g| [product(&backward, g)])
    };
    let report = Check::new().mode(Mode::Full).run("linear", &[("x", values(&[3]))], f);
    assert_eq!(
        report.diagnoses().next().unwrap().text,
        "transposed: it is the product with the transposed Jacobian"
    );
}

#[test]
fn off_by_one_is_named_with_axis_and_direction() {
    let rolled = of_exp(&[3, 4], |g| {
        let mut out = g.clone();
        out.slice_mut(s![.., 1..]).assign(&g.slice(s![.., ..-1]));
        out.slice_mut(s![.., 0]).assign(&g.slice(s![.., 3]));
        out
    });
    assert_eq!(rolled.kind, DiagnosisKind::OffByOne);
    assert_eq!(rolled.text, "off by one: each gradient lies one later along axis 1");
    // Shifted with the last one lost, the way a wrong padding does it.
    let shifted = of_exp(&[4, 3], |g| {
        let mut out = ArrayD::zeros(g.shape());
        out.slice_mut(s![..-1, ..]).assign(&g.slice(s![1.., ..]));
        out
    });
    assert_eq!(shifted.text, "off by one: each gradient lies one earlier along axis 0");
}

#[test]
fn a_dropped_term_is_named_with_its_slice() {
    let found = of_exp(&[3, 4], |mut g| {
        g.slice_mut(s![.., 2]).fill(0.0);
        g
    });
    assert_eq!(found.kind, DiagnosisKind::DroppedTerm);
    assert_eq!(found.text, "dropped term: only index 2 of axis 1 is wrong, and it is zero");
}

#[test]
fn one_wrong_slice_and_one_wrong_element_are_named() {
    let row = of_exp(&[3, 4], |mut g| {
        g.index_axis_mut(Axis(0), 1).mapv_inplace(|v| 1.5 * v);
        g
    });
    assert_eq!(row.text, "one slice: only index 1 of axis 0 is wrong, there analytic = 1.5 x numeric");
    let element = of_exp(&[3, 4], |mut g| {
        g[[2, 1]] += 1.0;
        g
    });
    assert_eq!(element.kind, DiagnosisKind::OneSlice);
    assert!(element.text.starts_with("one slice: only element [2, 1] is wrong"), "{}", element.text);
}

#[test]
fn errors_at_the_border_only_are_named() {
    let found = of_exp(&[4, 5], |mut g| {
        for column in [0, 4] {
            g.slice_mut(s![.., column]).mapv_inplace(|v| v + 0.1);
        }
        g
    });
    assert_eq!(found.kind, DiagnosisKind::Boundary);
    assert!(found.text.contains("first or last index of axis [1]"), "{}", found.text);
}

#[test]
fn a_broadcast_that_is_not_reduced_is_named() {
    let found = diagnosis("add_bias", &[("x", values(&[3, 4])), ("bias", values(&[4]))], |v| {
        add_bias(&v[0], &v[1], |g| g.index_axis(Axis(0), 0).to_owned())
    });
    assert_eq!(found.kind, DiagnosisKind::BroadcastNotReduced);
    assert!(found.text.contains("only slice 0 of axis 0 of the output contributes"), "{}", found.text);
    let mean = diagnosis("add_bias", &[("x", values(&[3, 4])), ("bias", values(&[4]))], |v| {
        add_bias(&v[0], &v[1], |g| g.mean_axis(Axis(0)).unwrap())
    });
    assert_eq!(
        mean.text,
        "constant factor: analytic = 1/3 x numeric (1/3, where 3 is the extent of axis 0 of x)"
    );
}

#[test]
fn disconnected_inputs_are_named_whether_zero_or_detached() {
    let zero = of_exp(&[3], |g| g * 0.0);
    assert_eq!(zero.kind, DiagnosisKind::Disconnected);
    assert!(zero.text.contains("the gradient is zero everywhere"), "{}", zero.text);
    let detached = diagnosis("square", &[("x", values(&[3]))], |v| square(&v[0].detach()));
    assert!(detached.text.contains("no gradient reaches this input"), "{}", detached.text);
}

#[test]
fn an_ignored_grad_output_is_named() {
    let found = diagnosis("square", &[("x", values(&[2, 3]))], |v| {
        custom("square", [&v[0]], |[x]| x * x, |[x], _| [x * 2.0])
    });
    assert_eq!(found.kind, DiagnosisKind::GradOutputIgnored);
    // Also for a scalar output, whose customary cotangent is the 1 that backward took for granted.
    let found = diagnosis("sum_squares", &[("x", values(&[3]))], |v| {
        custom("sum_squares", [&v[0]], |[x]| ndarray::arr0((x * x).sum()).into_dyn(), |[x], _| [x * 2.0])
    });
    assert_eq!(found.kind, DiagnosisKind::GradOutputIgnored);
}

#[test]
fn a_mistake_without_a_pattern_is_reported_without_a_name() {
    let report: Report =
        check("softmax", &[("x", values(&[3, 4]))], |v| softmax(&v[0], |g| g.mapv(|g| g + g * g)));
    assert_eq!(report.verdict(), Verdict::Fail);
    assert_eq!(report.diagnoses().count(), 0, "{report}");
    assert!(report.to_string().contains("none of the known mistakes"), "{report}");
}

#[test]
fn only_the_input_that_is_wrong_is_blamed() {
    let report = check("matmul", &[("a", values(&[2, 3])), ("b", values(&[3, 2]))], |v| {
        matmul(&v[0], &v[1], |g| g * 2.0)
    });
    let verdicts: Vec<Verdict> = report.inputs.iter().map(|input| input.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
}

#[test]
fn the_diagnosis_of_a_large_input_rests_on_projections_and_a_sample() {
    let report = check("exp", &[("x", values(&[30, 40]))], |v| exp_spoiled(&v[0], |g| g * 2.0));
    assert_eq!(report.inputs[0].mode, "projected");
    assert_eq!(report.diagnoses().next().unwrap().kind, DiagnosisKind::Factor);
    let report = check("exp", &[("x", values(&[30, 30]))], |v| {
        exp_spoiled(&v[0], |g| g.t().as_standard_layout().into_owned())
    });
    assert_eq!(report.diagnoses().next().unwrap().kind, DiagnosisKind::Transposed);
    let report =
        check("exp", &[("x", vector(&[0.5; 600]))], |v| map("exp", &v[0], f64::exp, |x| 3.0 * x.exp()));
    assert_eq!(report.diagnoses().next().unwrap().factor.map(f64::round), Some(3.0));
}
