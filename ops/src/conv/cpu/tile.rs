//! The innermost loop of the implicit matrix product: one tile of outputs in registers.
//!
//! `MR` output channels by `NV` vectors of positions are accumulated over all taps of all input channels. A step
//! loads `NV` vectors of the [`grid`](super::grid) at the tap's offset, broadcasts `MR` weights and does `MR * NV`
//! multiply-adds. Nothing is gathered: the columns of the classical lowering exist in the addresses alone.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Isa, Vector};

use super::places::{Place, Places};

/// Output channels of a tile: many, few and one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TileRows {
    pub many: usize,
    pub few: usize,
}

impl TileRows {
    pub const fn of<V: Vector>() -> Self {
        TileRows {
            many: match V::REGISTERS {
                32.. => 8,
                16.. => 6,
                _ => 4,
            },
            few: 4,
        }
    }

    /// That of an instruction set.
    pub fn on<T: Scalar>(isa: Isa) -> Self {
        match isa {
            Isa::Portable => TileRows::of::<T::Portable>(),
            Isa::Avx2 => TileRows::of::<T::Avx2>(),
            Isa::Avx512 => TileRows::of::<T::Avx512>(),
        }
    }

    /// Tiles that cover `channels`; the last one may reach beyond.
    pub fn cover(self, channels: usize) -> Vec<Range<usize>> {
        let rows = |start: usize| match channels - start {
            1 => 1,
            left if left <= self.few => self.few,
            _ => self.many,
        };
        let mut tiles: Vec<Range<usize>> = Vec::new();
        while let start = tiles.last().map_or(0, |tile| tile.end)
            && start < channels
        {
            tiles.push(start..start + rows(start));
        }
        tiles
    }
}

/// Vectors of a tile of `rows` channels, of which there are `left` to do: sums, a vector each of what is read and a
/// number that is broadcast fill the registers.
#[inline(always)]
pub(super) const fn vectors_of_tile<V: Vector>(rows: usize, left: usize) -> usize {
    let most = match (V::REGISTERS, rows) {
        (32.., 1) => 8,
        (16.., 1) => 4,
        (32.., _) => 3,
        (16.., _) | (_, 1) => 2,
        _ => 1,
    };
    if left >= 2 * most || left == most {
        most
    } else if rows == 1 {
        // A power of 2, at most half of the most.
        1 << if left > most { most.ilog2() } else { left.ilog2() }
    } else if left > most {
        // The last two tiles share what is left evenly.
        left.div_ceil(2)
    } else {
        left
    }
}

/// A block of output channels over some places.
pub(super) struct Block<'a, T> {
    /// Weights, `rows` of them a step.
    pub weights: *const T,
    /// What the sums start at, `rows` numbers.
    pub bias: *const T,
    /// Channels of the tile, those of [`TileRows`].
    pub rows: usize,
    /// Channels that are written, at most `rows`.
    pub valid: usize,
    /// Offset in the grid of each step.
    pub steps: &'a [u32],
    pub grid: *const T,
    pub places: &'a Places,
    /// The first output of the first channel, and the distance of channels.
    pub out: *mut T,
    pub channel: usize,
}

impl<T: Scalar> Block<'_, T> {
    /// Computes it, tile by tile.
    ///
    /// # Safety
    /// `weights` must hold `rows` numbers a step and `bias` as many; the grid must be readable at each place
    /// plus each step, a vector from there; the outputs of `valid` channels must be writable.
    #[inline(always)]
    pub unsafe fn compute<V: Vector<Element = T>>(&self) {
        let mut places = &self.places.places[..];
        while !places.is_empty() {
            let take = vectors_of_tile::<V>(self.rows, places.len());
            let (now, rest) = places.split_at(take);
            places = rest;
            // SAFETY: that of the caller; the number of places is the tile's.
            unsafe {
                match (V::REGISTERS, self.rows, take) {
                    (32.., 8, 3) => self.tile::<V, 8, 3>(now),
                    (32.., 8, 2) => self.tile::<V, 8, 2>(now),
                    (32.., 8, _) => self.tile::<V, 8, 1>(now),
                    (32.., 4, 3) => self.tile::<V, 4, 3>(now),
                    (32.., 1, 8) => self.tile::<V, 1, 8>(now),
                    (16..32, 6, 2) => self.tile::<V, 6, 2>(now),
                    (16..32, 6, _) => self.tile::<V, 6, 1>(now),
                    (16.., 4, 2) => self.tile::<V, 4, 2>(now),
                    (16.., 1, 4) => self.tile::<V, 1, 4>(now),
                    (_, 4, _) => self.tile::<V, 4, 1>(now),
                    (_, _, 2) => self.tile::<V, 1, 2>(now),
                    _ => self.tile::<V, 1, 1>(now),
                }
            }
        }
    }

    /// One tile.
    ///
    /// # Safety
    /// That of [`Block::compute`]; `NV` places, `MR` the block's rows.
    #[inline(always)]
    unsafe fn tile<V: Vector<Element = T>, const MR: usize, const NV: usize>(&self, places: &[Place]) {
        debug_assert!(places.len() == NV && self.rows == MR);
        // SAFETY: that of the caller: all reads are at a place plus a step, and all writes in runs.
        unsafe {
            let mut from = [self.grid; NV];
            for (v, from) in from.iter_mut().enumerate() {
                *from = from.add(places.get_unchecked(v).from as usize);
            }
            let mut sums = [[V::zero(); NV]; MR];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*self.bias.add(r)); NV];
            }
            let mut weights = self.weights;
            for &step in self.steps {
                let mut x = [V::zero(); NV];
                for (x, from) in x.iter_mut().zip(&from) {
                    *x = V::load(from.add(step as usize));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let weight = V::splat(*weights.add(r));
                    for (sum, &x) in sums.iter_mut().zip(&x) {
                        *sum = weight.mul_add(x, *sum);
                    }
                }
                weights = weights.add(MR);
            }
            // One by one, each of a constant index: the sums must stay in registers.
            macro_rules! write {
                ($($v:literal)*) => {
                    $(if $v < NV {
                        self.write(sums.map(|sums| sums[$v % NV]), places.get_unchecked($v % NV));
                    })*
                };
            }
            write!(0 1 2 3 4 5 6 7);
        }
    }

    /// Writes the vector of one place for all channels.
    ///
    /// # Safety
    /// The outputs of the place's runs must be writable.
    #[inline(always)]
    unsafe fn write<V: Vector<Element = T>, const MR: usize>(&self, sums: [V; MR], place: &Place) {
        // SAFETY: that of the caller; the runs of a place are in the list.
        unsafe {
            for run in self.places.runs.get_unchecked(place.first as usize..place.end as usize) {
                let out = self.out.add(run.to as usize);
                for (r, sum) in sums.into_iter().enumerate() {
                    if r < self.valid {
                        let out = out.add(r * self.channel);
                        if self.places.full {
                            sum.store(out);
                        } else {
                            sum.store_range(out, run.lane as usize, run.count as usize);
                        }
                    }
                }
            }
        }
    }
}
