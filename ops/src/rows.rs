//! What kernels do with one contiguous row of numbers.

use termwise_autograd::simd::{Vector, math};

/// The largest number, `-inf` for none. NaN may be passed over.
#[inline(always)]
pub(crate) fn max<V: Vector>(x: &[V::Element]) -> V::Element {
    // Four at once hide the latency of a comparison.
    let none = V::of(f64::NEG_INFINITY);
    let mut largest = [none; 4];
    let mut blocks = x.chunks_exact(4 * V::LANES);
    for block in &mut blocks {
        for (largest, x) in largest.iter_mut().zip(block.chunks_exact(V::LANES)) {
            *largest = V::from_slice(x).max(*largest);
        }
    }
    for (largest, x) in largest.iter_mut().zip(blocks.remainder().chunks(V::LANES)) {
        *largest = V::from_slice(x).with_rest(x.len(), none).max(*largest);
    }
    largest[0].max(largest[1]).max(largest[2].max(largest[3])).max_lane()
}

/// Writes `exp(x - max)`, `max` being the largest of `x`, to `y` and returns the sum. NaN in `x` makes
/// the sum NaN.
#[inline(always)]
pub(crate) fn exp_shifted<V: Vector>(x: &[V::Element], max: V::Element, y: &mut [V::Element]) -> V::Element {
    let max = V::splat(max);
    let mut sums = [V::zero(); 2];
    let (mut xs, mut ys) = (x.chunks_exact(2 * V::LANES), y.chunks_exact_mut(2 * V::LANES));
    for (x, y) in (&mut xs).zip(&mut ys) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.chunks_exact(V::LANES).zip(y.chunks_exact_mut(V::LANES))) {
            let e = math::exp_nonpositive(V::from_slice(x) - max);
            e.write_to(y);
            *sum += e;
        }
    }
    let rest = xs.remainder().chunks(V::LANES).zip(ys.into_remainder().chunks_mut(V::LANES));
    for (sum, (x, y)) in sums.iter_mut().zip(rest) {
        let e = math::exp_nonpositive(V::from_slice(x) - max);
        e.write_to(y);
        *sum += e.with_rest(x.len(), V::zero());
    }
    (sums[0] + sums[1]).sum()
}

/// The sum of `exp(x - max)`, `max` being the largest of `x`. NaN in `x` makes it NaN.
#[inline(always)]
pub(crate) fn sum_exp<V: Vector>(x: &[V::Element], max: V::Element) -> V::Element {
    let max = V::splat(max);
    let mut sums = [V::zero(); 2];
    let mut pairs = x.chunks_exact(2 * V::LANES);
    for pair in &mut pairs {
        for (sum, x) in sums.iter_mut().zip(pair.chunks_exact(V::LANES)) {
            *sum += math::exp_nonpositive(V::from_slice(x) - max);
        }
    }
    for (sum, x) in sums.iter_mut().zip(pairs.remainder().chunks(V::LANES)) {
        *sum += math::exp_nonpositive(V::from_slice(x) - max).with_rest(x.len(), V::zero());
    }
    (sums[0] + sums[1]).sum()
}

/// `x *= factor`
#[inline(always)]
pub(crate) fn scale<V: Vector>(x: &mut [V::Element], factor: V::Element) {
    let factor = V::splat(factor);
    let mut vectors = x.chunks_exact_mut(V::LANES);
    for x in &mut vectors {
        (V::from_slice(x) * factor).write_to(x);
    }
    let rest = vectors.into_remainder();
    (V::from_slice(rest) * factor).write_to(rest);
}

/// `y += x`
#[inline(always)]
pub(crate) fn add<V: Vector>(y: &mut [V::Element], x: &[V::Element]) {
    let (mut ys, mut xs) = (y.chunks_exact_mut(V::LANES), x.chunks_exact(V::LANES));
    for (y, x) in (&mut ys).zip(&mut xs) {
        (V::from_slice(y) + V::from_slice(x)).write_to(y);
    }
    let (y, x) = (ys.into_remainder(), xs.remainder());
    (V::from_slice(y) + V::from_slice(x)).write_to(y);
}

/// `y += factor x`
#[inline(always)]
pub(crate) fn add_scaled<V: Vector>(y: &mut [V::Element], x: &[V::Element], factor: V::Element) {
    let factor = V::splat(factor);
    let (mut ys, mut xs) = (y.chunks_exact_mut(V::LANES), x.chunks_exact(V::LANES));
    for (y, x) in (&mut ys).zip(&mut xs) {
        V::from_slice(x).mul_add(factor, V::from_slice(y)).write_to(y);
    }
    let (y, x) = (ys.into_remainder(), xs.remainder());
    V::from_slice(x).mul_add(factor, V::from_slice(y)).write_to(y);
}
