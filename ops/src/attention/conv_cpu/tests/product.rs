//! Products of blocks against three loops.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Kernel, Vector, available, run_on};

use super::super::product::{Matrix, product};
use super::{Numbers, assert_close, widened};

struct Multiply<'a, T> {
    size: [usize; 3],
    a: Matrix<'a, T>,
    b: (&'a [T], usize),
    c: (&'a mut [T], usize),
    add: bool,
}

impl<T: Scalar> Kernel<T> for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        product::<T, V>(self.size, self.a, self.b, self.c, self.add);
    }
}

fn check<T: Scalar>() {
    let mut numbers = Numbers::new(1);
    for [m, n, k] in [
        [1, 1, 1],
        [1, 70, 3],
        [7, 5, 2],
        [6, 64, 9],
        [13, 33, 17],
        [3, 16, 600],
        [11, 130, 1030],
        [5, 3, 0],
        [0, 4, 2],
    ] {
        for (transposed, add) in [(false, false), (true, false), (false, true), (true, true)] {
            let (b_row, c_row) = (n + 3, n + 1);
            let (a, b) = (numbers.normal::<T>(m * k), numbers.normal::<T>(k * b_row));
            let before = numbers.normal::<T>(m * c_row);
            let (row, col) = if transposed { (1, m) } else { (k, 1) };
            let mut expected = widened(&before);
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 =
                        (0..k).map(|p| a[i * row + p * col].as_f64() * b[p * b_row + j].as_f64()).sum();
                    expected[i * c_row + j] = sum + if add { before[i * c_row + j].as_f64() } else { 0.0 };
                }
            }
            for isa in available() {
                let mut c = before.clone();
                let a = (&a[..], row, col);
                run_on(isa, Multiply { size: [m, n, k], a, b: (&b, b_row), c: (&mut c, c_row), add });
                // What lies between the rows of c stays as it was: `expected` still holds it.
                assert_close(&format!("{isa}: {m} x {n} x {k}, {transposed}, {add}"), &c, &expected);
            }
        }
    }
}

#[test]
fn products_equal_three_loops() {
    check::<f32>();
    check::<f64>();
}
