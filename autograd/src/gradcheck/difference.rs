//! The numeric side: central and one-sided differences with an estimate of their own error.
//!
//! At steps `h` and `h/2`: `D(h) = (f(h) - f(-h)) / 2h = f' + O(h^2)`, hence Richardson's
//! `R = (4 D(h/2) - D(h)) / 3 = f' + O(h^4)`. Its error is estimated, on the safe side, by that of
//! `D(h/2)`, which is `|D(h/2) - D(h)| / 3`, plus what rounding `f` does to a difference over `h`.
//! The same five values give one-sided derivatives of second order, so a kink shows itself at no
//! further cost: `f'(0+) = (4 f(h/2) - f(h) - 3 f(0)) / h`.

use super::problem::{Line, Problem};

/// Which combinations of the outputs are differentiated.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// Each output by itself.
    Outputs,
    /// `<cotangent, output>` for each of these.
    Cotangents(&'a [Vec<f64>]),
}

/// A derivative along a line, measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    pub(super) value: f64,
    /// Estimated error of `value`.
    pub(super) error: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    /// Least and greatest combination of the outputs' one-sided derivatives.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The part of the error of `left` and `right` that comes from rounding.
    pub(super) one_sided_rounding: f64,
    /// Whether an output moves at all.
    pub(super) moves: bool,
    /// The size of the outputs that move; of all of them where none does.
    pub(super) reach: f64,
    /// Whether the function was finite at every point.
    pub(super) finite: bool,
}

/// One-sided derivatives that differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kink {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) rounding: f64,
}

/// The best of several steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refined {
    pub(super) estimate: Estimate,
    pub(super) kink: Option<Kink>,
    /// Whether the difference quotient grows as the step shrinks.
    pub(super) jump: bool,
}

/// `cbrt(eps) * scale`, rounded to a power of two so that `x + h` is nearly exact.
pub(super) fn base_step(scale: f64) -> f64 {
    (f64::EPSILON.cbrt() * scale).log2().round().exp2()
}

/// Derivatives at 0 of `t -> <weights, f(x + t line)>`, one for each set of weights.
pub(super) fn estimate(problem: &Problem<'_>, line: Line<'_>, h: f64, weights: Weights<'_>) -> Vec<Estimate> {
    let points = Points::new(problem, line, h);
    let moved = points.moved(problem);
    points.estimates(problem, line, weights, &moved)
}

/// The outputs at `h`, `-h`, `h/2` and `-h/2`.
struct Points {
    h: f64,
    outputs: [Vec<f64>; 4],
}

impl Points {
    fn new(problem: &Problem<'_>, line: Line<'_>, h: f64) -> Self {
        Points { h, outputs: [h, -h, h / 2.0, -h / 2.0].map(|t| problem.moved(line, t)) }
    }

    /// Which outputs this line reaches. One that it does not reach has the same bits everywhere, and
    /// its difference has no error.
    fn moved(&self, problem: &Problem<'_>) -> Vec<bool> {
        let base = problem.base.iter().enumerate();
        base.map(|(o, at)| self.outputs.iter().any(|output| output[o] != *at)).collect()
    }

    fn estimates(
        &self,
        problem: &Problem<'_>,
        line: Line<'_>,
        weights: Weights<'_>,
        moved: &[bool],
    ) -> Vec<Estimate> {
        let position = match line {
            Line::Element { input, element } => problem.inputs[input].values[element].abs(),
            Line::Direction { input, .. } => problem.inputs[input].scale(),
        };
        let parts: Vec<Part> = (0..problem.outputs())
            .map(|o| Part::new(problem.base[o], self.outputs.each_ref().map(|p| p[o]), self.h, moved[o]))
            .collect();
        let combined = |parts: &mut dyn Iterator<Item = (f64, &Part)>| combine(parts, self.h, position);
        match weights {
            Weights::Outputs => {
                parts.iter().map(|part| combined(&mut std::iter::once((1.0, part)))).collect()
            }
            Weights::Cotangents(cotangents) => cotangents
                .iter()
                .map(|cotangent| combined(&mut cotangent.iter().copied().zip(&parts)))
                .collect(),
        }
    }
}

/// Difference quotients of one output.
struct Part {
    wide: f64,
    narrow: f64,
    left: f64,
    right: f64,
    largest: f64,
    rounding: f64,
    finite: bool,
}

impl Part {
    fn new(at: f64, [far_right, far_left, right, left]: [f64; 4], h: f64, moved: bool) -> Self {
        let largest = far_right.abs().max(far_left.abs()).max(at.abs());
        Part {
            wide: (far_right - far_left) / (2.0 * h),
            narrow: (right - left) / h,
            right: (4.0 * (right - at) - (far_right - at)) / h,
            left: (4.0 * (at - left) - (at - far_left)) / h,
            largest,
            rounding: if moved { f64::EPSILON * largest } else { 0.0 },
            finite: [at, far_right, far_left, right, left].iter().all(|v| v.is_finite()),
        }
    }
}

fn combine(parts: &mut dyn Iterator<Item = (f64, &Part)>, h: f64, position: f64) -> Estimate {
    let (mut wide, mut narrow, mut variance) = (0.0, 0.0, 0.0_f64);
    let (mut moving, mut total) = (0.0, 0.0_f64);
    let mut estimate = Estimate { finite: true, ..Estimate::default() };
    for (weight, part) in parts {
        // Differences first, then the sum: outputs that do not move add no rounding.
        wide += weight * part.wide;
        narrow += weight * part.narrow;
        let (left, right) = (weight * part.left, weight * part.right);
        estimate.left += left;
        estimate.right += right;
        estimate.low += left.min(right);
        estimate.high += left.max(right);
        variance += (weight * part.rounding).powi(2);
        let size = (weight * part.largest).powi(2);
        total += size;
        if part.rounding > 0.0 {
            moving += size;
        }
        estimate.finite &= part.finite || weight == 0.0;
    }
    estimate.value = (4.0 * narrow - wide) / 3.0;
    let rounding = 4.0 * variance.sqrt() / h + 2.0 * f64::EPSILON * position * estimate.value.abs() / h;
    estimate.error = (narrow - wide).abs() / 3.0 + rounding;
    estimate.moves = moving > 0.0;
    estimate.reach = if estimate.moves { moving } else { total }.sqrt();
    estimate.one_sided_rounding = 2.0 * rounding;
    estimate
}

impl Estimate {
    /// Whether left and right differ by more than smoothness and rounding explain at first sight.
    pub(super) fn looks_kinked(&self, scale: f64) -> bool {
        (self.right - self.left).abs() > 1e-5 * scale + 50.0 * self.one_sided_rounding
    }
}

/// The same derivatives at many steps: the step with the smallest estimated error wins, and how far
/// its neighbours in quality agree is part of its error.
pub(super) fn refine(problem: &Problem<'_>, line: Line<'_>, h: f64, weights: Weights<'_>) -> Vec<Refined> {
    const SHRINKING: [f64; 4] = [1.0, 1.0 / 8.0, 1.0 / 64.0, 1.0 / 512.0];
    const GROWING: [f64; 5] = [8.0, 64.0, 512.0, 4096.0, 32768.0];
    let points: Vec<Points> =
        SHRINKING.iter().chain(&GROWING).map(|factor| Points::new(problem, line, h * factor)).collect();
    // A small step may be lost in rounding where a large one shows that the output does move.
    let mut moved = vec![false; problem.outputs()];
    for points in &points {
        moved.iter_mut().zip(points.moved(problem)).for_each(|(any, now)| *any |= now);
    }
    let ladder: Vec<Vec<Estimate>> =
        points.iter().map(|points| points.estimates(problem, line, weights, &moved)).collect();
    (0..ladder[0].len())
        .map(|column| {
            let steps: Vec<Estimate> = ladder.iter().map(|estimates| estimates[column]).collect();
            let small = &steps[..SHRINKING.len()];
            Refined { kink: confirmed_kink(small), jump: jumps(small), estimate: best(&steps) }
        })
        .collect()
}

fn best(steps: &[Estimate]) -> Estimate {
    let mut sorted: Vec<&Estimate> =
        steps.iter().filter(|step| step.finite && step.error.is_finite()).collect();
    sorted.sort_by(|a, b| a.error.total_cmp(&b.error));
    let Some((&first, rest)) = sorted.split_first() else { return Estimate { finite: false, ..steps[0] } };
    let spread =
        rest.iter().take(2).map(|other| (other.value - first.value).abs()).fold(f64::INFINITY, f64::min);
    let error = if spread.is_finite() { first.error.max(spread) } else { first.error };
    Estimate { error, ..*first }
}

/// A difference between left and right that stays the same while the step shrinks.
fn confirmed_kink(steps: &[Estimate]) -> Option<Kink> {
    let pair = steps.windows(2).rev().find(|pair| {
        let gaps = [pair[0].right - pair[0].left, pair[1].right - pair[1].left];
        let gap = gaps[1].abs();
        pair[0].finite
            && pair[1].finite
            && pair.iter().all(|step| gap > 50.0 * step.one_sided_rounding)
            && (gaps[0] - gaps[1]).abs() < 0.1 * gap
            && (pair[0].right - pair[1].right).abs() < 0.1 * gap
            && (pair[0].left - pair[1].left).abs() < 0.1 * gap
    })?;
    let Estimate { left, right, low, high, one_sided_rounding: rounding, .. } = pair[1];
    Some(Kink { left, right, low, high, rounding })
}

fn jumps(steps: &[Estimate]) -> bool {
    steps.windows(2).all(|pair| {
        let (wide, narrow) = (pair[0].value.abs(), pair[1].value.abs());
        pair.iter().all(|step| step.finite && step.value.abs() > 25.0 * step.one_sided_rounding)
            && (6.0..10.0).contains(&(narrow / wide))
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;
    use crate::{Array, Cpu, Var};

    /// Measures `f` at `x`, its output a constant on the tape: only the numeric side looks at it.
    fn measured(x: f64, f: impl Fn(f64) -> f64) -> Refined {
        let function = |v: &[Var<Cpu<f64>>]| {
            let y: Vec<f64> = v[0].value().as_slice().iter().map(|&x| f(x)).collect();
            v[0].tape().constant(Array::host(v[0].shape(), y))
        };
        let problem = Problem::new("f", &[("x", arr1(&[x]).into_dyn())], &function);
        let line = Line::Element { input: 0, element: 0 };
        refine(&problem, line, base_step(problem.inputs[0].scale()), Weights::Outputs)[0]
    }

    #[test]
    fn the_estimated_error_bounds_the_true_one() {
        type Function = fn(f64) -> f64;
        let cases: [(f64, Function, Function); 5] = [
            (0.7, f64::sin, f64::cos),
            (3.0, f64::exp, f64::exp),
            (1e-9, |x| x * x, |x| 2.0 * x),
            (1e4, f64::sin, f64::cos),
            (2.0, |x| 1e6 + x.powi(3), |x| 3.0 * x * x),
        ];
        for (x, f, derivative) in cases {
            let estimate = measured(x, f).estimate;
            let error = (estimate.value - derivative(x)).abs();
            assert!(
                error <= 3.0 * estimate.error,
                "at {x}: off by {error:e}, estimated {:e}",
                estimate.error
            );
            assert!(estimate.error < 1e-6 * derivative(x).abs().max(1e-3), "at {x}: {:e}", estimate.error);
        }
    }

    #[test]
    fn a_kink_is_told_from_strong_curvature_and_from_a_jump() {
        let kink = measured(0.0, f64::abs).kink.expect("abs has a kink at 0");
        assert!((kink.left + 1.0).abs() < 1e-9 && (kink.right - 1.0).abs() < 1e-9);
        assert!(measured(1e-3, |x| (1e3 * x).sin()).kink.is_none());
        assert!(measured(1.0, f64::floor).kink.is_none());
        assert!(measured(1.0, f64::floor).jump);
        assert!(!measured(0.0, f64::abs).jump);
    }

    #[test]
    fn a_function_that_does_not_move_has_no_error() {
        let estimate = measured(0.3, |_| 17.0).estimate;
        assert_eq!((estimate.value, estimate.error), (0.0, 0.0));
    }

    #[test]
    fn beyond_the_domain_is_not_finite() {
        assert!(!measured(0.0, f64::sqrt).estimate.finite);
    }
}
