//! The layers of a Transformer, composed of public operations under the names of torch.nn.

use ndarray::Array2;
use termwise_autograd::{Array, Var};
use termwise_ops::Kernels;
use termwise_ops::attention::{Lattice, Operands, Terms, Visibility, transformer_attention_with_maps};
use termwise_ops::{add, gelu, layer_norm, linear, narrow, relu, transpose};

use super::Table;
use super::attention::{expect_size, key_padding, repeat_rows};
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("multihead_attention", attention),
        ("transformer_encoder_layer", encoder),
        ("transformer_decoder_layer", decoder),
    ]
}

type Activation<B> = fn(&Var<B>) -> Var<B>;

/// Who may look at whom.
#[derive(Default)]
struct Mask {
    causal: bool,
    key_padding: Option<Array2<bool>>,
}

/// torch.nn.MultiheadAttention, batch first, value = key; also returns the weights.
fn multihead<B: Kernels>(
    case: &mut Case<B>,
    prefix: &str,
    query: &Var<B>,
    key: &Var<B>,
    mask: Mask,
) -> (Var<B>, Array<B>) {
    let heads: usize = case.attrs.whole("num_heads").expect("num_heads");
    let embed = query.shape()[2];
    let weight = case.param(&format!("{prefix}in_proj_weight")); // (3 E, E)
    let bias = case.param(&format!("{prefix}in_proj_bias"));
    let project = |x: &Var<B>, part: usize| {
        let rows = |all: &Var<B>| narrow(all, 0, part * embed, embed);
        linear(x, &rows(&weight), Some(&rows(&bias)))
    };
    let (projected_query, projected_key, value) = (project(query, 0), project(key, 1), project(key, 2));
    let operands = Operands {
        query: Some(&projected_query),
        key: Some(&projected_key),
        value: &value,
        positions: Vec::new(),
        key_bias: None,
        position_bias: None,
    };
    let terms = Terms::from_flags([true, false, false, false]);
    let scale = 1.0 / ((embed / heads) as f64).sqrt();
    let lattice = Lattice::Sequence { queries: query.shape()[1], keys: key.shape()[1] };
    let visibility = Visibility { causal: mask.causal, range: None, key_padding: mask.key_padding };
    let (mixed, maps) = transformer_attention_with_maps(&operands, terms, heads, scale, lattice, &visibility);
    let y = layer(case, &mixed, &format!("{prefix}out_proj"));
    (y, maps.weights)
}

fn layer<B: Kernels>(case: &mut Case<B>, x: &Var<B>, name: &str) -> Var<B> {
    let (weight, bias) = (case.param(&format!("{name}.weight")), case.param(&format!("{name}.bias")));
    linear(x, &weight, Some(&bias))
}

fn norm<B: Kernels>(case: &mut Case<B>, x: &Var<B>, name: &str) -> Var<B> {
    let (weight, bias) = (case.param(&format!("{name}.weight")), case.param(&format!("{name}.bias")));
    layer_norm(x, &x.shape()[2..], Some(&weight), Some(&bias), 1e-5)
}

fn attention<B: Kernels>(case: &mut Case<B>) {
    let batch_first = case.attrs.flag("batch_first");
    // Time first is the same under a transposition on either side.
    let turn = |x: Var<B>| if batch_first { x } else { transpose(&x, 0, 1) };
    let query = turn(case.input("query"));
    expect_size(case, "embed_dim", query.shape()[2]);
    let key = match case.attrs.text("form").unwrap_or("self") {
        "self" => query.clone(),
        "cross" => turn(case.input("key")),
        other => panic!("unknown form {other}"),
    };
    let mask = Mask { causal: case.attrs.flag("causal"), key_padding: key_padding(case) };
    let (y, weights) = multihead(case, "", &query, &key, mask);
    case.output("y", &turn(y));
    case.value("attention", &repeat_rows(&weights, query.shape()[1]));
}

/// The attributes that the encoder and the decoder share; what the feed-forward part activates with.
fn check<B: Kernels>(case: &mut Case<B>, x: &Var<B>) -> (bool, Activation<B>) {
    expect_size(case, "embed_dim", x.shape()[2]);
    let ffn_dim = case.param("linear1.weight").shape()[0];
    expect_size(case, "ffn_dim", ffn_dim);
    assert_eq!(case.attrs.number("dropout").unwrap_or(0.0), 0.0, "dropout");
    let activation = match case.attrs.text("activation").unwrap_or("relu") {
        "relu" => relu,
        "gelu" => gelu,
        other => panic!("unknown activation {other}"),
    };
    (case.attrs.flag("norm_first"), activation)
}

/// `x + f(norm(x))` or `norm(x + f(x))`.
fn residual<B: Kernels>(
    case: &mut Case<B>,
    x: &Var<B>,
    name: &str,
    norm_first: bool,
    f: impl FnOnce(&mut Case<B>, &Var<B>) -> Var<B>,
) -> Var<B> {
    if norm_first {
        let normed = norm(case, x, name);
        add(x, &f(case, &normed))
    } else {
        let sum = add(x, &f(case, x));
        norm(case, &sum, name)
    }
}

fn feed_forward<B: Kernels>(case: &mut Case<B>, x: &Var<B>, activation: Activation<B>) -> Var<B> {
    let hidden = activation(&layer(case, x, "linear1"));
    layer(case, &hidden, "linear2")
}

fn encoder<B: Kernels>(case: &mut Case<B>) {
    let x = case.input("x");
    let (norm_first, activation) = check(case, &x);
    let mask = Mask { causal: case.attrs.flag("causal"), key_padding: key_padding(case) };
    let x = residual(case, &x, "norm1", norm_first, |case, x| multihead(case, "self_attn.", x, x, mask).0);
    let y = residual(case, &x, "norm2", norm_first, |case, x| feed_forward(case, x, activation));
    case.output("y", &y);
}

fn decoder<B: Kernels>(case: &mut Case<B>) {
    let (x, memory) = (case.input("x"), case.input("memory"));
    let (norm_first, activation) = check(case, &x);
    let causal = Mask { causal: case.attrs.flag_or("causal", true), key_padding: None };
    // The padding is that of the memory.
    let padded = Mask { causal: false, key_padding: key_padding(case) };
    let x = residual(case, &x, "norm1", norm_first, |case, x| multihead(case, "self_attn.", x, x, causal).0);
    let x = residual(case, &x, "norm2", norm_first, |case, x| {
        multihead(case, "multihead_attn.", x, &memory, padded).0
    });
    let y = residual(case, &x, "norm3", norm_first, |case, x| feed_forward(case, x, activation));
    case.output("y", &y);
}
