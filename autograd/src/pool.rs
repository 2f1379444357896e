//! Memory of the host that is used again: a training step allocates nothing large after the first.
//!
//! The system hands out large blocks page by page, on first touch, and takes them back as soon as they
//! are freed; a step that makes and drops a hundred arrays then spends its time on pages. Here a
//! dropped [`Buffer`] goes to a list of its size and the next request of that size takes it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::Scalar;

/// Elements below which the system's allocator is as good.
const MIN_POOLED: usize = 1024;
/// A pooled buffer starts at a multiple of this many bytes: a cache line, the widest vector.
const ALIGNMENT: usize = 64;

/// Numbers in host memory, which go back to a pool when dropped.
///
/// Buffers of 1024 elements and more that were asked for by length start on a cache line.
pub struct Buffer<T: Scalar> {
    /// The block; empty once given back.
    block: Vec<T>,
    /// Where in the block the elements start.
    start: usize,
    len: usize,
    /// Whether the block came from the pool, and so is of the size of its class.
    pooled: bool,
}

impl<T: Scalar> Buffer<T> {
    /// A buffer of arbitrary numbers, to be overwritten: what its previous user left in it.
    ///
    /// With the environment variable `TERMWISE_POISON` set they are NaN, so that tests notice a kernel that
    /// reads what it has not written.
    pub fn arbitrary(len: usize) -> Self {
        static POISON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("TERMWISE_POISON").is_some());
        let mut buffer = Self::stale(len);
        if *POISON {
            buffer.fill(T::of(f64::NAN));
        }
        buffer
    }

    fn stale(len: usize) -> Self {
        if len < MIN_POOLED {
            return Buffer::from(vec![T::zero(); len]);
        }
        let class = class_of(len);
        let recycled = T::pool().lock().take(class);
        let block = recycled.unwrap_or_else(|| vec![T::zero(); class + ALIGNMENT / size_of::<T>()]);
        let misaligned = block.as_ptr().addr() % ALIGNMENT;
        let start = (ALIGNMENT - misaligned) % ALIGNMENT / size_of::<T>();
        Buffer { block, start, len, pooled: true }
    }

    /// A buffer filled with one number.
    pub fn filled(len: usize, value: T) -> Self {
        let mut buffer = Buffer::arbitrary(len);
        buffer.fill(value);
        buffer
    }

    /// A buffer of zeros.
    pub fn zeros(len: usize) -> Self {
        Buffer::filled(len, T::zero())
    }
}

impl<T: Scalar> From<Vec<T>> for Buffer<T> {
    /// Takes the vector over, without a copy.
    fn from(block: Vec<T>) -> Self {
        Buffer { start: 0, len: block.len(), block, pooled: false }
    }
}

impl<T: Scalar> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Buffer::arbitrary(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Scalar> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Buffer::from(&**self)
    }
}

impl<T: Scalar> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.block[self.start..self.start + self.len]
    }
}

impl<T: Scalar> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.block[self.start..self.start + self.len]
    }
}

impl<T: Scalar> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Scalar> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.pooled {
            T::pool().lock().give(class_of(self.len), std::mem::take(&mut self.block));
        }
    }
}

/// `len` rounded up so that at most an eighth is unused and lengths that are alike share a class.
fn class_of(len: usize) -> usize {
    let step = (len.next_power_of_two() / 8).max(1);
    len.next_multiple_of(step)
}

/// The unused blocks of one number type, by size class.
pub struct Pool<T>(Mutex<Free<T>>);

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Pool(Mutex::new(Free { blocks: BTreeMap::new(), in_use: 0, most_in_use: 0, unused: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Free<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees every unused block.
    pub fn clear(&self) {
        let mut free = self.lock();
        free.blocks.clear();
        free.unused = 0;
        free.most_in_use = free.in_use;
    }

    /// Elements in use and elements that lie unused.
    pub fn elements(&self) -> (usize, usize) {
        let free = self.lock();
        (free.in_use, free.unused)
    }
}

struct Free<T> {
    blocks: BTreeMap<usize, Vec<Vec<T>>>,
    in_use: usize,
    most_in_use: usize,
    unused: usize,
}

impl<T> Free<T> {
    fn take(&mut self, class: usize) -> Option<Vec<T>> {
        self.in_use += class;
        self.most_in_use = self.most_in_use.max(self.in_use);
        let block = self.blocks.get_mut(&class)?.pop()?;
        self.unused -= class;
        Some(block)
    }

    /// Keeps the block, unless more would then lie unused than was ever in use at once.
    fn give(&mut self, class: usize, block: Vec<T>) {
        self.in_use -= class;
        if self.unused + class <= self.most_in_use {
            self.unused += class;
            self.blocks.entry(class).or_default().push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_block_serves_the_next_request_of_its_class() {
        // A length that no other test asks for, beside so much in use that the pool keeps it whatever else it holds.
        let len = 1_234_567;
        let _held = Buffer::<f64>::zeros(4 * len);
        let mut first = Buffer::<f64>::zeros(len);
        let address = first.as_ptr();
        first[7] = 3.0;
        drop(first);
        let second = Buffer::<f64>::stale(len - 1);
        assert_eq!(second.as_ptr(), address, "the same memory");
        assert_eq!(second[7], 3.0, "as it was left");
        drop(second);
        assert!(Buffer::<f64>::zeros(len).iter().all(|&x| x == 0.0));
    }

    #[test]
    fn large_buffers_start_on_a_cache_line() {
        for len in [1024, 1025, 5000, 100_003] {
            assert_eq!(Buffer::<f32>::arbitrary(len).as_ptr().addr() % ALIGNMENT, 0, "{len}");
            assert_eq!(Buffer::<f64>::arbitrary(len).len(), len);
        }
    }

    #[test]
    fn classes_waste_at_most_a_quarter_and_hold_the_length() {
        for len in 1024..20_000 {
            let class = class_of(len);
            assert!(class >= len && class <= len + len / 4, "{len}: {class}");
            assert_eq!(class_of(class), class);
        }
    }

    #[test]
    fn a_copy_does_not_share() {
        let a = Buffer::from(vec![1.0f32, 2.0]);
        let mut b = a.clone();
        b[0] = 5.0;
        assert_eq!((&a[..], &b[..]), (&[1.0, 2.0][..], &[5.0, 2.0][..]));
    }
}
