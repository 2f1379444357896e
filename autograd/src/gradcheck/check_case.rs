//! Checks a [`Case`], and on failure looks for the smallest shape that still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Case, Check, Law, Mode, Report, Verdict, precision};
use crate::Cpu;

/// How many smaller shapes are tried.
const ATTEMPTS: usize = 80;

/// Checks the gradients of a case. A failing one is shrunk: the report is then about the smallest
/// shape that still fails, and holds a test to paste.
///
/// # Panics
/// If the case cannot be built at its own shape, or the operation itself panics.
///
/// # Examples
/// A derivative that is wrong at every shape, found at the smallest:
/// ```
/// use termwise_autograd::gradcheck::{Built, Case, Check, Verdict, check_case};
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
/// let wrong = Case::new("square", "", &[6, 5], |shape, samples| {
///     Built::new([("x", samples.normal(shape))], |v| map(&v[0], |x| x * x, |x| x))
/// });
/// let report = check_case(&wrong, &Check::new());
/// assert_eq!(report.verdict(), Verdict::Fail);
/// assert_eq!(report.shrunk_from.as_deref(), Some(&[6, 5][..]));
/// assert_eq!((report.case_shape.as_deref(), report.inputs[0].wrong_elements), (Some(&[1, 1][..]), 1));
/// assert!(report.reproduction.unwrap().starts_with("#[test]"));
///
/// let report = check_case(&wrong, &Check::new().shrink(false));
/// assert_eq!((report.shrunk_from, report.inputs[0].wrong_elements), (None, 30));
/// ```
#[track_caller]
pub fn check_case(case: &Case<Cpu<f64>>, options: &Check) -> Report {
    check_with(case, None, options)
}

/// [`check_case`], and the law that the same case in `f32` stays near the `f64` one
/// ([`Law::F32`], within [`Check::f32_bound`]).
///
/// # Panics
/// As [`check_case`]; and if the two cases are not the same case.
#[track_caller]
pub fn check_case_and_f32(case: &Case<Cpu<f64>>, single: &Case<Cpu<f32>>, options: &Check) -> Report {
    assert!(
        case.op() == single.op() && case.label() == single.label() && case.shape() == single.shape(),
        "gradcheck: two different cases: {case:?} in f64 and {single:?} in f32"
    );
    check_with(case, Some(single), options)
}

#[track_caller]
fn check_with(case: &Case<Cpu<f64>>, single: Option<&Case<Cpu<f32>>>, options: &Check) -> Report {
    let Some(mut report) = check_once(case, single, options) else {
        panic!("gradcheck: {case:?} cannot be built at its own shape");
    };
    if report.verdict != Verdict::Fail || !options.shrink {
        return report;
    }
    let mut smallest = case.clone();
    let mut attempts = 0;
    while let Some((smaller, found)) = shrink_once(&smallest, single, options, &report, &mut attempts) {
        report = found;
        smallest = smaller;
    }
    if smallest.shape() != case.shape() {
        report.shrunk_from = Some(case.shape().to_vec());
    }
    report.reproduction = Some(reproduction(&smallest, options));
    report
}

fn check_once(case: &Case<Cpu<f64>>, single: Option<&Case<Cpu<f32>>>, options: &Check) -> Option<Report> {
    let built = case.build(options.seed)?;
    let mut report = options.run(case.op(), &built.inputs, &*built.run);
    report.label = case.label().to_string();
    report.case_shape = Some(case.shape().to_vec());
    if options.laws
        && report.notes.is_empty()
        && let Some(single) = single.and_then(|single| single.at_shape(case.shape())?.build(options.seed))
    {
        let law = precision::single_against_double(options, &built.inputs, &*built.run, &*single.run);
        if !law.holds {
            report.verdict = Verdict::Fail;
        }
        report.laws.push(law);
    }
    Some(report)
}

/// The first smaller shape that fails for a like reason.
fn shrink_once(
    case: &Case<Cpu<f64>>,
    single: Option<&Case<Cpu<f32>>>,
    options: &Check,
    report: &Report,
    attempts: &mut usize,
) -> Option<(Case<Cpu<f64>>, Report)> {
    for shape in smaller_shapes(case.shape()) {
        if *attempts == ATTEMPTS {
            return None;
        }
        *attempts += 1;
        // A shape that the operation cannot take after all is no reason to lose the report.
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let smaller = case.at_shape(&shape)?;
            let found = check_once(&smaller, single, options)?;
            Some((smaller, found))
        }));
        if let Ok(Some((smaller, found))) = attempt
            && fails_alike(report, &found)
        {
            return Some((smaller, found));
        }
    }
    None
}

/// Every axis halved; then each axis at 1, halved, and one less.
fn smaller_shapes(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut shapes = vec![shape.iter().map(|&extent| extent.div_ceil(2)).collect::<Vec<_>>()];
    for axis in 0..shape.len() {
        for extent in [1, shape[axis] / 2, shape[axis].saturating_sub(1)] {
            if 0 < extent && extent < shape[axis] {
                let mut smaller = shape.to_vec();
                smaller[axis] = extent;
                shapes.push(smaller);
            }
        }
    }
    shapes.retain(|smaller| smaller != shape);
    shapes.dedup();
    shapes
}

/// Whether some input, law or diagnosis fails in both.
fn fails_alike(first: &Report, second: &Report) -> bool {
    let inputs = |report: &Report| -> Vec<String> {
        let failed = report.inputs.iter().filter(|input| input.verdict == Verdict::Fail);
        failed.map(|input| input.name.clone()).collect()
    };
    let laws = |report: &Report| -> Vec<Law> {
        report.laws.iter().filter(|law| !law.holds).map(|law| law.law).collect()
    };
    let shared_input = inputs(first).iter().any(|name| inputs(second).contains(name));
    let shared_law = laws(first).iter().any(|law| laws(second).contains(law));
    second.verdict == Verdict::Fail
        && (shared_input || shared_law || !second.notes.is_empty() && !first.notes.is_empty())
}

fn reproduction(case: &Case<Cpu<f64>>, options: &Check) -> String {
    let name: String = case
        .op()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let mut check = format!("Check::new().seed({})", options.seed);
    let default = Check::default();
    if options.mode != Mode::Auto {
        check += &format!(".mode(Mode::{:?})", options.mode);
    }
    if options.projections != default.projections {
        check += &format!(".projections({})", options.projections);
    }
    if (options.error_multiple, options.relative) != (default.error_multiple, default.relative) {
        check += &format!(".tolerance({:?}, {:?})", options.error_multiple, options.relative);
    }
    format!(
        "#[test] // the case is made at {location}
fn gradient_of_{name}() {{
    use termwise_autograd::{{Cpu, gradcheck::*}};
    let mut cases = cases::<Cpu<f64>>().into_iter().filter(|c| c.op() == {op:?} && c.label() == {label:?});
    let case = cases.find_map(|case| case.at_shape(&{shape:?})).unwrap();
    check_case(&case, &{check}).assert_pass();
}}",
        location = case.made_at(),
        op = case.op(),
        label = case.label(),
        shape = case.shape(),
    )
}

#[cfg(test)]
mod tests {
    use super::smaller_shapes;

    #[test]
    fn smaller_shapes_start_with_the_boldest_step() {
        assert_eq!(smaller_shapes(&[5, 2]), [vec![3, 1], vec![1, 2], vec![2, 2], vec![4, 2], vec![5, 1]]);
        assert!(smaller_shapes(&[1, 1]).is_empty());
        assert!(smaller_shapes(&[]).is_empty());
    }
}
