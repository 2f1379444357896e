//! The operations every vector type has.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::Scalar;

/// A fixed number of lanes on which arithmetic acts at once.
///
/// `max`, `min` and comparisons with NaN follow the machine: `a.max(b)` is `b` where either is NaN
/// on x86-64, unspecified elsewhere.
///
/// # Examples
/// ```
/// use termwise_autograd::Scalar;
/// use termwise_autograd::simd::{self, Kernel, Vector};
///
/// /// The sum of all `x[i] y[i]`.
/// struct Dot<'a, T>(&'a [T], &'a [T]);
///
/// impl<T: Scalar> Kernel<T> for Dot<'_, T> {
///     type Output = T;
///
///     #[inline(always)]
///     fn run<V: Vector<Element = T>>(self) -> T {
///         let mut sum = V::zero();
///         for (x, y) in self.0.chunks(V::LANES).zip(self.1.chunks(V::LANES)) {
///             sum = V::from_slice(x).mul_add(V::from_slice(y), sum); // lanes that a slice lacks are 0
///         }
///         sum.sum()
///     }
/// }
///
/// let x: Vec<f32> = (1..=19).map(|i| i as f32).collect();
/// assert_eq!(simd::run(Dot(&x, &[2.0; 19])), 380.0); // 2 times 19 times 20 / 2
/// ```
pub trait Vector:
    Copy
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// Number type of a lane.
    type Element: Scalar;
    /// One truth value a lane.
    type Mask: Copy;
    /// Number of lanes.
    const LANES: usize;
    /// Number of vectors the machine's register file holds: how large a tile of accumulators may be.
    const REGISTERS: usize;
    /// Whether [`mul_add`](Vector::mul_add) is sure to round once.
    const FUSED: bool;

    /// The same number in each lane.
    fn splat(value: Self::Element) -> Self;

    /// Reads `LANES` elements, at any alignment.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load(from: *const Self::Element) -> Self;

    /// Writes `LANES` elements, at any alignment.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store(self, into: *mut Self::Element);

    /// Reads the first `count` elements, at most `LANES`; the other lanes are 0.
    ///
    /// # Safety
    /// `count` elements must be readable.
    unsafe fn load_part(from: *const Self::Element, count: usize) -> Self;

    /// Writes the first `count` lanes, at most `LANES`.
    ///
    /// # Safety
    /// `count` elements must be writable.
    unsafe fn store_part(self, into: *mut Self::Element, count: usize);

    /// Writes the `count` lanes from lane `start` on to `into`, `into + 1` and so forth.
    ///
    /// # Safety
    /// `start + count` must be at most `LANES`, and `count` elements must be writable.
    #[inline(always)]
    unsafe fn store_range(self, into: *mut Self::Element, start: usize, count: usize) {
        let lanes = Lanes::of(self);
        // SAFETY: the caller vouches for the range of lanes and for the elements.
        unsafe { std::ptr::copy_nonoverlapping(lanes.0.as_ptr().add(start), into, count) };
    }

    /// `self * factor + term`, rounded once where the machine can.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger of each lane.
    fn max(self, other: Self) -> Self;
    /// The smaller of each lane.
    fn min(self, other: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// The nearest integer, ties to even; exact for `|x| < 2^22`, unspecified beyond the range of `i32`.
    fn round(self) -> Self;
    /// The largest integer that is not larger; infinities and NaN stay.
    fn floor(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// `self * 2^n` for whole `n` for which `2^n` is a normal number or, at the upper end, twice one.
    fn ldexp(self, n: Self) -> Self;
    /// `self * 2^n` for whole `n` for which `2^n` is a normal number, 0 for the `n` just below; NaN stays.
    fn mul_exp2(self, n: Self) -> Self;
    /// `(m, e)` with `self = m * 2^e` and `m` in [1, 2) for positive normal numbers; else unspecified.
    fn frexp(self) -> (Self, Self);

    /// Lanes in which `self < other`.
    fn lt(self, other: Self) -> Self::Mask;
    /// Lanes in which `self == other`.
    fn eq(self, other: Self) -> Self::Mask;
    /// Lanes that are NaN.
    fn is_nan(self) -> Self::Mask;
    /// `yes` in the lanes of the mask, `no` in the others.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// The lanes of both in turn, `a0 b0 a1 b1 ..`: the first half of that, then the second.
    fn interleave(self, other: Self) -> (Self, Self);

    /// The reverse of [`interleave`](Vector::interleave): the even lanes of both, then the odd ones.
    #[inline(always)]
    fn deinterleave(self, other: Self) -> (Self, Self) {
        // Interleaving rotates the bits of a lane's number to the left; the last rotation but one of all
        // is one to the right.
        let (mut low, mut high) = (self, other);
        let mut rounds = Self::LANES.trailing_zeros();
        while rounds > 0 {
            (low, high) = low.interleave(high);
            rounds -= 1;
        }
        (low, high)
    }

    /// The first `count` lanes, at most `LANES`, of `self` and the others of `rest`.
    fn with_rest(self, count: usize, rest: Self) -> Self;

    /// The sum of all lanes, added pairwise.
    fn sum(self) -> Self::Element;
    /// The largest lane.
    fn max_lane(self) -> Self::Element;

    /// The sums of `LANES` vectors: lane `i` is the sum of all lanes of `vectors[i]`, added pairwise. Much cheaper
    /// than as many [`sum`](Vector::sum)s.
    ///
    /// # Panics
    /// If there are fewer vectors.
    #[inline(always)]
    fn sums(vectors: &[Self]) -> Self {
        let mut lanes = Lanes::of(Self::zero());
        for (i, lane) in lanes.as_mut_slice().iter_mut().enumerate() {
            *lane = vectors[i].sum();
        }
        lanes.vector()
    }

    /// All lanes 0.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(num_traits::Zero::zero())
    }

    /// A constant in each lane, rounded to the lanes' type.
    #[inline(always)]
    fn of(value: f64) -> Self {
        Self::splat(Self::Element::of(value))
    }

    /// `self * factor - term`.
    #[inline(always)]
    fn mul_sub(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, -term)
    }

    /// `term - self * factor`.
    #[inline(always)]
    fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        (-self).mul_add(factor, term)
    }

    /// The first `LANES` elements of a slice, or as many as it has and zeros.
    #[inline(always)]
    fn from_slice(from: &[Self::Element]) -> Self {
        if from.len() >= Self::LANES {
            // SAFETY: that many elements are there.
            unsafe { Self::load(from.as_ptr()) }
        } else {
            // SAFETY: exactly the elements that are there.
            unsafe { Self::load_part(from.as_ptr(), from.len()) }
        }
    }

    /// Writes the lanes to the front of a slice, or as many as it has room for.
    #[inline(always)]
    fn write_to(self, into: &mut [Self::Element]) {
        if into.len() >= Self::LANES {
            // SAFETY: there is room for all lanes.
            unsafe { self.store(into.as_mut_ptr()) }
        } else {
            // SAFETY: exactly the room there is.
            unsafe { self.store_part(into.as_mut_ptr(), into.len()) }
        }
    }

    /// `f` of each lane, one after the other: for what has no vector form.
    #[inline(always)]
    fn map(self, f: impl Fn(Self::Element) -> Self::Element) -> Self {
        let mut lanes = Lanes::of(self);
        for lane in lanes.as_mut_slice() {
            *lane = f(*lane);
        }
        lanes.vector()
    }
}

/// The lanes of a vector in memory.
pub struct Lanes<V: Vector>([V::Element; 16], std::marker::PhantomData<V>);

impl<V: Vector> Lanes<V> {
    /// Spills a vector.
    #[inline(always)]
    pub fn of(vector: V) -> Self {
        let mut lanes = [num_traits::Zero::zero(); 16];
        vector.write_to(&mut lanes);
        Lanes(lanes, std::marker::PhantomData)
    }

    /// The lanes.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [V::Element] {
        &mut self.0[..V::LANES]
    }

    /// The vector again.
    #[inline(always)]
    pub fn vector(&self) -> V {
        V::from_slice(&self.0)
    }
}

/// Implements the operators of a vector type by four functions and a negation.
macro_rules! operators {
    ($vector:ty, $add:expr, $sub:expr, $mul:expr, $div:expr, $neg:expr) => {
        operators!(@binary $vector, Add, add, AddAssign, add_assign, $add);
        operators!(@binary $vector, Sub, sub, SubAssign, sub_assign, $sub);
        operators!(@binary $vector, Mul, mul, MulAssign, mul_assign, $mul);
        operators!(@binary $vector, Div, div, DivAssign, div_assign, $div);
        impl std::ops::Neg for $vector {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                $neg(self)
            }
        }
    };
    (@binary $vector:ty, $trait:ident, $method:ident, $assign:ident, $assign_method:ident, $f:expr) => {
        impl std::ops::$trait for $vector {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                $f(self, other)
            }
        }
        impl std::ops::$assign for $vector {
            #[inline(always)]
            fn $assign_method(&mut self, other: Self) {
                *self = $f(*self, other);
            }
        }
    };
}
pub(super) use operators;
