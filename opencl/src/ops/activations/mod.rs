//! Operations of `termwise_ops::activations` that are no functions of one number.

mod glu;
mod softmax;
