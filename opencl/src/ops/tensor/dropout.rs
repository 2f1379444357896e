//! Elements set to zero at random.

use termwise_autograd::Array;
use termwise_ops::tensor::{DropoutKernel, dropout_start, dropout_threshold};

use crate::program::source;
use crate::{OpenCl, Real};

impl<T: Real> DropoutKernel for OpenCl<T> {
    fn dropout(x: &Array<Self>, probability: f64, seed: u64) -> Array<Self> {
        let y = x.backend().arbitrary(x.shape());
        let launch = x.backend().launch(source!("tensor/dropout"), "dropout").array(x).array(&y);
        let launch = launch.ulong(dropout_start(seed)).ulong(dropout_threshold(probability));
        launch.real((1.0 - probability).recip()).int(x.len()).items(x.len());
        y
    }
}
