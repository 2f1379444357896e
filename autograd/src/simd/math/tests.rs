//! Every function against `f64` over the whole range of `f32`, on every instruction set.

use super::*;
use crate::Scalar;
use crate::simd::{Isa, Kernel, available, run_on};

/// A function under test: which, and the same of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    ExpNonpositive,
    Exp2,
    Ln,
    Ln1p,
    Sigmoid,
    Tanh,
    Erf,
    Normal,
    NormalKernel,
    Sin,
    Cos,
}
use Function::*;

const ALL: [Function; 12] =
    [Exp, ExpNonpositive, Exp2, Ln, Ln1p, Sigmoid, Tanh, Erf, Normal, NormalKernel, Sin, Cos];

impl Function {
    #[inline(always)]
    fn of_vector<V: Vector>(self, x: V) -> V {
        match self {
            Exp => exp(x),
            ExpNonpositive => exp_nonpositive(x),
            Exp2 => exp2(x),
            Ln => ln(x),
            Ln1p => ln_1p(x),
            Sigmoid => sigmoid(x),
            Tanh => tanh(x),
            Erf => erf(x),
            Normal => normal(x).0,
            NormalKernel => normal(x).1,
            Sin => sin(x),
            Cos => cos(x),
        }
    }

    fn of_number(self, x: f64) -> f64 {
        match self {
            Exp | ExpNonpositive => x.exp(),
            Exp2 => x.exp2(),
            Ln => x.ln(),
            Ln1p => x.ln_1p(),
            Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Tanh => x.tanh(),
            Erf => libm::erf(x),
            Normal => 0.5 * libm::erfc(-x / 2f64.sqrt()),
            NormalKernel => (-0.5 * x * x).exp(),
            Sin => x.sin(),
            Cos => x.cos(),
        }
    }

    /// Whether the argument is one that the function is made for.
    fn takes(self, x: f32) -> bool {
        match self {
            ExpNonpositive => x <= 0.0,
            Exp2 => x <= 127.0,
            Ln1p => x >= 0.0,
            _ => true,
        }
    }

    /// The largest error allowed, in units in the last place.
    fn tolerance(self) -> f64 {
        if matches!(self, Normal) { 6.0 } else { 2.0 }
    }
}

/// Replaces each number by the function of it.
struct Map<'a, T>(Function, &'a mut [T]);

impl<T: Scalar> Kernel<T> for Map<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        for x in self.1.chunks_mut(V::LANES) {
            self.0.of_vector(V::from_slice(x)).write_to(x);
        }
    }
}

fn mapped<T: Scalar>(isa: Isa, function: Function, x: &[T]) -> Vec<T> {
    let mut y = x.to_vec();
    run_on(isa, Map(function, &mut y));
    y
}

/// The distance of `y` from `truth` in units in the last place of `truth` as `f32`. Denormal numbers
/// count as 0, of either sign.
fn error(y: f32, truth: f64) -> f64 {
    let smallest = f64::from(f32::MIN_POSITIVE);
    if truth.is_nan() || y.is_nan() {
        return if truth.is_nan() && y.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if truth.abs() < smallest && f64::from(y).abs() <= smallest {
        return 0.0;
    }
    let nearest = truth as f32;
    if nearest.is_infinite() || y.is_infinite() {
        return if nearest == y { 0.0 } else { f64::INFINITY };
    }
    let exponent = truth.abs().max(smallest).log2().floor();
    (f64::from(y) - truth).abs() / (exponent - 23.0).exp2()
}

/// Of all bit patterns every so manieth is tried. No small factors: all exponents, all kinds of mantissas.
const STRIDE: usize = 50_021;

/// The largest error over every `stride`-th bit pattern, and where it is.
fn worst(isa: Isa, function: Function, stride: usize) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    let mut all = (0..1u64 << 32).step_by(stride).map(|bits| f32::from_bits(bits as u32)).peekable();
    while all.peek().is_some() {
        let x: Vec<f32> = all.by_ref().take(4096).filter(|&x| function.takes(x)).collect();
        for (&x, y) in x.iter().zip(mapped(isa, function, &x)) {
            // What a kernel reads of a denormal number is 0.
            let seen = if x.is_subnormal() { 0.0f32.copysign(x) } else { x };
            let error = error(y, function.of_number(seen.into()));
            if error > worst.0 {
                worst = (error, x);
            }
        }
    }
    worst
}

#[test]
fn at_most_two_units_in_the_last_place_over_the_whole_range() {
    let mut failures = Vec::new();
    for isa in available() {
        for function in ALL {
            let (error, at) = worst(isa, function, STRIDE);
            let line = format!("{function:?} on {isa}: {error:.3} ulp at {at:e}");
            println!("{line}");
            failures.extend((error > function.tolerance()).then_some(line));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_ends_are_exact() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    // At 0, -0, inf, -inf and NaN.
    let expected = |function: Function| match function {
        Exp => [1.0, 1.0, inf, 0.0, nan],
        ExpNonpositive => [1.0, 1.0, f32::NEG_INFINITY, 0.0, nan],
        Exp2 => [1.0, 1.0, inf, 0.0, nan],
        Ln => [-inf, -inf, inf, nan, nan],
        Ln1p => [0.0, 0.0, inf, nan, nan],
        Sigmoid => [0.5, 0.5, 1.0, 0.0, nan],
        Tanh | Erf => [0.0, -0.0, 1.0, -1.0, nan],
        Normal => [0.5, 0.5, 1.0, 0.0, nan],
        NormalKernel => [1.0, 1.0, 0.0, 0.0, nan],
        Sin => [0.0, -0.0, nan, nan, nan],
        Cos => [1.0, 1.0, nan, nan, nan],
    };
    for isa in available() {
        for function in ALL {
            for (x, expected) in [0.0, -0.0, inf, -inf, nan].into_iter().zip(expected(function)) {
                if !function.takes(x) && !x.is_nan() {
                    continue;
                }
                // In each lane, beside others.
                for lane in 0..19 {
                    let mut all = [if function == Ln1p { 0.25f32 } else { -0.25 }; 19];
                    all[lane] = x;
                    let y = mapped(isa, function, &all)[lane];
                    let same = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
                    assert!(same, "{function:?} of {x} on {isa}: {y} instead of {expected}");
                }
            }
        }
    }
}

#[test]
fn f64_agrees_with_the_library() {
    let x: Vec<f64> = (0..1001).map(|i| (i as f64 - 700.0) * 0.0513).collect();
    for isa in available() {
        for function in ALL {
            let x: Vec<f64> = x.iter().copied().filter(|&x| function.takes(x as f32)).collect();
            for (&x, y) in x.iter().zip(mapped(isa, function, &x)) {
                let truth = function.of_number(x);
                let close = y == truth || (y - truth).abs() <= 1e-12 * truth.abs();
                let same = close || truth.is_nan() && y.is_nan();
                assert!(same, "{function:?} of {x:e} on {isa}: {y:e} instead of {truth:e}");
            }
        }
    }
}

#[test]
fn large_angles_are_reduced_exactly() {
    // Neighbours of multiples of pi / 2, where almost all digits cancel, and angles beyond the vectors' range.
    let near = (1..5300).map(|n| (f64::from(n) * std::f64::consts::FRAC_PI_2) as f32);
    let far = (0..120).map(|i| 1.7f32.powi(i));
    let x: Vec<f32> = near.flat_map(|x| [x.next_down(), x, x.next_up()]).chain(far).collect();
    for isa in available() {
        for function in [Sin, Cos] {
            for (&x, y) in x.iter().zip(mapped(isa, function, &x)) {
                let error = error(y, function.of_number(x.into()));
                assert!(error <= 2.0, "{function:?} on {isa}: {error:.2} ulp at {x:e}");
            }
        }
    }
}
