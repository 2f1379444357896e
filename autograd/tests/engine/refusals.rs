//! What the engine refuses, in which words.

use super::*;

#[test]
#[should_panic(expected = "backward: this tape was swept before")]
fn a_tape_is_swept_once() {
    let tape = tape();
    let x = tape.leaf(scalar(1.0));
    let y = mul(&x, &x);
    tape.backward(&y);
    tape.backward(&y);
}

#[test]
#[should_panic(expected = "mul: this tape was swept already")]
fn nothing_is_recorded_on_a_swept_tape() {
    let tape = tape();
    let x = tape.leaf(scalar(1.0));
    tape.backward(&mul(&x, &x));
    mul(&x, &x);
}

#[test]
#[should_panic(expected = "leaf: this tape was swept already")]
fn no_leaf_is_made_on_a_swept_tape() {
    let tape = tape();
    let x = tape.leaf(scalar(1.0));
    tape.backward(&mul(&x, &x));
    tape.leaf(scalar(1.0));
}

#[test]
#[should_panic(expected = "leaf: this tape was swept already")]
fn no_parameter_comes_onto_a_swept_tape() {
    let tape = tape();
    let w = Param::new(scalar(1.0));
    let y = mul(&w.var(&tape), &w.var(&tape));
    tape.backward(&y);
    w.var(&tape);
}

#[test]
#[should_panic(expected = "retain_grad: this tape was swept already")]
fn nothing_is_retained_after_the_sweep() {
    let tape = tape();
    let x = tape.leaf(scalar(1.0));
    let y = mul(&x, &x);
    tape.backward(&y);
    y.retain_grad();
}

#[test]
#[should_panic(expected = "the output must have one element, its shape is [2]")]
fn only_a_scalar_goes_without_a_cotangent() {
    let tape = tape();
    let x = tape.leaf(pair(1.0, 2.0));
    tape.backward(&mul(&x, &x));
}

#[test]
#[should_panic(expected = "backward: the cotangent has shape [], the output [2]")]
fn a_cotangent_has_the_shape_of_its_output() {
    let tape = tape();
    let x = tape.leaf(pair(1.0, 2.0));
    tape.backward_with(&[(&mul(&x, &x), scalar(1.0))]);
}

#[test]
#[should_panic(expected = "mul: the inputs live on different tapes")]
fn tapes_are_not_mixed_in_an_op() {
    mul(&tape().leaf(scalar(1.0)), &tape().leaf(scalar(1.0)));
}

#[test]
#[should_panic(expected = "backward: the output belongs to another tape")]
fn a_tape_does_not_sweep_for_another() {
    let other = tape();
    let x = other.leaf(scalar(1.0));
    tape().backward(&mul(&x, &x));
}

#[test]
fn a_refused_sweep_leaves_the_tape_usable() {
    let tape = tape();
    let x = tape.leaf(pair(1.0, 2.0));
    let y = mul(&x, &x);
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tape.backward_with(&[(&y, scalar(1.0))]);
    }));
    assert!(attempt.is_err());
    assert_eq!(tape.backward_with(&[(&y, pair(1.0, 1.0))]).of(&x).unwrap().as_slice(), [2.0, 4.0]);
}

#[test]
#[should_panic(expected = "broken: backward returned no gradient for input 0, which needs one")]
fn a_missing_gradient_names_the_op() {
    let tape = tape();
    let y = given(&tape.leaf(scalar(1.0)), "broken", |_| None);
    tape.backward(&y);
}

#[test]
#[should_panic(expected = "broken: backward returned a gradient of shape [1] for input 0 of shape [2]")]
fn a_gradient_of_the_wrong_shape_names_the_op_and_both_shapes() {
    let tape = tape();
    let y = given(&tape.leaf(pair(1.0, 2.0)), "broken", |_| Some(Array::host(&[1], vec![1.0])));
    tape.backward_with(&[(&y, pair(1.0, 1.0))]);
}

#[test]
fn gradients_of_another_tape_are_not_mistaken_for_ones_own() {
    let (first, second) = (tape(), tape());
    let (x, other) = (first.leaf(scalar(1.0)), second.leaf(scalar(1.0)));
    assert!(first.backward(&mul(&x, &x)).of(&other).is_none());
}
