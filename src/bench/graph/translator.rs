//! The loss of a translator: an encoder and a decoder of Transformer layers, normalised after each residual.

use ndarray::{Array1, Array2, ArrayD};
use termwise_autograd::{Param, Tape, Var};
use termwise_ops::attention::{Lattice, Operands, Terms, Visibility, transformer_attention};
use termwise_ops::{CrossEntropy, add, cross_entropy, embedding, layer_norm, linear, narrow, relu, reshape};

use super::convolution::check_divides;
use super::{Forward, Inputs, Problem, Single};

/// Attention of several heads between two sequences, with biases on all projections.
struct MultiHead<B: Single> {
    in_w: Param<B>, // (3 d, d): query, key, value
    in_b: Param<B>,
    out_w: Param<B>,
    out_b: Param<B>,
    heads: usize,
    causal: bool,
}

impl<B: Single> MultiHead<B> {
    fn of(inputs: &Inputs<B>, name: &str, d: usize, heads: usize, causal: bool) -> Result<Self, Problem> {
        let get = |part: &str, shape: &[usize]| inputs.get_shaped(&format!("{name}.{part}"), shape);
        Ok(MultiHead {
            in_w: get("in_w", &[3 * d, d])?,
            in_b: get("in_b", &[3 * d])?,
            out_w: get("out_w", &[d, d])?,
            out_b: get("out_b", &[d])?,
            heads,
            causal,
        })
    }

    /// `x` (N, Q, d) looks at `memory` (N, K, d).
    fn forward(&self, x: &Var<B>, memory: &Var<B>) -> Var<B> {
        let (&[_, queries, d], &[_, keys, _]) = (x.shape(), memory.shape()) else {
            unreachable!("sequences of vectors")
        };
        let (in_w, in_b) = (self.in_w.var(x.tape()), self.in_b.var(x.tape()));
        let project = |part: usize, x: &Var<B>| {
            linear(x, &narrow(&in_w, 0, part * d, d), Some(&narrow(&in_b, 0, part * d, d)))
        };
        let (q, k, v) = (project(0, x), project(1, memory), project(2, memory));
        let operands = Operands {
            query: Some(&q),
            key: Some(&k),
            value: &v,
            positions: Vec::new(),
            key_bias: None,
            position_bias: None,
        };
        let terms = Terms::from_flags([true, false, false, false]);
        let scale = 1.0 / ((d / self.heads) as f64).sqrt();
        let visibility = Visibility { causal: self.causal, ..Visibility::default() };
        let lattice = Lattice::Sequence { queries, keys };
        let o = transformer_attention(&operands, terms, self.heads, scale, lattice, &visibility);
        linear(&o, &self.out_w.var(x.tape()), Some(&self.out_b.var(x.tape())))
    }
}

/// `norm(x + y)`.
struct AddNorm<B: Single> {
    w: Param<B>,
    b: Param<B>,
}

impl<B: Single> AddNorm<B> {
    fn of(inputs: &Inputs<B>, name: &str, d: usize) -> Result<Self, Problem> {
        let get = |part: &str| inputs.get_shaped(&format!("{name}.{part}"), &[d]);
        Ok(AddNorm { w: get("w")?, b: get("b")? })
    }

    fn forward(&self, x: &Var<B>, y: &Var<B>) -> Var<B> {
        let (w, b) = (self.w.var(x.tape()), self.b.var(x.tape()));
        layer_norm(&add(x, y), &self.w.shape(), Some(&w), Some(&b), 1e-5)
    }
}

/// Two linear layers with a ReLU between them.
struct FeedForward<B: Single> {
    w1: Param<B>,
    b1: Param<B>,
    w2: Param<B>,
    b2: Param<B>,
}

impl<B: Single> FeedForward<B> {
    fn of(inputs: &Inputs<B>, name: &str, d: usize, ff: usize) -> Result<Self, Problem> {
        let get = |part: &str, shape: &[usize]| inputs.get_shaped(&format!("{name}.{part}"), shape);
        Ok(FeedForward {
            w1: get("w1", &[ff, d])?,
            b1: get("b1", &[ff])?,
            w2: get("w2", &[d, ff])?,
            b2: get("b2", &[d])?,
        })
    }

    fn forward(&self, x: &Var<B>) -> Var<B> {
        let tape = x.tape();
        let hidden = relu(&linear(x, &self.w1.var(tape), Some(&self.b1.var(tape))));
        linear(&hidden, &self.w2.var(tape), Some(&self.b2.var(tape)))
    }
}

/// One layer: attention to itself, in the decoder also to the encoder's output, a feed-forward network.
struct Layer<B: Single> {
    own: (MultiHead<B>, AddNorm<B>),
    cross: Option<(MultiHead<B>, AddNorm<B>)>,
    feed_forward: (FeedForward<B>, AddNorm<B>),
}

impl<B: Single> Layer<B> {
    fn forward(&self, x: &Var<B>, memory: Option<&Var<B>>) -> Var<B> {
        let (attention, norm) = &self.own;
        let mut x = norm.forward(x, &attention.forward(x, x));
        if let (Some((attention, norm)), Some(memory)) = (&self.cross, memory) {
            x = norm.forward(&x, &attention.forward(&x, memory));
        }
        let (feed_forward, norm) = &self.feed_forward;
        norm.forward(&x, &feed_forward.forward(&x))
    }
}

/// The mean cross-entropy of predicting `labels` from two sentences of `seq` tokens each; fields `d`, `ff`,
/// `vocab`, `layers`, `batch`, `seq`, `heads`.
pub fn loss<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    let [d, ff, vocab, heads] = [w.count("d")?, w.count("ff")?, w.count("vocab")?, w.count("heads")?];
    let [layers, batch, seq] = [w.count("layers")?, w.count("batch")?, w.count("seq")?];
    check_divides("heads", heads, d)?;
    let encoder_layer = |i: usize| {
        Ok(Layer {
            own: (
                MultiHead::of(inputs, &format!("e{i}.sa"), d, heads, false)?,
                AddNorm::of(inputs, &format!("e{i}.n1"), d)?,
            ),
            cross: None,
            feed_forward: (
                FeedForward::of(inputs, &format!("e{i}.ff"), d, ff)?,
                AddNorm::of(inputs, &format!("e{i}.n2"), d)?,
            ),
        })
    };
    let decoder_layer = |i: usize| {
        Ok(Layer {
            own: (
                MultiHead::of(inputs, &format!("d{i}.sa"), d, heads, true)?,
                AddNorm::of(inputs, &format!("d{i}.n1"), d)?,
            ),
            cross: Some((
                MultiHead::of(inputs, &format!("d{i}.ca"), d, heads, false)?,
                AddNorm::of(inputs, &format!("d{i}.n2"), d)?,
            )),
            feed_forward: (
                FeedForward::of(inputs, &format!("d{i}.ff"), d, ff)?,
                AddNorm::of(inputs, &format!("d{i}.n3"), d)?,
            ),
        })
    };
    let encoder: Vec<Layer<B>> = (0..layers).map(encoder_layer).collect::<Result<_, _>>()?;
    let decoder: Vec<Layer<B>> = (0..layers).map(decoder_layer).collect::<Result<_, _>>()?;
    let embeddings = [inputs.get_shaped("src_emb", &[vocab, d])?, inputs.get_shaped("tgt_emb", &[vocab, d])?];
    let positions = inputs.get_shaped("pos", &[seq, d])?;
    let (project_w, project_b) =
        (inputs.get_shaped("proj_w", &[vocab, d])?, inputs.get_shaped("proj_b", &[vocab])?);
    let sentences = [1, 2].map(|seed| sentences(batch, seq, seed, vocab));
    let labels = Array1::from_iter(tokens(batch * seq, 3, vocab)).into_dyn();
    Ok(Box::new(move |tape: &Tape<B>| {
        let embed = |side: usize| {
            let x = embedding(&embeddings[side].var(tape), &sentences[side], None);
            add(&x, &positions.var(tape)) // (batch, seq, d)
        };
        let (mut x, mut y) = (embed(0), embed(1));
        for layer in &encoder {
            x = layer.forward(&x, None);
        }
        for layer in &decoder {
            y = layer.forward(&y, Some(&x));
        }
        let logits = linear(&y, &project_w.var(tape), Some(&project_b.var(tape)));
        let logits = reshape(&logits, &[batch * seq, vocab]);
        cross_entropy(&logits, &labels, None, &CrossEntropy::default())
    }))
}

/// Made-up token ids: `(7919 i + 13 seed) mod vocab`.
fn tokens(count: usize, seed: i64, vocab: usize) -> impl Iterator<Item = i64> {
    (0..count as i64).map(move |i| (i * 7919 + 13 * seed) % vocab as i64)
}

fn sentences(batch: usize, seq: usize, seed: i64, vocab: usize) -> ArrayD<i64> {
    let ids = tokens(batch * seq, seed, vocab).collect();
    Array2::from_shape_vec((batch, seq), ids).expect("one id for each token").into_dyn()
}
