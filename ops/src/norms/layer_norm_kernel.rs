//! The kernels of layer normalisation. They work on blocks of rows that fit into the first cache: memory is
//! read once, and a pass goes over all rows of a block so that no row waits for the sums of another.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Cpu, Scalar};

use super::statistics::of_rows;
use crate::lanes::{self, Pointwise};
use crate::sums::Sums;
use crate::{par, rows};

/// Output, and the mean and `1 / sqrt(var + eps)` of each row of `len` elements.
#[expect(clippy::type_complexity, reason = "three arrays")]
pub(super) fn forward<T: Scalar>(
    x: &Array<Cpu<T>>,
    weight: Option<&Array<Cpu<T>>>,
    bias: Option<&Array<Cpu<T>>>,
    len: usize,
    eps: f64,
) -> (Array<Cpu<T>>, Array<Cpu<T>>, Array<Cpu<T>>) {
    let rows = x.len().checked_div(len).unwrap_or(0);
    let (weight, bias) = (&*given_or(weight, len, T::one()), &*given_or(bias, len, T::zero()));
    let (mut y, mut mean, mut inv_std) =
        (Buffer::arbitrary(x.len()), Buffer::arbitrary(rows), Buffer::arbitrary(rows));
    let block = par::rows_per_block(len);
    let outs = [(&mut y[..], block * len), (&mut mean[..], block), (&mut inv_std[..], block)];
    if rows > 0 {
        par::for_each_chunks(outs, 12 * block * len, |i, [y, mean, inv_std]| {
            let x = &x.as_slice()[i * block * len..][..y.len()];
            simd::run(Forward { x, weight, bias, eps, y, mean, inv_std });
        });
    }
    let [mean, inv_std] = [mean, inv_std].map(|statistic| Array::from_buffer(&[rows], statistic));
    (Array::from_buffer(x.shape(), y), mean, inv_std)
}

/// A copy of what is given, or `len` times `default`.
fn given_or<T: Scalar>(given: Option<&Array<Cpu<T>>>, len: usize, default: T) -> Buffer<T> {
    given.map_or_else(|| Buffer::filled(len, default), |given| Buffer::from(given.as_slice()))
}

/// `y = (x - mean) inv_std weight + bias`, row by row.
struct Forward<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    eps: f64,
    y: &'a mut [T],
    /// One per row.
    mean: &'a mut [T],
    inv_std: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Forward { x, weight, bias, eps, y, mean, inv_std } = self;
        let len = weight.len();
        of_rows::<T, V>(x, len, mean, inv_std);
        for inv_std in inv_std.chunks_mut(V::LANES) {
            (V::of(1.0) / (V::from_slice(inv_std) + V::of(eps)).sqrt()).write_to(inv_std);
        }
        let rows = x.chunks_exact(len).zip(y.chunks_exact_mut(len));
        for ((x, y), (mean, inv_std)) in rows.zip(mean.iter().zip(&*inv_std)) {
            let f = Normalise { mean: mean.as_f64(), inv_std: inv_std.as_f64() };
            lanes::Map { f, x: [x, weight, bias], y }.run::<V>();
        }
    }
}

#[derive(Clone, Copy)]
struct Normalise {
    mean: f64,
    inv_std: f64,
}

impl Pointwise<3> for Normalise {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, weight, bias]: [V; 3]) -> V {
        ((x - V::of(self.mean)) * V::of(self.inv_std)).mul_add(weight, bias)
    }
}

/// The gradients in `x`, weight and bias that are needed.
pub(super) fn backward<T: Scalar>(
    x: &Array<Cpu<T>>,
    weight: Option<&Array<Cpu<T>>>,
    [mean, inv_std]: [&[T]; 2],
    g: &[T],
    normalized_shape: &[usize],
    needs: [bool; 3],
) -> [Option<Array<Cpu<T>>>; 3] {
    let len: usize = normalized_shape.iter().product();
    let weight = &*given_or(weight, len, T::one());
    // Each block of rows sums up its part of the gradients in weight and bias; these are added in order.
    let block = par::rows_per_block(len);
    let mut grad = Buffer::arbitrary(x.len());
    let mut partial = Buffer::arbitrary(mean.len().div_ceil(block) * 2 * len);
    let outs = [(&mut grad[..], block * len), (&mut partial[..], 2 * len)];
    if !x.is_empty() {
        par::for_each_chunks(outs, 16 * block * len, |i, [grad, partial]| {
            let elements = i * block * len..i * block * len + grad.len();
            let rows = i * block..i * block + grad.len() / len;
            let (mean, inv_std) = (&mean[rows.clone()], &inv_std[rows]);
            let (x, g) = (&x.as_slice()[elements.clone()], &g[elements]);
            simd::run(Backward { x, g, weight, mean, inv_std, grad, partial });
        });
    }
    let mut sums = Buffer::zeros(2 * len);
    for partial in partial.chunks(2 * len.max(1)) {
        simd::run(AddTo { sums: &mut sums, terms: partial });
    }
    let (weight, bias) = sums.split_at(len);
    [
        needs[0].then(|| Array::from_buffer(x.shape(), grad)),
        needs[1].then(|| Array::from_buffer(normalized_shape, Buffer::from(weight))),
        needs[2].then(|| Array::from_buffer(normalized_shape, Buffer::from(bias))),
    ]
}

/// A block of rows.
struct Backward<'a, T> {
    x: &'a [T],
    g: &'a [T],
    weight: &'a [T],
    mean: &'a [T],
    inv_std: &'a [T],
    grad: &'a mut [T],
    /// Sums for the weight, then for the bias.
    partial: &'a mut [T],
}

/// Vectors added one after the other before they go to a longer sum.
const RUN: usize = 64;

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Backward { x, g, weight, mean, inv_std, grad, partial } = self;
        let len = weight.len();
        partial.fill(T::zero());
        let (weight_sums, bias_sums) = partial.split_at_mut(len);
        let mut lines = Vec::with_capacity(mean.len());
        for (row, (x, g)) in x.chunks_exact(len).zip(g.chunks_exact(len)).enumerate() {
            let statistics = [mean[row], inv_std[row]];
            lines.push(sums_of_row::<T, V>(x, g, weight, statistics, [&mut *weight_sums, &mut *bias_sums]));
        }
        let rows = x.chunks_exact(len).zip(g.chunks_exact(len)).zip(grad.chunks_exact_mut(len));
        for (((x, g), grad), f) in rows.zip(lines) {
            lanes::Map { f, x: [x, weight, g], y: grad }.run::<V>();
        }
    }
}

/// Adds to the sums over rows `dy xhat` and `dy`, and returns how the gradient of this row comes of it.
#[inline(always)]
fn sums_of_row<T: Scalar, V: Vector<Element = T>>(
    x: &[T],
    g: &[T],
    weight: &[T],
    [mean, inv_std]: [T; 2],
    [weight_sums, bias_sums]: [&mut [T]; 2],
) -> Line {
    let len = x.len();
    let (centre, scale) = (V::splat(mean), V::splat(inv_std));
    assert!(g.len() == len && weight.len() == len && weight_sums.len() == len && bias_sums.len() == len);
    let (x, g, weight) = (x.as_ptr(), g.as_ptr(), weight.as_ptr());
    let (weight_sums, bias_sums) = (weight_sums.as_mut_ptr(), bias_sums.as_mut_ptr());
    // With h = dy weight: sum h and sum h xhat
    let mut sums = Sums::<V, 2>::new();
    let whole = len - len % V::LANES;
    for first in (0..whole).step_by(RUN * V::LANES) {
        let mut run = [V::zero(); 2];
        for i in (first..whole.min(first + RUN * V::LANES)).step_by(V::LANES) {
            // SAFETY: i + LANES <= len, the length of all five slices.
            unsafe {
                let (x, g) = (V::load(x.add(i)), V::load(g.add(i)));
                let (weight, g_xhat) = (V::load(weight.add(i)), g * ((x - centre) * scale));
                (V::load(weight_sums.add(i)) + g_xhat).store(weight_sums.add(i));
                (V::load(bias_sums.add(i)) + g).store(bias_sums.add(i));
                run = [g.mul_add(weight, run[0]), g_xhat.mul_add(weight, run[1])];
            }
        }
        sums.push(run);
    }
    if whole < len {
        let rest = len - whole;
        // SAFETY: whole + rest = len. Lanes beyond have g = 0.
        unsafe {
            let (x, g) = (V::load_part(x.add(whole), rest), V::load_part(g.add(whole), rest));
            let (weight, g_xhat) = (V::load_part(weight.add(whole), rest), g * ((x - centre) * scale));
            let weight_sum = V::load_part(weight_sums.add(whole), rest) + g_xhat;
            weight_sum.store_part(weight_sums.add(whole), rest);
            let bias_sum = V::load_part(bias_sums.add(whole), rest) + g;
            bias_sum.store_part(bias_sums.add(whole), rest);
            sums.push([g * weight, g_xhat * weight]);
        }
    }
    let [mean_h, mean_h_xhat] = sums.total().map(|sum| sum.as_f64() / len as f64);
    // dx = (h - mean(h) - xhat mean(h xhat)) inv_std
    let (mean, inv_std) = (mean.as_f64(), inv_std.as_f64());
    Line { mean, slope: -mean_h_xhat * inv_std * inv_std, shift: -mean_h * inv_std, inv_std }
}

/// `dy weight inv_std + (x - mean) slope + shift`
#[derive(Clone, Copy)]
struct Line {
    mean: f64,
    slope: f64,
    shift: f64,
    inv_std: f64,
}

impl Pointwise<3> for Line {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, weight, g]: [V; 3]) -> V {
        let from_x = (x - V::of(self.mean)).mul_add(V::of(self.slope), V::of(self.shift));
        (g * weight).mul_add(V::of(self.inv_std), from_x)
    }
}

/// `sums += terms`
struct AddTo<'a, T> {
    sums: &'a mut [T],
    terms: &'a [T],
}

impl<T: Scalar> Kernel<T> for AddTo<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        rows::add::<V>(self.sums, self.terms);
    }
}
