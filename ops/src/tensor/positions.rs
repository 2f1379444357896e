//! Sinusoidal position embeddings, a fixed table.
//!
//! Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, in the arrangement of tensor2tensor
//! and fairseq: all sines first, then all cosines, and the last frequency exactly 1/10000.

use ndarray::Array2;

/// The table of sinusoidal position embeddings, one row for each position.
///
/// # Formula
/// `table[p] = [sin(p w_0), .., sin(p w_(h-1)), cos(p w_0), .., cos(p w_(h-1))]` with `h = floor(D / 2)`
/// and `w_i = 10000^(-i / (h - 1))`.
///
/// # Shapes
/// (`num_embeddings`, `embedding_dim`)
///
/// # Edge cases
/// An odd `embedding_dim` leaves a last column of zeros; `h = 1` has the one frequency 1. The row
/// `padding_idx`, where given, is zero.
///
/// # Panics
/// If `padding_idx` is not below `num_embeddings`.
///
/// # Examples
/// ```
/// let table = termwise_ops::sinusoidal_positions(3, 4, Some(0));
/// assert_eq!(table.row(0).to_vec(), [0.0; 4]);
/// assert_eq!(table.row(2).to_vec(), [2f64.sin(), 2e-4f64.sin(), 2f64.cos(), 2e-4f64.cos()]);
/// ```
#[track_caller]
pub fn sinusoidal_positions(
    num_embeddings: usize,
    embedding_dim: usize,
    padding_idx: Option<usize>,
) -> Array2<f64> {
    let half = embedding_dim / 2;
    let frequency = |i: usize| if half > 1 { 10000f64.powf(-(i as f64) / (half - 1) as f64) } else { 1.0 };
    let mut table = Array2::from_shape_fn((num_embeddings, embedding_dim), |(position, column)| {
        let angle = |i: usize| position as f64 * frequency(i);
        if column < half {
            angle(column).sin()
        } else if column < 2 * half {
            angle(column - half).cos()
        } else {
            0.0
        }
    });
    if let Some(row) = padding_idx {
        assert!(
            row < num_embeddings,
            "sinusoidal_positions: padding_idx {row} is not below num_embeddings {num_embeddings}"
        );
        table.row_mut(row).fill(0.0);
    }
    table
}
