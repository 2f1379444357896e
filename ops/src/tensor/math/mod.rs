//! Functions of one number, one file each.

mod abs;
mod add_scalar;
mod clamp;
mod cube;
mod exp;
mod log;
mod neg;
mod pow;
mod scale;
mod sqrt;
mod square;

pub use abs::abs;
pub use add_scalar::add_scalar;
pub use clamp::clamp;
pub use cube::cube;
pub use exp::exp;
pub use log::log;
pub use neg::neg;
pub use pow::pow;
pub use scale::scale;
pub use sqrt::sqrt;
pub use square::square;

use termwise_autograd::gradcheck::Case;

use crate::elementwise::ElementwiseKernel;

/// Test cases of every function in this folder.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    [
        abs::cases::<B>(),
        add_scalar::cases::<B>(),
        clamp::cases::<B>(),
        cube::cases::<B>(),
        exp::cases::<B>(),
        log::cases::<B>(),
        neg::cases::<B>(),
        pow::cases::<B>(),
        scale::cases::<B>(),
        sqrt::cases::<B>(),
        square::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
