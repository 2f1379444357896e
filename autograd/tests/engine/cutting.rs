//! What takes no part in differentiation, and what is freed.

use super::*;

#[test]
fn a_detached_value_and_a_constant_get_no_gradient() {
    let tape = tape();
    let x = tape.leaf(scalar(3.0));
    let c = tape.constant(scalar(7.0));
    let y = add(&mul(&x, &x.detach()), &mul(&c, &x));
    assert!(!c.requires_grad() && !x.detach().requires_grad() && y.requires_grad());
    let gradients = tape.backward(&y);
    assert_eq!(gradients.of(&x).unwrap().item(), 3.0 + 7.0);
    assert!(gradients.of(&c).is_none());
    assert!(gradients.of(&x.detach()).is_none());
}

#[test]
fn an_output_that_depends_on_nothing_has_no_gradients() {
    let tape = tape();
    let x = tape.leaf(scalar(3.0));
    let c = tape.constant(scalar(7.0));
    let y = mul(&c, &c);
    assert_eq!(tape.len(), 1);
    assert!(tape.backward(&y).of(&x).is_none());
}

#[test]
fn an_inference_tape_records_nothing_and_drops_what_ops_save() {
    let tape = Tape::inference(Cpu::<f64>::new());
    let x = tape.leaf(scalar(3.0));
    let (y, saved) = apply_saving(Mul, [&x, &x]);
    assert_eq!(y.value().item(), 9.0);
    assert_eq!(Rc::strong_count(&saved), 1);
    assert!(tape.is_empty() && !tape.is_recording() && !y.requires_grad());
    let w = Param::new(scalar(2.0));
    assert!(!w.var(&tape).requires_grad());
    assert!(tape.is_empty());
}

#[test]
fn the_sweep_frees_what_ops_saved() {
    let tape = tape();
    let x = tape.leaf(scalar(3.0));
    let (y, saved) = apply_saving(Mul, [&x, &x]);
    assert_eq!(Rc::strong_count(&saved), 2);
    let _gradients = tape.backward(&y);
    assert_eq!(Rc::strong_count(&saved), 1);
    assert!(tape.is_empty());
}

#[test]
fn only_leaves_and_retained_values_are_kept() {
    let tape = tape();
    let x = tape.leaf(scalar(3.0));
    let y = mul(&x, &x);
    let z = mul(&y, &y);
    z.retain_grad();
    let gradients = tape.backward(&z);
    assert!(gradients.of(&y).is_none());
    assert_eq!(gradients.of(&z).unwrap().item(), 1.0);
}

#[test]
fn an_absent_operand_arrives_as_absent_and_needs_nothing() {
    let tape = tape();
    let x = tape.leaf(pair(1.0, 2.0));
    let y = add(&x, &x.optional(None));
    assert_eq!(y.value().as_slice(), [1.0, 2.0]);
    let gradients = tape.backward_with(&[(&y, pair(3.0, 4.0))]);
    assert_eq!(gradients.of(&x).unwrap().as_slice(), [3.0, 4.0]);
}
