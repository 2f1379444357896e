//! Activation functions and the softmax family.

use termwise_autograd::Scalar;
use termwise_ops::{relu, softmax};

use super::Table;
use crate::case::Case;

pub fn table<T: Scalar>() -> Table<T> {
    vec![
        ("relu", |case| case.map("x", relu)),
        ("softmax", |case| {
            case.attrs.note("logit_scale");
            let dim = dim(case);
            case.map("x", |x| softmax(x, dim));
        }),
    ]
}

/// Attribute `dim`, the last axis by default.
fn dim<T: Scalar>(case: &Case<T>) -> isize {
    case.attrs.whole("dim").unwrap_or(-1)
}
