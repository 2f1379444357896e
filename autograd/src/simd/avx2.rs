//! Vectors of AVX2 with fused multiply-add.
//!
//! Soundness: the operations below use instructions that not every machine has, behind safe methods.
//! Their types are named nowhere but in [`super::run_on`], which checks the machine first, so no value
//! of them comes into being where the instructions are missing.

use std::arch::x86_64::*;

use super::vector::{Vector, operators};

/// Eight `f32`.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);

/// Four `f64`.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);

/// Implements a vector type: its register's intrinsics, and the constants of its number format.
macro_rules! avx2 {
    (
        $vector:ident, $element:ty, $lanes:literal, $mantissa:literal, $magic:expr, $whole:expr,
        $add:ident $sub:ident $mul:ident $div:ident $xor:ident $and:ident $andnot:ident $or:ident
        $set1:ident $load:ident $store:ident $maskload:ident $maskstore:ident
        $fmadd:ident $fmsub:ident $fnmadd:ident $max:ident $min:ident $sqrt:ident $round:ident
        $cmp:ident $blendv:ident $cast_int:ident $cast_float:ident $add_int:ident $shl:ident $shr:ident
        $unpacklo:ident $unpackhi:ident $halves:ident
    ) => {
        // SAFETY (of every block below): the machine has AVX2 and FMA, see the module documentation.
        operators!(
            $vector,
            // SAFETY: see above.
            |a: $vector, b: $vector| $vector(unsafe { $add(a.0, b.0) }),
            // SAFETY: see above.
            |a: $vector, b: $vector| $vector(unsafe { $sub(a.0, b.0) }),
            // SAFETY: see above.
            |a: $vector, b: $vector| $vector(unsafe { $mul(a.0, b.0) }),
            // SAFETY: see above.
            |a: $vector, b: $vector| $vector(unsafe { $div(a.0, b.0) }),
            // SAFETY: see above.
            |a: $vector| $vector(unsafe { $xor(a.0, $set1(-0.0)) })
        );

        impl Vector for $vector {
            type Element = $element;
            type Mask = $vector;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;
            const FUSED: bool = true;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $set1(value) })
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: see above; the caller vouches for the elements.
                $vector(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, into: *mut $element) {
                // SAFETY: see above; the caller vouches for the elements.
                unsafe { $store(into, self.0) }
            }

            #[inline(always)]
            unsafe fn load_part(from: *const $element, count: usize) -> Self {
                // SAFETY: see above; a masked load touches only the lanes whose mask is set.
                $vector(unsafe { $maskload(from, first_lanes::<$lanes>(count)) })
            }

            #[inline(always)]
            unsafe fn store_part(self, into: *mut $element, count: usize) {
                // SAFETY: see above; a masked store touches only the lanes whose mask is set.
                unsafe { $maskstore(into, first_lanes::<$lanes>(count), self.0) }
            }

            #[inline(always)]
            unsafe fn store_range(self, into: *mut $element, start: usize, count: usize) {
                // SAFETY: see above; a masked store touches only the lanes whose mask is set, the first of
                // which goes to `into`.
                unsafe {
                    let before = first_lanes::<$lanes>(start);
                    let mask = _mm256_andnot_si256(before, first_lanes::<$lanes>(start + count));
                    $maskstore(into.wrapping_sub(start), mask, self.0);
                }
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $fmadd(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn mul_sub(self, factor: Self, term: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $fmsub(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn neg_mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $fnmadd(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $andnot($set1(-0.0), self.0) })
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $sqrt(self.0) })
            }

            #[inline(always)]
            fn round(self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
            }

            #[inline(always)]
            fn floor(self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $round::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0) })
            }

            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe {
                    let bit = $set1(-0.0);
                    $or($andnot(bit, self.0), $and(bit, sign.0))
                })
            }

            #[inline(always)]
            fn ldexp(self, n: Self) -> Self {
                // SAFETY: see above. The sum holds n in its low bits; shifted, it adds to the exponent.
                $vector(unsafe {
                    let n = $shl::<$mantissa>($cast_int($add(n.0, $set1($magic))));
                    $cast_float($add_int($cast_int(self.0), n))
                })
            }

            #[inline(always)]
            fn mul_exp2(self, n: Self) -> Self {
                let one: $element = 1.0;
                let bias = (one.to_bits() >> $mantissa) as $element;
                // SAFETY: see above. The sum holds the biased exponent in its low bits.
                $vector(unsafe {
                    let power = $shl::<$mantissa>($cast_int($add(n.0, $set1($magic + bias))));
                    $mul(self.0, $cast_float(power))
                })
            }

            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                // SAFETY: see above. Or-ing the exponent into a number whose last place is 1 converts it.
                unsafe {
                    let one: $element = 1.0;
                    let mantissa = $set1(<$element>::from_bits((1 << $mantissa) - 1));
                    let fraction = $or($and(self.0, mantissa), $set1(one));
                    let exponent = $cast_float($shr::<$mantissa>($cast_int(self.0)));
                    let bias = (one.to_bits() >> $mantissa) as $element;
                    let exponent = $sub($or(exponent, $set1($whole)), $set1($whole + bias));
                    ($vector(fraction), $vector(exponent))
                }
            }

            #[inline(always)]
            fn lt(self, other: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $cmp::<_CMP_LT_OQ>(self.0, other.0) })
            }

            #[inline(always)]
            fn eq(self, other: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $cmp::<_CMP_EQ_OQ>(self.0, other.0) })
            }

            #[inline(always)]
            fn is_nan(self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $cmp::<_CMP_UNORD_Q>(self.0, self.0) })
            }

            #[inline(always)]
            fn select(mask: Self, yes: Self, no: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $blendv(no.0, yes.0, mask.0) })
            }

            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                // SAFETY: see above. Unpacking acts within the halves of the register.
                unsafe {
                    let (even, odd) = ($unpacklo(self.0, other.0), $unpackhi(self.0, other.0));
                    ($vector($halves::<0x20>(even, odd)), $vector($halves::<0x31>(even, odd)))
                }
            }

            #[inline(always)]
            fn with_rest(self, count: usize, rest: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $blendv(rest.0, self.0, $cast_float(first_lanes::<$lanes>(count))) })
            }

            #[inline(always)]
            fn sum(self) -> $element {
                self.reduce(|a, b| a + b, |a, b| a + b)
            }

            #[inline(always)]
            fn sums(vectors: &[Self]) -> Self {
                Self::fold(vectors)
            }

            #[inline(always)]
            fn max_lane(self) -> $element {
                self.reduce(|a, b| a.max(b), <$element>::max)
            }
        }
    };
}

avx2!(
    F32x8, f32, 8, 23, 12_582_912.0, 8_388_608.0,
    _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_xor_ps _mm256_and_ps _mm256_andnot_ps
    _mm256_or_ps _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_maskload_ps _mm256_maskstore_ps
    _mm256_fmadd_ps _mm256_fmsub_ps _mm256_fnmadd_ps _mm256_max_ps _mm256_min_ps _mm256_sqrt_ps _mm256_round_ps
    _mm256_cmp_ps _mm256_blendv_ps _mm256_castps_si256 _mm256_castsi256_ps _mm256_add_epi32 _mm256_slli_epi32
    _mm256_srli_epi32 _mm256_unpacklo_ps _mm256_unpackhi_ps _mm256_permute2f128_ps
);

avx2!(
    F64x4, f64, 4, 52, 6_755_399_441_055_744.0, 4_503_599_627_370_496.0,
    _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd _mm256_xor_pd _mm256_and_pd _mm256_andnot_pd
    _mm256_or_pd _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_maskload_pd _mm256_maskstore_pd
    _mm256_fmadd_pd _mm256_fmsub_pd _mm256_fnmadd_pd _mm256_max_pd _mm256_min_pd _mm256_sqrt_pd _mm256_round_pd
    _mm256_cmp_pd _mm256_blendv_pd _mm256_castpd_si256 _mm256_castsi256_pd _mm256_add_epi64 _mm256_slli_epi64
    _mm256_srli_epi64 _mm256_unpacklo_pd _mm256_unpackhi_pd _mm256_permute2f128_pd
);

impl F32x8 {
    /// Folds the halves of the register onto each other, then quarters, then the last two lanes.
    #[inline(always)]
    fn reduce(self, pairs: impl Fn(Self, Self) -> Self, last: impl Fn(f32, f32) -> f32) -> f32 {
        // SAFETY: the machine has AVX2, see the module documentation.
        unsafe {
            let v = pairs(self, F32x8(_mm256_permute2f128_ps::<1>(self.0, self.0)));
            let v = pairs(v, F32x8(_mm256_permute_ps::<0b01_00_11_10>(v.0)));
            let low = _mm256_castps256_ps128(v.0);
            last(_mm_cvtss_f32(low), _mm_cvtss_f32(_mm_movehdup_ps(low)))
        }
    }
}

impl F64x4 {
    /// Folds the halves of the register onto each other, then the last two lanes.
    #[inline(always)]
    fn reduce(self, pairs: impl Fn(Self, Self) -> Self, last: impl Fn(f64, f64) -> f64) -> f64 {
        // SAFETY: the machine has AVX2, see the module documentation.
        unsafe {
            let v = pairs(self, F64x4(_mm256_permute2f128_pd::<1>(self.0, self.0)));
            let low = _mm256_castpd256_pd128(v.0);
            last(_mm_cvtsd_f64(low), _mm_cvtsd_f64(_mm_unpackhi_pd(low, low)))
        }
    }
}

impl F32x8 {
    /// [`Vector::sums`]: a step folds two vectors into one that holds sums of lanes of both.
    #[inline(always)]
    fn fold(vectors: &[Self]) -> Self {
        let v: [Self; 8] = std::array::from_fn(|i| vectors[i]);
        let low = Self::fours(Self::pairs(v[0], v[1]), Self::pairs(v[2], v[3]));
        let high = Self::fours(Self::pairs(v[4], v[5]), Self::pairs(v[6], v[7]));
        // SAFETY: the machine has AVX2, see the module documentation.
        unsafe {
            let first = _mm256_permute2f128_ps::<0x20>(low.0, high.0);
            F32x8(_mm256_add_ps(first, _mm256_permute2f128_ps::<0x31>(low.0, high.0)))
        }
    }

    /// Within each half: lanes 0 + 2 and 1 + 3 of both.
    #[inline(always)]
    fn pairs(a: Self, b: Self) -> Self {
        // SAFETY: as above.
        F32x8(unsafe { _mm256_add_ps(_mm256_unpacklo_ps(a.0, b.0), _mm256_unpackhi_ps(a.0, b.0)) })
    }

    /// Of the pairs of two, those of all four vectors.
    #[inline(always)]
    fn fours(a: Self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (_mm256_castps_pd(a.0), _mm256_castps_pd(b.0));
            let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            F32x8(_mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high)))
        }
    }
}

impl F64x4 {
    /// [`Vector::sums`]: a step folds two vectors into one that holds sums of lanes of both.
    #[inline(always)]
    fn fold(vectors: &[Self]) -> Self {
        let v: [Self; 4] = std::array::from_fn(|i| vectors[i]);
        let (low, high) = (Self::pairs(v[0], v[1]), Self::pairs(v[2], v[3]));
        // SAFETY: the machine has AVX2, see the module documentation.
        unsafe {
            let first = _mm256_permute2f128_pd::<0x20>(low.0, high.0);
            F64x4(_mm256_add_pd(first, _mm256_permute2f128_pd::<0x31>(low.0, high.0)))
        }
    }

    /// Within each half: both lanes of each.
    #[inline(always)]
    fn pairs(a: Self, b: Self) -> Self {
        // SAFETY: as above.
        F64x4(unsafe { _mm256_add_pd(_mm256_unpacklo_pd(a.0, b.0), _mm256_unpackhi_pd(a.0, b.0)) })
    }
}

/// The mask of a masked load or store: all bits set in the first `count` lanes of `LANES`.
#[inline(always)]
fn first_lanes<const LANES: usize>(count: usize) -> __m256i {
    static F32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static F64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];
    let start = LANES - count.min(LANES);
    // SAFETY: the machine has AVX2; LANES elements from a start of at most LANES lie in the table.
    unsafe {
        if LANES == 8 {
            _mm256_loadu_si256(F32.as_ptr().add(start).cast())
        } else {
            _mm256_loadu_si256(F64.as_ptr().add(start).cast())
        }
    }
}
