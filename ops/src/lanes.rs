//! Functions of a few numbers, written once for vectors of any width, and the loop that applies them.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};

use crate::par;

/// A function of `K` numbers that yields one. What it depends on besides them it holds by value, so that
/// loops read it once.
pub trait Pointwise<const K: usize>: Copy + Sync {
    /// The function in each lane. Must be marked `#[inline(always)]`, so that it is compiled with the
    /// instructions of the loop around it.
    fn at<V: Vector>(&self, x: [V; K]) -> V;
}

/// `y_i = f(x_0i, x_1i, ..)`
pub(crate) struct Map<'a, F, T, const K: usize> {
    pub f: F,
    /// Each at least as long as `y`.
    pub x: [&'a [T]; K],
    pub y: &'a mut [T],
}

impl<T: Scalar, F: Pointwise<K>, const K: usize> Kernel<T> for Map<'_, F, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (f, len) = (self.f, self.y.len());
        let x = self.x.map(|x| x[..len].as_ptr());
        let y = self.y.as_mut_ptr();
        let whole = len - len % V::LANES;
        for i in (0..whole).step_by(V::LANES) {
            // SAFETY: i + LANES <= len, the length of y and of every part of x.
            unsafe { f.at(x.map(|x| V::load(x.add(i)))).store(y.add(i)) };
        }
        if whole < len {
            let rest = len - whole;
            // SAFETY: whole + rest = len.
            unsafe { f.at(x.map(|x| V::load_part(x.add(whole), rest))).store_part(y.add(whole), rest) };
        }
    }
}

/// Elements that one task handles.
const CHUNK: usize = 1 << 13;

/// `f` of the elements of slices of one length. `work` is a rough count of operations per element.
pub(crate) fn map<T: Scalar, F: Pointwise<K>, const K: usize>(f: F, x: [&[T]; K], work: usize) -> Buffer<T> {
    let mut y = Buffer::arbitrary(x[0].len());
    par::for_each_chunk(&mut y, CHUNK, CHUNK * work, |chunk, y| {
        let start = chunk * CHUNK;
        simd::run(Map { f, x: x.map(|x| &x[start..start + y.len()]), y });
    });
    y
}
