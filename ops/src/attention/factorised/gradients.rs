//! Gradients of one head, gathered from the parts that tasks computed.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector, transpose};

use super::axis::Grid;
use super::keys::Keys;
use super::{Problem, Shared, carve, carved};
use crate::par;

/// Which operands need gradients; only operands that are there do.
pub(super) struct Needs {
    pub query: bool,
    pub key: bool,
    pub value: bool,
    pub tables: [bool; 2],
    pub key_bias: bool,
    pub position_bias: bool,
}

impl Needs {
    /// Whether anything does that `ex` and `ey` depend on.
    pub fn factors(&self) -> bool {
        self.query || self.tables[0] || self.tables[1] || self.position_bias
    }

    /// Whether anything does that V' depends on.
    pub fn keys(&self) -> bool {
        self.value || self.key || self.key_bias
    }
}

/// The gradients that are needed, in the shapes of their operands.
pub(super) struct Gradients<T: Scalar> {
    pub query: Option<Buffer<T>>,
    pub key: Option<Buffer<T>>,
    pub value: Option<Buffer<T>>,
    pub tables: [Option<Buffer<T>>; 2],
    pub key_bias: Option<Buffer<T>>,
    pub position_bias: Option<Buffer<T>>,
}

impl<T: Scalar> Gradients<T> {
    /// Those that sum over tasks are 0, the others arbitrary.
    pub fn new(p: &Problem<T>, needs: &Needs) -> Self {
        let channels = p.heads * p.head_dim;
        let whole = |needed: bool, len: usize| needed.then(|| Buffer::arbitrary(len));
        let sum = |needed: bool, len: usize| needed.then(|| Buffer::zeros(len));
        Gradients {
            query: whole(needs.query, p.batch * p.queries() * channels),
            key: whole(needs.key, p.batch * p.keys() * channels),
            value: whole(needs.value, p.batch * p.keys() * p.heads * p.value_dim),
            tables: [0, 1].map(|i| sum(needs.tables[i], p.axes[i].rows * channels)),
            key_bias: sum(needs.key_bias, channels),
            position_bias: sum(needs.position_bias, channels),
        }
    }

    /// Adds what one task found for head `m`.
    pub fn add_factors(&mut self, p: &Problem<T>, m: usize, partial: &mut Partial<T>) {
        let (dim, channels) = (p.head_dim, p.heads * p.head_dim);
        let add = |into: &mut [T], from: &[T]| into.iter_mut().zip(from).for_each(|(sum, &d)| *sum += d);
        if let Some(grad) = &mut self.position_bias {
            add(&mut grad[m * dim..][..dim], &partial.query);
        }
        let dim_padded = partial.query.len();
        for (axis, part) in partial.axes.into_iter().zip(partial.tables()) {
            let Some(grad) = &mut self.tables[axis] else { continue };
            for (into, from) in grad.chunks_exact_mut(channels).zip(part.chunks_exact(dim_padded)) {
                add(&mut into[m * dim..][..dim], from);
            }
        }
    }
}

/// What one task adds to the gradients that it shares with others.
pub(super) struct Partial<T: Scalar> {
    /// Which axes `tables` belong to.
    axes: [usize; 2],
    /// Of the tables of the inner and the outer axis; empty where not needed.
    tables: Buffer<T>,
    /// Elements of each of them. (rows, dim_padded)
    sizes: [usize; 2],
    /// Sum of the gradients of the scaled queries, times the scale: that of v. (dim_padded)
    pub query: Vec<T>,
    /// Of V'. (outer, columns, inner_padded); empty where not needed
    pub values: Buffer<T>,
    /// From queries computed directly: of the values (K, d_v) and of the key energies (K).
    direct: Option<(Buffer<T>, Buffer<T>)>,
    /// The keys and V' that the task worked with.
    keys: Option<Keys<T>>,
    packed: Buffer<T>,
}

impl<T: Scalar> Partial<T> {
    /// All zeros.
    #[inline(always)]
    pub fn new<V: Vector<Element = T>>(p: &Problem<T>, grid: &Grid, factors: bool, keys: bool) -> Self {
        let dim = p.head_dim.next_multiple_of(V::LANES);
        let sizes = [grid.inner, grid.outer].map(|axis| if factors { axis.rows * dim } else { 0 });
        Partial {
            axes: [grid.inner.which, grid.outer.which],
            tables: Buffer::zeros(carved(sizes)),
            sizes,
            query: vec![T::zero(); dim],
            values: Buffer::zeros(if keys { grid.outer.keys * p.columns() * grid.inner_padded } else { 0 }),
            direct: None,
            keys: None,
            packed: Buffer::zeros(0),
        }
    }

    /// Gradients of the tables of the inner and the outer axis. (rows, dim_padded)
    pub fn tables(&mut self) -> [&mut [T]; 2] {
        carve(&mut self.tables, self.sizes)
    }

    /// Where queries computed directly add their gradients.
    pub fn direct(&mut self, p: &Problem<T>) -> (&mut [T], &mut [T]) {
        let (values, keys) = self
            .direct
            .get_or_insert_with(|| (Buffer::zeros(p.keys() * p.value_dim), Buffer::zeros(p.keys())));
        (values, keys)
    }

    /// Keeps what [`Gather`] needs again.
    pub fn keep(&mut self, keys: Option<Keys<T>>, packed: Buffer<T>) {
        self.keys = keys;
        self.packed = packed;
    }
}

/// Adds up what the tasks found, in the order of samples and queries.
pub(super) fn gather<T: Scalar>(
    isa: Isa,
    p: &Problem<T>,
    needs: &Needs,
    mut partials: Vec<Partial<T>>,
    per_head: usize,
    grads: &mut Gradients<T>,
) {
    for (task, partial) in partials.iter_mut().enumerate() {
        grads.add_factors(p, task / per_head % p.heads, partial);
    }
    if !needs.keys() {
        return;
    }
    let mut bias = Buffer::zeros(if grads.key_bias.is_some() { p.batch * p.heads * p.head_dim } else { 0 });
    let grad_key_bias = grads.key_bias.as_ref().map(|_| Shared::of(&mut bias));
    let grad_value = grads.value.as_mut().map(|grad| Shared::of(grad));
    let grad_key = grads.key.as_mut().map(|grad| Shared::of(grad));
    let work = p.keys() * p.columns() * (per_head + 3);
    par::for_each_chunk(&mut partials, per_head, work, |head, parts| {
        let at = (head / p.heads, head % p.heads);
        simd::run_on(isa, Gather { p, at, parts, grad_value, grad_key, grad_key_bias });
    });
    if let Some(grad) = &mut grads.key_bias {
        for sample in bias.chunks_exact(grad.len().max(1)) {
            grad.iter_mut().zip(sample).for_each(|(sum, &d)| *sum += d);
        }
    }
}

/// Puts together the gradients of the values and keys of one head of one sample.
struct Gather<'a, T: Scalar> {
    p: &'a Problem<'a, T>,
    /// Sample and head.
    at: (usize, usize),
    /// Of this head of this sample, in the order of their queries.
    parts: &'a mut [Partial<T>],
    /// (N, K, M d_v)
    grad_value: Option<Shared<T>>,
    /// (N, K, M d)
    grad_key: Option<Shared<T>>,
    /// What this sample adds to the gradient of u: (N, M, d).
    grad_key_bias: Option<Shared<T>>,
}

impl<T: Scalar> Kernel<T> for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (p, (n, m)) = (self.p, self.at);
        let grid = Grid::of::<V>(p);
        let (dim, columns, padded) = (p.value_dim, p.columns(), grid.inner_padded);
        let mut sum = std::mem::replace(&mut self.parts[0].values, Buffer::zeros(0));
        for part in &self.parts[1..] {
            for (sum, part) in sum.chunks_mut(V::LANES).zip(part.values.chunks(V::LANES)) {
                (V::from_slice(sum) + V::from_slice(part)).write_to(sum);
            }
        }
        let keys = self.parts[0].keys.as_ref();
        let mut d_keys = Buffer::zeros(if keys.is_some() { p.keys() } else { 0 });
        let mut d_row = vec![T::zero(); padded];
        for (o, d_values) in sum.chunks_exact_mut(columns * padded).enumerate() {
            if let Some(keys) = keys {
                // V' = [pb V | pb]  =>  db = V' . dV',  dV = pb dV'
                let packed = &self.parts[0].packed[o * columns * padded..][..columns * padded];
                let weights = &keys.weights[o * padded..][..padded];
                for i in (0..padded).step_by(V::LANES) {
                    let weight = V::from_slice(&weights[i..]);
                    let mut d = V::zero();
                    for (d_value, packed) in
                        d_values.chunks_exact_mut(padded).zip(packed.chunks_exact(padded))
                    {
                        let d_packed = V::from_slice(&d_value[i..]);
                        d = d_packed.mul_add(V::from_slice(&packed[i..]), d);
                        (weight * d_packed).write_to(&mut d_value[i..]);
                    }
                    d.write_to(&mut d_row[i..]);
                }
                for (i, &d) in d_row[..grid.inner.keys].iter().enumerate() {
                    d_keys[grid.key(o, i)] = d;
                }
            }
            if let Some(grad) = self.grad_value {
                let stride = p.heads * dim;
                let first = (n * p.keys() + grid.key(o, 0)) * stride + m * dim;
                // SAFETY: the columns of this head in the rows of these keys, which no other task
                // writes; `d_values` holds `dim` rows of `padded` elements.
                unsafe {
                    let apart = grid.inner.key_stride * stride;
                    let shape = [dim, grid.inner.keys];
                    transpose::<V>(shape, d_values.as_ptr(), padded, grad.at(first), apart);
                }
            }
        }
        for (values, keys) in self.parts.iter().filter_map(|part| part.direct.as_ref()) {
            d_keys.iter_mut().zip(&**keys).for_each(|(sum, &d)| *sum += d);
            if let Some(grad) = self.grad_value {
                for (k, d) in values.chunks_exact(dim).enumerate() {
                    // SAFETY: as above.
                    let into = unsafe { grad.slice(((n * p.keys() + k) * p.heads + m) * dim, dim) };
                    into.iter_mut().zip(d).for_each(|(sum, &d)| *sum += d);
                }
            }
        }
        self.key_gradients::<V>(&d_keys);
    }
}

impl<T: Scalar> Gather<'_, T> {
    /// `b = c u . K  =>  dK = c db u,  du = c sum_k db K`.
    #[inline(always)]
    fn key_gradients<V: Vector<Element = T>>(&self, d_keys: &[T]) {
        let (p, (n, m)) = (self.p, self.at);
        let (Some((key, bias)), dim) = (p.key, p.head_dim) else { return };
        for c in (0..dim).step_by(V::LANES) {
            let width = V::LANES.min(dim - c);
            let scaled = V::splat(p.scale) * V::from_slice(&bias[m * dim + c..m * dim + c + width]);
            let mut sum = V::zero();
            for (k, &d) in d_keys.iter().enumerate() {
                let at = ((n * p.keys() + k) * p.heads + m) * dim + c;
                let d = V::splat(d);
                sum = d.mul_add(V::from_slice(&key[at..at + width]), sum);
                if let Some(grad) = self.grad_key {
                    // SAFETY: the row of this key and this head, which no other task writes.
                    (d * scaled).write_to(unsafe { grad.slice(at, width) });
                }
            }
            if let Some(grad) = self.grad_key_bias {
                // SAFETY: this head of this sample, which no other task writes.
                let into = unsafe { grad.slice((n * p.heads + m) * dim + c, width) };
                (V::splat(p.scale) * sum).write_to(into);
            }
        }
    }
}
