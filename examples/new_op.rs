//! A differentiable operation of your own, with its gradient checked.
//!
//! `cargo run --release --example new_op`

use termwise::prelude::*;

/// y = x / (1 + |x|), a cheap squashing function.
struct Softsign;

impl<T: Scalar> Op<Cpu<T>, 1> for Softsign {
    type Saved = Array<Cpu<T>>;

    fn name(&self) -> &'static str {
        "softsign"
    }

    fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
        (x.view().mapv(|v| v / (T::one() + v.abs())).into(), x.clone())
    }

    fn backward(
        &self,
        x: &Self::Saved,
        grad_output: &Array<Cpu<T>>,
        _: [bool; 1],
    ) -> [Option<Array<Cpu<T>>>; 1] {
        // y = x / (1 + |x|)  =>  dx = dy / (1 + |x|)^2
        let slope = x.view().mapv(|v| T::one() / ((T::one() + v.abs()) * (T::one() + v.abs())));
        [Some((&slope * &grad_output.view()).into())]
    }
}

fn main() {
    let x = gradcheck::Samples::new(0).normal(&[3, 4]);
    let report = gradcheck::check("softsign", &[("x", x)], |v| apply(Softsign, [&v[0]]));
    println!("{report}");
    report.assert_pass();
}
