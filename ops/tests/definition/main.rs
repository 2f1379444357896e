//! Every fast mechanism against the one readable definition of Eq. 1, values and gradients, and the
//! identities between mechanisms.

mod convolutions;
mod harness;
mod identities;
mod mmcv_transposed_query;
mod transformer;
