//! Every use of a value contributes to its gradient.

use super::*;

#[test]
fn every_use_of_a_value_contributes() {
    // y = x x + x c + x, with the product of a value and itself in one node.
    let tape = tape();
    let (x, c) = (tape.leaf(scalar(3.0)), tape.leaf(scalar(5.0)));
    let y = add(&add(&mul(&x, &x), &mul(&x, &c)), &x);
    assert_eq!(y.value().item(), 27.0);
    let gradients = tape.backward(&y);
    assert_eq!(gradients.of(&x).unwrap().item(), 2.0 * 3.0 + 5.0 + 1.0);
    assert_eq!(gradients.of(&c).unwrap().item(), 3.0);
}

#[test]
fn an_intermediate_value_used_twice_is_swept_once_with_the_sum() {
    // z = x x; y = z z  =>  dy/dx = 4 x^3
    let tape = tape();
    let x = tape.leaf(scalar(2.0));
    let z = mul(&x, &x);
    z.retain_grad();
    let y = mul(&z, &z);
    let gradients = tape.backward(&y);
    assert_eq!(gradients.of(&z).unwrap().item(), 8.0);
    assert_eq!(gradients.of(&x).unwrap().item(), 32.0);
}

#[test]
fn an_array_shared_between_gradients_is_not_added_into() {
    // Add hands grad_output itself to a and to b; adding a second use of a must leave b alone.
    let tape = tape();
    let (a, b) = (tape.leaf(scalar(1.0)), tape.leaf(scalar(1.0)));
    let y = add(&mul(&a, &a), &add(&a, &b));
    let gradients = tape.backward(&y);
    assert_eq!(gradients.of(&a).unwrap().item(), 3.0);
    assert_eq!(gradients.of(&b).unwrap().item(), 1.0);
}

#[test]
fn several_outputs_are_swept_together_under_their_cotangents() {
    let tape = tape();
    let x = tape.leaf(pair(2.0, 3.0));
    let (square, cube) = (mul(&x, &x), mul(&mul(&x, &x), &x));
    let cotangent = pair(1.0, 10.0);
    let gradients = tape.backward_with(&[
        (&square, cotangent.clone()),
        (&cube, pair(0.5, 0.0)),
        (&square, pair(1.0, 0.0)),
    ]);
    assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0 * 4.0 + 0.5 * 12.0, 10.0 * 6.0]);
    assert_eq!(cotangent.as_slice(), [1.0, 10.0]);
}

#[test]
fn an_output_may_also_be_an_intermediate_value_or_a_leaf() {
    let tape = tape();
    let x = tape.leaf(scalar(3.0));
    let y = mul(&x, &x);
    let z = mul(&y, &y);
    let gradients = tape.backward_with(&[(&z, scalar(1.0)), (&y, scalar(1.0)), (&x, scalar(1.0))]);
    assert_eq!(gradients.of(&x).unwrap().item(), 4.0 * 27.0 + 6.0 + 1.0);
}

#[test]
fn both_number_types_run_the_same_source() {
    fn gradient<T: Scalar>() -> f64 {
        let tape = Tape::new(Cpu::<T>::new());
        let x = tape.leaf(Array::host(&[], vec![T::of(1.5)]));
        tape.backward(&mul(&x, &mul(&x, &x))).of(&x).unwrap().item().as_f64()
    }
    assert_eq!((gradient::<f32>(), gradient::<f64>()), (6.75, 6.75));
}
