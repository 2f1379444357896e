//! Transformer attention with its four energy terms, the heart of the study.
//!
//! For head `m`, query `q` and key `k`, with `c` the scale and `b1..b4` the switches ([`Terms`]):
//!
//! ```text
//! E1 = Q_q . K_k             query and key content              Q = U z       K = V^C x
//! E2 = Q_q . P_{k-q}         query content, relative position   P = V^R R
//! E3 = u . K_k               key content only
//! E4 = v . P_{k-q}           relative position only
//! A  = softmax over the visible k of c (b1 E1 + b2 E2 + b3 E3 + b4 E4)
//! o_q = sum_k A(q, k) V_k    V = W' x
//! ```
//!
//! | paper | here | shape |
//! |---|---|---|
//! | `U_m z_q` | `query` | `(N, Q, M d)` |
//! | `V^C_m x_k` | `key` | `(N, K, M d)` |
//! | `W'_m x_k` | `value` | `(N, K, M d_v)` |
//! | `V^R_m R` | `positions` | one or two tables `(rows, M d)`, see [`RelativeIndex`] |
//! | `u_m`, `v_m` | `key_bias`, `position_bias` | `(M, d)` |
//!
//! N batch, Q queries, K keys, M heads (blocked along channels), d and `d_v` channels per head.
//! With two tables `P_{k-q}` is their sum: the x-part plus the y-part of a separable position.
//!
//! What does not depend on the query is computed once: with neither E1, E2, E4 nor a mask by
//! position, one row of weights serves all queries (`rows` below is then 1).
//!
//! Source: Zhu et al., ICCV 2019, Eq. 2 and 3; Dai et al., "Transformer-XL", ACL 2019.

use termwise_autograd::{Array, Backend, Op, Var, apply};

use super::{Lattice, RelativeIndex, Terms, Visibility};

/// The operands of [`transformer_attention`]. Those of terms that are off may be left out.
pub struct Operands<'a, B: Backend> {
    /// `U z`, for E1 and E2. (N, Q, M d)
    pub query: Option<&'a Var<B>>,
    /// `V^C x`, for E1 and E3. (N, K, M d)
    pub key: Option<&'a Var<B>>,
    /// `W' x`. (N, K, M d_v)
    pub value: &'a Var<B>,
    /// `V^R R`, for E2 and E4: none, one or two tables with their indices. (rows, M d)
    pub positions: Vec<(&'a Var<B>, RelativeIndex)>,
    /// `u`, for E3. (M, d)
    pub key_bias: Option<&'a Var<B>>,
    /// `v`, for E4. (M, d)
    pub position_bias: Option<&'a Var<B>>,
}

/// What one call of Transformer attention saw and did, for figures and tests.
pub struct AttentionMaps<B: Backend> {
    /// Scaled energies `c E1 .. c E4` of the terms that are on. (N, M, rows, K)
    pub energies: [Option<Array<B>>; 4],
    /// Weights after the softmax. (N, M, rows, K)
    pub weights: Array<B>,
    /// Output of each head before it is projected. (N, Q, M d_v)
    pub output: Array<B>,
}

/// Transformer attention with any of its sixteen switch patterns.
///
/// # Formula
/// `o_q = sum_k softmax_k(c (b1 E1 + b2 E2 + b3 E3 + b4 E4)) V_k` for each head, the terms as in the
/// module documentation.
///
/// # Shapes
/// Operands as in [`Operands`]; the output is `(N, Q, M d_v)`. The number of queries and keys is that
/// of `lattice`.
///
/// # Gradient
/// With `dA = do V^T` and `dS = c A (dA - <dA, A>)`: `dQ = dS K + dS_P P`, `dK = dS^T (b1 Q + b3 u)`,
/// `dP = dS_P^T (b2 Q + b4 v)`, `dV = A^T do`, where `dS_P` sums `dS` over the pairs that read the
/// same row of the table; `du` and `dv` sum over batch and queries.
///
/// # Cost
/// Up to `N M Q K (2 d + d_v)` multiply-adds; the output and one number a query and head kept for
/// backward, which computes the weights again.
///
/// # Edge cases
/// A query that sees no key at all gets output 0 and passes no gradient.
///
/// # Panics
/// If an operand of a term that is on is missing, or the shapes do not fit; the message names them.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::attention::{Lattice, Operands, Visibility, transformer_attention};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let query = tape.leaf(Array::host(&[1, 1, 1], vec![1.0]));
/// let key = tape.leaf(Array::host(&[1, 2, 1], vec![0.0, 3f64.ln()]));
/// let value = tape.leaf(Array::host(&[1, 2, 1], vec![10.0, 2.0]));
/// let operands = Operands {
///     query: Some(&query),
///     key: Some(&key),
///     value: &value,
///     positions: vec![],
///     key_bias: None,
///     position_bias: None,
/// };
/// let (terms, lattice) = ("1000".parse().unwrap(), Lattice::Sequence { queries: 1, keys: 2 });
/// let o = transformer_attention(&operands, terms, 1, 1.0, lattice, &Visibility::default());
/// assert!((o.value().item() - 4.0).abs() < 1e-12); // a quarter of 10, three quarters of 2
/// ```
#[track_caller]
pub fn transformer_attention<B: TransformerAttentionKernel>(
    operands: &Operands<B>,
    terms: Terms,
    num_heads: usize,
    scale: f64,
    lattice: Lattice,
    visibility: &Visibility,
) -> Var<B> {
    let op = prepare(operands, terms, num_heads, scale, lattice, visibility);
    apply(op, slots(operands, terms).each_ref())
}

/// [`transformer_attention`] that also captures each term's energies, the weights and the output of
/// every head.
///
/// # Panics
/// As [`transformer_attention`].
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::attention::{Lattice, Operands, Visibility, transformer_attention_with_maps};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let query = tape.leaf(Array::host(&[1, 1, 1], vec![1.0]));
/// let key = tape.leaf(Array::host(&[1, 2, 1], vec![0.0, 3f64.ln()]));
/// let value = tape.leaf(Array::host(&[1, 2, 1], vec![10.0, 2.0]));
/// let operands = Operands {
///     query: Some(&query),
///     key: Some(&key),
///     value: &value,
///     positions: vec![],
///     key_bias: None,
///     position_bias: None,
/// };
/// let (terms, lattice) = ("1000".parse().unwrap(), Lattice::Sequence { queries: 1, keys: 2 });
/// let (_, maps) = transformer_attention_with_maps(&operands, terms, 1, 1.0, lattice, &Visibility::default());
/// let weights = maps.weights.as_slice();
/// assert!((weights[0] - 0.25).abs() < 1e-12 && (weights[1] - 0.75).abs() < 1e-12);
/// let [energies, ..] = &maps.energies; // E1, the only term
/// assert_eq!(energies.as_ref().unwrap().as_slice(), [0.0, 3f64.ln()]);
/// ```
#[track_caller]
pub fn transformer_attention_with_maps<B: TransformerAttentionKernel>(
    operands: &Operands<B>,
    terms: Terms,
    num_heads: usize,
    scale: f64,
    lattice: Lattice,
    visibility: &Visibility,
) -> (Var<B>, AttentionMaps<B>) {
    let op = prepare(operands, terms, num_heads, scale, lattice, visibility);
    let spec = op.0.clone();
    let inputs = slots(operands, terms);
    let output = apply(op, inputs.each_ref());
    let values = inputs.each_ref().map(Var::value);
    let maps = AttentionMaps {
        energies: B::transformer_attention_energies(&spec, values),
        weights: B::transformer_attention_weights(&spec, values),
        output: output.value().clone(),
    };
    (output, maps)
}

/// What the kernels of [`transformer_attention`] need to know besides the operands.
#[derive(Clone, Debug)]
pub struct AttentionSpec {
    /// The switches.
    pub terms: Terms,
    /// M.
    pub num_heads: usize,
    /// The factor on the sum of the energies.
    pub scale: f64,
    /// N.
    pub batch: usize,
    /// Q.
    pub queries: usize,
    /// K.
    pub keys: usize,
    /// d, channels per head of query, key and position; 0 where no term is on.
    pub head_dim: usize,
    /// d_v, channels per head of value.
    pub value_dim: usize,
    /// Index of each table of positions.
    pub relative: Vec<RelativeIndex>,
    /// Where queries and keys lie.
    pub lattice: Lattice,
    /// Which keys a query may look at.
    pub visibility: Visibility,
}

impl AttentionSpec {
    /// Whether one row of weights serves all queries.
    pub fn shares_row(&self) -> bool {
        let Terms { query_key, query_position, position, .. } = self.terms;
        !(query_key || query_position || position || self.visibility.by_position())
    }

    /// Rows of weights to compute: 1 where all queries share theirs, else Q.
    pub fn rows(&self) -> usize {
        if self.shares_row() { 1 } else { self.queries }
    }
}

struct TransformerAttention(AttentionSpec);

/// Saved: the operands, the output and the logarithm of each row's normaliser.
type Saved<B> = ([Array<B>; 7], Array<B>, Array<B>);

impl<B: TransformerAttentionKernel> Op<B, 7> for TransformerAttention {
    type Saved = Saved<B>;

    fn name(&self) -> &'static str {
        "transformer_attention"
    }

    fn forward(&self, inputs: [&Array<B>; 7]) -> (Array<B>, Self::Saved) {
        let (output, normalisers) = B::transformer_attention_forward(&self.0, inputs);
        (output.clone(), (inputs.map(Array::clone), output, normalisers))
    }

    fn backward(
        &self,
        (inputs, output, normalisers): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 7],
    ) -> [Option<Array<B>>; 7] {
        let saved = (output, normalisers);
        B::transformer_attention_backward(&self.0, inputs.each_ref(), saved, grad_output, needs)
    }
}

/// Kernels of [`transformer_attention`].
///
/// `inputs` are, in this order: query, key, value, first table of positions, second table,
/// key bias `u`, position bias `v`; those that the terms do not use are absent.
pub trait TransformerAttentionKernel: Backend {
    /// The output (N, Q, M d_v) and of each row of weights `log sum_k exp(energy)` over the visible keys,
    /// `-inf` where there are none (N, M, rows).
    fn transformer_attention_forward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> (Array<Self>, Array<Self>);

    /// The gradient of each input that `needs` one, from what forward returned; `None` for the others.
    fn transformer_attention_backward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
        forward: (&Array<Self>, &Array<Self>),
        grad_output: &Array<Self>,
        needs: [bool; 7],
    ) -> [Option<Array<Self>>; 7];

    /// The weights in full, to be looked at. (N, M, rows, K)
    fn transformer_attention_weights(spec: &AttentionSpec, inputs: [&Array<Self>; 7]) -> Array<Self>;

    /// Scaled energies of each term that is on, masks not applied. (N, M, rows, K)
    fn transformer_attention_energies(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> [Option<Array<Self>>; 4];
}

/// The operands in the kernels' order, those of terms that are off left out.
fn slots<B: Backend>(operands: &Operands<B>, terms: Terms) -> [Var<B>; 7] {
    let value = operands.value;
    let keep = |used: bool, operand: Option<&Var<B>>| value.optional(operand.filter(|_| used));
    let table = |i: usize| keep(terms.uses_position(), operands.positions.get(i).map(|(table, _)| *table));
    [
        keep(terms.uses_query(), operands.query),
        keep(terms.uses_key(), operands.key),
        value.clone(),
        table(0),
        table(1),
        keep(terms.key, operands.key_bias),
        keep(terms.position, operands.position_bias),
    ]
}

/// Checks every shape and gathers what the kernels need to know.
#[track_caller]
fn prepare<B: Backend>(
    operands: &Operands<B>,
    terms: Terms,
    num_heads: usize,
    scale: f64,
    lattice: Lattice,
    visibility: &Visibility,
) -> TransformerAttention {
    let count = |(rows, columns): (usize, usize)| rows * columns;
    let (queries, keys) = (count(lattice.query_grid()), count(lattice.key_grid()));
    let value = operands.value.shape();
    let &[batch, value_keys, value_channels] = value else {
        panic!("transformer_attention: value must be (N, K, M d_v), its shape is {value:?}");
    };
    assert!(
        value_keys == keys && num_heads > 0 && value_channels.is_multiple_of(num_heads.max(1)),
        "transformer_attention: value is {value:?}, expected (N, {keys} keys, a multiple of {num_heads} heads)"
    );
    let require = |name: &str, needed: bool, operand: Option<&Var<B>>| match operand {
        None if needed => panic!("transformer_attention: terms {terms} need {name}, which is missing"),
        operand => operand.filter(|_| needed).map(|var| var.shape().to_vec()),
    };
    let query = require("query (E1, E2)", terms.uses_query(), operands.query);
    let key = require("key (E1, E3)", terms.uses_key(), operands.key);
    let table =
        require("positions (E2, E4)", terms.uses_position(), operands.positions.first().map(|(t, _)| *t));
    let key_bias = require("key_bias (E3)", terms.key, operands.key_bias);
    let position_bias = require("position_bias (E4)", terms.position, operands.position_bias);
    let channels = [&query, &key, &table].into_iter().flatten().next().map_or(0, |s| *s.last().unwrap_or(&0));
    let head_dim = channels / num_heads;
    let expect = |name: &str, found: &Option<Vec<usize>>, expected: &[usize]| {
        if let Some(found) = found {
            assert!(
                found == expected,
                "transformer_attention: {name} has shape {found:?}, expected {expected:?} \
                 (query {query:?}, key {key:?}, value {value:?}, {num_heads} heads)"
            );
        }
    };
    let channels = head_dim * num_heads;
    expect("query", &query, &[batch, queries, channels]);
    expect("key", &key, &[batch, keys, channels]);
    expect("key_bias", &key_bias, &[num_heads, head_dim]);
    expect("position_bias", &position_bias, &[num_heads, head_dim]);
    let mut relative = Vec::new();
    if terms.uses_position() {
        assert!(
            operands.positions.len() <= 2,
            "transformer_attention: at most two tables of positions, {} given",
            operands.positions.len()
        );
        for (table, index) in &operands.positions {
            expect("positions", &Some(table.shape().to_vec()), &[index.rows, channels]);
            assert!(
                index.query.len() == queries && index.key.len() == keys,
                "transformer_attention: a position index of {} queries and {} keys on a lattice of {queries} and {keys}",
                index.query.len(),
                index.key.len()
            );
            assert!(
                index.covers(&lattice, visibility),
                "transformer_attention: positions has {} rows, and visible pairs read rows beyond",
                index.rows
            );
            relative.push(index.clone());
        }
    }
    if let Some(padding) = &visibility.key_padding {
        assert!(
            padding.dim() == (batch, keys),
            "transformer_attention: key_padding is {:?}, expected ({batch}, {keys})",
            padding.dim()
        );
    }
    TransformerAttention(AttentionSpec {
        terms,
        num_heads,
        scale,
        batch,
        queries,
        keys,
        head_dim,
        value_dim: value_channels / num_heads,
        relative,
        lattice,
        visibility: visibility.clone(),
    })
}
