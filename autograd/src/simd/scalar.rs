//! A number is a vector of one lane: what is written for vectors works on single numbers too.

use super::vector::Vector;

/// Implements [`Vector`] for a number type: the integer of the same size and the bits of a mantissa.
macro_rules! scalar {
    ($number:ident, $bits:ty, $mantissa:literal) => {
        impl Vector for $number {
            type Element = $number;
            type Mask = bool;
            const LANES: usize = 1;
            const REGISTERS: usize = 8;
            const FUSED: bool = false;

            #[inline(always)]
            fn splat(value: $number) -> Self {
                value
            }

            #[inline(always)]
            unsafe fn load(from: *const $number) -> Self {
                // SAFETY: the caller vouches for one element.
                unsafe { *from }
            }

            #[inline(always)]
            unsafe fn store(self, into: *mut $number) {
                // SAFETY: the caller vouches for one element.
                unsafe { *into = self }
            }

            #[inline(always)]
            unsafe fn load_part(from: *const $number, count: usize) -> Self {
                // SAFETY: the caller vouches for count elements.
                if count > 0 { unsafe { *from } } else { 0.0 }
            }

            #[inline(always)]
            unsafe fn store_part(self, into: *mut $number, count: usize) {
                if count > 0 {
                    // SAFETY: the caller vouches for count elements.
                    unsafe { *into = self }
                }
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                self * factor + term
            }

            #[inline(always)]
            fn floor(self) -> Self {
                self.floor()
            }

            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                (self, other)
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                if self > other { self } else { other }
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                if self < other { self } else { other }
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $number::abs(self)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $number::sqrt(self)
            }

            #[inline(always)]
            fn round(self) -> Self {
                self.round_ties_even()
            }

            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $number::copysign(self, sign)
            }

            #[inline(always)]
            fn ldexp(self, n: Self) -> Self {
                let shifted = (n as i64 as $bits) << $mantissa;
                $number::from_bits(self.to_bits().wrapping_add(shifted))
            }

            #[inline(always)]
            fn mul_exp2(self, n: Self) -> Self {
                let one: $number = 1.0;
                let biased = (one.to_bits() >> $mantissa) as i64 + n as i64;
                self * $number::from_bits((biased as $bits) << $mantissa)
            }

            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let (one, bits): ($number, $bits) = (1.0, self.to_bits());
                let mantissa = bits & ((1 << $mantissa) - 1) | one.to_bits();
                let exponent = (bits >> $mantissa) as i64 - (one.to_bits() >> $mantissa) as i64;
                ($number::from_bits(mantissa), exponent as $number)
            }

            #[inline(always)]
            fn lt(self, other: Self) -> bool {
                self < other
            }

            #[inline(always)]
            fn eq(self, other: Self) -> bool {
                self == other
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                $number::is_nan(self)
            }

            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }

            #[inline(always)]
            fn with_rest(self, count: usize, rest: Self) -> Self {
                if count > 0 { self } else { rest }
            }

            #[inline(always)]
            fn sum(self) -> $number {
                self
            }

            #[inline(always)]
            fn max_lane(self) -> $number {
                self
            }
        }
    };
}

scalar!(f32, u32, 23);
scalar!(f64, u64, 52);
