//! Arrays: shapes, sharing, memory orders, absence.

use ndarray::{Array2, arr2, s};
use termwise_autograd::{Array, Cpu};

#[test]
fn reshape_shares_the_buffer_and_keeps_the_order() {
    let x: Array<Cpu<f32>> = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).into();
    let y = x.reshape(&[3, 2]);
    assert_eq!(y.shape(), [3, 2]);
    assert_eq!(y.as_slice(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(std::ptr::eq(x.buffer(), y.buffer()));
    assert_eq!(x.shape(), [2, 3]);
}

#[test]
#[should_panic(expected = "reshape: [2, 3] has 6 elements, [4] would have 4")]
fn reshape_keeps_the_number_of_elements() {
    Array::host(&[2, 3], vec![0.0_f64; 6]).reshape(&[4]);
}

#[test]
#[should_panic(expected = "array: shape [2, 3] needs 6 elements, the buffer has 5")]
fn an_array_has_as_many_elements_as_its_shape_says() {
    Array::host(&[2, 3], vec![0.0_f64; 5]);
}

#[test]
fn any_memory_order_arrives_in_row_major_order() {
    let x: Array2<f64> = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let transposed: Array<Cpu<f64>> = x.clone().reversed_axes().into();
    assert_eq!(transposed.as_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let rows: Array<Cpu<f64>> = x.clone().slice_move(s![1.., ..]).into();
    assert_eq!((rows.shape(), rows.as_slice()), (&[1, 3][..], &[4.0, 5.0, 6.0][..]));
    let columns: Array<Cpu<f64>> = x.clone().slice_move(s![.., 1..]).into();
    assert_eq!(columns.as_slice(), [2.0, 3.0, 5.0, 6.0]);
    let flipped: Array<Cpu<f64>> = x.clone().slice_move(s![..;-1, ..]).into();
    assert_eq!(flipped.as_slice(), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    let empty: Array<Cpu<f64>> = x.slice_move(s![2.., ..]).into();
    assert_eq!((empty.shape(), empty.len()), (&[0, 3][..], 0));
}

#[test]
fn an_absent_array_says_so() {
    let absent = Array::<Cpu<f32>>::absent(&Cpu::new());
    assert!(absent.is_absent() && absent.present().is_none());
    assert_eq!(format!("{absent:?}"), "Array(absent)");
    let empty = Array::<Cpu<f32>>::zeros(&Cpu::new(), &[0]);
    assert!(!empty.is_absent() && empty.present().is_some() && empty.is_empty());
}

#[test]
fn numbers_are_rounded_to_the_type_of_the_backend() {
    let x = Array::from_f64(&Cpu::<f32>::new(), &ndarray::arr1(&[0.1]));
    assert_eq!(x.as_slice(), [0.1_f32]);
    assert_eq!(x.to_f64()[0], f64::from(0.1_f32));
    assert_eq!(format!("{x:?}"), "Array(f32, [1], [0.1])");
}

#[test]
#[should_panic(expected = "item: expected exactly one element, the shape is [2]")]
fn item_is_for_one_element() {
    Array::host(&[2], vec![0.0_f64; 2]).item();
}
