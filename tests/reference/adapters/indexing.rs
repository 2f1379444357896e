//! Operations that pick, move or look up elements.

use termwise_ops::Kernels;
use termwise_ops::{
    PadMode, cumsum, embedding, gather, index_select, pad, scatter_add, sinusoidal_positions, topk, where_,
};

use super::Table;
use super::attention::expect_size;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("gather", |case| {
            let (axis, index) = (dim(case), case.whole("index"));
            case.map("x", |x| gather(x, &index, axis));
        }),
        ("index_select", |case| {
            let (axis, index) = (dim(case), case.whole("index"));
            case.map("x", |x| index_select(x, &index, axis));
        }),
        ("scatter_add", |case| {
            let (axis, index, src) = (dim(case), case.whole("index"), case.input("src"));
            case.map("x", |x| scatter_add(x, &index, &src, axis));
        }),
        ("cumsum", |case| {
            let axis = dim(case);
            case.map("x", |x| cumsum(x, axis));
        }),
        ("topk", largest),
        ("where", choice),
        ("pad", padded),
        ("embedding", lookup),
        ("sinusoidal_positions", positions),
    ]
}

/// Attribute `dim`.
fn dim<B: Kernels>(case: &Case<B>) -> isize {
    case.attrs.whole("dim").expect("dim")
}

fn largest<B: Kernels>(case: &mut Case<B>) {
    let x = case.input("x");
    let axis = case.attrs.whole("dim").unwrap_or(-1);
    let k = case.attrs.whole("k").expect("k");
    assert!(case.attrs.flag_or("sorted", true), "unsorted results have no order to compare");
    let (values, indices) = topk(&x, k, axis, case.attrs.flag_or("largest", true));
    case.output("values", &values);
    case.exact("indices", &indices);
}

fn choice<B: Kernels>(case: &mut Case<B>) {
    let (condition, a, b) = (case.mask("cond"), case.input("a"), case.input("b"));
    case.output("y", &where_(&condition, &a, &b));
}

fn padded<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("order");
    let padding: Vec<isize> = case.attrs.list("pad").expect("pad");
    let value = case.attrs.number("value").unwrap_or(0.0);
    let mode = match case.attrs.text("mode").unwrap_or("constant") {
        "constant" => PadMode::Constant(value),
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Replicate,
        other => panic!("unknown mode {other}"),
    };
    case.map("x", |x| pad(x, &padding, mode));
}

fn lookup<B: Kernels>(case: &mut Case<B>) {
    let (weight, ids) = (case.param("weight"), case.whole("ids"));
    expect_size(case, "num_embeddings", weight.shape()[0]);
    expect_size(case, "embedding_dim", weight.shape()[1]);
    // As in the reference library, a negative one counts from the end.
    let rows = weight.shape()[0] as i64;
    let padding = case.attrs.whole::<i64>("padding_idx").map(|i| if i < 0 { i + rows } else { i });
    case.output("y", &embedding(&weight, &ids, padding));
}

fn positions<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("formula");
    let rows = case.attrs.whole("num_embeddings").expect("num_embeddings");
    let dim = case.attrs.whole("embedding_dim").expect("embedding_dim");
    case.value("table", &sinusoidal_positions(rows, dim, case.attrs.whole("padding_idx")));
}
