//! The kernels of the normalisations whose statistics belong to channels, or groups of them: an image is
//! planes of neighbouring elements, each with numbers of its own.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Cpu, Scalar};

use super::statistics::{AgainstMean, mean_and_variance};
use crate::sums::Sums;
use crate::{par, shape};

/// Mean and biased variance of each channel of `x` (N, C, ..).
pub(super) fn statistics<T: Scalar>(x: &Array<Cpu<T>>) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
    let statistics = per_block(channels, 4 * n * inner, |channels_here| ChannelStatistics {
        x: x.as_slice(),
        images: n,
        channels,
        inner,
        channels_here,
    });
    let (mean, var) = statistics.into_iter().unzip();
    (Array::host(&[channels], mean), Array::host(&[channels], var))
}

/// Runs a kernel for each block of `0 .. count`, which returns a number pair for each.
fn per_block<T: Scalar, K: Kernel<T, Output = Vec<(T, T)>>>(
    count: usize,
    work: usize,
    kernel: impl Fn(std::ops::Range<usize>) -> K + Sync,
) -> Vec<(T, T)> {
    let block = (BLOCK_WORK / work.max(1)).max(1);
    let blocks = par::map(count.div_ceil(block), block * work, |i| {
        simd::run(kernel(i * block..count.min((i + 1) * block)))
    });
    blocks.into_iter().flatten().collect()
}

/// Work of one call of a kernel.
const BLOCK_WORK: usize = 1 << 15;

/// Mean and variance of some channels.
struct ChannelStatistics<'a, T> {
    x: &'a [T],
    images: usize,
    channels: usize,
    inner: usize,
    channels_here: std::ops::Range<usize>,
}

impl<T: Scalar> Kernel<T> for ChannelStatistics<'_, T> {
    type Output = Vec<(T, T)>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Vec<(T, T)> {
        let ChannelStatistics { x, images, channels, inner, channels_here } = self;
        let mut statistics = Vec::with_capacity(channels_here.len());
        for c in channels_here {
            let planes = (0..images).map(|i| &x[(i * channels + c) * inner..][..inner]);
            statistics.push(mean_and_variance::<V>(planes));
        }
        statistics
    }
}

/// Mean and biased variance of `count` rows of `len` elements of `x`.
pub(super) fn row_statistics<T: Scalar>(x: &[T], count: usize, len: usize) -> Vec<(T, T)> {
    // Rows are the channels of one image.
    per_block(count, 4 * len, |channels_here| ChannelStatistics {
        x,
        images: 1,
        channels: count,
        inner: len,
        channels_here,
    })
}

/// `sum g (x - mean_c) inv_std_c` and `sum g` of each channel.
pub(super) fn sums_against_mean<T: Scalar>(
    x: &Array<Cpu<T>>,
    g: &Array<Cpu<T>>,
    mean: &[T],
    inv_std: &[T],
) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
    let mut sums = per_block(channels, 4 * n * inner, |channels_here| ChannelSums {
        x: x.as_slice(),
        g: g.as_slice(),
        mean,
        images: n,
        channels,
        inner,
        channels_here,
    });
    sums.iter_mut().zip(inv_std).for_each(|(sums, &inv_std)| sums.0 *= inv_std);
    let (weight, bias) = sums.into_iter().unzip();
    (Array::host(&[channels], weight), Array::host(&[channels], bias))
}

/// `sum g (x - mean)` and `sum g` of `mean.len()` rows of `len` elements.
pub(super) fn row_sums_against_mean<T: Scalar>(x: &[T], g: &[T], mean: &[T], len: usize) -> Vec<(T, T)> {
    per_block(mean.len(), 4 * len, |channels_here| ChannelSums {
        x,
        g,
        mean,
        images: 1,
        channels: mean.len(),
        inner: len,
        channels_here,
    })
}

/// Sums against the mean of some channels.
struct ChannelSums<'a, T> {
    x: &'a [T],
    g: &'a [T],
    mean: &'a [T],
    images: usize,
    channels: usize,
    inner: usize,
    channels_here: std::ops::Range<usize>,
}

impl<T: Scalar> Kernel<T> for ChannelSums<'_, T> {
    type Output = Vec<(T, T)>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Vec<(T, T)> {
        let ChannelSums { x, g, mean, images, channels, inner, channels_here } = self;
        let mut result = Vec::with_capacity(channels_here.len());
        for c in channels_here {
            let mut sums = Sums::<V, 2>::new();
            for i in 0..images {
                let plane = (i * channels + c) * inner..(i * channels + c + 1) * inner;
                sums.add(&x[plane.clone()], &g[plane], &AgainstMean(mean[c]));
            }
            let [gx, g] = sums.total();
            result.push((gx, g));
        }
        result
    }
}

/// `(x - centre) slope + shift + g slope_g`
#[derive(Clone, Copy)]
pub(super) struct Line<T> {
    pub centre: T,
    pub slope: T,
    pub shift: T,
    pub slope_g: T,
}

impl<T: Scalar> Line<T> {
    pub fn zero() -> Self {
        Line { centre: T::zero(), slope: T::zero(), shift: T::zero(), slope_g: T::zero() }
    }
}

/// The line of each plane of `x` (N, C, ..) along `x` and, where given, `g`.
pub(super) fn planes<T: Scalar>(
    x: &Array<Cpu<T>>,
    g: Option<&Array<Cpu<T>>>,
    line: impl Fn(usize) -> Line<T> + Sync,
) -> Array<Cpu<T>> {
    let (_, _, inner) = shape::split_at_axis(x.shape(), 1);
    let mut y = Buffer::arbitrary(x.len());
    par::for_each_rows(&mut y, inner, 6 * inner, |first, y| {
        let part = first * inner..first * inner + y.len();
        let lines: Vec<Line<T>> = (first..first + y.len() / inner).map(&line).collect();
        let (x, g) = (&x.as_slice()[part.clone()], g.map(|g| &g.as_slice()[part]));
        simd::run(Lines { x, g, lines: &lines, y });
    });
    Array::from_buffer(x.shape(), y)
}

/// One line for each plane.
struct Lines<'a, T> {
    x: &'a [T],
    g: Option<&'a [T]>,
    lines: &'a [Line<T>],
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Lines<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let inner = self.y.len() / self.lines.len();
        for (plane, line) in self.lines.iter().enumerate() {
            let part = plane * inner..(plane + 1) * inner;
            let (x, y) = (&self.x[part.clone()], &mut self.y[part.clone()]);
            let (centre, slope) = (V::splat(line.centre), V::splat(line.slope));
            let (shift, slope_g) = (V::splat(line.shift), V::splat(line.slope_g));
            match self.g {
                None => {
                    for (x, y) in x.chunks(V::LANES).zip(y.chunks_mut(V::LANES)) {
                        (V::from_slice(x) - centre).mul_add(slope, shift).write_to(y);
                    }
                }
                Some(g) => {
                    let xg = x.chunks(V::LANES).zip(g[part].chunks(V::LANES));
                    for ((x, g), y) in xg.zip(y.chunks_mut(V::LANES)) {
                        let from_x = (V::from_slice(x) - centre).mul_add(slope, shift);
                        V::from_slice(g).mul_add(slope_g, from_x).write_to(y);
                    }
                }
            }
        }
    }
}
