//! One query at a time from its energies: for the few whose normaliser underflows in factorised form.

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

use super::Problem;
use crate::attention::key_rows::{dot_rows, exp_minus, largest, sum, sum_rows};

/// Computes queries of one head of one sample.
pub(super) struct Direct<'a, T> {
    p: &'a Problem<'a, T>,
    m: usize,
    /// b. (K)
    key_energies: &'a [T],
    /// The values of this head; rows are M d_v apart.
    values: &'a [T],
    /// Energies, then weights. (K)
    weights: Vec<T>,
    /// Gradients of the weights, then of the energies. (K)
    d_weights: Vec<T>,
    /// `ex` and `ey`.
    along: [Vec<T>; 2],
}

/// What forward returned for a query, and the gradient of its output.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a, T> {
    pub log_sum: T,
    /// (d_v)
    pub output: &'a [T],
    /// (d_v)
    pub grad: &'a [T],
}

impl<'a, T: Scalar> Direct<'a, T> {
    /// For sample `n`, head `m`, whose key energies are given.
    pub fn new(p: &'a Problem<'a, T>, (n, m): (usize, usize), key_energies: &'a [T]) -> Self {
        Direct {
            p,
            m,
            key_energies,
            values: &p.value[(n * p.keys() * p.heads + m) * p.value_dim..],
            weights: vec![T::zero(); p.keys()],
            d_weights: vec![T::zero(); p.keys()],
            along: p.axes.map(|axis| vec![T::zero(); axis.keys]),
        }
    }

    /// `S(q, k)` for the query at (x, y) whose scaled content is `query` (d).
    #[inline(always)]
    fn energies<V: Vector<Element = T>>(&mut self, at: [usize; 2], query: &[T]) {
        let p = self.p;
        let (dim, stride) = (p.head_dim, p.heads * p.head_dim);
        for ((axis, position), along) in p.axes.iter().zip(at).zip(&mut self.along) {
            let table = &p.tables[axis.which][axis.first_row(position) * stride + self.m * dim..];
            dot_rows::<V>(table, axis.key_step * stride, query, along);
        }
        let [ex, ey] = &self.along;
        let rows = self.weights.chunks_exact_mut(ex.len()).zip(self.key_energies.chunks_exact(ex.len()));
        for ((energies, key), &ey) in rows.zip(ey) {
            let parts = key.chunks(V::LANES).zip(ex.chunks(V::LANES));
            for (energies, (key, ex)) in energies.chunks_mut(V::LANES).zip(parts) {
                (V::from_slice(ex) + V::splat(ey) + V::from_slice(key)).write_to(energies);
            }
        }
    }

    /// Output (d_v) and log-sum-exp of the energies of one query. Without a visible key the output is 0.
    #[inline(always)]
    pub fn forward<V: Vector<Element = T>>(&mut self, at: [usize; 2], query: &[T], output: &mut [T]) -> T {
        // (1) S
        self.energies::<V>(at, query);
        // (2) A = softmax S
        let Some(largest) = largest::<V>(&self.weights) else {
            output.fill(T::zero());
            return T::neg_infinity();
        };
        exp_minus::<V>(&mut self.weights, largest);
        let sum = sum::<V>(&self.weights);
        // (3) o = A V
        let stride = self.p.heads * self.p.value_dim;
        sum_rows::<V>(self.values, stride, self.p.keys(), Some(&self.weights), output);
        output.iter_mut().for_each(|o| *o /= sum);
        largest + sum.ln()
    }

    /// Gradients of one query: fills those of `ex` and `ey`, adds to those of the values (K, d_v) and of the
    /// key energies (K).
    #[inline(always)]
    pub fn backward<V: Vector<Element = T>>(
        &mut self,
        at: [usize; 2],
        query: &[T],
        saved: Saved<T>,
        [d_ex, d_ey]: [&mut [T]; 2],
        (d_value, d_key): (&mut [T], &mut [T]),
    ) {
        d_ex.fill(T::zero());
        d_ey.fill(T::zero());
        if saved.log_sum == T::neg_infinity() {
            return;
        }
        // (1) S
        self.energies::<V>(at, query);
        // (2) A = softmax S
        exp_minus::<V>(&mut self.weights, saved.log_sum);
        // (3) o = A V  =>  dV += A g,  dA = g . V
        let dim = saved.grad.len();
        for (d_value, &weight) in d_value.chunks_exact_mut(dim).zip(&self.weights) {
            for (d, g) in d_value.chunks_mut(V::LANES).zip(saved.grad.chunks(V::LANES)) {
                V::splat(weight).mul_add(V::from_slice(g), V::from_slice(d)).write_to(d);
            }
        }
        dot_rows::<V>(self.values, self.p.heads * dim, saved.grad, &mut self.d_weights);
        // (2) A = softmax S  =>  dS = A (dA - g . o)
        let mean = V::splat(saved.grad.iter().zip(saved.output).map(|(&g, &o)| g * o).sum());
        for (d, weights) in self.d_weights.chunks_mut(V::LANES).zip(self.weights.chunks(V::LANES)) {
            (V::from_slice(weights) * (V::from_slice(d) - mean)).write_to(d);
        }
        // (1) S = ex + ey + b
        let width = d_ex.len();
        let rows = self.d_weights.chunks_exact(width).zip(d_key.chunks_exact_mut(width));
        for ((d, d_key), d_ey) in rows.zip(d_ey) {
            *d_ey = sum::<V>(d);
            let parts = d_key.chunks_mut(V::LANES).zip(d_ex.chunks_mut(V::LANES));
            for (d, (d_key, d_ex)) in d.chunks(V::LANES).zip(parts) {
                (V::from_slice(d_key) + V::from_slice(d)).write_to(d_key);
                (V::from_slice(d_ex) + V::from_slice(d)).write_to(d_ex);
            }
        }
    }
}
