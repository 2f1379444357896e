//! Operations of `termwise_ops::norms`.

mod batch_norm;
mod group_norm;
mod layer_norm;
