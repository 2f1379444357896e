//! The factorised forms against the simple one: outputs, normalisers and all gradients.

use ndarray::Array2;
use termwise_autograd::{Scalar, simd};

use crate::attention::Lattice;
use crate::attention::parity::{Call, Form, assert_close};

const TERMS: [&str; 6] = ["0001", "0011", "0100", "0101", "0110", "0111"];

fn form<T: Scalar>() -> Form<T> {
    Form { forward: super::forward, backward: super::backward }
}

fn image(height: usize, width: usize, query_stride: usize, key_stride: usize) -> Lattice {
    Lattice::Image { height, width, query_stride, key_stride }
}

#[track_caller]
fn check(call: &Call, what: &str) {
    call.check::<f64>(what, form(), 1e-11);
    call.check::<f32>(what, form(), 2e-5);
}

#[test]
fn every_pattern_on_every_shape() {
    let lattices = [
        image(1, 1, 1, 1),
        image(1, 5, 1, 1),
        image(6, 1, 1, 1),
        image(3, 4, 1, 1),
        image(9, 17, 1, 1),
        image(16, 16, 1, 1),
        image(18, 7, 1, 1),
        image(5, 33, 1, 1),
        image(17, 9, 1, 2),
        image(8, 11, 2, 1),
        image(13, 6, 3, 2),
        image(20, 15, 2, 3),
        image(7, 7, 9, 1),
        image(21, 4, 1, 9),
    ];
    // N, M, d, d_v
    let sizes = [
        [1, 1, 1, 1],
        [2, 2, 3, 4],
        [1, 2, 8, 8],
        [1, 3, 16, 7],
        [3, 1, 5, 33],
        [1, 1, 20, 2],
        [2, 1, 32, 32],
    ];
    for (i, terms) in TERMS.into_iter().enumerate() {
        for (j, &lattice) in lattices.iter().enumerate() {
            for padded in [false, true] {
                let sizes = sizes[(3 * i + j) % sizes.len()];
                let call = Call::new(terms, lattice, sizes, padded);
                check(&call, &format!("{terms}, {lattice:?}, {sizes:?}, padded {padded}"));
            }
        }
    }
}

#[test]
fn many_blocks_of_queries_in_many_parts() {
    for terms in TERMS {
        let call = Call::new(terms, image(34, 40, 1, 2), [1, 1, 8, 8], terms == "0101");
        check(&call, terms);
    }
}

/// A query far to one side of keys of which only one far to the other side has any weight of its own: each
/// factor is large where the other vanishes.
fn far_apart(terms: &str, lattice: Lattice, strength: f64) -> Call {
    let mut call = Call::new(terms, lattice, [1, 1, 2, 3], false);
    call.spec.scale = 1.0;
    let (_, columns) = lattice.key_grid();
    for (axis, index) in call.spec.relative.iter().enumerate() {
        let table = call.inputs[3 + axis].as_mut().unwrap();
        for (row, offset) in index.offsets().enumerate() {
            table[[row, 0]] = -strength * offset.abs().min(40) as f64;
            table[[row, 1]] *= 0.1;
        }
    }
    let last = call.spec.keys - 1;
    if let Some(key) = &mut call.inputs[1] {
        for k in 0..=last {
            key[[0, k, 0]] = if k == last { 6.0 * strength } else { 0.02 * (k % columns) as f64 };
            key[[0, k, 1]] *= 0.1;
        }
    }
    for bias in [0, 5, 6] {
        if let Some(input) = &mut call.inputs[bias] {
            input.mapv_inplace(|v| 1.0 + 0.01 * v);
        }
    }
    call
}

/// How many queries have a normaliser, relative to the maxima of the factors, below `smallest`.
fn untrusted(call: &Call, smallest: f64) -> usize {
    let normalisers = call.simple::<f64>()[1].clone().unwrap();
    let spec = &call.spec;
    let channels = |array: usize, row: &[usize]| -> Vec<f64> {
        let Some(array) = &call.inputs[array] else { return vec![0.0; spec.head_dim] };
        (0..spec.head_dim).map(|c| array[[row, &[c]].concat().as_slice()]).collect()
    };
    let dot = |a: &[f64], b: &[f64]| spec.scale * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let max = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    let keys = max(&mut (0..spec.keys).map(|k| dot(&channels(1, &[0, k]), &channels(5, &[0]))));
    let below = |q: &usize| {
        let (content, bias) = (channels(0, &[0, *q]), channels(6, &[0]));
        let query: Vec<f64> = content.iter().zip(&bias).map(|(a, b)| a + b).collect();
        let along = |axis: usize| {
            let index = &spec.relative[axis];
            max(&mut (0..spec.keys).map(|k| dot(&query, &channels(3 + axis, &[index.row(*q, k)]))))
        };
        let largest = along(0) + along(1) + keys;
        (normalisers.as_slice()[*q] - largest).exp() < smallest
    };
    (0..spec.queries).filter(below).count()
}

#[test]
fn where_the_factors_part_the_definition_takes_over() {
    for terms in ["0011", "0110", "0111"] {
        for lattice in [image(1, 24, 1, 1), image(9, 17, 1, 1), image(20, 6, 1, 2)] {
            // In f32 products of factors vanish below 1e-38, in f64 below 1e-308.
            let call = far_apart(terms, lattice, 16.0);
            let count = untrusted(&call, 1e-30);
            assert!(count > 2 && count < call.spec.queries, "{count} of {}", call.spec.queries);
            // Energies of hundreds have an error of 1e-5 in f32.
            call.check::<f32>(&format!("{terms} {lattice:?}"), form(), 2e-4);
            let call = far_apart(terms, lattice, 130.0);
            let count = untrusted(&call, 1e-200);
            assert!(count > 2 && count < call.spec.queries, "{count} of {}", call.spec.queries);
            call.check::<f64>(&format!("{terms} {lattice:?}"), form(), 1e-10);
        }
    }
}

#[test]
fn where_padding_hides_what_a_query_looks_at() {
    for terms in ["0001", "0100", "0101"] {
        for (strength, double) in [(16.0, false), (130.0, true)] {
            let mut call = far_apart(terms, image(9, 17, 1, 1), strength);
            // Only the last key can be seen.
            let keys = call.spec.keys;
            let padding = Array2::from_shape_fn((1, keys), |(_, k)| k + 1 != keys);
            call.spec.visibility.key_padding = Some(padding);
            if double {
                call.check::<f64>(terms, form(), 1e-10);
            } else {
                call.check::<f32>(terms, form(), 2e-4);
            }
        }
    }
}

#[test]
fn a_sample_of_padding_alone_gets_nothing_and_passes_nothing() {
    for terms in TERMS {
        let mut call = Call::new(terms, image(5, 6, 1, 1), [2, 2, 3, 4], true);
        let keys = call.spec.keys;
        let padding = Array2::from_shape_fn((2, keys), |(n, k)| n == 0 || k == 3);
        call.spec.visibility.key_padding = Some(padding);
        check(&call, terms);
        let results = call.fast::<f32>(form(), simd::isa(), [true; 7]);
        let output = results[0].as_ref().unwrap();
        assert!(output.as_slice()[..output.len() / 2].iter().all(|&o| o == 0.0), "{terms}");
    }
}

#[test]
fn large_energies_saturate_and_stay_finite() {
    for terms in TERMS {
        let mut call = Call::new(terms, image(7, 10, 1, 1), [1, 2, 8, 8], false);
        for input in [0, 3, 4] {
            if let Some(input) = &mut call.inputs[input] {
                input.mapv_inplace(|v| (8.0 * v).round());
            }
        }
        call.spec.scale = 8.0;
        call.check::<f64>(terms, form(), 1e-9);
        let results = call.fast::<f32>(form(), simd::isa(), [true; 7]);
        assert!(results.iter().flatten().all(|array| array.as_slice().iter().all(|v| v.is_finite())));
    }
}

#[test]
fn a_nan_shows_where_it_belongs() {
    for isa in simd::available() {
        for terms in ["0100", "0110"] {
            let mut call = Call::new(terms, image(4, 20, 1, 1), [1, 1, 3, 2], false);
            call.inputs[0].as_mut().unwrap()[[0, 5, 1]] = f64::NAN;
            let output = call.fast::<f32>(form(), isa, [true; 7])[0].clone().unwrap();
            for (i, o) in output.as_slice().iter().enumerate() {
                assert_eq!(o.is_nan(), i / 2 == 5, "{terms} on {isa}: {i} is {o}");
            }
        }
        for (terms, input) in [("0011", 5), ("0110", 5), ("0001", 6), ("0111", 6)] {
            let mut call = Call::new(terms, image(4, 5, 1, 1), [1, 1, 3, 2], false);
            call.inputs[input].as_mut().unwrap()[[0, 0]] = f64::NAN;
            let results = call.fast::<f32>(form(), isa, [true; 7]);
            for result in results[..3].iter().flatten() {
                assert!(result.as_slice().iter().all(|v| v.is_nan()), "{terms} on {isa}: input {input}");
            }
        }
    }
}

#[test]
fn what_needs_no_gradient_gets_none_and_changes_no_other() {
    for terms in TERMS {
        let call = Call::new(terms, image(6, 9, 1, 1), [2, 2, 4, 3], false);
        let all = call.fast::<f64>(form(), simd::isa(), [true; 7]);
        for alone in 0..7 {
            let needs = std::array::from_fn(|i| i == alone);
            let found = call.fast::<f64>(form(), simd::isa(), needs);
            for i in 0..7 {
                assert_eq!(found[2 + i].is_some(), i == alone && all[2 + i].is_some(), "{terms}, input {i}");
            }
            let expected: Vec<_> =
                (0..9).map(|i| all[i].clone().filter(|_| i < 2 || i == alone + 2)).collect();
            assert_close(terms, &found, &expected, 1e-13);
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for terms in TERMS {
        Call::new(terms, image(30, 40, 1, 1), [1, 1, 8, 8], false).check_threads::<f32>(form());
        Call::new(terms, image(16, 18, 1, 2), [2, 3, 5, 4], true).check_threads::<f64>(form());
        if terms != "0001" && terms != "0101" && terms != "0100" {
            far_apart(terms, image(20, 30, 1, 1), 16.0).check_threads::<f32>(form());
        }
    }
}
