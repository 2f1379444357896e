//! Operations of `termwise_ops::conv`.

pub(crate) mod conv2d;
