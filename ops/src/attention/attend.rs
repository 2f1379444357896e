//! Transformer attention from content to content: the projections around
//! [`transformer_attention`](super::transformer_attention), on images and on sequences.
//!
//! ```text
//! y_q = W [ heads of sum_k A(q, k) W' x_k ]
//! ```

use ndarray::Array2;
use termwise_autograd::Var;

use super::projected::{Projected, Projections, contents_2d, lattice_1d, lattice_2d, subsample};
use super::transformer::{AttentionMaps, TransformerAttentionKernel, transformer_attention_with_maps};
use super::{
    Lattice, SharedRowKernel, Terms, TransformerSettings, shared_row_attention, transformer_attention,
};
use crate::spatial::{InterpolateKernel, Interpolation, Resize, interpolate};
use crate::tensor::{TensorKernels, expand, linear, permute, reshape};

/// What [`attention_2d`] and [`attention_1d`] need of a backend.
pub trait AttendKernels:
    TransformerAttentionKernel + SharedRowKernel + TensorKernels + InterpolateKernel
{
}

impl<B: TransformerAttentionKernel + SharedRowKernel + TensorKernels + InterpolateKernel> AttendKernels
    for B
{
}

/// Transformer attention over an image.
///
/// # Formula
/// `y_q = W concat_m sum_k A_m(q, k) W'_m x_k + b`; with a query stride above 1 the smaller map is
/// resized bilinearly to the size of `x`. Neither `gamma` nor the residual are part of it.
///
/// # Shapes
/// `x` (N, C, H, W); the result (N, `C_out`, H, W).
///
/// # Panics
/// If a projection of a term that is on is missing, or shapes do not fit.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::attention::{Projections, TransformerSettings, attention_2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// // Two pixels of one channel, and key content alone: exp(x) weighs them one to three.
/// let x = tape.leaf(Array::host(&[1, 1, 1, 2], vec![0.0, 3f64.ln()]));
/// let one = || tape.leaf(Array::host(&[1, 1], vec![1.0]));
/// let projections = Projections {
///     query: None,
///     key: Some(one()),
///     positions: vec![],
///     key_bias: Some(one()),
///     position_bias: None,
///     value: one(),
///     output: one(),
///     output_bias: None,
/// };
/// let settings = TransformerSettings::paper("0010".parse().unwrap(), 1, 4);
/// let y = attention_2d(&x, &projections, &settings);
/// for y in y.value().as_slice() {
///     assert!((y - 0.75 * 3f64.ln()).abs() < 1e-12); // the same at both
/// }
/// ```
#[track_caller]
pub fn attention_2d<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
) -> Var<B> {
    image(x, projections, settings, false).0
}

/// [`attention_2d`] that also captures the energies, weights and output per head.
///
/// # Panics
/// As [`attention_2d`].
#[track_caller]
pub fn attention_2d_with_maps<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
) -> (Var<B>, AttentionMaps<B>) {
    let (y, maps) = image(x, projections, settings, true);
    (y, maps.expect("asked for"))
}

#[track_caller]
fn image<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    capture: bool,
) -> (Var<B>, Option<AttentionMaps<B>>) {
    let lattice = lattice_2d("attention_2d", x, settings);
    let (n, [height, width]) = (x.shape()[0], [x.shape()[2], x.shape()[3]]);
    if !capture && shares_row(settings) {
        let keys = subsample(x, settings.key_stride);
        let keys = reshape(&keys, &[n, keys.shape()[1], keys.shape()[2] * keys.shape()[3]]);
        let y = shared_row(&keys, projections, settings, None); // (N, C_out)
        let channels = y.shape()[1];
        return (expand(&reshape(&y, &[n, channels, 1, 1]), &[n, channels, height, width]), None);
    }
    let (z, keys) = contents_2d(x, settings);
    let (y, maps) = attend(&z, &keys, projections, settings, lattice, None, capture);
    let (h, w) = lattice.query_grid();
    let y = reshape(&permute(&y, &[0, 2, 1]), &[n, y.shape()[2], h, w]);
    if settings.query_stride == 1 {
        return (y, maps);
    }
    let y = interpolate(&y, Resize::Size([height, width]), Interpolation::Bilinear { align_corners: false });
    (y, maps)
}

/// Transformer attention between sequences.
///
/// # Formula
/// `y_q = W concat_m sum_k A_m(q, k) W'_m x_k + b`. With `x` left out the keys are the queries
/// themselves (self-attention). The relative position is the difference of the plain indices.
///
/// # Shapes
/// `z` (N, Q, C), `x` (N, K, `C_k`), `key_padding` (N, K), true where a key is padding; the result
/// (N, Q, `C_out`).
///
/// # Edge cases
/// A query all of whose keys are hidden gets the output bias alone.
///
/// # Panics
/// If a projection of a term that is on is missing, or shapes do not fit.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::attention::{Projections, TransformerSettings, attention_1d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// // One query, two keys, query and key content: the energies are 1 * 0 and 1 * ln 3.
/// let z = tape.leaf(Array::host(&[1, 1, 1], vec![1.0]));
/// let x = tape.leaf(Array::host(&[1, 2, 1], vec![0.0, 3f64.ln()]));
/// let matrix = |value: f64| tape.leaf(Array::host(&[1, 1], vec![value]));
/// let projections = Projections {
///     query: Some(matrix(1.0)),
///     key: Some(matrix(1.0)),
///     positions: vec![],
///     key_bias: None,
///     position_bias: None,
///     value: matrix(1.0),
///     output: matrix(4.0),
///     output_bias: None,
/// };
/// let settings = TransformerSettings::paper("1000".parse().unwrap(), 1, 2);
/// let y = attention_1d(&z, Some(&x), &projections, &settings, None);
/// assert!((y.value().item() - 3.0 * 3f64.ln()).abs() < 1e-12);
/// ```
#[track_caller]
pub fn attention_1d<B: AttendKernels>(
    z: &Var<B>,
    x: Option<&Var<B>>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
) -> Var<B> {
    sequence(z, x, projections, settings, key_padding, false).0
}

/// [`attention_1d`] that also captures the energies, weights and output per head.
///
/// # Panics
/// As [`attention_1d`].
#[track_caller]
pub fn attention_1d_with_maps<B: AttendKernels>(
    z: &Var<B>,
    x: Option<&Var<B>>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
) -> (Var<B>, AttentionMaps<B>) {
    let (y, maps) = sequence(z, x, projections, settings, key_padding, true);
    (y, maps.expect("asked for"))
}

#[track_caller]
fn sequence<B: AttendKernels>(
    z: &Var<B>,
    x: Option<&Var<B>>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
    capture: bool,
) -> (Var<B>, Option<AttentionMaps<B>>) {
    let x = x.unwrap_or(z);
    let lattice = lattice_1d("attention_1d", z, x);
    if !capture && shares_row(settings) {
        let y = shared_row(&permute(x, &[0, 2, 1]), projections, settings, key_padding); // (N, C_out)
        let (n, channels) = (y.shape()[0], y.shape()[1]);
        return (expand(&reshape(&y, &[n, 1, channels]), &[n, z.shape()[1], channels]), None);
    }
    attend(z, x, projections, settings, lattice, key_padding, capture)
}

/// Whether all queries get the same.
fn shares_row(settings: &TransformerSettings) -> bool {
    let Terms { query_key, query_position, position, .. } = settings.terms;
    !(query_key || query_position || position || settings.causal || settings.range.is_some())
}

/// What every query gets, projected: `x` (N, `C_k`, K) to (N, `C_out`).
#[track_caller]
fn shared_row<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
) -> Var<B> {
    let need = |name: &str, operand: &Option<Var<B>>| match operand {
        Some(operand) => operand.clone(),
        None => panic!("attention: terms {} need {name}, which is missing", settings.terms),
    };
    let key = settings
        .terms
        .key
        .then(|| (need("key (E1, E3)", &projections.key), need("key_bias (E3)", &projections.key_bias)));
    let heads = settings.num_heads;
    let head_dim = key.as_ref().map_or(1, |(key, _)| key.shape()[0] / heads.max(1));
    let row = shared_row_attention(
        x,
        key.as_ref().map(|(key, bias)| (key, bias)),
        &projections.value,
        heads,
        settings.scale.value(head_dim),
        key_padding,
    ); // (N, M d_v)
    linear(&row, &projections.output, projections.output_bias.as_ref())
}

/// Projects, attends, projects back: `z` (N, Q, C), `x` (N, K, `C_k`) to (N, Q, `C_out`).
#[track_caller]
fn attend<B: AttendKernels>(
    z: &Var<B>,
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    lattice: Lattice,
    key_padding: Option<&Array2<bool>>,
    capture: bool,
) -> (Var<B>, Option<AttentionMaps<B>>) {
    let projected = Projected::of(z, x, projections, settings, lattice, key_padding);
    let operands = projected.operands();
    let (terms, heads) = (settings.terms, settings.num_heads);
    let Projected { scale, visibility, .. } = &projected;
    let (output, maps) = if capture {
        let (output, maps) =
            transformer_attention_with_maps(&operands, terms, heads, *scale, lattice, visibility);
        (output, Some(maps))
    } else {
        (transformer_attention(&operands, terms, heads, *scale, lattice, visibility), None)
    };
    (linear(&output, &projections.output, projections.output_bias.as_ref()), maps)
}
