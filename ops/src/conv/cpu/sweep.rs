//! The innermost loop of weight gradients: sums over positions, channels in the lanes.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Isa, Vector};

use super::lanes_on;
use super::tile::{TileRows, vectors_of_tile};
use crate::conv::ConvGeometry;

/// Rows of a small tile.
const FEW_ROWS: usize = 4;

/// How much of the arithmetic is useful with output or input channels in the lanes.
pub(super) fn used_lanes<T: Scalar>(isa: Isa, geometry: &ConvGeometry) -> [f64; 2] {
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let (vector, tile) = (lanes_on::<T>(isa), TileRows::on::<T>(isa).many);
    // The last rows of a tile may be few.
    let rows = |count: usize| used(count, if count % tile <= FEW_ROWS { FEW_ROWS } else { tile });
    [used(outputs, vector) * rows(inputs * geometry.window.taps()), used(inputs, vector) * rows(outputs)]
}

pub(super) fn used(count: usize, of: usize) -> f64 {
    count as f64 / count.next_multiple_of(of) as f64
}

/// Vectors of each tile along the lanes: the first, and how many.
#[inline(always)]
pub(super) fn tiles_along<V: Vector>(vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = vectors - at;
        let take = if left == 0 { 0 } else { vectors_of_tile::<V>(TileRows::of::<V>().many, left) };
        at += take;
        (take > 0).then_some((at - take, take))
    })
}

/// Positions that a product sums over: rows of images, one after the other.
pub(super) struct Sweep {
    pub units: usize,
    pub rows: usize,
    pub width: usize,
    /// Distance of neighbouring units and rows in the operand that is broadcast.
    pub scalars: (usize, usize),
    /// The same in the operand that is read in vectors.
    pub vectors: (usize, usize),
    /// Distance of neighbouring positions in the latter, and of neighbouring rows of the sums.
    pub step: usize,
    /// Whether these are the first positions, so that the sums do not hold anything yet.
    pub fresh: bool,
}

impl Sweep {
    /// `sums[k] (+)= sum over positions of scalar(k) * vectors`, for `k` in `0 .. count` and `take` vectors.
    ///
    /// # Safety
    /// Both operands must be readable at every position, `sums` writable in `count` rows.
    #[inline(always)]
    pub unsafe fn rows<V: Vector>(
        &self,
        take: usize,
        count: usize,
        scalar: impl Fn(usize) -> *const V::Element,
        vectors: *const V::Element,
        sums: *mut V::Element,
    ) {
        let mut k = 0;
        while k < count {
            // SAFETY: that of the caller.
            unsafe {
                match (V::REGISTERS, take) {
                    (32.., 3) if count - k <= FEW_ROWS => {
                        self.tile::<V, FEW_ROWS, 3>(k, count, &scalar, vectors, sums)
                    }
                    (16.., 2) if count - k <= FEW_ROWS => {
                        self.tile::<V, FEW_ROWS, 2>(k, count, &scalar, vectors, sums)
                    }
                    (_, 1) if count - k <= FEW_ROWS => {
                        self.tile::<V, FEW_ROWS, 1>(k, count, &scalar, vectors, sums)
                    }
                    (32.., 3) => self.tile::<V, 8, 3>(k, count, &scalar, vectors, sums),
                    (32.., 2) => self.tile::<V, 8, 2>(k, count, &scalar, vectors, sums),
                    (32.., _) => self.tile::<V, 8, 1>(k, count, &scalar, vectors, sums),
                    (16..32, 2) => self.tile::<V, 6, 2>(k, count, &scalar, vectors, sums),
                    (16..32, _) => self.tile::<V, 6, 1>(k, count, &scalar, vectors, sums),
                    _ => self.tile::<V, 4, 1>(k, count, &scalar, vectors, sums),
                }
            }
            k += TileRows::of::<V>().many;
        }
    }

    /// Rows `first .. first + MR` of the sums, as far as there are any.
    ///
    /// # Safety
    /// That of [`Sweep::rows`].
    #[inline(always)]
    unsafe fn tile<V: Vector, const MR: usize, const NV: usize>(
        &self,
        first: usize,
        count: usize,
        scalar: impl Fn(usize) -> *const V::Element,
        vectors: *const V::Element,
        sums: *mut V::Element,
    ) {
        let valid = MR.min(count - first);
        // Rows that are not there repeat the last one and are not written.
        let mut scalars = [scalar(first); MR];
        for (r, from) in scalars.iter_mut().enumerate() {
            *from = scalar(first + r.min(valid - 1));
        }
        let mut totals = [[V::zero(); NV]; MR];
        // SAFETY: that of the caller.
        unsafe {
            for unit in 0..self.units {
                for row in 0..self.rows {
                    let skip = unit * self.scalars.0 + row * self.scalars.1;
                    let mut from = scalars;
                    for from in &mut from {
                        *from = from.add(skip);
                    }
                    let mut lane = vectors.add(unit * self.vectors.0 + row * self.vectors.1);
                    for i in 0..self.width {
                        let mut x = [V::zero(); NV];
                        for (v, x) in x.iter_mut().enumerate() {
                            *x = V::load(lane.add(v * V::LANES));
                        }
                        for (totals, from) in totals.iter_mut().zip(&from) {
                            let scalar = V::splat(*from.add(i));
                            for (total, &x) in totals.iter_mut().zip(&x) {
                                *total = scalar.mul_add(x, *total);
                            }
                        }
                        lane = lane.add(self.step);
                    }
                }
            }
            for (r, totals) in totals.iter().enumerate() {
                if r < valid {
                    for (v, &total) in totals.iter().enumerate() {
                        let sum = sums.add((first + r) * self.step + v * V::LANES);
                        if self.fresh { total.store(sum) } else { (V::load(sum) + total).store(sum) }
                    }
                }
            }
        }
    }
}
