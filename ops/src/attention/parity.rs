//! Calls of Transformer attention drawn at random, and the simple form's results for them.

use ndarray::{Array2, ArrayD};
use rayon::ThreadPoolBuilder;
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::simd::{self, Isa};
use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::AttentionSpec;
use super::{Lattice, Visibility, transformer_simple as simple};

/// One call: its description, its operands in the kernels' order, and a cotangent.
pub(super) struct Call {
    pub spec: AttentionSpec,
    pub inputs: [Option<ArrayD<f64>>; 7],
    pub cotangent: ArrayD<f64>,
}

/// A fast form: forward and backward.
#[derive(Clone, Copy)]
pub(super) struct Form<T: Scalar> {
    #[expect(clippy::type_complexity, reason = "the signature of a kernel")]
    pub forward: fn(Isa, &AttentionSpec, [&Array<Cpu<T>>; 7]) -> (Array<Cpu<T>>, Array<Cpu<T>>),
    #[expect(clippy::type_complexity, reason = "the signature of the kernels")]
    pub backward: fn(
        Isa,
        &AttentionSpec,
        [&Array<Cpu<T>>; 7],
        (&Array<Cpu<T>>, &Array<Cpu<T>>),
        &Array<Cpu<T>>,
        [bool; 7],
    ) -> [Option<Array<Cpu<T>>>; 7],
}

/// Output, normalisers, gradients of the seven inputs.
type Results<T> = Vec<Option<Array<Cpu<T>>>>;

impl Call {
    /// `sizes` are N, M, d and d_v; `padded` hides some keys of every sample.
    pub fn new(terms: &str, lattice: Lattice, sizes: [usize; 4], padded: bool) -> Self {
        let terms: super::Terms = terms.parse().unwrap();
        let [batch, num_heads, head_dim, value_dim] = sizes;
        let (queries, keys) = (lattice.queries().len(), lattice.keys().len());
        let relative = match lattice {
            _ if !terms.uses_position() => vec![],
            Lattice::Image { .. } => vec![lattice.x_index(), lattice.y_index()],
            Lattice::Sequence { .. } => vec![lattice.x_index()],
        };
        let mut samples = Samples::new(11);
        let channels = num_heads * head_dim;
        let rows: Vec<usize> = relative.iter().map(|index| index.rows).collect();
        let mut draw = |used: bool, shape: &[usize]| used.then(|| samples.normal(shape));
        let inputs = [
            draw(terms.uses_query(), &[batch, queries, channels]),
            draw(terms.uses_key(), &[batch, keys, channels]),
            draw(true, &[batch, keys, num_heads * value_dim]),
            draw(!rows.is_empty(), &[rows.first().copied().unwrap_or(0), channels]),
            draw(rows.len() > 1, &[rows.last().copied().unwrap_or(0), channels]),
            draw(terms.key, &[num_heads, head_dim]),
            draw(terms.position, &[num_heads, head_dim]),
        ];
        let cotangent = samples.normal(&[batch, queries, num_heads * value_dim]);
        let key_padding = padded.then(|| Array2::from_shape_fn((batch, keys), |(n, k)| (n + 7 * k) % 5 == 1));
        let spec = AttentionSpec {
            terms,
            num_heads,
            scale: 1.0 / (head_dim as f64).sqrt(),
            batch,
            queries,
            keys,
            head_dim,
            value_dim,
            relative,
            lattice,
            visibility: Visibility { key_padding, ..Visibility::default() },
        };
        Call { spec, inputs, cotangent }
    }

    fn arrays<T: Scalar>(&self) -> [Array<Cpu<T>>; 7] {
        self.inputs.each_ref().map(|input| match input {
            Some(values) => Array::from_f64(&Cpu::new(), values),
            None => Array::absent(&Cpu::new()),
        })
    }

    /// What the simple form gives.
    pub fn simple<T: Scalar>(&self) -> Results<T> {
        let arrays = self.arrays::<T>();
        let (output, normalisers) = simple::forward(&self.spec, arrays.each_ref());
        let grad = Array::from_f64(&Cpu::new(), &self.cotangent);
        let gradients = simple::backward(&self.spec, arrays.each_ref(), &grad, [true; 7]);
        [Some(output), Some(normalisers)].into_iter().chain(gradients).collect()
    }

    /// What a fast form gives.
    pub fn fast<T: Scalar>(&self, form: Form<T>, isa: Isa, needs: [bool; 7]) -> Results<T> {
        let arrays = self.arrays::<T>();
        let (output, normalisers) = (form.forward)(isa, &self.spec, arrays.each_ref());
        let grad = Array::from_f64(&Cpu::new(), &self.cotangent);
        let saved = (&output, &normalisers);
        let gradients = (form.backward)(isa, &self.spec, arrays.each_ref(), saved, &grad, needs);
        [Some(output), Some(normalisers)].into_iter().chain(gradients).collect()
    }

    /// Panics unless a fast form gives what the simple one gives in `f64`, on every instruction set.
    #[track_caller]
    pub fn check<T: Scalar>(&self, what: &str, form: Form<T>, tolerance: f64) {
        let expected = self.simple::<f64>();
        for isa in simd::available() {
            let what = format!("{} on {isa}, {what}", T::NAME);
            assert_close(&what, &self.fast(form, isa, [true; 7]), &expected, tolerance);
        }
    }

    /// Panics unless a fast form gives the same bits on 1, 2 and 3 threads.
    #[track_caller]
    pub fn check_threads<T: Scalar>(&self, form: Form<T>) {
        let bits = |threads: usize| -> Vec<u64> {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
            let results = pool.install(|| self.fast(form, simd::isa(), [true; 7]));
            let all = results.iter().flatten().flat_map(|array| array.as_slice().to_vec());
            all.map(|v| v.as_f64().to_bits()).collect()
        };
        let one = bits(1);
        assert!(one == bits(2), "2 threads give other bits than one");
        assert!(one == bits(3), "3 threads give other bits than one");
    }
}

const NAMES: [&str; 9] =
    ["output", "normalisers", "query", "key", "value", "table x", "table y", "key bias", "position bias"];

/// Panics unless each result lies within `tolerance` times the largest number of it, or 1 if that is less.
#[track_caller]
pub(super) fn assert_close<T: Scalar>(
    what: &str,
    found: &Results<T>,
    expected: &Results<f64>,
    tolerance: f64,
) {
    assert_eq!(found.len(), expected.len());
    for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
        let (found, expected) = match (found, expected) {
            (Some(found), Some(expected)) => (found, expected),
            (None, None) => continue,
            _ => panic!("{what}: {name} is there in one and not in the other"),
        };
        assert_eq!(found.shape(), expected.shape(), "{what}: {name}");
        let finite = expected.as_slice().iter().filter(|x| x.is_finite());
        let size = finite.fold(1.0, |max: f64, x| max.max(x.abs()));
        for (i, (&found, &expected)) in found.as_slice().iter().zip(expected.as_slice()).enumerate() {
            let found = found.as_f64();
            let equal = found == expected || (found - expected).abs() <= tolerance * size;
            assert!(equal, "{what}: {name} {i} is {found}, expected {expected} (largest {size})");
        }
    }
}
