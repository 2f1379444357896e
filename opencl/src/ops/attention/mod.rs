//! Operations of `termwise_ops::attention`.

mod deformable_conv;
mod dynamic_conv;
mod dynamic_conv_2d;
mod shared_row_attention;
mod transformer;
