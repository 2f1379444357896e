//! The pictures of the guide, each computed by the code that its chapter quotes.
//!
//! Numbers are drawn with few digits, so that machines which differ in the last bits draw the same.

mod convolutions;
mod cost;
mod draw;
mod sums;
mod terms;
#[allow(dead_code, reason = "the pages of the command line use the rest")]
#[path = "../../../src/report/theme.rs"]
mod theme;

/// Every picture: its file name and its text.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("e1-query-key.svg", terms::query_key()),
        ("e2-query-position.svg", terms::query_position()),
        ("e3-key.svg", terms::key()),
        ("e4-position.svg", terms::position()),
        ("softmax-and-combinations.svg", sums::combinations()),
        ("regular-convolution.svg", convolutions::regular()),
        ("deformable-convolution.svg", convolutions::deformable()),
        ("dynamic-convolution.svg", convolutions::dynamic()),
        ("gradients.svg", sums::softmax_backward()),
        ("cost.svg", cost::multiply_adds()),
    ]
}
