//! Test cases of [`transformer_attention`]: every switch pattern on images and on sequences.

use ndarray::Array2;
use termwise_autograd::gradcheck::{Built, Case, Samples};

use super::{
    Lattice, Operands, Range, RelativeIndex, Terms, TransformerAttentionKernel, Visibility,
    transformer_attention,
};

/// What sets the cases of one lattice apart.
#[derive(Clone, Copy)]
struct Setting {
    terms: Terms,
    scale: f64,
    /// Standard deviation of queries and keys: large values saturate the softmax.
    spread: f64,
    joint: bool,
    causal: bool,
    range: Option<Range>,
    /// Hide the last key of the last sample.
    padded: bool,
}

impl Setting {
    fn of(terms: Terms) -> Self {
        Setting { terms, scale: 0.7, spread: 1.0, joint: false, causal: false, range: None, padded: false }
    }
}

/// Sixteen patterns on an image and on a sequence, then every other setting. Shapes are
/// (N, H, W, M, d) on images and (N, Q, K, M, d) on sequences.
pub(super) fn cases<B: TransformerAttentionKernel>() -> Vec<Case<B>> {
    let mut cases = Vec::new();
    for (i, terms) in Terms::all().enumerate() {
        let shape = [[1, 2, 3, 2, 3], [2, 3, 1, 1, 2], [1, 1, 1, 1, 1]][i % 3];
        cases.push(image(Setting::of(terms), 1, 1, &shape));
        let shape = [[1, 3, 4, 2, 2], [2, 2, 3, 1, 3]][i % 2];
        cases
            .push(sequence(Setting { causal: i % 2 == 0, padded: i % 3 == 0, ..Setting::of(terms) }, &shape));
    }
    let full = Setting::of(Terms::from_flags([true; 4]));
    cases.push(image(full, 2, 1, &[1, 3, 2, 2, 2]));
    cases.push(image(full, 1, 2, &[2, 3, 2, 1, 2]));
    cases.push(image(Setting { joint: true, ..full }, 1, 1, &[1, 2, 3, 1, 2]));
    cases.push(image(Setting { range: Some(Range::Symmetric(1)), ..full }, 1, 1, &[1, 3, 3, 1, 2]));
    cases.push(image(Setting { range: Some(Range::Mmcv(0)), ..full }, 1, 2, &[1, 3, 2, 1, 2]));
    cases.push(image(Setting { spread: 6.0, ..full }, 1, 1, &[1, 2, 3, 2, 2]));
    cases
        .push(sequence(Setting { range: Some(Range::Symmetric(1)), padded: true, ..full }, &[2, 4, 4, 1, 2]));
    let nothing_seen = Setting { range: Some(Range::Symmetric(0)), padded: true, ..full };
    cases.push(sequence(nothing_seen, &[1, 3, 3, 1, 2]));
    let content =
        |flags| Setting { range: Some(Range::Symmetric(1)), ..Setting::of(Terms::from_flags(flags)) };
    cases.push(image(content([false, false, true, false]), 1, 1, &[1, 3, 2, 1, 2]));
    cases.push(image(content([false; 4]), 1, 1, &[1, 2, 3, 1, 2]));
    cases
}

fn label(setting: &Setting, kind: &str) -> String {
    let Setting { terms, scale, spread, joint, causal, range, padded } = setting;
    let mut label = format!("{terms} {kind}, scale {scale}, spread {spread}");
    let flags = [(*joint, "joint"), (*causal, "causal"), (*padded, "padded")];
    flags.iter().filter(|(on, _)| *on).for_each(|(_, name)| label.extend([", ", name]));
    range.iter().for_each(|range| label += &format!(", {range:?}"));
    label
}

fn image<B: TransformerAttentionKernel>(
    setting: Setting,
    query_stride: usize,
    key_stride: usize,
    shape: &[usize],
) -> Case<B> {
    let label = label(&setting, &format!("image, strides {query_stride} and {key_stride}"));
    Case::new("transformer_attention", label, shape, move |shape, samples| {
        let &[n, height, width, heads, dim] = shape else { return None };
        let lattice = Lattice::Image { height, width, query_stride, key_stride };
        let tables = if setting.joint {
            vec![lattice.joint_index()]
        } else {
            vec![lattice.x_index(), lattice.y_index()]
        };
        build(setting, [n, heads, dim], lattice, tables, samples)
    })
}

fn sequence<B: TransformerAttentionKernel>(setting: Setting, shape: &[usize]) -> Case<B> {
    Case::new("transformer_attention", label(&setting, "sequence"), shape, move |shape, samples| {
        let &[n, queries, keys, heads, dim] = shape else { return None };
        let lattice = Lattice::Sequence { queries, keys };
        build(setting, [n, heads, dim], lattice, vec![lattice.x_index()], samples)
    })
}

fn build<B: TransformerAttentionKernel>(
    setting: Setting,
    [n, heads, dim]: [usize; 3],
    lattice: Lattice,
    tables: Vec<RelativeIndex>,
    samples: &mut Samples,
) -> Option<Built<B>> {
    let (queries, keys) = (lattice.queries().len(), lattice.keys().len());
    if [n, heads, dim, queries, keys].contains(&0) {
        return None;
    }
    let (terms, channels) = (setting.terms, heads * dim);
    // Value heads are one channel wider than the others, to tell the two widths apart.
    let mut inputs = vec![("value", samples.normal(&[n, keys, heads * (dim + 1)]))];
    if terms.uses_query() {
        inputs.push(("query", samples.normal(&[n, queries, channels]) * setting.spread));
    }
    if terms.uses_key() {
        inputs.push(("key", samples.normal(&[n, keys, channels]) * setting.spread));
    }
    if terms.uses_position() {
        for (name, table) in ["position_x", "position_y"].into_iter().zip(&tables) {
            inputs.push((name, samples.normal(&[table.rows, channels])));
        }
    }
    if terms.key {
        inputs.push(("key_bias", samples.normal(&[heads, dim])));
    }
    if terms.position {
        inputs.push(("position_bias", samples.normal(&[heads, dim])));
    }
    let key_padding = setting.padded.then(|| Array2::from_shape_fn((n, keys), |at| at == (n - 1, keys - 1)));
    let visibility = Visibility { causal: setting.causal, range: setting.range, key_padding };
    let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    let run = move |v: &[termwise_autograd::Var<B>]| {
        let find = |name: &str| names.iter().position(|n| *n == name).map(|i| &v[i]);
        let positions = ["position_x", "position_y"].into_iter().filter_map(find);
        let operands = Operands {
            query: find("query"),
            key: find("key"),
            value: &v[0],
            positions: positions.zip(tables.iter().cloned()).collect(),
            key_bias: find("key_bias"),
            position_bias: find("position_bias"),
        };
        transformer_attention(&operands, terms, heads, setting.scale, lattice, &visibility)
    };
    Some(Built { inputs, run: std::rc::Rc::new(run) })
}
