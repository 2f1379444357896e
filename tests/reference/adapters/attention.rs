//! Transformer attention with its four terms, on sequences and on images.

use ndarray::{ArrayD, Ix2, IxDyn};
use termwise_autograd::{Array, Cpu, Scalar};
use termwise_ops::attention::{
    Lattice, Operands, Terms, TransformerSettings, Visibility, transformer_attention_with_maps,
};
use termwise_ops::linear;

use super::Table;
use crate::case::{Case, CpuVar};

pub fn table<T: Scalar>() -> Table<T> {
    vec![("transformer_attention_1d", sequence)]
}

/// The switches, written as `"b1b2b3b4"`.
fn terms<T: Scalar>(case: &Case<T>, attribute: &str) -> Terms {
    let code = case.attrs.text(attribute).unwrap_or_else(|| panic!("{attribute}"));
    let flags: Vec<bool> = code
        .chars()
        .map(|c| match c {
            '0' => false,
            '1' => true,
            _ => panic!("attribute `{attribute}`: expected four of 0 and 1, found {code}"),
        })
        .collect();
    Terms::from_flags(flags.try_into().unwrap_or_else(|_| panic!("attribute `{attribute}`: {code}")))
}

fn expect<T: Scalar>(case: &mut Case<T>, attribute: &str, found: usize) {
    if let Some(stated) = case.attrs.whole::<usize>(attribute) {
        case.expect(attribute, stated, found);
    }
}

/// The weights with the one row that serves all queries repeated for each of them.
fn repeat_rows<T: Scalar>(weights: &Array<Cpu<T>>, queries: usize) -> ArrayD<f64> {
    let mut shape = weights.shape().to_vec(); // (N, M, rows, K)
    shape[2] = queries;
    weights.to_f64().broadcast(IxDyn(&shape)).expect("one row or all").to_owned()
}

fn sequence<T: Scalar>(case: &mut Case<T>) {
    ["rel_formula", "rel_offset", "rel_layout"].iter().for_each(|key| case.attrs.note(key));
    let terms = terms(case, "beta");
    let zq = case.input("zq"); // (N, Q, C)
    let xk = match case.attrs.text("form").unwrap_or("self") {
        "self" => zq.clone(),
        "cross" => case.input("xk"), // (N, K, kdim)
        other => panic!("unknown form {other}"),
    };
    expect(case, "embed_dim", zq.shape()[2]);
    expect(case, "kdim", xk.shape()[2]);
    let num_heads: usize = case.attrs.whole("num_heads").expect("num_heads");
    let lattice = Lattice::Sequence { queries: zq.shape()[1], keys: xk.shape()[1] };
    let visibility = Visibility {
        causal: case.attrs.flag("causal"),
        range: None,
        key_padding: case
            .mask_if(case.attrs.flag("key_padding_mask"), "key_padding_mask")
            .map(|mask| mask.into_dimensionality::<Ix2>().expect("(N, K)")),
    };
    let project = |case: &mut Case<T>, x: &CpuVar<T>, name: &str| {
        let weight = case.param(&format!("{name}.weight"));
        linear(x, &weight, None)
    };
    let query = terms.uses_query().then(|| project(case, &zq, "U"));
    let key = terms.uses_key().then(|| project(case, &xk, "Vc"));
    let value = project(case, &xk, "Wv");
    let rel_dim: usize = case.attrs.whole("rel_dim").unwrap_or(0);
    let settings = TransformerSettings {
        wavelength: case.attrs.number("wave_length").unwrap_or(10_000.0),
        ..TransformerSettings::paper(terms, num_heads, rel_dim)
    };
    let positions: Vec<_> = match terms.uses_position() {
        true => settings.position_embeddings(&lattice),
        false => Vec::new(),
    };
    let positions: Vec<_> = positions
        .into_iter()
        .map(|(table, index)| {
            let table = case.tape().constant(Array::from_f64(&Cpu::new(), &table));
            (project(case, &table, "Vr"), index)
        })
        .collect();
    let (u, v) = (case.param_if(terms.key, "u"), case.param_if(terms.position, "v"));
    let operands = Operands {
        query: query.as_ref(),
        key: key.as_ref(),
        value: &value,
        positions: positions.iter().map(|(table, index)| (table, index.clone())).collect(),
        key_bias: u.as_ref(),
        position_bias: v.as_ref(),
    };
    let head_dim = value.shape()[2] / num_heads;
    expect(case, "head_dim", head_dim);
    let scale = case.attrs.number("scale").unwrap_or(1.0 / (head_dim as f64).sqrt());
    let (output, maps) =
        transformer_attention_with_maps(&operands, terms, num_heads, scale, lattice, &visibility);
    let y = project(case, &output, "Wo");
    case.output("y", &y);
    case.value("attention", &repeat_rows(&maps.weights, zq.shape()[1]));
}
