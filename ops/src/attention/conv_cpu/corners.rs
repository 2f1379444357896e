//! Where the taps of a deformable convolution fall: the pixels around each and their weights.
//!
//! They depend on the output, the tap and the offset group alone, so they are found once for all channels,
//! for many outputs at a time.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

use crate::attention::deformable_conv::DeformGeometry;

/// Most outputs of a block; whole vectors of any kind.
pub(super) const BLOCK: usize = 96;

/// What decides where taps fall, of one sample.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a, T> {
    pub geometry: &'a DeformGeometry,
    pub offset: &'a [T],       // (axes G taps, positions)
    pub mask: Option<&'a [T]>, // (G taps, positions)
}

impl<'a, T: Scalar> Taps<'a, T> {
    /// Offset groups times taps.
    pub fn slots(&self) -> usize {
        self.geometry.offset_groups * self.geometry.conv.window.taps()
    }

    /// The mask of one slot at some outputs.
    pub fn mask(&self, slot: usize, outputs: &Range<usize>) -> Option<&'a [T]> {
        let positions = self.geometry.conv.window.positions();
        self.mask.map(|mask| &mask[slot * positions..][outputs.clone()])
    }

    /// Row of `offset` that moves one slot along an axis counted from the last: 0 is dx, 1 is dy.
    pub fn offset_row(&self, slot: usize, axis: usize) -> usize {
        let axes = self.geometry.axes;
        slot * axes + axes - 1 - axis
    }

    /// That row at some outputs.
    pub fn offset(&self, slot: usize, axis: usize, outputs: &Range<usize>) -> &'a [T] {
        let positions = self.geometry.conv.window.positions();
        &self.offset[self.offset_row(slot, axis) * positions..][outputs.clone()]
    }

    /// What the origin of the first tap of each output is, before the offset: down and right.
    pub fn origins(&self, outputs: &Range<usize>) -> [[T; BLOCK]; 2] {
        let window = &self.geometry.conv.window;
        let mut origins = [[T::zero(); BLOCK]; 2];
        for i in 0..BLOCK {
            // Beyond the block the last output is repeated, so that no vector reaches further than it does.
            let q = (outputs.start + i).min(outputs.end.max(1) - 1);
            for (axis, at) in [q / window.output[1], q % window.output[1]].into_iter().enumerate() {
                origins[axis][i] = T::of((at * window.stride[axis]) as f64 - window.padding[axis] as f64);
            }
        }
        origins
    }

    /// Along `axis` (0 down, 1 right), where the taps of `slot` fall, at the outputs `i..` of the block.
    #[inline(always)]
    pub fn along<V: Vector<Element = T>>(
        &self,
        slot: usize,
        axis: usize,
        outputs: &Range<usize>,
        origins: &[[T; BLOCK]; 2],
        i: usize,
    ) -> Along<V> {
        let window = &self.geometry.conv.window;
        let tap = slot % window.taps();
        let tap = [tap / window.kernel[1], tap % window.kernel[1]][axis] * window.dilation[axis];
        let origin = V::from_slice(&origins[axis][i..]) + V::splat(T::of(tap as f64));
        let offset = V::from_slice(&self.offset(slot, 1 - axis, outputs)[i..]);
        Along::at(origin + offset, window.image[axis])
    }
}

/// The two pixels around a position along one axis.
#[derive(Clone, Copy)]
pub(super) struct Along<V: Vector> {
    /// The position rounded down: the first of the two.
    pub floor: V,
    /// Their weights, 0 outside the image.
    pub weight: [V; 2],
    /// How the weights change as the position grows: -1 and 1, 0 outside the image.
    pub slope: [V; 2],
}

impl<V: Vector> Along<V> {
    #[inline(always)]
    fn at(position: V, extent: usize) -> Self {
        let (zero, one) = (V::zero(), V::splat(V::Element::of(1.0)));
        let extent = V::splat(V::Element::of(extent as f64));
        let floor = position.floor();
        let fraction = position - floor;
        let next = floor + one;
        let (first, second) = (inside(floor, extent, one - fraction), inside(next, extent, fraction));
        // Not silently "outside": a broken offset must show.
        let weight =
            [V::select(position.is_nan(), position, first), V::select(position.is_nan(), position, second)];
        Along { floor, weight, slope: [inside(floor, extent, zero - one), inside(next, extent, one)] }
    }
}

/// `value` where `0 <= at < extent`, else 0.
#[inline(always)]
fn inside<V: Vector>(at: V, extent: V, value: V) -> V {
    V::select(at.lt(V::zero()), V::zero(), V::select(at.lt(extent), value, V::zero()))
}

/// The corners of all slots for a block of outputs: `N` is 4, or 2 where samples move along a line.
pub(super) struct Corners<T, const N: usize> {
    /// Pixel of each corner; one past the last where it lies outside. // (slots, N, BLOCK)
    pub pixel: Vec<u32>,
    /// Bilinear weight of each, times the mask. // (slots, N, BLOCK)
    pub weight: Vec<T>,
}

impl<T: Scalar, const N: usize> Corners<T, N> {
    pub fn new(slots: usize) -> Self {
        Corners { pixel: vec![0; slots * N * BLOCK], weight: vec![T::zero(); slots * N * BLOCK] }
    }

    /// Finds the corners of some outputs.
    #[inline(always)]
    pub fn find<V: Vector<Element = T>>(&mut self, taps: &Taps<T>, outputs: &Range<usize>) {
        let origins = taps.origins(outputs);
        let count = outputs.len();
        let one_line = V::splat(T::one());
        for slot in 0..taps.slots() {
            let pixel = &mut self.pixel[slot * N * BLOCK..][..N * BLOCK];
            let weight = &mut self.weight[slot * N * BLOCK..][..N * BLOCK];
            let mask = taps.mask(slot, outputs);
            let mut floor = [[T::zero(); BLOCK]; 2];
            for i in (0..count).step_by(V::LANES) {
                let across = taps.along::<V>(slot, 1, outputs, &origins, i);
                across.floor.write_to(&mut floor[1][i..]);
                let mask = if let Some(mask) = mask { V::from_slice(&mask[i..]) } else { one_line };
                let mut down = [one_line; 2];
                if N == 4 {
                    let along = taps.along::<V>(slot, 0, outputs, &origins, i);
                    along.floor.write_to(&mut floor[0][i..]);
                    down = along.weight;
                }
                for corner in 0..N {
                    let weight = &mut weight[corner * BLOCK + i..];
                    (down[corner / 2] * across.weight[corner % 2] * mask).write_to(weight);
                }
            }
            let mut whole = [[0; BLOCK]; 2];
            for axis in 0..2 {
                for (whole, floor) in whole[axis].iter_mut().zip(&floor[axis]) {
                    *whole = floor.as_f64() as i32;
                }
            }
            let [height, width] = taps.geometry.conv.window.image.map(|extent| extent as u32);
            for corner in 0..N {
                let pixel = &mut pixel[corner * BLOCK..][..BLOCK];
                let (down, right) = (corner as i32 / 2, corner as i32 % 2);
                for i in 0..BLOCK {
                    let row = whole[0][i].wrapping_add(down) as u32;
                    let col = whole[1][i].wrapping_add(right) as u32;
                    let at = row.wrapping_mul(width).wrapping_add(col);
                    pixel[i] = if (row < height) & (col < width) { at } else { height * width };
                }
            }
        }
    }

    /// Pixels and weights of the corners of one slot. // (N, BLOCK) each
    #[inline(always)]
    pub fn of(&self, slot: usize) -> (&[u32], &[T]) {
        let range = slot * N * BLOCK..(slot + 1) * N * BLOCK;
        (&self.pixel[range.clone()], &self.weight[range])
    }
}
