//! Constant factors between a wrong gradient and the right one, and where they come from.

use super::diagnose::Evidence;

/// The `c` that brings `c * numeric` nearest to analytic, over the rows that `keep` accepts; `None`
/// where it is 1 or 0, or where there is nothing to divide by.
pub(super) fn least_squares(evidence: &Evidence<'_>, keep: impl Fn(usize) -> bool) -> Option<f64> {
    let cells = || {
        evidence.judgement.cells.iter().filter(|cell| cell.finite && cell.kink.is_none() && keep(cell.row))
    };
    let largest = cells().map(|cell| cell.numeric.abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return None;
    }
    // Scaled to 1: products of tiny gradients would vanish.
    let (mut product, mut square) = (0.0, 0.0);
    for cell in cells() {
        let numeric = cell.numeric / largest;
        product += cell.analytic / largest * numeric;
        square += numeric * numeric;
    }
    let factor = product / square;
    (factor.is_finite() && factor.abs() > 1e-9 && (factor - 1.0).abs() > 1e-9).then_some(factor)
}

/// A factor with as many digits as it needs.
pub(super) fn show(factor: f64) -> String {
    let whole = factor.round();
    if whole != 0.0 && is(factor, whole) {
        return format!("{whole}");
    }
    let inverse = (1.0 / factor).round();
    if inverse.abs() > 1.0 && is(factor, 1.0 / inverse) {
        return format!("{}1/{}", if factor < 0.0 { "-" } else { "" }, inverse.abs());
    }
    let rounded = format!("{factor:.4}");
    if is(factor, rounded.parse().unwrap_or(f64::NAN)) {
        rounded.trim_end_matches('0').to_string()
    } else if (1e-3..1e4).contains(&factor.abs()) {
        format!("{factor:.6}")
    } else {
        format!("{factor:.6e}")
    }
}

/// Where a factor probably comes from, as a parenthesis; empty where no guess fits.
pub(super) fn meaning(factor: f64, evidence: &Evidence<'_>) -> String {
    if is(factor, -1.0) {
        return " (the sign is wrong)".into();
    }
    let sign = if factor < 0.0 { "-" } else { "" };
    for (size, what) in sizes(evidence) {
        let n = size as f64;
        let candidates = [(n, ""), (1.0 / n, "1/"), (n.sqrt(), "sqrt "), (1.0 / n.sqrt(), "1/sqrt ")];
        if let Some((_, form)) = candidates.iter().find(|(value, _)| is(factor.abs(), *value)) {
            return format!(" ({sign}{form}{size}, where {size} is {what})");
        }
    }
    String::new()
}

/// The extents that people forget to divide by, or divide by twice.
fn sizes(evidence: &Evidence<'_>) -> Vec<(usize, String)> {
    let problem = evidence.problem;
    let mut sizes = Vec::new();
    let inputs = std::iter::once(evidence.lines.input).chain(0..problem.inputs.len());
    let mut arrays: Vec<(&str, &[usize])> = Vec::new();
    for input in inputs {
        let input = &problem.inputs[input];
        arrays.push((input.name.as_str(), input.shape.as_slice()));
    }
    arrays.push(("the output", problem.output_shape.as_slice()));
    for (name, shape) in arrays {
        sizes.extend(
            shape.iter().enumerate().map(|(axis, &n)| (n, format!("the extent of axis {axis} of {name}"))),
        );
        sizes.push((shape.iter().product(), format!("the number of elements of {name}")));
    }
    sizes.retain(|(size, _)| *size > 1);
    sizes
}

fn is(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn factors_are_written_the_way_people_say_them() {
        let factors = [2.0, -1.0, 0.5, -0.25, 1.01, 1.0 / 12.0, 16f64.sqrt(), 1.234_567_89];
        assert_eq!(factors.map(show), ["2", "-1", "1/2", "-1/4", "1.01", "1/12", "4", "1.234568"]);
    }
}
