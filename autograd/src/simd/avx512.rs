//! Vectors of AVX-512.
//!
//! Soundness: as in the AVX2 module, the types are named nowhere but in [`super::run_on`], which checks the
//! machine first.

use std::arch::x86_64::*;

use super::vector::{Vector, operators};

/// Sixteen `f32`.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

/// Eight `f64`.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

/// Implements a vector type: its register's intrinsics, and the constants of its number format.
macro_rules! avx512 {
    (
        $vector:ident, $element:ty, $lanes:literal, $mask:ty, $mantissa:literal, $magic:expr, $whole:expr,
        $add:ident $sub:ident $mul:ident $div:ident $xor:ident $and:ident $andnot:ident $or:ident
        $set1:ident $load:ident $store:ident $maskload:ident $maskstore:ident
        $fmadd:ident $fmsub:ident $fnmadd:ident $max:ident $min:ident $sqrt:ident $round:ident
        $cmp:ident $blend:ident $cast_int:ident $cast_float:ident $add_int:ident $shl:ident $shr:ident
        $sum:ident $max_lane:ident $scale:ident $permute:ident $zip:ident $unzip:ident $load_int:ident
    ) => {
        // SAFETY (of every block below): the machine has AVX-512, see the module documentation.
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
            type Mask = $mask;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 32;
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
                $vector(unsafe { $maskload(first_lanes(count, $lanes) as $mask, from) })
            }

            #[inline(always)]
            unsafe fn store_part(self, into: *mut $element, count: usize) {
                // SAFETY: see above; a masked store touches only the lanes whose mask is set.
                unsafe { $maskstore(into, first_lanes(count, $lanes) as $mask, self.0) }
            }

            #[inline(always)]
            unsafe fn store_range(self, into: *mut $element, start: usize, count: usize) {
                let mask = first_lanes(count, $lanes) << start;
                // SAFETY: see above; a masked store touches only the lanes whose mask is set, the first of
                // which goes to `into`.
                unsafe { $maskstore(into.wrapping_sub(start), mask as $mask, self.0) }
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
                // SAFETY: see above.
                $vector(unsafe { $scale(self.0, n.0) })
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
            fn lt(self, other: Self) -> $mask {
                // SAFETY: see above.
                unsafe { $cmp::<_CMP_LT_OQ>(self.0, other.0) }
            }

            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                // SAFETY: see above.
                unsafe { $cmp::<_CMP_EQ_OQ>(self.0, other.0) }
            }

            #[inline(always)]
            fn is_nan(self) -> $mask {
                // SAFETY: see above.
                unsafe { $cmp::<_CMP_UNORD_Q>(self.0, self.0) }
            }

            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $blend(mask, no.0, yes.0) })
            }

            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                // SAFETY: see above; the tables of lanes are as long as a register.
                unsafe {
                    let [low, high] = &$zip;
                    let (low, high) = ($load_int(low.as_ptr().cast()), $load_int(high.as_ptr().cast()));
                    ($vector($permute(self.0, low, other.0)), $vector($permute(self.0, high, other.0)))
                }
            }

            #[inline(always)]
            fn deinterleave(self, other: Self) -> (Self, Self) {
                // SAFETY: see above; the tables of lanes are as long as a register.
                unsafe {
                    let [low, high] = &$unzip;
                    let (low, high) = ($load_int(low.as_ptr().cast()), $load_int(high.as_ptr().cast()));
                    ($vector($permute(self.0, low, other.0)), $vector($permute(self.0, high, other.0)))
                }
            }

            #[inline(always)]
            fn with_rest(self, count: usize, rest: Self) -> Self {
                // SAFETY: see above.
                $vector(unsafe { $blend(first_lanes(count, $lanes) as $mask, rest.0, self.0) })
            }

            #[inline(always)]
            fn sum(self) -> $element {
                // SAFETY: see above.
                unsafe { $sum(self.0) }
            }

            #[inline(always)]
            fn sums(vectors: &[Self]) -> Self {
                Self::fold(vectors)
            }

            #[inline(always)]
            fn max_lane(self) -> $element {
                // SAFETY: see above.
                unsafe { $max_lane(self.0) }
            }
        }
    };
}

avx512!(
    F32x16, f32, 16, __mmask16, 23, 12_582_912.0, 8_388_608.0,
    _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_xor_ps _mm512_and_ps _mm512_andnot_ps
    _mm512_or_ps _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_maskz_loadu_ps _mm512_mask_storeu_ps
    _mm512_fmadd_ps _mm512_fmsub_ps _mm512_fnmadd_ps _mm512_max_ps _mm512_min_ps _mm512_sqrt_ps
    _mm512_roundscale_ps _mm512_cmp_ps_mask _mm512_mask_blend_ps _mm512_castps_si512 _mm512_castsi512_ps
    _mm512_add_epi32 _mm512_slli_epi32 _mm512_srli_epi32 _mm512_reduce_add_ps _mm512_reduce_max_ps _mm512_scalef_ps
    _mm512_permutex2var_ps ZIP_32 UNZIP_32 _mm512_loadu_si512
);

avx512!(
    F64x8, f64, 8, __mmask8, 52, 6_755_399_441_055_744.0, 4_503_599_627_370_496.0,
    _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd _mm512_xor_pd _mm512_and_pd _mm512_andnot_pd
    _mm512_or_pd _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_maskz_loadu_pd _mm512_mask_storeu_pd
    _mm512_fmadd_pd _mm512_fmsub_pd _mm512_fnmadd_pd _mm512_max_pd _mm512_min_pd _mm512_sqrt_pd
    _mm512_roundscale_pd _mm512_cmp_pd_mask _mm512_mask_blend_pd _mm512_castpd_si512 _mm512_castsi512_pd
    _mm512_add_epi64 _mm512_slli_epi64 _mm512_srli_epi64 _mm512_reduce_add_pd _mm512_reduce_max_pd _mm512_scalef_pd
    _mm512_permutex2var_pd ZIP_64 UNZIP_64 _mm512_loadu_si512
);

/// Which lanes of two registers, one after the other, the halves of their interleaving hold.
static ZIP_32: [[i32; 16]; 2] = [
    [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23],
    [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31],
];
static ZIP_64: [[i64; 8]; 2] = [[0, 8, 1, 9, 2, 10, 3, 11], [4, 12, 5, 13, 6, 14, 7, 15]];

/// The same of the even lanes of both, and the odd ones.
static UNZIP_32: [[i32; 16]; 2] = [
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30],
    [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31],
];
static UNZIP_64: [[i64; 8]; 2] = [[0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15]];

/// Implements [`Vector::sums`]: a step folds two vectors into one that holds sums of lanes of both.
macro_rules! fold {
    ($vector:ident, $register:ty, [$($step:ident($half:literal)),*], $($name:ident: |$a:ident, $b:ident| $body:expr),*) => {
        impl $vector {
            #[inline(always)]
            fn fold(vectors: &[Self]) -> Self {
                let mut v: [Self; Self::LANES] = std::array::from_fn(|i| vectors[i]);
                $(
                    for i in 0..$half {
                        v[i] = Self::$step(v[2 * i], v[2 * i + 1]);
                    }
                )*
                v[0]
            }

            $(
                #[inline(always)]
                fn $name(a: Self, b: Self) -> Self {
                    let ($a, $b): ($register, $register) = (a.0, b.0);
                    // SAFETY: the machine has AVX-512, see the module documentation.
                    $vector(unsafe { $body })
                }
            )*
        }
    };
}

fold!(
    F32x16, __m512, [pairs(8), fours(4), halves(2), quarters(1)],
    // Within each quarter: lanes 0 + 2 and 1 + 3 of both; then all four lanes of the four.
    pairs: |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)),
    fours: |a, b| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
    },
    // Quarters 0 + 2 and 1 + 3 of both; then all of them.
    halves: |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)),
    quarters: |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
);

fold!(
    F64x8, __m512d, [pairs(4), halves(2), quarters(1)],
    pairs: |a, b| _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)),
    halves: |a, b| _mm512_add_pd(_mm512_shuffle_f64x2::<0x44>(a, b), _mm512_shuffle_f64x2::<0xee>(a, b)),
    quarters: |a, b| _mm512_add_pd(_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0xdd>(a, b))
);

/// The mask whose first `count` bits of `lanes` are set.
#[inline(always)]
fn first_lanes(count: usize, lanes: usize) -> u32 {
    (1 << count.min(lanes)) - 1
}
