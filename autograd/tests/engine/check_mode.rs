//! The check mode names the op that made the first NaN or infinity.

use super::*;

fn log(x: &Var<Cpu<f64>>) -> Var<Cpu<f64>> {
    apply(Given { name: "log", forward: f64::ln, backward: |g| Some(g.clone()) }, [x])
}

#[test]
#[should_panic(expected = "log: forward made the first NaN, at element 1 of shape [2]; input shapes [[2]]")]
fn forward_names_the_op_that_made_the_first_nan() {
    let tape = tape().checked();
    let x = tape.leaf(pair(1.0, -1.0));
    mul(&log(&x), &x);
}

#[test]
#[should_panic(expected = "log: forward made the first -inf, at element 0 of shape [2]")]
fn forward_names_the_op_that_made_the_first_infinity() {
    log(&tape().checked().leaf(pair(0.0, 1.0)));
}

#[test]
#[should_panic(
    expected = "spoiler: backward made the first inf, in the gradient of input 0 of shape [2] at element 1"
)]
fn backward_names_the_op_that_made_the_first_infinity() {
    let tape = tape().checked();
    let x = tape.leaf(pair(1.0, 2.0));
    let y = given(&mul(&x, &x), "spoiler", |_| Some(pair(0.0, f64::INFINITY)));
    tape.backward_with(&[(&mul(&y, &y), pair(1.0, 1.0))]);
}

#[test]
fn without_it_nothing_is_said() {
    let tape = tape();
    let y = log(&tape.leaf(scalar(-1.0)));
    assert!(y.value().item().is_nan());
}
