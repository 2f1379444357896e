//! Single operations on matrices.

use termwise_ops::{gelu, layer_norm, matmul, softmax};

use super::{Forward, Inputs, Problem, Single};

/// `a b`.
pub fn gemm<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let (a, b) = (inputs.get("a")?, inputs.get("b")?);
    Ok(Box::new(move |tape| matmul(&a.var(tape), &b.var(tape))))
}

/// Softmax along the last axis.
pub fn softmax_of_rows<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let x = inputs.get("x")?;
    Ok(Box::new(move |tape| softmax(&x.var(tape), -1)))
}

/// Layer normalisation along the last axis, eps 1e-5.
pub fn layer_norm_of_rows<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let shape = &inputs.workload.tensor("x")?.shape;
    let features = *shape.last().ok_or_else(|| Problem::new("tensors.x.shape", "at least one axis", "[]"))?;
    let x = inputs.get("x")?;
    let (w, b) = (inputs.get_shaped("w", &[features])?, inputs.get_shaped("b", &[features])?);
    Ok(Box::new(move |tape| {
        layer_norm(&x.var(tape), &[features], Some(&w.var(tape)), Some(&b.var(tape)), 1e-5)
    }))
}

/// GELU by the error function.
pub fn exact_gelu<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let x = inputs.get("x")?;
    Ok(Box::new(move |tape| gelu(&x.var(tape))))
}
