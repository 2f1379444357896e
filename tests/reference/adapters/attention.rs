//! Transformer attention with its four terms, on sequences and on images.

use ndarray::{Array2, ArrayD, Ix2, IxDyn};
use termwise_autograd::{Array, Var};
use termwise_ops::Kernels;
use termwise_ops::attention::{
    AttentionMaps, Projections, Range, Scale, Terms, TransformerSettings, attention_1d_with_maps,
    attention_2d, attention_2d_with_maps,
};
use termwise_ops::{add, mul, reshape};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![("transformer_attention_1d", sequence), ("generalized_attention", image)]
}

/// The switches, written as `"b1b2b3b4"`.
pub fn terms<B: Kernels>(case: &Case<B>, attribute: &str) -> Terms {
    let code = case.attrs.text(attribute).unwrap_or_else(|| panic!("no attribute `{attribute}`"));
    code.parse().unwrap_or_else(|error| panic!("attribute `{attribute}`: {error}"))
}

/// Requires that the attribute, where there is one, agrees with a size.
pub fn expect_size<B: Kernels>(case: &mut Case<B>, attribute: &str, found: usize) {
    if let Some(stated) = case.attrs.whole::<usize>(attribute) {
        case.expect(attribute, stated, found);
    }
}

/// `in.key_padding_mask`, (N, K), if the attribute of that name is true.
pub fn key_padding<B: Kernels>(case: &mut Case<B>) -> Option<Array2<bool>> {
    let mask = case.mask_if(case.attrs.flag("key_padding_mask"), "key_padding_mask")?;
    Some(mask.into_dimensionality::<Ix2>().expect("key_padding_mask is (N, K)"))
}

/// Equations of the paper on sequences.
fn sequence<B: Kernels>(case: &mut Case<B>) {
    ["rel_formula", "rel_offset", "rel_layout"].iter().for_each(|key| case.attrs.note(key));
    let terms = terms(case, "beta");
    let zq = case.input("zq"); // (N, Q, C)
    let xk = match case.attrs.text("form").unwrap_or("self") {
        "self" => None,
        "cross" => Some(case.input("xk")), // (N, K, kdim)
        other => panic!("unknown form {other}"),
    };
    let weight = |case: &mut Case<B>, used: bool, name: &str| case.param_if(used, &format!("{name}.weight"));
    let projections = Projections {
        query: weight(case, terms.uses_query(), "U"),
        key: weight(case, terms.uses_key(), "Vc"),
        positions: weight(case, terms.uses_position(), "Vr").into_iter().collect(),
        key_bias: case.param_if(terms.key, "u"),
        position_bias: case.param_if(terms.position, "v"),
        value: case.param("Wv.weight"),
        output: case.param("Wo.weight"),
        output_bias: None,
    };
    let num_heads: usize = case.attrs.whole("num_heads").expect("num_heads");
    let rel_dim: usize = case.attrs.whole("rel_dim").unwrap_or(0);
    expect_size(case, "embed_dim", zq.shape()[2]);
    expect_size(case, "kdim", xk.as_ref().unwrap_or(&zq).shape()[2]);
    expect_size(case, "head_dim", projections.value.shape()[0] / num_heads);
    let settings = TransformerSettings {
        scale: case.attrs.number("scale").map_or(Scale::InverseSqrtHeadDim, Scale::Factor),
        wavelength: case.attrs.number("wave_length").unwrap_or(10_000.0),
        causal: case.attrs.flag("causal"),
        ..TransformerSettings::paper(terms, num_heads, rel_dim)
    };
    let padding = key_padding(case);
    let (y, maps) = attention_1d_with_maps(&zq, xk.as_ref(), &projections, &settings, padding.as_ref());
    case.output("y", &y);
    case.value("attention", &repeat_rows(&maps.weights, zq.shape()[1]));
}

/// The weights with the one row that serves all queries, where it is one, repeated for each of them.
pub fn repeat_rows<B: Kernels>(weights: &Array<B>, queries: usize) -> ArrayD<f64> {
    let mut shape = weights.shape().to_vec(); // (N, M, rows, K)
    shape[2] = queries;
    weights.to_f64().broadcast(IxDyn(&shape)).expect("one row or all").to_owned()
}

/// What an image case describes: mmcv's module, its parameters under our names.
pub struct Image<B: Kernels> {
    pub x: Var<B>,
    pub projections: Projections<B>,
    pub settings: TransformerSettings,
    pub gamma: Var<B>,
}

impl<B: Kernels> Image<B> {
    pub fn read(case: &mut Case<B>) -> Self {
        ["max_abs_energy", "mean_top_weight"].iter().for_each(|key| case.attrs.note(key));
        let terms = terms(case, "attention_type");
        let num_heads: usize = case.attrs.whole("num_heads").unwrap_or(9);
        let x = case.input("x");
        let channels = x.shape()[1];
        expect_size(case, "in_channels", channels);
        // A 1x1 convolution is a matrix, a bias one row per head.
        let matrix = |case: &mut Case<B>, name: &str| {
            let weight = case.param(&format!("{name}.weight"));
            reshape(&weight, &[weight.shape()[0], weight.shape()[1]])
        };
        let per_head = |case: &mut Case<B>, name: &str| {
            let bias = case.param(name);
            reshape(&bias, &[num_heads, bias.shape()[0] / num_heads])
        };
        let tables: &[&str] = if terms.uses_position() { &["appr_geom_fc_x", "appr_geom_fc_y"] } else { &[] };
        let projections = Projections {
            query: terms.uses_query().then(|| matrix(case, "query_conv")),
            key: terms.uses_key().then(|| matrix(case, "key_conv")),
            positions: tables.iter().map(|name| matrix(case, name)).collect(),
            key_bias: terms.key.then(|| per_head(case, "appr_bias")),
            position_bias: terms.position.then(|| per_head(case, "geom_bias")),
            value: matrix(case, "value_conv"),
            output: matrix(case, "proj_conv"),
            output_bias: Some(case.param("proj_conv.bias")),
        };
        let dim = case.attrs.whole::<i64>("position_embedding_dim").unwrap_or(-1);
        let dim = if dim > 0 { dim as usize } else { channels };
        let radius = case.attrs.whole::<i64>("spatial_range").unwrap_or(-1);
        let settings = TransformerSettings {
            position_magnitude: case.attrs.number("position_magnitude").unwrap_or(1.0),
            query_stride: case.attrs.whole("q_stride").unwrap_or(2),
            key_stride: case.attrs.whole("kv_stride").unwrap_or(2),
            range: usize::try_from(radius).ok().map(Range::Mmcv),
            ..TransformerSettings::mmcv(terms, num_heads, dim)
        };
        Image { x, projections, settings, gamma: case.param("gamma") }
    }

    /// `gamma attention(x) + x`, and what was seen on the way.
    pub fn attend(&self) -> (Var<B>, AttentionMaps<B>) {
        let (attended, maps) = attention_2d_with_maps(&self.x, &self.projections, &self.settings);
        (add(&mul(&attended, &self.gamma), &self.x), maps)
    }
}

fn image<B: Kernels>(case: &mut Case<B>) {
    let image = Image::read(case);
    let (y, maps) = image.attend();
    if case.has("out.attention") {
        case.value("attention", &maps.weights.to_f64());
    }
    // Capturing maps may take another form of the computation: both must meet the golden values.
    case.value("y", &y.value().to_f64());
    let plain = attention_2d(&image.x, &image.projections, &image.settings);
    case.output("y", &add(&mul(&plain, &image.gamma), &image.x));
}
