//! Tiles against the simple form: outputs, normalisers and all gradients, on every instruction set.

use ndarray::{Array2, ArrayD, Axis};
use rayon::ThreadPoolBuilder;
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
    /// Whether the table of a sequence has no rows but those that some query sees.
    narrow: bool,
    visibility: Visibility,
    /// N, M, d, d_v.
    sizes: [usize; 4],
    /// Standard deviation of queries and keys.
    spread: f64,
}

impl Setting {
    fn new(terms: &str, lattice: Lattice, sizes: [usize; 4]) -> Self {
        let terms = terms.parse().unwrap();
        let visibility = Visibility::default();
        Setting { terms, lattice, joint: false, narrow: false, visibility, sizes, spread: 1.0 }
    }

    /// The table of a sequence.
    fn line(&self) -> RelativeIndex {
        let full = self.lattice.x_index();
        let pairs = (0..full.query.len()).flat_map(|q| (0..full.key.len()).map(move |k| (q, k)));
        let seen = pairs.filter(|&(q, k)| !self.narrow || !self.visibility.hides(&self.lattice, q, k));
        let last = seen.map(|(q, k)| full.row(q, k)).max().unwrap_or(0);
        RelativeIndex { rows: last + 1, ..full }
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
            (true, false, false) => vec![self.line()],
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

/// Panics unless every result lies within `tolerance` times the largest number of it, or `least`.
#[track_caller]
fn assert_close(what: &str, found: &Results, expected: &Results, tolerance: f64, least: f64) {
    for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
        let (found, expected) = match (found, expected) {
            (Some(found), Some(expected)) => (found, expected),
            (None, None) => continue,
            _ => panic!("{what}: {name} is there in one and not in the other"),
        };
        assert_eq!(found.shape(), expected.shape(), "{what}: {name}");
        let finite = expected.iter().filter(|x| x.is_finite());
        let size = finite.fold(least, |max: f64, x| max.max(x.abs()));
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
        assert_close(
            &format!("f64 {isa} {setting:?}"),
            &call.tiles::<f64>(isa, [true; 7]),
            &expected,
            1e-11,
            1e-3,
        );
        assert_close(
            &format!("f32 {isa} {setting:?}"),
            &call.tiles::<f32>(isa, [true; 7]),
            &expected,
            2e-5,
            1e-3,
        );
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
    let (mut checked, mut narrow) = (0, 0);
    for (i, terms) in Terms::all().enumerate() {
        let lattices = images.iter().flat_map(|&l| [(l, false), (l, true)]);
        let lattices = lattices.chain(sequences.iter().map(|&l| (l, false)));
        for (j, (lattice, joint)) in lattices.enumerate() {
            for k in 0..7 {
                let sizes = dims[(i + j + k) % dims.len()];
                let visibility = visibilities(lattice, sizes[0])[k].clone();
                let setting =
                    Setting { joint, visibility, ..Setting::new(&terms.to_string(), lattice, sizes) };
                checked += check(&setting);
                if matches!(lattice, Lattice::Sequence { .. }) && setting.visibility.by_position() {
                    narrow += check(&Setting { narrow: true, ..setting });
                }
            }
        }
    }
    assert!(checked > 1000, "only {checked}");
    assert!(narrow > 100, "only {narrow} with tables of visible offsets");
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
        let is_image = matches!(lattice, Lattice::Image { .. });
        let setting = Setting { joint: is_image, narrow: !is_image, ..setting };
        assert_eq!(check(&setting), 1);
    }
}

/// Energies that rise (or fall) by hundreds along the keys, so that every chunk has a maximum of its own.
fn steep(call: &mut Call, slope: f64) {
    let key = call.inputs[1].as_mut().expect("E1 or E3");
    for (mut row, k) in key.axis_iter_mut(Axis(1)).zip(0..) {
        row += slope * f64::from(k);
    }
    for bias_or_query in [0, 5] {
        if let Some(values) = call.inputs[bias_or_query].as_mut() {
            values.mapv_inplace(|x| 1.0 + 0.1 * x);
        }
    }
}

#[test]
fn energies_of_hundreds() {
    let line = |queries, keys| Lattice::Sequence { queries, keys };
    let image = Lattice::Image { height: 10, width: 64, query_stride: 1, key_stride: 1 };
    let causal = Visibility { causal: true, ..Visibility::default() };
    let cases = [
        ("1000", line(40, 900), Visibility::default()),
        ("1111", line(600, 600), causal),
        ("1111", image, Visibility::default()),
        ("0111", line(40, 900), Visibility::default()),
    ];
    for (terms, lattice, visibility) in cases {
        for (sizes, slope) in
            [([1, 1, 8, 8], 0.3), ([1, 1, 8, 8], -0.3), ([1, 1, 32, 32], 0.1), ([1, 1, 5, 3], 2.0)]
        {
            let setting = Setting { visibility: visibility.clone(), ..Setting::new(terms, lattice, sizes) };
            let mut call = setting.call();
            steep(&mut call, slope);
            // What f32 rounds away of the operands would change weights by as much as the arithmetic does.
            call.round_to_f32();
            let expected = call.simple::<f64>();
            let key = call.inputs[1].as_ref().expect("E1 or E3");
            let largest_key = key.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
            // Queries are near 1, and products are divided by the root of their number.
            let largest = largest_key * (sizes[2] as f64).sqrt();
            assert!(largest > 100.0, "{setting:?}: {largest}");
            // Where the weights leave no doubt all gradients are sums of rounding errors over the queries.
            let least = (call.spec.queries as f64).sqrt();
            let check = |what: String, mut found: Results, epsilon: f64| {
                // An energy E is known to some E units in the last place, and a weight as well as its energy.
                let (tolerance, mut expected) = (16.0 * largest * epsilon, expected.clone());
                // The gradients of queries and of their bias are sums of keys with such weights.
                let sums = [&mut found, &mut expected].map(|of| vec![of[2].take(), of[7].take()]);
                let what_sums = format!("{what}: query and key bias");
                assert_close(&what_sums, &sums[0], &sums[1], tolerance * largest_key, least);
                assert_close(&what, &found, &expected, tolerance, least);
            };
            for isa in simd::available() {
                let what = format!("{isa} {setting:?}, slope {slope}");
                check(format!("f64 {what}"), call.tiles::<f64>(isa, [true; 7]), f64::EPSILON);
                check(format!("f32 {what}"), call.tiles::<f32>(isa, [true; 7]), f32::EPSILON.into());
            }
        }
    }
}

impl Call {
    fn round_to_f32(&mut self) {
        for values in self.inputs.iter_mut().flatten().chain([&mut self.cotangent]) {
            values.mapv_inplace(|x| f64::from(x as f32));
        }
    }
}

#[test]
fn only_the_gradients_that_are_needed() {
    let image = Lattice::Image { height: 4, width: 9, query_stride: 1, key_stride: 1 };
    let line = Lattice::Sequence { queries: 20, keys: 20 };
    for (terms, lattice, sizes) in [
        ("1111", image, [2, 2, 8, 8]),
        ("1111", line, [1, 2, 16, 16]),
        ("0111", line, [2, 1, 4, 8]),
        ("1010", line, [1, 1, 33, 5]),
        ("0101", image, [1, 2, 16, 3]),
    ] {
        let mut setting = Setting::new(terms, lattice, sizes);
        setting.visibility.causal = true;
        let call = setting.call();
        for isa in simd::available() {
            let all = call.tiles::<f64>(isa, [true; 7]);
            for only in 0..7 {
                let some = call.tiles::<f64>(isa, std::array::from_fn(|i| i == only));
                for i in 0..7 {
                    let what = format!("{isa} {setting:?}: {} of {only} alone", NAMES[i + 2]);
                    let expected = if i == only { &all[i + 2] } else { &None };
                    assert_eq!(&some[i + 2], expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let line = |queries, keys| Lattice::Sequence { queries, keys };
    let image = |height, width| Lattice::Image { height, width, query_stride: 1, key_stride: 1 };
    let causal = Visibility { causal: true, ..Visibility::default() };
    for (terms, lattice, sizes, visibility) in [
        ("1111", image(24, 20), [1, 1, 8, 8], Visibility::default()),
        ("1111", line(300, 300), [5, 7, 16, 16], causal.clone()),
        ("1010", line(500, 200), [1, 2, 32, 32], causal),
    ] {
        let setting = Setting { visibility, ..Setting::new(terms, lattice, sizes) };
        let call = setting.call();
        let on = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
            pool.install(|| call.tiles::<f32>(simd::isa(), [true; 7]))
        };
        let one = on(1);
        assert_close(&format!("{setting:?}"), &one, &call.simple::<f64>(), 2e-5, 1e-3);
        for threads in [2, 3] {
            assert!(one == on(threads), "{setting:?}: {threads} threads give other bits than one");
        }
    }
}

#[test]
fn a_nan_is_not_hidden() {
    let line = Lattice::Sequence { queries: 5, keys: 40 };
    for input in [0, 1, 2] {
        let mut call = Setting::new("1000", line, [1, 1, 8, 8]).call();
        call.inputs[input].as_mut().unwrap().fill(f64::NAN);
        for isa in simd::available() {
            let output = call.tiles::<f32>(isa, [true; 7]).swap_remove(0).unwrap();
            assert!(output.iter().all(|x| x.is_nan()), "{isa}, input {input}: {output}");
        }
    }
}

#[test]
fn tables_that_are_not_those_of_the_lattice_are_left_to_the_simple_form() {
    let mut spec = Setting::new("0100", Lattice::Sequence { queries: 3, keys: 4 }, [1, 1, 2, 2]).call().spec;
    assert!(super::covers(&spec));
    spec.relative[0].key.reverse();
    assert!(!super::covers(&spec));
}
