//! Rows of a table.

use termwise_autograd::Array;
use termwise_ops::tensor::EmbeddingKernel;

use crate::ops::groups::groups;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const EMBEDDING: Source = source!("tensor/embedding");

impl<T: Real> EmbeddingKernel for OpenCl<T> {
    fn embedding_forward(weight: &Array<Self>, rows: &[usize]) -> Array<Self> {
        let (backend, dim) = (weight.backend(), weight.shape()[1]);
        let (y, places) = (backend.arbitrary(&[rows.len(), dim]), backend.indices(rows));
        let launch = backend.launch(EMBEDDING, "embedding_forward").array(weight).buffer(&places).array(&y);
        launch.int(dim).int(y.len()).items(y.len());
        y
    }

    fn embedding_backward(
        grad_output: &Array<Self>,
        rows: &[usize],
        count: usize,
        padding: Option<usize>,
    ) -> Array<Self> {
        let (backend, dim) = (grad_output.backend(), grad_output.shape()[1]);
        let grad = Array::zeros(backend, &[count, dim]);
        let by_row = groups(backend, rows, padding);
        let launch =
            backend.launch(EMBEDDING, "embedding_backward").array(grad_output).buffer(&by_row.targets);
        let launch = launch.buffer(&by_row.starts).buffer(&by_row.sources).array(&grad);
        launch.int(dim).int(by_row.count * dim).items(by_row.count * dim);
        grad
    }
}
