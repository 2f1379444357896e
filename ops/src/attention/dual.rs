//! Numbers that carry a derivative: exact differentiation of the definition, without backward code.

use std::ops::{Add, Div, Mul, Sub};

/// What the [definition](super::definition) computes with: `f64`, or [`Dual`] for derivatives.
pub trait Number:
    Copy + From<f64> + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The exponential.
    fn exp(self) -> Self;

    /// The plain value, for comparisons.
    fn value(self) -> f64;
}

impl Number for f64 {
    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn value(self) -> f64 {
        self
    }
}

/// `value + derivative epsilon` with `epsilon^2 = 0`: arithmetic on it differentiates exactly.
///
/// ```
/// use termwise_ops::attention::definition::Dual;
/// let x = Dual { value: 3.0, derivative: 1.0 };
/// assert_eq!((x * x).derivative, 6.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// Its derivative in the direction that was seeded.
    pub derivative: f64,
}

impl From<f64> for Dual {
    fn from(value: f64) -> Self {
        Dual { value, derivative: 0.0 }
    }
}

impl Add for Dual {
    type Output = Dual;

    fn add(self, b: Dual) -> Dual {
        Dual { value: self.value + b.value, derivative: self.derivative + b.derivative }
    }
}

impl Sub for Dual {
    type Output = Dual;

    fn sub(self, b: Dual) -> Dual {
        Dual { value: self.value - b.value, derivative: self.derivative - b.derivative }
    }
}

impl Mul for Dual {
    type Output = Dual;

    fn mul(self, b: Dual) -> Dual {
        Dual {
            value: self.value * b.value,
            derivative: self.derivative * b.value + self.value * b.derivative,
        }
    }
}

impl Div for Dual {
    type Output = Dual;

    fn div(self, b: Dual) -> Dual {
        let value = self.value / b.value;
        Dual { value, derivative: (self.derivative - value * b.derivative) / b.value }
    }
}

impl Number for Dual {
    fn exp(self) -> Self {
        let value = self.value.exp();
        Dual { value, derivative: self.derivative * value }
    }

    fn value(self) -> f64 {
        self.value
    }
}
