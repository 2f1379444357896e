//! The product on every instruction set against plain sums in `f64`.

use ndarray::{Array2, ShapeBuilder, s};
use termwise_autograd::simd::available;

use super::*;

/// Deterministic numbers in about [-1, 1].
fn numbers<T: Scalar>(rows: usize, cols: usize, seed: usize) -> Array2<T> {
    Array2::from_shape_fn((rows, cols), |(i, j)| {
        T::of(((i * 37 + j * 101 + seed * 17) % 199) as f64 / 100.0 - 1.0)
    })
}

/// How the operands lie in memory.
#[derive(Clone, Copy, Debug)]
enum Order {
    Rows,
    Columns,
    /// Every second row and column of a larger array.
    Strided,
}

fn laid_out<T: Scalar>(array: &Array2<T>, order: Order) -> Array2<T> {
    let (m, n) = array.dim();
    match order {
        Order::Rows => array.clone(),
        Order::Columns => {
            let mut out = Array2::zeros((m, n).f());
            out.assign(array);
            out
        }
        Order::Strided => {
            let mut large = Array2::from_elem((2 * m, 2 * n + 1), T::of(f64::NAN));
            large.slice_mut(s![..;2, 1..;2]).assign(array);
            large
        }
    }
}

fn view<T>(array: &Array2<T>, order: Order) -> ArrayView2<'_, T> {
    match order {
        Order::Strided => array.slice(s![..;2, 1..;2]),
        _ => array.view(),
    }
}

fn check<T: Scalar>(tolerance: f64) {
    let shapes = [
        (1, 1, 1),
        (1, 40, 1),
        (1, 33, 70),
        (3, 20, 1100),
        (2, 100, 5),
        (3, 17, 64),
        (70, 40, 1),
        (65, 64, 3),
        (5, 1, 9),
        (6, 8, 64),
        (7, 3, 65),
        (13, 129, 17),
        (14, 128, 31),
        (12, 300, 100),
        (31, 20, 33),
        (64, 64, 64),
        (97, 130, 66),
        (193, 40, 520),
        (24, 3000, 20),
        (100, 5, 300),
        (11, 140, 200),
    ];
    let orders = [Order::Rows, Order::Columns, Order::Strided];
    for isa in available() {
        for (case, (m, k, n)) in shapes.into_iter().enumerate() {
            let (a, b, c0) = (numbers::<T>(m, k, 1), numbers::<T>(k, n, 2), numbers::<T>(m, n, 3));
            let expected = {
                let wide = |x: &Array2<T>| x.mapv(Scalar::as_f64);
                wide(&a).dot(&wide(&b))
            };
            let magnitude = {
                let wide = |x: &Array2<T>| x.mapv(|x| x.as_f64().abs());
                wide(&a).dot(&wide(&b))
            };
            for (order_a, order_b, order_c) in
                (0..9).map(|i| (orders[i / 3], orders[i % 3], orders[(i + case) % 3]))
            {
                for (alpha, beta) in [(1.0, 0.0), (-0.5, 1.0), (2.0, 0.25)] {
                    let (a, b) = (laid_out(&a, order_a), laid_out(&b, order_b));
                    // What beta = 0 overwrites may be anything.
                    let start = if beta == 0.0 { c0.mapv(|_| T::of(f64::NAN)) } else { c0.clone() };
                    let mut c = laid_out(&start, order_c);
                    let mut out = match order_c {
                        Order::Strided => c.slice_mut(s![..;2, 1..;2]),
                        _ => c.view_mut(),
                    };
                    gemm_on(isa, T::of(alpha), view(&a, order_a), view(&b, order_b), T::of(beta), &mut out);
                    for ((index, &found), &product) in out.indexed_iter().zip(&expected) {
                        let expected =
                            alpha * product + if beta == 0.0 { 0.0 } else { beta * c0[index].as_f64() };
                        let error = (found.as_f64() - expected).abs();
                        assert!(
                            error <= 4.0 * tolerance * (1.0 + magnitude[index]),
                            "{isa} {m}x{k}x{n} {order_a:?} {order_b:?} {order_c:?} {alpha} {beta} at {index:?}: {found}, expected {expected}"
                        );
                    }
                    if let Order::Strided = order_c {
                        let between = c.slice(s![1..;2, ..]);
                        assert!(between.iter().all(|x| x.is_nan()), "{m}x{k}x{n}: wrote between the rows");
                    }
                }
            }
        }
    }
}

#[test]
fn products_of_all_shapes_and_layouts_in_f32() {
    check::<f32>(f64::from(f32::EPSILON));
}

#[test]
fn products_of_all_shapes_and_layouts_in_f64() {
    check::<f64>(f64::EPSILON);
}

#[test]
fn a_bias_is_added_to_every_row() {
    for (m, k, n) in [(1, 5, 7), (40, 300, 70), (13, 16, 3), (9, 0, 5)] {
        let (a, b, bias) = (numbers::<f64>(m, k, 1), numbers::<f64>(k, n, 2), numbers::<f64>(1, n, 3));
        let mut c = Array2::from_elem((m, n), f64::NAN);
        gemm_bias(a.view(), b.view(), bias.as_slice().unwrap(), &mut c.view_mut());
        let difference = (a.dot(&b) + bias - c).mapv(f64::abs);
        assert!(difference.iter().all(|&d| d < 1e-12), "{m}x{k}x{n}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_the_bits() {
    for (m, k, n) in [(300, 200, 700), (60, 4100, 50), (1, 5000, 300), (2000, 64, 3)] {
        let (a, b) = (numbers::<f32>(m, k, 4), numbers::<f32>(k, n, 5));
        let bits = |threads: usize| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
            pool.install(|| {
                let mut c = Array2::zeros((m, n));
                gemm(1.0, a.view(), b.view(), 0.0, &mut c.view_mut());
                c.iter().map(|x: &f32| x.to_bits()).collect::<Vec<_>>()
            })
        };
        assert!([2, 5].into_iter().all(|threads| bits(threads) == bits(1)), "{m}x{k}x{n}");
    }
}

#[test]
#[should_panic(expected = "gemm: a is (2, 3), b is (4, 5), c is (2, 5)")]
fn shapes_that_do_not_fit_are_named() {
    let mut c = Array2::<f32>::zeros((2, 5));
    gemm(1.0, numbers(2, 3, 0).view(), numbers(4, 5, 0).view(), 0.0, &mut c.view_mut());
}
