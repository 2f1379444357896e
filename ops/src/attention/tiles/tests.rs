//! Tiles against the simple form: outputs, normalisers and all gradients, on every instruction set.

use ndarray::{Array2, ArrayD};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::simd::{self, Isa};
use termwise_autograd::{Array, Cpu, Scalar};

use super::super::transformer::AttentionSpec;
use super::super::{Lattice, Range, RelativeIndex, Terms, Visibility, transformer_simple as simple};

/// One call: its description, its operands and a cotangent, drawn at random.
struct Call {
    spec: AttentionSpec,
    inputs: Vec<Option<ArrayD<f64>>>,
    cotangent: ArrayD<f64>,
}

/// What sets calls apart besides lattice and terms.
#[derive(Clone, Debug)]
struct Setting {
    terms: Terms,
    lattice: Lattice,
    joint: bool,
    visibility: Visibility,
    /// N, M, d, d_v.
    sizes: [usize; 4],
    /// Standard deviation of queries and keys.
    spread: f64,
}

impl Setting {
    fn new(terms: &str, lattice: Lattice, sizes: [usize; 4]) -> Self {
        let terms = terms.parse().unwrap();
        Setting { terms, lattice, joint: false, visibility: Visibility::default(), sizes, spread: 1.0 }
    }

    fn call(&self) -> Call {
        let &Setting {
            terms, lattice, joint, sizes: [batch, num_heads, head_dim, value_dim], spread, ..
        } = self;
        let is_image = matches!(lattice, Lattice::Image { .. });
        let relative: Vec<RelativeIndex> = match (terms.uses_position(), joint, is_image) {
            (false, ..) => vec![],
            (true, true, _) => vec![lattice.joint_index()],
            (true, false, true) => vec![lattice.x_index(), lattice.y_index()],
            (true, false, false) => vec![lattice.x_index()],
        };
        let (queries, keys) = (lattice.queries().len(), lattice.keys().len());
        let channels = num_heads * head_dim;
        let mut samples = Samples::new(5);
        let table = |i: usize| relative.get(i).map(|index: &RelativeIndex| [index.rows, channels]);
        let inputs = vec![
            terms.uses_query().then(|| samples.normal(&[batch, queries, channels]) * spread),
            terms.uses_key().then(|| samples.normal(&[batch, keys, channels]) * spread),
            Some(samples.normal(&[batch, keys, num_heads * value_dim])),
            table(0).map(|shape| samples.normal(&shape)),
            table(1).map(|shape| samples.normal(&shape)),
            terms.key.then(|| samples.normal(&[num_heads, head_dim])),
            terms.position.then(|| samples.normal(&[num_heads, head_dim])),
        ];
        let cotangent = samples.normal(&[batch, queries, num_heads * value_dim]);
        let visibility = self.visibility.clone();
        let scale = 1.0 / (head_dim as f64).sqrt();
        let spec = AttentionSpec {
            terms,
            num_heads,
            scale,
            batch,
            queries,
            keys,
            head_dim,
            value_dim,
            relative,
            lattice,
            visibility,
        };
        Call { spec, inputs, cotangent }
    }
}

/// Output, normalisers, gradients of the seven inputs, widened.
type Results = Vec<Option<ArrayD<f64>>>;

impl Call {
    fn arrays<T: Scalar>(&self) -> Vec<Array<Cpu<T>>> {
        let array = |input: &Option<ArrayD<f64>>| match input {
            Some(values) => Array::from_f64(&Cpu::new(), values),
            None => Array::absent(&Cpu::new()),
        };
        self.inputs.iter().map(array).collect()
    }

    fn simple<T: Scalar>(&self) -> Results {
        let arrays = self.arrays::<T>();
        let inputs = std::array::from_fn(|i| &arrays[i]);
        let (output, normalisers) = simple::forward(&self.spec, inputs);
        let grad = Array::from_f64(&Cpu::new(), &self.cotangent);
        let gradients = simple::backward(&self.spec, inputs, &grad, [true; 7]);
        results([Some(output), Some(normalisers)].into_iter().chain(gradients))
    }

    fn tiles<T: Scalar>(&self, isa: Isa, needs: [bool; 7]) -> Results {
        let arrays = self.arrays::<T>();
        let inputs = std::array::from_fn(|i| &arrays[i]);
        let (output, normalisers) = super::forward(isa, &self.spec, inputs);
        let grad = Array::from_f64(&Cpu::new(), &self.cotangent);
        let gradients = super::backward(isa, &self.spec, inputs, (&output, &normalisers), &grad, needs);
        results([Some(output), Some(normalisers)].into_iter().chain(gradients))
    }
}

fn results<T: Scalar>(arrays: impl Iterator<Item = Option<Array<Cpu<T>>>>) -> Results {
    arrays.map(|array| array.map(|array| array.to_f64())).collect()
}

const NAMES: [&str; 9] =
    ["output", "normalisers", "query", "key", "value", "table 0", "table 1", "key bias", "position bias"];

/// Panics unless every result lies within `tolerance` times the largest number of it.
#[track_caller]
fn assert_close(what: &str, found: &Results, expected: &Results, tolerance: f64) {
    for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
        let (found, expected) = match (found, expected) {
            (Some(found), Some(expected)) => (found, expected),
            (None, None) => continue,
            _ => panic!("{what}: {name} is there in one and not in the other"),
        };
        assert_eq!(found.shape(), expected.shape(), "{what}: {name}");
        let finite = expected.iter().filter(|x| x.is_finite());
        let size = finite.fold(1e-3, |max: f64, x| max.max(x.abs()));
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let equal = found == expected || (found - expected).abs() <= tolerance * size;
            assert!(equal, "{what}: {name} {i} is {found}, expected {expected} (largest {size})");
        }
    }
}

fn check(setting: &Setting) -> usize {
    let call = setting.call();
    if !super::covers(&call.spec) {
        return 0;
    }
    let expected = call.simple::<f64>();
    for isa in simd::available() {
        assert_close(&format!("f64 {isa} {setting:?}"), &call.tiles::<f64>(isa, [true; 7]), &expected, 1e-11);
        assert_close(&format!("f32 {isa} {setting:?}"), &call.tiles::<f32>(isa, [true; 7]), &expected, 2e-5);
    }
    1
}

/// The visibilities that are tried, with one key padded in the last sample where `padded`.
fn visibilities(lattice: Lattice, batch: usize) -> Vec<Visibility> {
    let keys = lattice.keys().len();
    let padding = Array2::from_shape_fn((batch, keys), |(n, k)| n == batch - 1 && (k * 7 + 3) % 5 < 2);
    let plain = Visibility::default();
    let causal = Visibility { causal: true, ..plain.clone() };
    let near = Visibility { range: Some(Range::Symmetric(2)), ..plain.clone() };
    let mmcv = Visibility { range: Some(Range::Mmcv(1)), ..plain.clone() };
    let padded = Visibility { key_padding: Some(padding.clone()), ..plain.clone() };
    let all = Visibility { causal: true, range: Some(Range::Symmetric(3)), key_padding: Some(padding) };
    let none = Visibility { key_padding: Some(Array2::from_elem((batch, keys), true)), ..causal.clone() };
    vec![plain, causal, near, mmcv, padded, all, none]
}

#[test]
fn every_pattern_on_every_lattice_with_every_visibility() {
    let images = [(5, 7, 1, 1), (3, 18, 1, 1), (6, 5, 1, 2), (7, 4, 2, 1), (5, 6, 3, 2)];
    let images = images.map(|(height, width, query_stride, key_stride)| Lattice::Image {
        height,
        width,
        query_stride,
        key_stride,
    });
    let sequences = [(19, 19), (9, 37), (23, 6)];
    let sequences = sequences.map(|(queries, keys)| Lattice::Sequence { queries, keys });
    let dims = [[2, 1, 8, 8], [1, 2, 5, 7], [1, 1, 16, 3], [2, 2, 4, 20], [1, 2, 1, 1], [1, 1, 33, 17]];
    let mut checked = 0;
    for (i, terms) in Terms::all().enumerate() {
        let lattices = images.iter().flat_map(|&l| [(l, false), (l, true)]);
        let lattices = lattices.chain(sequences.iter().map(|&l| (l, false)));
        for (j, (lattice, joint)) in lattices.enumerate() {
            for k in 0..7 {
                let sizes = dims[(i + j + k) % dims.len()];
                let visibility = visibilities(lattice, sizes[0])[k].clone();
                checked += check(&Setting { terms, lattice, joint, visibility, sizes, spread: 1.0 });
            }
        }
    }
    assert!(checked > 1000, "only {checked}");
}

#[test]
fn many_blocks_and_chunks() {
    let image = |height, width, key_stride| Lattice::Image { height, width, query_stride: 1, key_stride };
    let line = |queries, keys| Lattice::Sequence { queries, keys };
    let causal = Visibility { causal: true, ..Visibility::default() };
    let near = Visibility { range: Some(Range::Symmetric(3)), ..Visibility::default() };
    for (terms, lattice, sizes, visibility) in [
        ("1111", image(20, 32, 1), [1, 1, 8, 8], Visibility::default()),
        ("1111", image(16, 24, 1), [1, 2, 32, 32], Visibility::default()),
        ("1011", image(9, 64, 1), [1, 1, 8, 8], near.clone()),
        ("0110", image(10, 64, 2), [1, 1, 16, 16], near.clone()),
        ("1000", line(300, 300), [1, 1, 32, 32], causal.clone()),
        ("1111", line(290, 290), [1, 1, 8, 8], causal.clone()),
        ("1111", line(170, 300), [2, 1, 32, 16], causal.clone()),
        ("0101", line(300, 170), [1, 1, 64, 64], near.clone()),
        ("1110", line(65, 700), [1, 1, 7, 9], Visibility::default()),
    ] {
        let setting = Setting { visibility, ..Setting::new(terms, lattice, sizes) };
        assert_eq!(check(&setting), 1);
        let setting = Setting { joint: matches!(lattice, Lattice::Image { .. }), ..setting };
        assert_eq!(check(&setting), 1);
    }
}
