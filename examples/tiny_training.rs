//! A whole training in one screen: two layers learn the exclusive or.
//!
//! `cargo run --release --example tiny_training`

use termwise::models::Init;
use termwise::models::layers::Linear;
use termwise::ops::losses::{CrossEntropy, cross_entropy};
use termwise::ops::optim::{Adam, AdamConfig, Optimizer};
use termwise::ops::tanh;
use termwise::prelude::*;

/// A model is a struct of layers and parameters ...
struct Net(Linear<Cpu<f32>>, Linear<Cpu<f32>>);

impl Net {
    fn forward(&self, x: &Var<Cpu<f32>>) -> Var<Cpu<f32>> {
        self.1.forward(&tanh(&self.0.forward(x)))
    }
}

/// ... that says what they are called: the optimiser and checkpoints go by these names.
impl Module<Cpu<f32>> for Net {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
        parameters.module("first", &self.0);
        parameters.module("second", &self.1);
    }
}

fn main() {
    let backend = Cpu::<f32>::new();
    let init = &mut Init::new(backend, 0);
    let net = Net(Linear::new(2, 8, true, init), Linear::new(8, 2, true, init));
    let inputs = ndarray::arr2(&[[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let labels = ndarray::arr1(&[0, 1, 1, 0]).into_dyn();
    let mut optimizer = Adam::new(AdamConfig::adam());
    for step in 0..=200 {
        let tape = Tape::new(backend); // a new one each step: it is swept once
        let x = tape.constant(inputs.clone().into());
        let logits = net.forward(&x); // (4, 2)
        let loss = cross_entropy(&logits, &labels, None, &CrossEntropy::default());
        if step % 50 == 0 {
            println!("step {step:3}: loss {:.5}", loss.value().item());
        }
        let gradients = tape.backward(&loss);
        optimizer.step(&net.parameters(), &gradients, 0.05);
    }
    let tape = Tape::inference(backend); // records nothing
    let logits = net.forward(&tape.constant(inputs.clone().into()));
    for (input, logits) in inputs.rows().into_iter().zip(logits.value().as_slice().chunks(2)) {
        println!("{} xor {} = {}", input[0], input[1], usize::from(logits[1] > logits[0]));
    }
}
