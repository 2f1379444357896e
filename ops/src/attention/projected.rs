//! What Transformer attention learns, and what it works on once content and positions are projected.

use ndarray::Array2;
use termwise_autograd::{Array, Backend, Var};

use super::attend::AttendKernels;
use super::transformer::Operands;
use super::{Lattice, RelativeIndex, TransformerSettings, Visibility};
use crate::tensor::{linear, permute, reshape, slice};

/// The learned numbers of one Transformer attention; those of terms that are off may be left out.
///
/// M heads of d channels (value: `d_v`), C channels of the queries' content, `C_k` of the keys'.
pub struct Projections<B: Backend> {
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

/// What Transformer attention works on once content and positions are projected: the operands of
/// [`transformer_attention`](super::transformer_attention) and what else it is told. For figures and
/// tests; the projections `W` and `b` of the output are not part of it.
pub struct Projected<B: Backend> {
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
    pub(super) fn of(
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

/// What [`attention_2d`](super::attention_2d) works on inside: `x` (N, C, H, W) projected.
///
/// # Panics
/// As [`attention_2d`](super::attention_2d).
#[track_caller]
pub fn projected_2d<B: AttendKernels>(
    x: &Var<B>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
) -> Projected<B> {
    let lattice = lattice_2d("projected_2d", x, settings);
    let (z, keys) = contents_2d(x, settings);
    Projected::of(&z, &keys, projections, settings, lattice, None)
}

/// What [`attention_1d`](super::attention_1d) works on inside: `z` (N, Q, C) and `x` (N, K, `C_k`) projected.
///
/// # Panics
/// As [`attention_1d`](super::attention_1d).
#[track_caller]
pub fn projected_1d<B: AttendKernels>(
    z: &Var<B>,
    x: Option<&Var<B>>,
    projections: &Projections<B>,
    settings: &TransformerSettings,
    key_padding: Option<&Array2<bool>>,
) -> Projected<B> {
    let x = x.unwrap_or(z);
    let lattice = lattice_1d("projected_1d", z, x);
    Projected::of(z, x, projections, settings, lattice, key_padding)
}

/// Where the pixels of `x` (N, C, H, W) lie for queries and keys.
///
/// # Panics
/// If `x` has other axes, or a stride is 0.
#[track_caller]
pub(super) fn lattice_2d<B: Backend>(op: &str, x: &Var<B>, settings: &TransformerSettings) -> Lattice {
    let &[_, _, height, width] = x.shape() else {
        panic!("{op}: x must be (N, C, H, W), its shape is {:?}", x.shape());
    };
    let TransformerSettings { query_stride, key_stride, .. } = *settings;
    assert!(
        query_stride > 0 && key_stride > 0,
        "{op}: strides must be positive: {query_stride}, {key_stride}"
    );
    Lattice::Image { height, width, query_stride, key_stride }
}

/// Where the tokens of `z` (N, Q, C) and `x` (N, K, `C_k`) lie.
///
/// # Panics
/// If these have other axes.
#[track_caller]
pub(super) fn lattice_1d<B: Backend>(op: &str, z: &Var<B>, x: &Var<B>) -> Lattice {
    let (&[_, queries, _], &[_, keys, _]) = (z.shape(), x.shape()) else {
        panic!(
            "{op}: z must be (N, Q, C) and x (N, K, C_k), their shapes are {:?} and {:?}",
            z.shape(),
            x.shape()
        );
    };
    Lattice::Sequence { queries, keys }
}

/// The contents of queries (N, Q, C) and keys (N, K, C) of an image.
pub(super) fn contents_2d<B: AttendKernels>(x: &Var<B>, settings: &TransformerSettings) -> (Var<B>, Var<B>) {
    let TransformerSettings { query_stride, key_stride, .. } = *settings;
    let z = tokens(&subsample(x, query_stride));
    let keys = if key_stride == query_stride { z.clone() } else { tokens(&subsample(x, key_stride)) };
    (z, keys)
}

/// (N, C, H, W) to (N, H W, C).
fn tokens<B: AttendKernels>(x: &Var<B>) -> Var<B> {
    let &[n, c, h, w] = x.shape() else { unreachable!("checked by the caller") };
    permute(&reshape(x, &[n, c, h * w]), &[0, 2, 1])
}

/// Every `stride`-th row and column.
pub(super) fn subsample<B: AttendKernels>(x: &Var<B>, stride: usize) -> Var<B> {
    if stride == 1 {
        return x.clone();
    }
    let &[n, c, h, w] = x.shape() else { unreachable!("checked by the caller") };
    let whole = |extent: usize, step: usize| [0, extent as isize, step as isize];
    slice(x, &[whole(n, 1), whole(c, 1), whole(h, stride), whole(w, stride)])
}
