//! A live check of a layer's gradient against finite differences.

use std::time::Instant;

use ndarray::ArrayD;
use serde_json::{Value, json};
use termwise_autograd::gradcheck::Check;
use termwise_autograd::{Array, Cpu, Var};
use termwise_ops::attention::{Operands, Terms, transformer_attention};
use termwise_ops::linear;

use super::layer::HeadLayer;

/// Checks the attention of a small layer with `terms`, every operand of it.
pub fn gradcheck(layer: &HeadLayer, terms: Terms) -> Value {
    let start = Instant::now();
    let parts = layer.parts();
    let inputs: Vec<(&str, ArrayD<f64>)> = parts
        .operands
        .iter()
        .filter(|(name, _)| match *name {
            "query" => terms.uses_query(),
            "key" => terms.uses_key(),
            "u" => terms.key,
            "v" => terms.position,
            "value" | "output" => true,
            _ => terms.uses_position(),
        })
        .map(|(name, array)| (*name, array.to_f64()))
        .collect();
    let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    let attention = |vars: &[Var<Cpu<f64>>]| {
        let var = |wanted: &str| names.iter().position(|name| *name == wanted).map(|i| &vars[i]);
        let tables = ["position_x", "position_y", "position"].into_iter().filter_map(var);
        let operands = Operands {
            query: var("query"),
            key: var("key"),
            value: var("value").expect("every layer has values"),
            positions: tables.zip(parts.indices.iter().cloned()).collect(),
            key_bias: var("u"),
            position_bias: var("v"),
        };
        let heads = transformer_attention(&operands, terms, 1, parts.scale, parts.lattice, &parts.visibility);
        linear(&heads, var("output").expect("every layer has an output matrix"), None)
    };
    // Threads are not what is in question here, and other questions are computed meanwhile.
    let report = Check::new().threads(false).run("transformer_attention", &inputs, attention);
    let worst = report
        .inputs
        .iter()
        .max_by(|a, b| a.verdict.cmp(&b.verdict).then(a.largest_error.total_cmp(&b.largest_error)));
    let summary = report.summary();
    json!({
        "op": report.op,
        "status": report.verdict().to_string(),
        "elements": inputs.iter().map(|(_, array)| array.len()).sum::<usize>(),
        "derivatives": summary.cells,
        "worst": worst.map(|input| input.largest_error),
        "worst_name": worst.map(|input| input.name.clone()),
        "seconds": start.elapsed().as_secs_f64(),
        "summary": format!(
            "{} of {} derivatives agree with finite differences, the layer cut to {} queries and {} keys; laws {} of {}{}",
            summary.cells - summary.wrong,
            summary.cells,
            parts.lattice.queries().len(),
            parts.lattice.keys().len(),
            summary.laws[0],
            summary.laws[1],
            if summary.finding.is_empty() { String::new() } else { format!("; {}", summary.finding) },
        ),
    })
}

/// A layer's operands by name, cut to a small size.
pub struct Parts {
    /// `query`, `key`, `value`, the tables of positions, `u`, `v`, `output`.
    pub operands: Vec<(&'static str, Array<Cpu<f64>>)>,
    /// The indices of the tables.
    pub indices: Vec<termwise_ops::attention::RelativeIndex>,
    /// The factor on the energies.
    pub scale: f64,
    /// Where queries and keys lie.
    pub lattice: termwise_ops::attention::Lattice,
    /// Which keys a query sees.
    pub visibility: termwise_ops::attention::Visibility,
}
