//! A differentiable operation of your own, its gradient checked, used in a training step, and what the check
//! says of a mistake. `docs/guide/your-own-op.md` goes through it.
//!
//! `cargo run --release --example new_op`

use termwise::prelude::*;

/// y = x / (1 + |x|), a cheap squashing function.
struct Softsign;

impl<T: Scalar> Op<Cpu<T>, 1> for Softsign {
    /// What backward needs from forward.
    type Saved = Array<Cpu<T>>;

    fn name(&self) -> &'static str {
        "softsign"
    }

    fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
        (x.view().mapv(|x| x / (T::one() + x.abs())).into(), x.clone())
    }

    fn backward(
        &self,
        x: &Self::Saved,
        grad_output: &Array<Cpu<T>>,
        _needs: [bool; 1],
    ) -> [Option<Array<Cpu<T>>>; 1] {
        // y = x / (1 + |x|)  =>  dx = dy / (1 + |x|)^2
        let slope = x.view().mapv(|x| T::one() / (T::one() + x.abs()).powi(2));
        [Some((&slope * &grad_output.view()).into())]
    }
}

/// What the rest of a program calls.
fn softsign<T: Scalar>(x: &Var<Cpu<T>>) -> Var<Cpu<T>> {
    apply(Softsign, [x])
}

/// The same function with a mistake: backward returns the slope and forgets the gradient that comes in.
struct Careless;

impl<T: Scalar> Op<Cpu<T>, 1> for Careless {
    type Saved = Array<Cpu<T>>;

    fn name(&self) -> &'static str {
        "careless"
    }

    fn forward(&self, [x]: [&Array<Cpu<T>>; 1]) -> (Array<Cpu<T>>, Self::Saved) {
        (x.view().mapv(|x| x / (T::one() + x.abs())).into(), x.clone())
    }

    fn backward(
        &self,
        x: &Self::Saved,
        _grad_output: &Array<Cpu<T>>,
        _needs: [bool; 1],
    ) -> [Option<Array<Cpu<T>>>; 1] {
        [Some(x.view().mapv(|x| T::one() / (T::one() + x.abs()).powi(2)).into())]
    }
}

/// The reports on both: on the right one and on the careless one.
pub fn reports() -> [gradcheck::Report; 2] {
    let x = gradcheck::Samples::new(0).normal(&[3, 4]);
    let inputs = [("x", x)];
    [
        gradcheck::check("softsign", &inputs, |v| softsign(&v[0])),
        gradcheck::check("careless", &inputs, |v| apply(Careless, [&v[0]])),
    ]
}

fn main() {
    let [right, wrong] = reports();
    println!("{right}\n\n{wrong}\n");
    right.assert_pass();

    // One step of a training: the parameter moves against its gradient.
    let weight = Param::new(Array::host(&[2], vec![0.5_f32, -3.0]));
    let tape = Tape::new(Cpu::new());
    let loss = sum(&softsign(&weight.var(&tape)), None, false);
    let gradients = tape.backward(&loss);
    println!(
        "gradient of the sum of softsign(0.5) and softsign(-3): {:?}",
        gradients.param(&weight).unwrap()
    );
}
