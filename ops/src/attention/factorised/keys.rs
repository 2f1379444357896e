//! What the keys of one head bring along: their energies and weights, and their values packed for the
//! products.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Vector, math, transpose};

use super::Problem;
use super::axis::Grid;
use crate::attention::key_rows::{dot_rows, largest};

/// Energies and weights of the keys of one head, where they have some of their own.
pub(super) struct Keys<T: Scalar> {
    /// b; `-inf` where the key is padding. (K)
    pub energies: Buffer<T>,
    /// max b, `-inf` where all keys are padding.
    pub largest: T,
    /// `pb = exp(b - max b)`, 0 in the padding of the inner axis. (outer, inner_padded)
    pub weights: Buffer<T>,
}

impl<T: Scalar> Keys<T> {
    /// Those of sample `n`, head `m`.
    #[inline(always)]
    pub fn new<V: Vector<Element = T>>(p: &Problem<T>, grid: &Grid, n: usize, m: usize) -> Option<Self> {
        if !p.weighted() {
            return None;
        }
        let count = p.keys();
        let mut energies = Buffer::zeros(count);
        if let Some((key, bias)) = p.key {
            let (dim, stride) = (p.head_dim, p.heads * p.head_dim);
            let key = &key[n * count * stride..][..count * stride];
            let scaled: Vec<T> = bias[m * dim..][..dim].iter().map(|&u| p.scale * u).collect();
            dot_rows::<V>(&key[m * dim..], stride, &scaled, &mut energies);
        }
        if let Some(padding) = p.padding {
            let hidden = padding.row(n);
            energies.iter_mut().zip(hidden).filter(|(_, h)| **h).for_each(|(e, _)| *e = T::neg_infinity());
        }
        let largest = largest::<V>(&energies).unwrap_or(T::neg_infinity());
        let mut weights = Buffer::zeros(grid.outer.keys * grid.inner_padded);
        for (o, weights) in weights.chunks_exact_mut(grid.inner_padded).enumerate() {
            for (i, weight) in weights[..grid.inner.keys].iter_mut().enumerate() {
                *weight = energies[grid.key(o, i)] - largest;
            }
            if largest > T::neg_infinity() {
                for weights in weights[..grid.inner.keys].chunks_mut(V::LANES) {
                    math::exp(V::from_slice(weights)).write_to(weights);
                }
            } else {
                weights.fill(T::zero());
            }
        }
        Some(Keys { energies, largest, weights })
    }
}

/// V' with the columns of a key next to each other: (outer, inner, columns).
#[inline(always)]
pub(super) fn values_by_key<V: Vector>(
    p: &Problem<V::Element>,
    grid: &Grid,
    keys: Option<&Keys<V::Element>>,
    n: usize,
    m: usize,
) -> Buffer<V::Element> {
    let (dim, columns, stride) = (p.value_dim, p.columns(), p.heads * p.value_dim);
    let value = &p.value[n * p.keys() * stride..][..p.keys() * stride];
    let mut packed = Buffer::arbitrary(p.keys() * columns);
    for (o, packed) in packed.chunks_exact_mut(grid.inner.keys * columns).enumerate() {
        for (i, packed) in packed.chunks_exact_mut(columns).enumerate() {
            let value = &value[grid.key(o, i) * stride + m * dim..][..dim];
            match keys {
                None => {
                    for (packed, value) in packed.chunks_mut(V::LANES).zip(value.chunks(V::LANES)) {
                        V::from_slice(value).write_to(packed);
                    }
                }
                Some(keys) => {
                    let weight = keys.weights[o * grid.inner_padded + i];
                    let factor = V::splat(weight);
                    for (packed, value) in packed[..dim].chunks_mut(V::LANES).zip(value.chunks(V::LANES)) {
                        (factor * V::from_slice(value)).write_to(packed);
                    }
                    packed[dim] = weight;
                }
            }
        }
    }
    packed
}

/// V' with the keys of a column next to each other, 0 in the padding: (outer, columns, inner_padded).
#[inline(always)]
pub(super) fn values_by_column<V: Vector>(
    p: &Problem<V::Element>,
    grid: &Grid,
    keys: Option<&Keys<V::Element>>,
    n: usize,
    m: usize,
) -> Buffer<V::Element> {
    let (dim, columns, stride, padded) = (p.value_dim, p.columns(), p.heads * p.value_dim, grid.inner_padded);
    let value = &p.value[n * p.keys() * stride..][..p.keys() * stride];
    let mut packed = Buffer::zeros(grid.outer.keys * columns * padded);
    for (o, packed) in packed.chunks_exact_mut(columns * padded).enumerate() {
        let first = &value[grid.key(o, 0) * stride + m * dim..];
        let apart = grid.inner.key_stride * stride;
        assert!(first.len() >= (grid.inner.keys - 1) * apart + dim);
        // SAFETY: `inner.keys` rows of `dim` elements, `apart` elements apart, were just checked;
        // `packed` holds at least `dim` rows of `padded` elements.
        unsafe {
            transpose::<V>([grid.inner.keys, dim], first.as_ptr(), apart, packed.as_mut_ptr(), padded);
        }
        if let Some(keys) = keys {
            let weights = &keys.weights[o * padded..][..padded];
            let (values, last) = packed.split_at_mut(dim * padded);
            last.copy_from_slice(weights);
            for row in values.chunks_exact_mut(padded) {
                for (value, weight) in row.chunks_exact_mut(V::LANES).zip(weights.chunks_exact(V::LANES)) {
                    (V::from_slice(value) * V::from_slice(weight)).write_to(value);
                }
            }
        }
    }
    packed
}
