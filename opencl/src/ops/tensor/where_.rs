//! Choice between two arrays.

use ndarray::ArrayD;
use termwise_autograd::Array;
use termwise_ops::tensor::WhereKernel;

use crate::layout::Strides;
use crate::program::source;
use crate::{OpenCl, Real};

impl<T: Real> WhereKernel for OpenCl<T> {
    fn select(condition: &ArrayD<bool>, a: &Array<Self>, b: &Array<Self>, shape: &[usize]) -> Array<Self> {
        let (backend, y) = (a.backend(), a.backend().arbitrary(shape));
        let chosen = backend.constants(&condition.iter().map(|&c| u8::from(c)).collect::<Vec<_>>());
        let strides = Strides::broadcast(shape, [condition.shape(), a.shape(), b.shape()]);
        let launch =
            backend.launch(source!("tensor/where"), "where_select").buffer(&chosen).array(a).array(b);
        launch.array(&y).strides(&strides).int(y.len()).items(y.len());
        y
    }
}
