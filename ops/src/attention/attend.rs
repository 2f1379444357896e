//! Transformer attention from content to content: the projections around
//! [`transformer_attention`](super::transformer_attention), on images and on sequences.
//!
//! ```text
//! y_q = W [ heads of sum_k A(q, k) W' x_k ]
//! ```

use ndarray::Array2;
use termwise_autograd::{Array, Var};

use super::transformer::{
    AttentionMaps, Operands, TransformerAttentionKernel, transformer_attention_with_maps,
};
use super::{
    Lattice, RelativeIndex, SharedRowKernel, Terms, TransformerSettings, Visibility, shared_row_attention,
    transformer_attention,
};
use crate::spatial::{InterpolateKernel, Interpolation, Resize, interpolate};
use crate::tensor::{TensorKernels, expand, linear, permute, reshape, slice};

/// What [`attention_2d`] and [`attention_1d`] need of a backend.
pub trait AttendKernels:
    TransformerAttentionKernel + SharedRowKernel + TensorKernels + InterpolateKernel
{
}

impl<B: TransformerAttentionKernel + SharedRowKernel + TensorKernels + InterpolateKernel> AttendKernels
    for B
{
}

/// The learned numbers of one Transformer attention; those of terms that are off may be left out.
///
/// M heads of d channels (value: `d_v`), C channels of the queries' content, `C_k` of the keys'.
pub struct Projections<B: termwise_autograd::Backend> {
    /// `U`, for E1 and E2. (M d, C)
    pub query: Option<Var<B>>,
    /// `V^C`, for E1 and E3. (M d, `C_k`)
    pub key: Option<Var<B>>,
    /// `V^R`, for E2 and E4: x then y, or a single one. (M d, D / 2) or (M d, D)
    pub positions: Vec<Var<B>>,
    /// `u`, for E3. (M, d)
    pub key_bias: Option<Var<B>>,
    /// `v`, for E4. (M, d)
    pub position_bias: Option<Var<B>>,
    /// `W'`. (M `d_v`, `C_k`)
    pub value: Var<B>,
    /// `W`. (`C_out`, M `d_v`)
    pub output: Var<B>,
    /// An optional bias on the output. (`C_out`)
    pub output_bias: Option<Var<B>>,
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
    let &[n, _, height, width] = x.shape() else {
        panic!("attention_2d: x must be (N, C, H, W), its shape is {:?}", x.shape());
    };
    let (query_stride, key_stride) = (settings.query_stride, settings.key_stride);
    assert!(
        query_stride > 0 && key_stride > 0,
        "attention_2d: strides must be positive: {query_stride}, {key_stride}"
    );
    if !capture && shares_row(settings) {
        let keys = subsample(x, key_stride);
        let keys = reshape(&keys, &[n, keys.shape()[1], keys.shape()[2] * keys.shape()[3]]);
        let y = shared_row(&keys, projections, settings, None); // (N, C_out)
        let channels = y.shape()[1];
        return (expand(&reshape(&y, &[n, channels, 1, 1]), &[n, channels, height, width]), None);
    }
    let lattice = Lattice::Image { height, width, query_stride, key_stride };
    let z = tokens(&subsample(x, query_stride)); // (N, Q, C)
    let keys = if key_stride == query_stride { z.clone() } else { tokens(&subsample(x, key_stride)) };
    let (y, maps) = attend(&z, &keys, projections, settings, lattice, None, capture);
    let (h, w) = (height.div_ceil(query_stride), width.div_ceil(query_stride));
    let y = reshape(&permute(&y, &[0, 2, 1]), &[n, y.shape()[2], h, w]);
    if query_stride == 1 {
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
    let (&[_, queries, _], &[_, keys, _]) = (z.shape(), x.shape()) else {
        panic!(
            "attention_1d: z must be (N, Q, C) and x (N, K, C_k), their shapes are {:?} and {:?}",
            z.shape(),
            x.shape()
        );
    };
    if !capture && shares_row(settings) {
        let y = shared_row(&permute(x, &[0, 2, 1]), projections, settings, key_padding); // (N, C_out)
        let (n, channels) = (y.shape()[0], y.shape()[1]);
        return (expand(&reshape(&y, &[n, 1, channels]), &[n, queries, channels]), None);
    }
    attend(z, x, projections, settings, Lattice::Sequence { queries, keys }, key_padding, capture)
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

/// What Transformer attention works on once content and positions are projected: the operands of
/// [`transformer_attention`](super::transformer_attention) and what else it is told. For figures and
/// tests; the projections `W` and `b` of the output are not part of it.
pub struct Projected<B: termwise_autograd::Backend> {
    /// `U z`, where E1 or E2 is on. (N, Q, M d)
    pub query: Option<Var<B>>,
    /// `V^C x`, where E1 or E3 is on. (N, K, M d)
    pub key: Option<Var<B>>,
    /// `W' x`. (N, K, M `d_v`)
    pub value: Var<B>,
    /// `V^R R` and its index, where E2 or E4 is on: on an image x, then y. (rows, M d)
    pub positions: Vec<(Var<B>, RelativeIndex)>,
    /// `u`, for E3. (M, d)
    pub key_bias: Option<Var<B>>,
    /// `v`, for E4. (M, d)
    pub position_bias: Option<Var<B>>,
    /// The factor on the energies.
    pub scale: f64,
    /// Where queries and keys lie.
    pub lattice: Lattice,
    /// Which keys a query sees.
    pub visibility: Visibility,
}

impl<B: AttendKernels> Projected<B> {
    /// Projects the contents `z` (N, Q, C) and `x` (N, K, C) and the offsets of `lattice`.
    #[track_caller]
    fn of(
        z: &Var<B>,
        x: &Var<B>,
        projections: &Projections<B>,
        settings: &TransformerSettings,
        lattice: Lattice,
        key_padding: Option<&Array2<bool>>,
    ) -> Self {
        let terms = settings.terms;
        let tape = z.tape();
        let project = |used: bool, weight: &Option<Var<B>>, input: &Var<B>| {
            weight.as_ref().filter(|_| used).map(|weight| linear(input, weight, None))
        };
        let query = project(terms.uses_query(), &projections.query, z); // (N, Q, M d)
        let key = project(terms.uses_key(), &projections.key, x); // (N, K, M d)
        let value = linear(x, &projections.value, None); // (N, K, M d_v)
        let embedded =
            if terms.uses_position() { settings.position_embeddings(&lattice) } else { Vec::new() };
        assert!(
            embedded.is_empty() || embedded.len() == projections.positions.len(),
            "attention: {} position projections for {} tables of positions",
            projections.positions.len(),
            embedded.len()
        );
        let positions: Vec<_> = embedded
            .into_iter()
            .zip(&projections.positions)
            .map(|((embedding, index), weight)| {
                let embedding = tape.constant(Array::from_f64(tape.backend(), &embedding));
                (linear(&embedding, weight, None), index) // (rows, M d)
            })
            .collect();
        let channels = [&query, &key].into_iter().flatten().chain(positions.iter().map(|(t, _)| t)).next();
        let head_dim = channels.map_or(1, |var| var.shape()[var.ndim() - 1] / settings.num_heads.max(1));
        let visibility =
            Visibility { causal: settings.causal, range: settings.range, key_padding: key_padding.cloned() };
        Projected {
            query,
            key,
            value,
            positions,
            key_bias: projections.key_bias.clone(),
            position_bias: projections.position_bias.clone(),
            scale: settings.scale.value(head_dim),
            lattice,
            visibility,
        }
    }

    /// They as the operands of the core op.
    pub fn operands(&self) -> Operands<'_, B> {
        Operands {
            query: self.query.as_ref(),
            key: self.key.as_ref(),
            value: &self.value,
            positions: self.positions.iter().map(|(table, index)| (table, index.clone())).collect(),
            key_bias: self.key_bias.as_ref(),
            position_bias: self.position_bias.as_ref(),
        }
    }
}

/// What [`attention_2d`] works on inside: `x` (N, C, H, W) projected.
///
/// # Panics
/// As [`attention_2d`].
#[track_caller]
pub fn projected_2d<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
) -> Projected<B> {
    let &[_, _, height, width] = x.shape() else {
        panic!("projected_2d: x must be (N, C, H, W), its shape is {:?}", x.shape());
    };
    let TransformerSettings { query_stride, key_stride, .. } = *settings;
    let lattice = Lattice::Image { height, width, query_stride, key_stride };
    let (z, keys) = (tokens(&subsample(x, query_stride)), tokens(&subsample(x, key_stride)));
    Projected::of(&z, &keys, projections, settings, lattice, None)
}

/// What [`attention_1d`] works on inside: `z` (N, Q, C) and `x` (N, K, `C_k`) projected.
///
/// # Panics
/// As [`attention_1d`].
#[track_caller]
pub fn projected_1d<B: AttendKernels>(
    z: &Var<B>,
    x: Option<&Var<B>>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
) -> Projected<B> {
    let x = x.unwrap_or(z);
    let (&[_, queries, _], &[_, keys, _]) = (z.shape(), x.shape()) else {
        panic!(
            "projected_1d: z must be (N, Q, C) and x (N, K, C_k), their shapes are {:?} and {:?}",
            z.shape(),
            x.shape()
        );
    };
    Projected::of(z, x, projections, settings, Lattice::Sequence { queries, keys }, key_padding)
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

/// (N, C, H, W) to (N, H W, C).
fn tokens<B: AttendKernels>(x: &Var<B>) -> Var<B> {
    let &[n, c, h, w] = x.shape() else { unreachable!("checked by the caller") };
    permute(&reshape(x, &[n, c, h * w]), &[0, 2, 1])
}

/// Every `stride`-th row and column.
fn subsample<B: AttendKernels>(x: &Var<B>, stride: usize) -> Var<B> {
    if stride == 1 {
        return x.clone();
    }
    let &[n, c, h, w] = x.shape() else { unreachable!("checked by the caller") };
    let whole = |extent: usize, step: usize| [0, extent as isize, step as isize];
    slice(x, &[whole(n, 1), whole(c, 1), whole(h, stride), whole(w, stride)])
}
