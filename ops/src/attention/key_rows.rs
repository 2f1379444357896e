//! What one query, or one row of weights for all of them, does with the rows of its keys.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Vector, math, transpose_lanes};

/// The largest number, NaN passed over; `None` where nothing is above `-inf` and nothing is NaN: no key
/// is visible.
#[inline(always)]
pub(super) fn largest<V: Vector>(values: &[V::Element]) -> Option<V::Element> {
    let lowest = V::Element::of(f64::NEG_INFINITY);
    let chunks = values.chunks_exact(V::LANES);
    let rest = chunks.remainder();
    let lanes = chunks.fold(V::splat(lowest), |max, v| V::from_slice(v).max(max));
    let largest = rest.iter().fold(lanes.max_lane(), |max, &v| if v > max { v } else { max });
    let sum = sum::<V>(values);
    let is_nan = sum.partial_cmp(&sum).is_none();
    (largest > lowest || is_nan).then_some(largest)
}

/// The sum.
#[inline(always)]
pub(super) fn sum<V: Vector>(values: &[V::Element]) -> V::Element {
    values.chunks(V::LANES).fold(V::zero(), |sum, v| sum + V::from_slice(v)).sum()
}

/// `e = exp(e - subtract)`.
#[inline(always)]
pub(super) fn exp_minus<V: Vector>(energies: &mut [V::Element], subtract: V::Element) {
    for energies in energies.chunks_mut(V::LANES) {
        math::exp(V::from_slice(energies) - V::splat(subtract)).write_to(energies);
    }
}

/// `out[k] = rows[k stride ..] . factors`.
#[inline(always)]
pub(super) fn dot_rows<V: Vector>(
    rows: &[V::Element],
    stride: usize,
    factors: &[V::Element],
    out: &mut [V::Element],
) {
    for (block, out) in out.chunks_mut(V::LANES).enumerate() {
        let mut sum = V::zero();
        for (c, factors) in factors.chunks(V::LANES).enumerate() {
            let mut lanes = [V::zero(); 16];
            for (k, lane) in lanes[..out.len()].iter_mut().enumerate() {
                let at = (block * V::LANES + k) * stride + c * V::LANES;
                *lane = V::from_slice(&rows[at..at + factors.len()]);
            }
            transpose_lanes(&mut lanes);
            for (&factor, &lane) in factors.iter().zip(&lanes) {
                sum = V::splat(factor).mul_add(lane, sum);
            }
        }
        sum.write_to(out);
    }
}

/// `out = sum_k factors[k] rows[k stride ..]`, or the sum of `count` rows where there are no factors.
#[inline(always)]
pub(super) fn sum_rows<V: Vector>(
    rows: &[V::Element],
    stride: usize,
    count: usize,
    factors: Option<&[V::Element]>,
    out: &mut [V::Element],
) {
    for (c, out) in out.chunks_mut(V::LANES).enumerate() {
        let mut sums = [V::zero(); 4];
        for k in 0..count {
            let at = k * stride + c * V::LANES;
            let row = V::from_slice(&rows[at..at + out.len()]);
            sums[k % 4] = match factors {
                Some(factors) => V::splat(factors[k]).mul_add(row, sums[k % 4]),
                None => sums[k % 4] + row,
            };
        }
        ((sums[0] + sums[1]) + (sums[2] + sums[3])).write_to(out);
    }
}
