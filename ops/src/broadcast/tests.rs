use ndarray::{ArrayD, Axis, IxDyn};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu};

use super::*;

/// A sum over axes by ndarray, one axis after the other.
fn sum_by_ndarray(x: &ArrayD<f64>, to: &[usize]) -> ArrayD<f64> {
    let mut sum = x.clone();
    for _ in to.len()..x.ndim() {
        sum = sum.sum_axis(Axis(0));
    }
    for (axis, &extent) in to.iter().enumerate() {
        if extent == 1 {
            sum = sum.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
    }
    sum
}

#[test]
fn sums_and_repetitions_agree_with_ndarray() {
    let shapes: [(&[usize], &[usize]); 11] = [
        (&[2, 3, 4], &[2, 1, 4]),
        (&[2, 3, 4], &[1, 3, 1]),
        (&[2, 3, 4], &[]),
        (&[2, 3, 4], &[3, 1]),
        (&[1, 1], &[1, 1]),
        (&[7, 1, 300, 3], &[1, 1, 300, 1]),
        // Large enough to be summed in parts, over rows and over runs.
        (&[40_000, 3], &[3]),
        (&[3, 50_001], &[3, 1]),
        (&[5, 100, 7, 130], &[1, 7, 1]),
        (&[70_003], &[]),
        (&[0, 3], &[3]),
    ];
    for (from, to) in shapes {
        let x = Samples::new(1).normal(from);
        let sum = Cpu::sum_to(&Array::from(x.clone()), to, 1.0).to_ndarray();
        let expected = sum_by_ndarray(&x, to);
        assert_eq!(sum.shape(), to);
        for (sum, expected) in sum.iter().zip(&expected) {
            assert!((sum - expected).abs() < 1e-10, "{from:?} to {to:?}: {sum} instead of {expected}");
        }
        let y = Samples::new(2).normal(to);
        let repeated = Cpu::broadcast_to(&Array::from(y.clone()), from, -2.0).to_ndarray();
        assert_eq!(repeated, y.broadcast(IxDyn(from)).unwrap().mapv(|v| -2.0 * v));
    }
}

#[test]
fn a_sum_has_the_same_bits_for_any_number_of_threads() {
    let x = Array::from(Samples::new(3).normal(&[60_000, 5]).mapv(|v| v as f32));
    let sum = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [Cpu::sum_to(&x, &[5], 1.0), Cpu::sum_to(&x, &[], 1.0), Cpu::sum_to(&x, &[60_000, 1], 1.0)]
        })
    };
    let bits = |threads: usize| {
        sum(threads)
            .iter()
            .flat_map(|sum| sum.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            .collect()
    };
    let one: Vec<u32> = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
}

#[test]
fn a_layout_joins_what_it_can() {
    let bias = Layout::broadcast(&[2, 3, 4, 5], [&[2, 3, 4, 5], &[3, 1, 1]]);
    assert_eq!((bias.len(), bias.steps()), (120, [1, 0]));
    let mut runs = Vec::new();
    bias.for_each_run(15, 50, |start, len, offsets| runs.push((start, len, offsets)));
    assert_eq!(runs, [(15, 5, [15, 0]), (20, 20, [20, 1]), (40, 20, [40, 2]), (60, 5, [60, 0])]);
    let equal = Layout::broadcast(&[2, 1, 4], [&[2, 1, 4], &[2, 1, 4]]);
    let mut runs = Vec::new();
    equal.for_each_run(0, 8, |start, len, offsets| runs.push((start, len, offsets)));
    assert_eq!(runs, [(0, 8, [0, 0])]);
}
