//! One query at a time from its energies: for the few whose normaliser underflows in factorised form.

use termwise_autograd::Scalar;

use super::Problem;

/// Where in the image a query is, and the energies of its keys.
pub(super) struct Direct<'a, T> {
    p: &'a Problem<'a, T>,
    n: usize,
    m: usize,
    /// b. (K)
    key_energies: &'a [T],
    /// Energies, then weights. (K)
    weights: Vec<T>,
}

impl<'a, T: Scalar> Direct<'a, T> {
    pub fn new(p: &'a Problem<'a, T>, n: usize, m: usize, key_energies: &'a [T]) -> Self {
        Direct { p, n, m, key_energies, weights: vec![T::zero(); p.keys()] }
    }

    /// `S(q, k)` for the query at (x, y) whose scaled content is `query` (d).
    fn energies(&mut self, [x, y]: [usize; 2], query: &[T]) {
        let p = self.p;
        let (dim, stride) = (p.head_dim, p.heads * p.head_dim);
        let along = |axis: usize, position: usize| -> Vec<T> {
            let axis = &p.axes[axis];
            let rows = (0..axis.keys).map(|k| axis.first_row(position) + k * axis.key_step);
            let table = &p.tables[axis.which][self.m * dim..];
            rows.map(|row| query.iter().zip(&table[row * stride..]).map(|(&q, &t)| q * t).sum()).collect()
        };
        let (ex, ey) = (along(0, x), along(1, y));
        let rows = self.weights.chunks_exact_mut(ex.len()).zip(self.key_energies.chunks_exact(ex.len()));
        for ((energies, key), &ey) in rows.zip(&ey) {
            for ((energy, &key), &ex) in energies.iter_mut().zip(key).zip(&ex) {
                *energy = ex + ey + key;
            }
        }
    }

    /// Output (d_v) and log-sum-exp of the energies of one query. Without a visible key the output is 0.
    pub fn forward(&mut self, at: [usize; 2], query: &[T], output: &mut [T]) -> T {
        // (1) S
        self.energies(at, query);
        // (2) A = softmax S
        let max = self.weights.iter().fold(T::neg_infinity(), |a, &b| if a >= b { a } else { b });
        output.fill(T::zero());
        if max == T::neg_infinity() {
            return max;
        }
        self.weights.iter_mut().for_each(|w| *w = (*w - max).exp());
        let sum: T = self.weights.iter().copied().sum();
        // (3) o = A V
        let dim = output.len();
        for (k, &weight) in self.weights.iter().enumerate() {
            let value = &self.p.value[((self.n * self.p.keys() + k) * self.p.heads + self.m) * dim..][..dim];
            output.iter_mut().zip(value).for_each(|(o, &v)| *o += weight * v);
        }
        output.iter_mut().for_each(|o| *o /= sum);
        max + sum.ln()
    }

    /// Gradients of one query: fills `d_ex` and `d_ey`, adds to those of value (K, d_v) and of the
    /// key energies (K).
    pub fn backward(
        &mut self,
        at: [usize; 2],
        query: &[T],
        (log_sum, output, grad): (T, &[T], &[T]),
        [d_ex, d_ey]: [&mut [T]; 2],
        (d_value, d_key): (&mut [T], &mut [T]),
    ) {
        d_ex.fill(T::zero());
        d_ey.fill(T::zero());
        if log_sum == T::neg_infinity() {
            return;
        }
        // (1) S
        self.energies(at, query);
        let dim = grad.len();
        let mean: T = grad.iter().zip(output).map(|(&g, &o)| g * o).sum();
        let width = d_ex.len();
        for (k, &energy) in self.weights.iter().enumerate() {
            // (2) A = softmax S
            let weight = (energy - log_sum).exp();
            // (3) o = A V  =>  dV += A g,  dA = g . V
            let value = &self.p.value[((self.n * self.p.keys() + k) * self.p.heads + self.m) * dim..][..dim];
            let dot: T = grad.iter().zip(value).map(|(&g, &v)| g * v).sum();
            d_value[k * dim..][..dim].iter_mut().zip(grad).for_each(|(d, &g)| *d += weight * g);
            // (2) A = softmax S  =>  dS = A (dA - g . o)
            let d = weight * (dot - mean);
            // (1) S = ex + ey + b
            d_ex[k % width] += d;
            d_ey[k / width] += d;
            d_key[k] += d;
        }
    }
}
