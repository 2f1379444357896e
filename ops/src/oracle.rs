//! What the tests have in common that hold a fast kernel to plain loops in `f64`.

use termwise_autograd::Scalar;

/// Lengths around the lanes of every vector, odd ones among them.
pub(crate) const LENGTHS: [usize; 14] = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 131];

/// Numbers spread over `low .. high` that look random and that `f32` holds exactly.
pub(crate) fn numbers(len: usize, seed: u64, low: f64, high: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..len).map(|_| f64::from((low + (high - low) * next()) as f32)).collect()
}

/// The numbers rounded to another type.
pub(crate) fn cast<T: Scalar>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::of(x)).collect()
}

/// # Panics
/// If an element is further from what is expected than `units` times the type's epsilon, relative to the larger of
/// itself and `size`. NaN expects NaN, infinities expect themselves.
#[track_caller]
pub(crate) fn assert_near<T: Scalar>(what: &str, found: &[T], expected: &[f64], units: f64, size: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (i, (found, &expected)) in found.iter().zip(expected).enumerate() {
        let found = found.as_f64();
        // Numbers that are denormal in the type count as 0.
        let allowed =
            units * T::epsilon().as_f64() * expected.abs().max(size) + T::min_positive_value().as_f64();
        let near = if expected.is_finite() {
            (found - expected).abs() <= allowed
        } else {
            found == expected || found.is_nan() && expected.is_nan()
        };
        assert!(near, "{what} in {}: {found:e} at {i} instead of {expected:e}", T::NAME);
    }
}
