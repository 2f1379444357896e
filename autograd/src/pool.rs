//! Memory of the host that is used again: a training step allocates nothing large after the first.
//!
//! The system hands out large blocks page by page, on first touch, and takes them back as soon as they
//! are freed; a step that makes and drops a hundred arrays then spends its time on pages. Here a
//! dropped [`Buffer`] goes to a list of its size and the next request of that size takes it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// A number type that has a pool.
pub trait Pooled: Copy + Default + fmt::Debug + Send + Sync + 'static {
    /// What scratch memory holds where reading it is to be noticed.
    const POISON: Self;

    /// Where buffers of this type come from.
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($number:ident: $poison:expr),+) => {
        $(impl Pooled for $number {
            const POISON: Self = $poison;

            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$number> = Pool::new();
                &POOL
            }
        })+
    };
}

pooled!(f32: f32::NAN, f64: f64::NAN, u32: u32::MAX / 2);

/// Elements below which the system's allocator is as good.
const MIN_POOLED: usize = 1024;
/// A pooled buffer starts at a multiple of this many bytes: a cache line, the widest vector.
const ALIGNMENT: usize = 64;

/// Numbers in host memory, which go back to a pool when dropped.
///
/// Buffers of 1024 elements and more that were asked for by length start on a cache line. Smaller ones, and
/// those made of a vector, belong to the system's allocator and go back to it.
///
/// # Examples
/// ```
/// use termwise_autograd::pool::{Buffer, Pooled};
/// let mut a = Buffer::filled(2048, 3u32);
/// let b = Buffer::from(vec![7u32, 8]);
/// let copy = b.clone();
/// a[..2].copy_from_slice(&copy);
/// assert_eq!(a[..3], [7, 8, 3]);
/// assert_eq!(u32::pool().elements(), (2048, 0)); // in use and unused; b is too small to be counted
/// drop(a);
/// assert_eq!(u32::pool().elements(), (0, 2048));
/// let again = Buffer::<u32>::zeros(2000); // the same memory
/// assert_eq!((u32::pool().elements(), again.iter().sum()), ((2048, 0), 0u32));
/// ```
pub struct Buffer<T: Pooled> {
    /// The block; empty once given back.
    block: Vec<T>,
    /// Where in the block the elements start.
    start: usize,
    len: usize,
    /// Whether the block came from the pool, and so is of the size of its class.
    pooled: bool,
}

impl<T: Pooled> Buffer<T> {
    /// A buffer of arbitrary numbers, to be overwritten: what its previous user left in it.
    ///
    /// With the environment variable `TERMWISE_POISON` set they are NaN, so that tests notice a kernel that
    /// reads what it has not written.
    pub fn arbitrary(len: usize) -> Self {
        static POISON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("TERMWISE_POISON").is_some());
        let mut buffer = Self::stale(len);
        if *POISON {
            buffer.fill(T::POISON);
        }
        buffer
    }

    fn stale(len: usize) -> Self {
        if len < MIN_POOLED {
            return Buffer::from(vec![T::default(); len]);
        }
        let class = class_of(len);
        let recycled = T::pool().lock().take(class);
        let block = recycled.unwrap_or_else(|| vec![T::default(); class + ALIGNMENT / size_of::<T>()]);
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
        Buffer::filled(len, T::default())
    }
}

impl<T: Pooled> From<Vec<T>> for Buffer<T> {
    /// Takes the vector over, without a copy.
    fn from(block: Vec<T>) -> Self {
        Buffer { start: 0, len: block.len(), block, pooled: false }
    }
}

impl<T: Pooled> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Buffer::arbitrary(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Pooled> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Buffer::from(&**self)
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.block[self.start..self.start + self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.block[self.start..self.start + self.len]
    }
}

impl<T: Pooled> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Pooled> Drop for Buffer<T> {
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
        Pool(Mutex::new(Free { blocks: BTreeMap::new(), in_use: 0, most_in_use: 0, unused: 0, time: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Free<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees every unused block. Blocks in use are not touched, and come back to the pool later.
    pub fn clear(&self) {
        let mut free = self.lock();
        free.blocks.clear();
        free.unused = 0;
        free.most_in_use = free.in_use;
    }

    /// Elements in use and elements that lie unused, each block with the size of its class: the length that was
    /// asked for, rounded up by at most a quarter.
    pub fn elements(&self) -> (usize, usize) {
        let free = self.lock();
        (free.in_use, free.unused)
    }
}

struct Free<T> {
    /// Of each class the unused blocks and when they were given back, the last one at the end.
    blocks: BTreeMap<usize, VecDeque<(u64, Vec<T>)>>,
    in_use: usize,
    most_in_use: usize,
    unused: usize,
    /// Blocks given back so far.
    time: u64,
}

impl<T> Free<T> {
    fn take(&mut self, class: usize) -> Option<Vec<T>> {
        self.in_use += class;
        self.most_in_use = self.most_in_use.max(self.in_use);
        let (_, block) = self.blocks.get_mut(&class)?.pop_back()?;
        self.unused -= class;
        Some(block)
    }

    /// Keeps the block. Where much more then lies unused than was ever in use at once, those that have lain
    /// longest are freed: different sizes are in demand at different times of a step, but no longer those of
    /// another model.
    fn give(&mut self, class: usize, block: Vec<T>) {
        self.in_use -= class;
        self.unused += class;
        self.time += 1;
        self.blocks.entry(class).or_default().push_back((self.time, block));
        while self.unused > 2 * self.most_in_use {
            let oldest = self.blocks.iter().filter_map(|(&class, blocks)| Some((blocks.front()?.0, class)));
            let Some((_, class)) = oldest.min() else { return };
            self.blocks.get_mut(&class).and_then(VecDeque::pop_front);
            self.unused -= class;
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
    fn what_has_lain_longest_is_freed_first() {
        let mut free = Free { blocks: BTreeMap::new(), in_use: 0, most_in_use: 0, unused: 0, time: 0 };
        // Never more than 10 in use, so that 20 may lie unused.
        for class in [10, 9, 8] {
            assert!(free.take(class).is_none());
            free.give(class, vec![0u32; class]);
        }
        assert_eq!((free.in_use, free.unused), (0, 17));
        assert!(free.take(10).is_none(), "the first was freed");
        assert_eq!(free.take(8).map(|block| block.len()), Some(8));
        assert_eq!((free.in_use, free.unused, free.most_in_use), (18, 9, 18));
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
