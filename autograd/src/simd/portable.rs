//! Vectors for any machine, through `wide`, which takes whatever the build's baseline offers.

use wide::{f32x8, f64x4};

use super::vector::Vector;

/// Implements [`Vector`] for a type of `wide`: its number type, lanes, the integer of the same size, the
/// bits of a mantissa, the number whose addition leaves a whole number in the low bits, 1 and the
/// number whose unit in the last place is 1.
macro_rules! portable {
    ($vector:ident, $element:ty, $lanes:literal, $bits:ty, $mantissa:literal, $magic:expr, $whole:expr) => {
        impl Vector for $vector {
            type Element = $element;
            type Mask = $vector;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 8;
            const FUSED: bool = false;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                $vector::splat(value)
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller vouches for LANES elements; an array has no stricter alignment.
                $vector::from(unsafe { *from.cast::<[$element; $lanes]>() })
            }

            #[inline(always)]
            unsafe fn store(self, into: *mut $element) {
                // SAFETY: as for load.
                unsafe { *into.cast::<[$element; $lanes]>() = self.to_array() }
            }

            #[inline(always)]
            unsafe fn load_part(from: *const $element, count: usize) -> Self {
                let mut lanes = [0.0; $lanes];
                // SAFETY: the caller vouches for count elements, which are at most LANES.
                unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min($lanes)) };
                $vector::from(lanes)
            }

            #[inline(always)]
            unsafe fn store_part(self, into: *mut $element, count: usize) {
                let lanes = self.to_array();
                // SAFETY: as for load_part.
                unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), into, count.min($lanes)) };
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                $vector::mul_add(self, factor, term)
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.fast_max(other)
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.fast_min(other)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $vector::abs(self)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector::sqrt(self)
            }

            #[inline(always)]
            fn round(self) -> Self {
                let magic = $vector::splat($magic);
                (self + magic) - magic
            }

            #[inline(always)]
            fn floor(self) -> Self {
                $vector::floor(self)
            }

            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                let minus_zero = $vector::splat(-0.0);
                minus_zero.bitselect(sign, self)
            }

            #[inline(always)]
            fn ldexp(self, n: Self) -> Self {
                let (value, n) = (self.to_array(), (n + $vector::splat($magic)).to_array());
                $vector::from(std::array::from_fn(|i| {
                    <$element>::from_bits(value[i].to_bits().wrapping_add(n[i].to_bits() << $mantissa))
                }))
            }

            #[inline(always)]
            fn mul_exp2(self, n: Self) -> Self {
                let one: $element = 1.0;
                let bias = (one.to_bits() >> $mantissa) as $element;
                let biased = (n + $vector::splat($magic + bias)).to_array();
                self * $vector::from(biased.map(|b| <$element>::from_bits(b.to_bits() << $mantissa)))
            }

            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                const MASK: $bits = (1 << $mantissa) - 1;
                let (one, whole): ($element, $element) = (1.0, $whole);
                let bits = self.to_array().map(<$element>::to_bits);
                let mantissa = bits.map(|b| <$element>::from_bits(b & MASK | one.to_bits()));
                let biased = bits.map(|b| <$element>::from_bits((b >> $mantissa) | whole.to_bits()));
                let bias = (one.to_bits() >> $mantissa) as $element;
                ($vector::from(mantissa), $vector::from(biased) - $vector::splat(whole + bias))
            }

            #[inline(always)]
            fn lt(self, other: Self) -> Self {
                self.simd_lt(other)
            }

            #[inline(always)]
            fn eq(self, other: Self) -> Self {
                self.simd_eq(other)
            }

            #[inline(always)]
            fn is_nan(self) -> Self {
                $vector::is_nan(self)
            }

            #[inline(always)]
            fn select(mask: Self, yes: Self, no: Self) -> Self {
                mask.bitselect(yes, no)
            }

            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                let (a, b) = (self.to_array(), other.to_array());
                let half = |start: usize| {
                    $vector::from(std::array::from_fn(|i| {
                        if i % 2 == 0 { a[start + i / 2] } else { b[start + i / 2] }
                    }))
                };
                (half(0), half($lanes / 2))
            }

            #[inline(always)]
            fn with_rest(self, count: usize, rest: Self) -> Self {
                let (mut lanes, first) = (rest.to_array(), count.min($lanes));
                lanes[..first].copy_from_slice(&self.to_array()[..first]);
                $vector::from(lanes)
            }

            #[inline(always)]
            fn sum(self) -> $element {
                let mut lanes = self.to_array();
                let mut half = $lanes / 2;
                while half > 0 {
                    for i in 0..half {
                        lanes[i] += lanes[i + half];
                    }
                    half /= 2;
                }
                lanes[0]
            }

            #[inline(always)]
            fn max_lane(self) -> $element {
                self.to_array().into_iter().fold(<$element>::NEG_INFINITY, <$element>::max)
            }
        }
    };
}

portable!(f32x8, f32, 8, u32, 23, 12_582_912.0, 8_388_608.0);
portable!(f64x4, f64, 4, u64, 52, 6_755_399_441_055_744.0, 4_503_599_627_370_496.0);
