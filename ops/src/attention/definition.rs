//! Generalized attention, Eq. 1 of the paper, once and in plain loops: the reference that every fast
//! operation is held to, values and gradients.
//!
//! ```text
//! y_q = sum_m W_m [ sum_{k in Omega_q} A_m(q, k, z_q, x_k) (.) W'_m x_k ]
//! ```
//!
//! `q` is a query with content `z_q`, `k` a key with content `x_k`, `m` a head; `W_m`, `W'_m` are
//! learnable matrices and `(.)` is the elementwise product: a weight may differ per channel.
//! Every mechanism is this sum. They differ only in `A_m`, which each of them supplies as a dense
//! array `(M, Q, K, C_v)` that can be looked at:
//!
//! | mechanism | supplies `A_m` | heads M | `W'_m` | `W_m` |
//! |---|---|---|---|---|
//! | Transformer attention | [`transformer_weights`] | heads | value projection | output projection |
//! | regular convolution | [`regular_weights`] | taps | identity | the kernel's slice m |
//! | deformable convolution | [`deformable_weights`] | taps | identity | the kernel's slice m |
//! | dynamic convolution | [`dynamic_weights`] | 1 | identity | pointwise convolution |
//!
//! Everything is generic over [`Number`]: with `f64` it gives values, with [`Dual`] exact
//! derivatives, without one line of backward code that could share a mistake with the fast path.
//!
//! Source: Zhu et al., ICCV 2019, Eq. 1 to 6; Dai et al., "Deformable Convolutional Networks", ICCV
//! 2017; Wu et al., "Pay Less Attention with Lightweight and Dynamic Convolutions", ICLR 2019.

use ndarray::{Array2, Array3, Array4};

pub use super::dual::{Dual, Number};
use super::{Lattice, Terms};

/// Eq. 1. `weights` are `A_m(q, k)` per value channel, or for all of them where the last extent is 1.
///
/// Shapes: `weights` (M, Q, K, `C_v` or 1), `x` (K, C), `value` (M, `C_v`, C) or `None` for the
/// identity, `output` (M, `C_out`, `C_v`); the result is (Q, `C_out`).
///
/// # Examples
/// ```
/// use ndarray::{arr2, arr3, array};
/// use termwise_ops::attention::definition::equation_1;
/// let weights = array![[[[0.25], [0.75]]]]; // one head, one query, two keys
/// let y = equation_1(&weights, &arr2(&[[10.0], [2.0]]), None, &arr3(&[[[2.0]]]));
/// assert_eq!(y, arr2(&[[8.0]])); // 2 (0.25 * 10 + 0.75 * 2)
/// ```
pub fn equation_1<N: Number>(
    weights: &Array4<N>,
    x: &Array2<N>,
    value: Option<&Array3<N>>,
    output: &Array3<N>,
) -> Array2<N> {
    let (heads, queries, keys, per_channel) = weights.dim();
    let (_, out_channels, value_channels) = output.dim();
    let mut y = Array2::from_elem((queries, out_channels), N::from(0.0));
    for m in 0..heads {
        for q in 0..queries {
            for c in 0..value_channels {
                let mut sum = N::from(0.0);
                for k in 0..keys {
                    let weight = weights[[m, q, k, if per_channel == 1 { 0 } else { c }]];
                    sum = sum + weight * project(value, x, m, k, c);
                }
                for o in 0..out_channels {
                    y[[q, o]] = y[[q, o]] + output[[m, o, c]] * sum;
                }
            }
        }
    }
    y
}

/// `(W'_m x_k)_c`, with `None` for the identity.
fn project<N: Number>(projection: Option<&Array3<N>>, x: &Array2<N>, m: usize, k: usize, c: usize) -> N {
    let Some(projection) = projection else { return x[[k, c]] };
    let mut sum = N::from(0.0);
    for i in 0..x.ncols() {
        sum = sum + projection[[m, c, i]] * x[[k, i]];
    }
    sum
}

/// What Transformer attention computes its weights from. Parts that the terms do not use are not read.
pub struct TransformerParts<N> {
    /// `z_q`. (Q, C)
    pub z: Array2<N>,
    /// `x_k`. (K, C)
    pub x: Array2<N>,
    /// `R_{k-q}`, dense. (Q, K, D)
    pub r: Array3<f64>,
    /// `U_m`. (M, d, C)
    pub u_projection: Array3<N>,
    /// `V^C_m`. (M, d, C)
    pub key_projection: Array3<N>,
    /// `V^R_m`. (M, d, D)
    pub position_projection: Array3<N>,
    /// `u_m`. (M, d)
    pub u: Array2<N>,
    /// `v_m`. (M, d)
    pub v: Array2<N>,
}

/// Scaled energies `c (b1 E1 + b2 E2 + b3 E3 + b4 E4)` of Transformer attention. (M, Q, K)
///
/// ```text
/// E1 = z_q^T U_m^T V^C_m x_k     E2 = z_q^T U_m^T V^R_m R_{k-q}     E3 = u_m^T V^C_m x_k     E4 = v_m^T V^R_m R_{k-q}
/// ```
///
/// # Examples
/// ```
/// use ndarray::{Array2, Array3};
/// use termwise_ops::attention::definition::{TransformerParts, transformer_energies};
/// let (row, cube) = (|v: f64| Array2::from_elem((1, 1), v), |v: f64| Array3::from_elem((1, 1, 1), v));
/// let parts = TransformerParts {
///     z: row(3.0),
///     x: row(5.0),
///     r: cube(1.0),
///     u_projection: cube(2.0),         // U z = 6
///     key_projection: cube(7.0),       // V^C x = 35
///     position_projection: cube(11.0), // V^R R = 11
///     u: row(13.0),
///     v: row(17.0),
/// };
/// let energy = |terms: &str, scale| transformer_energies(&parts, terms.parse().unwrap(), 1, scale)[[0, 0, 0]];
/// let each = ["1000", "0100", "0010", "0001"].map(|terms| energy(terms, 1.0));
/// assert_eq!(each, [6.0 * 35.0, 6.0 * 11.0, 13.0 * 35.0, 17.0 * 11.0]);
/// assert_eq!(energy("1111", 0.5), each.iter().sum::<f64>() / 2.0);
/// ```
pub fn transformer_energies<N: Number>(
    parts: &TransformerParts<N>,
    terms: Terms,
    heads: usize,
    scale: f64,
) -> Array3<N> {
    let (queries, keys) = (parts.z.nrows(), parts.x.nrows());
    let mut energies = Array3::from_elem((heads, queries, keys), N::from(0.0));
    for m in 0..heads {
        let dim = if terms.uses_position() {
            parts.position_projection.dim().1
        } else {
            parts.key_projection.dim().1
        };
        for q in 0..queries {
            for k in 0..keys {
                for i in 0..dim {
                    let u_z = || project(Some(&parts.u_projection), &parts.z, m, q, i);
                    let v_x = || project(Some(&parts.key_projection), &parts.x, m, k, i);
                    let v_r = || {
                        let mut sum = N::from(0.0);
                        for j in 0..parts.r.dim().2 {
                            sum = sum + parts.position_projection[[m, i, j]] * N::from(parts.r[[q, k, j]]);
                        }
                        sum
                    };
                    let mut e = energies[[m, q, k]];
                    if terms.query_key {
                        e = e + u_z() * v_x();
                    }
                    if terms.query_position {
                        e = e + u_z() * v_r();
                    }
                    if terms.key {
                        e = e + parts.u[[m, i]] * v_x();
                    }
                    if terms.position {
                        e = e + parts.v[[m, i]] * v_r();
                    }
                    energies[[m, q, k]] = e;
                }
                energies[[m, q, k]] = N::from(scale) * energies[[m, q, k]];
            }
        }
    }
    energies
}

/// `A_m` of Transformer attention: the softmax of the energies over the keys that `visible(q, k)`
/// admits, and zero where it admits none. (M, Q, K, 1)
///
/// # Examples
/// ```
/// use ndarray::{arr3, array};
/// use termwise_ops::attention::definition::transformer_weights;
/// let energies = arr3(&[[[5.0, 5.0, 9.0]]]);
/// let weights = transformer_weights(&energies, &|_, k| k < 2); // the third key is hidden
/// assert_eq!(weights, array![[[[0.5], [0.5], [0.0]]]]);
/// ```
pub fn transformer_weights<N: Number>(
    energies: &Array3<N>,
    visible: &dyn Fn(usize, usize) -> bool,
) -> Array4<N> {
    let (heads, queries, keys) = energies.dim();
    let mut weights = Array4::from_elem((heads, queries, keys, 1), N::from(0.0));
    for m in 0..heads {
        for q in 0..queries {
            let seen: Vec<usize> = (0..keys).filter(|&k| visible(q, k)).collect();
            // Subtracting a constant changes nothing; the largest keeps every exponential at most 1.
            let max = seen.iter().map(|&k| energies[[m, q, k]].value()).fold(f64::NEG_INFINITY, f64::max);
            let exp = |k: usize| (energies[[m, q, k]] - N::from(max)).exp();
            let sum = seen.iter().fold(N::from(0.0), |sum, &k| sum + exp(k));
            for &k in &seen {
                weights[[m, q, k, 0]] = exp(k) / sum;
            }
        }
    }
    weights
}

/// Positions `p_m` of a kernel's taps relative to the query, `(dy, dx)`, row-major; `kernel` and
/// `dilation` are (height, width), `padding` is how far the first tap lies before the query.
///
/// # Examples
/// ```
/// use termwise_ops::attention::definition::taps;
/// assert_eq!(taps((1, 3), (1, 1), (0, 1)), [(0, -1), (0, 0), (0, 1)]);
/// ```
pub fn taps(kernel: (usize, usize), dilation: (usize, usize), padding: (usize, usize)) -> Vec<(i64, i64)> {
    let position = |i: usize, dilation: usize, padding: usize| (i * dilation) as i64 - padding as i64;
    let rows = 0..kernel.0;
    rows.flat_map(|i| {
        (0..kernel.1).map(move |j| (position(i, dilation.0, padding.0), position(j, dilation.1, padding.1)))
    })
    .collect()
}

/// `A_m` of regular convolution: 1 if `k = q + p_m`, else 0. One head per tap. (taps, Q, K, 1)
///
/// # Examples
/// ```
/// use ndarray::{Array4, array};
/// use termwise_ops::attention::{Lattice, definition::regular_weights};
/// let lattice = Lattice::Sequence { queries: 2, keys: 2 };
/// let weights: Array4<f64> = regular_weights(&lattice, &[(0, 1)]); // one tap, to the right
/// assert_eq!(weights, array![[[[0.0], [1.0]], [[0.0], [0.0]]]]);
/// ```
pub fn regular_weights<N: Number>(lattice: &Lattice, taps: &[(i64, i64)]) -> Array4<N> {
    let (queries, keys) = (lattice.queries(), lattice.keys());
    Array4::from_shape_fn((taps.len(), queries.len(), keys.len(), 1), |(m, q, k, _)| {
        let at = (queries[q].0 as i64 + taps[m].0, queries[q].1 as i64 + taps[m].1);
        N::from(if at == (keys[k].0 as i64, keys[k].1 as i64) { 1.0 } else { 0.0 })
    })
}

/// `A_m` of deformable convolution: `G(k, q + p_m + offset) mask`, with the bilinear kernel
/// `G(a, b) = max(0, 1 - |a_y - b_y|) max(0, 1 - |a_x - b_x|)`. One head per tap. (taps, Q, K, C)
///
/// `offsets` (Q, groups, taps, 2 as dy, dx) and `mask` (Q, groups, taps) differ per offset group;
/// group g serves the channels `g C / groups .. (g + 1) C / groups`.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::attention::{Lattice, definition::deformable_weights};
/// let lattice = Lattice::Sequence { queries: 1, keys: 2 };
/// let offsets = array![[[[0.0, 0.25]]]]; // the only tap of the only query, a quarter to the right
/// let weights = deformable_weights(&lattice, &[(0, 0)], &offsets, None, 1);
/// assert_eq!(weights, array![[[[0.75], [0.25]]]]);
/// ```
pub fn deformable_weights<N: Number>(
    lattice: &Lattice,
    taps: &[(i64, i64)],
    offsets: &Array4<N>,
    mask: Option<&Array3<N>>,
    channels: usize,
) -> Array4<N> {
    let (queries, keys) = (lattice.queries(), lattice.keys());
    let groups = offsets.dim().1;
    Array4::from_shape_fn((taps.len(), queries.len(), keys.len(), channels), |(m, q, k, c)| {
        let g = c / (channels / groups);
        let along = |key: usize, query: usize, tap: i64, offset: N| {
            let distance = N::from((query as i64 + tap) as f64) + offset - N::from(key as f64);
            let magnitude = if distance.value() < 0.0 { N::from(0.0) - distance } else { distance };
            if magnitude.value() < 1.0 { N::from(1.0) - magnitude } else { N::from(0.0) }
        };
        let y = along(keys[k].0, queries[q].0, taps[m].0, offsets[[q, g, m, 0]]);
        let x = along(keys[k].1, queries[q].1, taps[m].1, offsets[[q, g, m, 1]]);
        y * x * mask.map_or(N::from(1.0), |mask| mask[[q, g, m]])
    })
}

/// `A` of dynamic convolution: `K_{j, g(c)} = softmax_j(d_{j, g}^T x_q)` if `k = q + p_j`, else 0, with
/// `g(c) = c / (C / groups)`. One head. (1, Q, K, C)
///
/// `d` is (groups, taps, C), `content` the `x_q` (Q, C). A tap outside the image keeps its softmax mass.
///
/// # Examples
/// ```
/// use ndarray::{Array2, Array3, array};
/// use termwise_ops::attention::{Lattice, definition::dynamic_weights};
/// let lattice = Lattice::Sequence { queries: 2, keys: 2 };
/// // Two taps, left and middle, that are predicted alike: one half each; the first query has nothing to its left.
/// let weights = dynamic_weights(&lattice, &[(0, -1), (0, 0)], &Array3::zeros((1, 2, 1)), &Array2::<f64>::ones((2, 1)), 1);
/// assert_eq!(weights, array![[[[0.5], [0.0]], [[0.5], [0.5]]]]);
/// ```
pub fn dynamic_weights<N: Number>(
    lattice: &Lattice,
    taps: &[(i64, i64)],
    d: &Array3<N>,
    content: &Array2<N>,
    channels: usize,
) -> Array4<N> {
    let (queries, keys, groups) = (lattice.queries(), lattice.keys(), d.dim().0);
    let mut kernel = Array3::from_elem((queries.len(), groups, taps.len()), N::from(0.0));
    for q in 0..queries.len() {
        for g in 0..groups {
            let logits: Vec<N> = (0..taps.len()).map(|j| project(Some(d), content, g, q, j)).collect();
            let max = logits.iter().map(|l| l.value()).fold(f64::NEG_INFINITY, f64::max);
            let sum = logits.iter().fold(N::from(0.0), |sum, &l| sum + (l - N::from(max)).exp());
            for (j, &logit) in logits.iter().enumerate() {
                kernel[[q, g, j]] = (logit - N::from(max)).exp() / sum;
            }
        }
    }
    let regular = regular_weights::<N>(lattice, taps);
    Array4::from_shape_fn((1, queries.len(), keys.len(), channels), |(_, q, k, c)| {
        let g = c / (channels / groups);
        (0..taps.len()).fold(N::from(0.0), |sum, j| sum + regular[[j, q, k, 0]] * kernel[[q, g, j]])
    })
}
