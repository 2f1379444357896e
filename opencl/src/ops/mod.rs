//! The kernel traits of `termwise-ops`, implemented for [`OpenCl`](crate::OpenCl): the folders are those of that crate.

mod activations;
mod attention;
mod broadcast;
mod conv;
mod elementwise;
mod fold;
mod groups;
mod losses;
mod norms;
mod optim;
pub(crate) mod spatial;
pub(crate) mod tensor;
