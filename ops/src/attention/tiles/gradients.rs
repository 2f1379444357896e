//! The gradients of a call: what tasks write themselves, and the sums of what they leave.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Cpu, Scalar};

use super::Shared;
use super::backward::Backward;
use super::pack::Packed;
use super::plan::Plan;
use super::tables::Tables;
use crate::par;

/// The gradients of a call: zeros, or to be overwritten, where needed; else empty.
pub(super) struct Gradients<T: Scalar> {
    needs: [bool; 7],
    buffers: [Buffer<T>; 7],
}

impl<T: Scalar> Gradients<T> {
    pub fn new(inputs: [&Array<Cpu<T>>; 7], needs: [bool; 7]) -> Self {
        // The gradients of query, key and value are written whole, those of tables and biases added to.
        let buffers = std::array::from_fn(|i| match (needs[i], i) {
            (false, _) => Buffer::arbitrary(0),
            (true, 0..3) => Buffer::arbitrary(inputs[i].len()),
            (true, _) => Buffer::zeros(inputs[i].len()),
        });
        Gradients { needs, buffers }
    }

    /// The gradients as arrays of the inputs' shapes.
    pub fn into_arrays(self, inputs: [&Array<Cpu<T>>; 7]) -> [Option<Array<Cpu<T>>>; 7] {
        let mut i = 0;
        self.buffers.map(|buffer| {
            i += 1;
            self.needs[i - 1].then(|| Array::from_buffer(inputs[i - 1].shape(), buffer))
        })
    }

    /// Computes them from output, normalisers and the gradient of the output.
    pub fn compute(&mut self, plan: &Plan<T>, tables: &Tables<T>, given: [&[T]; 3]) {
        let (spec, needs) = (plan.spec, self.needs);
        let [query, key, value, ..] = self.buffers.each_mut().map(|buffer| Shared::new(buffer));
        let results = par::map(plan.tasks(), plan.work(), |task| {
            let kernel = Backward { plan, tables, task, given, needs, query, key, value };
            simd::run_on(plan.isa, kernel)
        });
        // Whatever tasks share is added in their order.
        let (d, heads) = (spec.head_dim, spec.num_heads);
        if plan.groups > 1 {
            let per_head = plan.groups * (spec.keys * (d + spec.value_dim));
            par::map(spec.batch * heads, per_head, |i| {
                let parts = &results[i * plan.groups..(i + 1) * plan.groups];
                simd::run_on(plan.isa, WriteKeys { plan, head: [i / heads, i % heads], parts, key, value });
            });
        }
        let tables_of = |i: usize| (i / plan.groups % heads, &results[i].tables);
        if needs[3] || needs[4] {
            let all: Vec<_> = (0..results.len()).map(tables_of).collect();
            tables.gradients(plan, &all, plan.unscale(), &mut self.buffers[3..5]);
        }
        for (i, part) in results.iter().enumerate() {
            let m = i / plan.groups % heads;
            for (bias, from) in [(5, &part.key_bias), (6, &part.position_bias)] {
                if needs[bias] {
                    let into = &mut self.buffers[bias][m * d..(m + 1) * d];
                    into.iter_mut().zip(from).for_each(|(sum, &x)| *sum += T::of(spec.scale) * x);
                }
            }
        }
    }
}

/// Adds what the tasks of one head have left for its keys and values, and writes it.
struct WriteKeys<'a, T: Scalar> {
    plan: &'a Plan<'a, T>,
    head: [usize; 2],
    parts: &'a [Partial<T>],
    key: Shared<T>,
    value: Shared<T>,
}

impl<T: Scalar> Kernel<T> for WriteKeys<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (plan, head) = (self.plan, self.head);
        let keys: Vec<_> = self.parts.iter().filter_map(|part| part.key.as_ref()).collect();
        let values: Vec<_> = self.parts.iter().filter_map(|part| part.value.as_ref()).collect();
        // SAFETY: `V` is what the plan was made for, and no other task has this head.
        unsafe {
            if !keys.is_empty() {
                plan.write_keys::<V>(head, &keys, plan.spec.head_dim, plan.unscale(), self.key);
            }
            if !values.is_empty() {
                plan.write_keys::<V>(head, &values, plan.spec.value_dim, T::one(), self.value);
            }
        }
    }
}

/// What a task leaves to be added up.
pub(super) struct Partial<T: Scalar> {
    /// Transposed gradients of the keys' operands; where one task sees all queries it has written them.
    pub key: Option<Packed<T>>,
    pub value: Option<Packed<T>>,
    /// Packed gradients of the tables.
    pub tables: Buffer<T>,
    /// Without the scale. (d)
    pub key_bias: Vec<T>,
    pub position_bias: Vec<T>,
}
