//! Attention over images and sequences.

use termwise_autograd::{Param, Tape, Var};
use termwise_ops::attention::{
    Lattice, Operands, Projections, RelativeIndex, Terms, TransformerSettings, Visibility, attention_2d,
    transformer_attention,
};
use termwise_ops::{add, mul, permute, reshape};

use super::convolution::check_divides;
use super::{Forward, Inputs, Problem, Single};

/// The numbers of a generalised attention, those that its terms need.
struct Generalized<B: Single> {
    query: Option<Param<B>>,
    key: Option<Param<B>>,
    positions: Vec<Param<B>>,
    key_bias: Option<Param<B>>,
    position_bias: Option<Param<B>>,
    value: Param<B>,
    output: Param<B>,
    output_bias: Param<B>,
    gamma: Param<B>,
}

impl<B: Single> Generalized<B> {
    fn projections(&self, tape: &Tape<B>) -> Projections<B> {
        let var = |param: &Option<Param<B>>| param.as_ref().map(|param| param.var(tape));
        Projections {
            query: var(&self.query),
            key: var(&self.key),
            positions: self.positions.iter().map(|param| param.var(tape)).collect(),
            key_bias: var(&self.key_bias),
            position_bias: var(&self.position_bias),
            value: self.value.var(tape),
            output: self.output.var(tape),
            output_bias: Some(self.output_bias.var(tape)),
        }
    }
}

/// `gamma attention(x) + x` over an image: fields `type`, `heads`, `kv_stride` (1) and `pe_dim`.
pub fn generalized<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let [_, channels, ..] = inputs.workload.axes("x", ["N", "C", "H", "W"])?;
    let settings = settings(inputs, "", channels)?;
    let (terms, heads) = (settings.terms, settings.num_heads);
    let square = [channels, channels];
    let bias = [heads, channels / heads];
    let mut get = |used: bool, name: &str, shape: &[usize], as_shape: &[usize]| match used {
        true => inputs.get_as(name, shape, as_shape).map(Some),
        false => Ok(None),
    };
    let part = [channels, settings.position_dim / 2];
    let positions = [
        get(terms.uses_position(), "px_w", &part, &part)?,
        get(terms.uses_position(), "py_w", &part, &part)?,
    ];
    let layer = Generalized {
        query: get(terms.uses_query(), "q_w", &square, &square)?,
        key: get(terms.uses_key(), "k_w", &square, &square)?,
        positions: positions.into_iter().flatten().collect(),
        key_bias: get(terms.key, "u", &[channels], &bias)?,
        position_bias: get(terms.position, "vb", &[channels], &bias)?,
        value: inputs.get_shaped("v_w", &square)?,
        output: inputs.get_shaped("o_w", &square)?,
        output_bias: inputs.get_shaped("o_b", &[channels])?,
        gamma: inputs.get_shaped("gamma", &[1])?,
    };
    let x = inputs.get("x")?;
    Ok(Box::new(move |tape| {
        let x = x.var(tape);
        let y = attention_2d(&x, &layer.projections(tape), &settings);
        add(&mul(&y, &layer.gamma.var(tape)), &x)
    }))
}

/// What the fields of a workload with a generalised attention say: mmcv's form, terms as in `type` (1111),
/// keys every `kv_stride` pixels.
pub fn settings<B: Single>(
    inputs: &Inputs<B>,
    prefix: &str,
    channels: usize,
) -> Result<TransformerSettings, Problem> {
    let w = inputs.workload;
    let code = if w.says("type") { w.text("type")? } else { "1111" };
    let terms: Terms =
        code.parse().map_err(|_| Problem::new("type", "four digits, each 0 or 1", format!("'{code}'")))?;
    let heads = w.count("heads")?;
    check_divides("heads", heads, channels)?;
    let mut position_dim = 4;
    if terms.uses_position() {
        let [_, columns] = w.axes(&format!("{prefix}px_w"), ["C", "pe_dim / 2"])?;
        position_dim = if w.says("pe_dim") { w.count("pe_dim")? } else { 2 * columns };
        if !position_dim.is_multiple_of(4) {
            return Err(Problem::new("pe_dim", "a multiple of 4", position_dim));
        }
    }
    let key_stride = if w.says("kv_stride") { w.count("kv_stride")? } else { 1 };
    Ok(TransformerSettings { key_stride, ..TransformerSettings::mmcv(terms, heads, position_dim) })
}

const SEQUENCE: [&str; 4] = ["B", "H", "L", "d"];

/// Scaled dot-product attention of (B, H, L, d): field `causal` (false).
pub fn dot_product<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    let [batch, heads, queries, head_dim] = w.axes("q", SEQUENCE)?;
    let ([_, _, keys, _], [.., value_dim]) = (w.axes("k", SEQUENCE)?, w.axes("v", SEQUENCE)?);
    let visibility = Visibility { causal: w.flag_or("causal", false)?, ..Visibility::default() };
    // Each head of each sample is a sample of its own with one head: the numbers lie that way already.
    let samples = batch * heads;
    let mut get = |name: &str, length: usize, dim: usize| {
        inputs.get_as(name, &[batch, heads, length, dim], &[samples, length, dim])
    };
    let (q, k, v) = (get("q", queries, head_dim)?, get("k", keys, head_dim)?, get("v", keys, value_dim)?);
    let (lattice, terms) =
        (Lattice::Sequence { queries, keys }, Terms::from_flags([true, false, false, false]));
    let scale = 1.0 / (head_dim as f64).sqrt();
    Ok(Box::new(move |tape| {
        let (q, k, v) = (q.var(tape), k.var(tape), v.var(tape));
        let operands = Operands {
            query: Some(&q),
            key: Some(&k),
            value: &v,
            positions: Vec::new(),
            key_bias: None,
            position_bias: None,
        };
        let output = transformer_attention(&operands, terms, 1, scale, lattice, &visibility);
        reshape(&output, &[batch, heads, queries, value_dim])
    }))
}

/// The four terms of Transformer-XL, causal: queries, keys, values (B, H, L, d), positions `r` (H, L, d) whose
/// row j is the distance `L - 1 - j` from the query back to the key, biases `u` and `w` (H, d).
pub fn transformer_xl<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let [batch, heads, length, dim] = inputs.workload.axes("q", SEQUENCE)?;
    let shape = [batch, heads, length, dim];
    let (q, k, v) =
        (inputs.get_shaped("q", &shape)?, inputs.get_shaped("k", &shape)?, inputs.get_shaped("v", &shape)?);
    let r = inputs.get_shaped("r", &[heads, length, dim])?;
    let (u, w) = (inputs.get_shaped("u", &[heads, dim])?, inputs.get_shaped("w", &[heads, dim])?);
    // Offsets ahead of the query have no row: nobody may look there.
    let positions: Vec<usize> = (0..length).collect();
    let shift = length.saturating_sub(1);
    let index = RelativeIndex { query: positions.clone(), key: positions, shift, rows: length };
    let lattice = Lattice::Sequence { queries: length, keys: length };
    let visibility = Visibility { causal: true, ..Visibility::default() };
    let scale = 1.0 / (dim as f64).sqrt();
    Ok(Box::new(move |tape| {
        let (q, k, v) = (tokens(&q.var(tape)), tokens(&k.var(tape)), tokens(&v.var(tape)));
        let r = reshape(&permute(&r.var(tape), &[1, 0, 2]), &[length, heads * dim]);
        let (u, w) = (u.var(tape), w.var(tape));
        let operands = Operands {
            query: Some(&q),
            key: Some(&k),
            value: &v,
            positions: vec![(&r, index.clone())],
            key_bias: Some(&u),
            position_bias: Some(&w),
        };
        let terms = Terms::from_flags([true; 4]);
        let output = transformer_attention(&operands, terms, heads, scale, lattice, &visibility);
        permute(&reshape(&output, &[batch, length, heads, dim]), &[0, 2, 1, 3])
    }))
}

/// (B, H, L, d) to (B, L, H d).
fn tokens<B: Single>(x: &Var<B>) -> Var<B> {
    let &[batch, heads, length, dim] = x.shape() else { unreachable!("checked when it was made") };
    reshape(&permute(x, &[0, 2, 1, 3]), &[batch, length, heads * dim])
}
