//! Cutting an array into consecutive parts along one axis.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};

use super::slice::narrow;
use super::strided::StridedKernel;
use crate::shape;

/// `x` cut along `axis` (negative counts from the end) into consecutive parts of the given sizes.
///
/// # Formula
/// `x = [y_0, y_1, ..]`
///
/// # Shapes
/// `x`: rank at least 1. `y_i`: the same but for the extent of `axis`, which is `sizes[i]`.
///
/// # Gradient
/// Each part contributes its `dy_i` where it lies; together `dx = [dy_0, dy_1, ..]`.
///
/// # Panics
/// If the axis is out of range or the sizes do not add up to its extent.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[3], vec![1.0, 2.0, 3.0]));
/// let parts = termwise_ops::split(&x, &[1, 2], 0);
/// assert_eq!(parts[1].value().as_slice(), [2.0, 3.0]);
/// ```
#[track_caller]
pub fn split<B: StridedKernel>(x: &Var<B>, sizes: &[usize], axis: isize) -> Vec<Var<B>> {
    let place = shape::axis("split", axis, x.shape());
    let (total, extent) = (sizes.iter().sum::<usize>(), x.shape()[place]);
    assert!(
        total == extent,
        "split: sizes {sizes:?} add up to {total}, axis {place} of shape {:?} has extent {extent}",
        x.shape()
    );
    let mut parts = Vec::with_capacity(sizes.len());
    let mut start = 0;
    for &size in sizes {
        parts.push(narrow(x, axis, start, size));
        start += size;
    }
    parts
}

/// Test cases of [`split`]: the last of three parts, and the first of two.
pub fn cases<B: StridedKernel>() -> Vec<Case<B>> {
    let case = |part: usize, sizes: &'static [usize], axis: isize, shape: &[usize]| {
        let label = format!("part {part} of {sizes:?}, axis {axis}");
        Case::new("split", label, shape, move |shape, samples| {
            let axis_extent = *shape.get(axis.rem_euclid(shape.len() as isize) as usize)?;
            (axis_extent == sizes.iter().sum::<usize>()).then_some(())?;
            Built::new([("x", samples.normal(shape))], move |v| split(&v[0], sizes, axis)[part].clone())
        })
    };
    vec![
        case(0, &[1], 0, &[1]),
        case(2, &[3, 1, 3], 1, &[2, 7]),
        case(0, &[2, 4], 0, &[6, 2, 2]),
        case(1, &[1, 5], -1, &[2, 3, 6]),
        case(1, &[3, 0], 0, &[3, 2]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Array, Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "split: sizes [1, 3] add up to 4, axis 1 of shape [2, 3] has extent 3")]
    fn sizes_that_do_not_add_up_are_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        split(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), &[1, 3], -1);
    }

    #[test]
    fn parts_put_together_are_the_whole_gradient_too() {
        let tape = Tape::new(Cpu::<f64>::new());
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let x = tape.leaf(Array::host(&[2, 6], values.clone()));
        let parts = split(&x, &[1, 3, 2], 1);
        let cotangents: Vec<_> = parts.iter().map(|part| (part, part.value().clone())).collect();
        assert_eq!(tape.backward_with(&cotangents).of(&x).unwrap().as_slice(), values);
    }
}
