//! A new operation, written and checked outside this project: what an engineer's own file looks like.

use termwise_autograd::gradcheck::{self, Built, Case, Check};
use termwise_autograd::{Array, Cpu, Op, Scalar, Tape, Var, apply};

/// `y = x sigmoid(beta x)`, elementwise; `x` and `y` of any shape, `beta` a scalar on the tape.
pub fn swish<T: Scalar>(x: &Var<Cpu<T>>, beta: &Var<Cpu<T>>) -> Var<Cpu<T>> {
    assert!(beta.shape().is_empty(), "swish: beta must be a scalar, its shape is {:?}", beta.shape());
    apply(Swish, [x, beta])
}

struct Swish;

impl<T: Scalar> Op<Cpu<T>, 2> for Swish {
    /// The two inputs.
    type Saved = [Array<Cpu<T>>; 2];

    fn name(&self) -> &'static str {
        "swish"
    }

    fn forward(&self, [x, beta]: [&Array<Cpu<T>>; 2]) -> (Array<Cpu<T>>, Self::Saved) {
        let b = beta.item();
        (x.view().mapv(|x| x * sigmoid(b * x)).into(), [x.clone(), beta.clone()])
    }

    fn backward(
        &self,
        [x, beta]: &Self::Saved,
        grad_output: &Array<Cpu<T>>,
        _: [bool; 2],
    ) -> [Option<Array<Cpu<T>>>; 2] {
        let b = beta.item();
        // y = x s(bx), s' = s (1 - s)  =>  dy/dx = s + bx s (1 - s), dy/db = x^2 s (1 - s)
        let grad_x = ndarray::Zip::from(x.view()).and(grad_output.view()).map_collect(|&x, &g| {
            let s = sigmoid(b * x);
            g * (s + b * x * s * (T::one() - s))
        });
        let grad_beta = x.as_slice().iter().zip(grad_output.as_slice()).map(|(&x, &g)| {
            let s = sigmoid(b * x);
            g * x * x * s * (T::one() - s)
        });
        [Some(grad_x.into()), Some(Array::host(&[], vec![grad_beta.sum()]))]
    }
}

fn sigmoid<T: Scalar>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

#[test]
fn the_gradient_is_checked_in_three_lines() {
    let x = ndarray::arr2(&[[0.3, -1.2, 2.0], [0.0, 4.0, -0.7]]).into_dyn();
    let beta = ndarray::arr0(1.3).into_dyn();
    gradcheck::check("swish", &[("x", x), ("beta", beta)], |v| swish(&v[0], &v[1])).assert_pass();
}

#[test]
fn the_values_are_right() {
    let tape = Tape::new(Cpu::<f64>::new());
    let x = tape.leaf(ndarray::arr1(&[0.0, 1.0]).into());
    let y = swish(&x, &tape.leaf(ndarray::arr0(0.0).into()));
    assert_eq!(y.value().as_slice(), [0.0, 0.5]);
}

/// Cases make the same op checkable at any shape, in f32 too, and shrinkable.
fn cases<T: Scalar>() -> Vec<Case<Cpu<T>>> {
    let case = |shape: &[usize]| {
        Case::new("swish", "", shape, |shape, samples| {
            let inputs = [("x", samples.normal(shape)), ("beta", samples.uniform(&[], 0.5, 2.0))];
            Built::new(inputs, |v: &[Var<Cpu<T>>]| swish(&v[0], &v[1]))
        })
    };
    vec![case(&[1]), case(&[4, 7]), case(&[0, 3]), case(&[30, 40])]
}

#[test]
fn every_case_passes_in_f64_and_f32() {
    for (double, single) in cases::<f64>().iter().zip(&cases::<f32>()) {
        gradcheck::check_case_and_f32(double, single, &Check::new().seed(1)).assert_pass();
    }
}

#[test]
fn every_planted_fault_is_caught_and_called_by_its_name() {
    let rate = gradcheck::kill_rate(&cases());
    let total = rate.total();
    println!("{rate}");
    assert!(total.planted > 50, "{rate}");
    assert_eq!((total.caught, total.named), (total.planted, total.nameable), "{rate}");
}
