//! The work that a workload cannot do without, counted from its shapes.
//!
//! - **Operations**: multiplications and additions of the cheapest known way that gives the exact result, a
//!   fused multiply-add being two. Attention whose energies fall apart into an x-part and a y-part (no E1) is
//!   counted in its factorised form; causal attention up to the diagonal. Backward counts twice forward: what
//!   a fast kernel computes again to save memory does not count. Elementwise: 4 for each element of softmax
//!   and gelu, 8 for layer norm; a bilinear sample 8 for each channel. Additions of biases and residuals, and
//!   Adam, do not count.
//! - **Exponentials**: one for each energy, or for each element of softmax or gelu (gelu: again in backward).
//! - **Bytes**: every input once and the output once; with backward also the gradients and the cotangent.
//!
//! A file may state any of these itself: that number is taken then.

use super::workload::{Kind, Phase, Problem, Workload};

/// Counts of one workload. See the module about what counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Operations of forward.
    pub flops_fwd: f64,
    /// Operations of forward and backward.
    pub flops_fwdbwd: f64,
    /// Exponentials of forward.
    pub exps: f64,
    /// Exponentials of forward and backward.
    pub exps_fwdbwd: f64,
    /// Bytes that forward reads and writes.
    pub bytes_fwd: f64,
    /// Bytes that forward and backward read and write.
    pub bytes_fwdbwd: f64,
}

/// Operations, exponentials and bytes of one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseCost {
    /// Operations.
    pub flops: f64,
    /// Exponentials.
    pub exps: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Cost {
    /// What the file states, and for the rest what follows from kind and shapes.
    ///
    /// # Errors
    /// If a shape or field that the count needs is missing or wrong.
    pub fn of(workload: &Workload) -> Result<Cost, Problem> {
        let names = ["flops_fwd", "flops_fwdbwd", "exps", "exps_fwdbwd", "bytes_fwd", "bytes_fwdbwd"];
        let mut stated = [None; 6];
        for (value, name) in stated.iter_mut().zip(names) {
            *value = workload.number_if_any(name)?;
        }
        let counted = match stated.iter().all(Option::is_some) {
            true => [0.0; 6],
            false => count(workload)?.fields().map(|(_, value)| value),
        };
        let [flops_fwd, flops_fwdbwd, exps, exps_fwdbwd, bytes_fwd, bytes_fwdbwd] =
            std::array::from_fn(|i| stated[i].unwrap_or(counted[i]));
        Ok(Cost { flops_fwd, flops_fwdbwd, exps, exps_fwdbwd, bytes_fwd, bytes_fwdbwd })
    }

    /// The counts under the names of their fields.
    pub fn fields(&self) -> [(&'static str, f64); 6] {
        [
            ("flops_fwd", self.flops_fwd),
            ("flops_fwdbwd", self.flops_fwdbwd),
            ("exps", self.exps),
            ("exps_fwdbwd", self.exps_fwdbwd),
            ("bytes_fwd", self.bytes_fwd),
            ("bytes_fwdbwd", self.bytes_fwdbwd),
        ]
    }

    /// The counts of one phase; a training step counts as forward and backward.
    pub fn phase(&self, phase: Phase) -> PhaseCost {
        match phase {
            Phase::Forward => PhaseCost { flops: self.flops_fwd, exps: self.exps, bytes: self.bytes_fwd },
            Phase::ForwardBackward | Phase::Step => {
                PhaseCost { flops: self.flops_fwdbwd, exps: self.exps_fwdbwd, bytes: self.bytes_fwdbwd }
            }
        }
    }
}

fn count(workload: &Workload) -> Result<Cost, Problem> {
    let (flops, exps) = forward(workload)?;
    let numbers = |wanted: bool| -> f64 {
        let tensors = workload.tensors.iter().filter(|tensor| tensor.grad || !wanted);
        tensors.map(|tensor| tensor.len() as f64).sum::<f64>() + product(&workload.out)
    };
    let (all, wanted) = (4.0 * numbers(false), 4.0 * numbers(true));
    Ok(Cost {
        flops_fwd: flops,
        flops_fwdbwd: 3.0 * flops,
        exps,
        exps_fwdbwd: if workload.kind == Kind::Gelu { 2.0 * exps } else { exps },
        bytes_fwd: all,
        bytes_fwdbwd: all + wanted,
    })
}

fn product(shape: &[usize]) -> f64 {
    shape.iter().map(|&extent| extent as f64).product()
}

/// Operations and exponentials of forward.
fn forward(w: &Workload) -> Result<(f64, f64), Problem> {
    let out = product(&w.out);
    Ok(match w.kind {
        Kind::Gemm => (2.0 * out * w.tensor("a")?.shape.last().map_or(1.0, |&k| k as f64), 0.0),
        Kind::Softmax => (4.0 * out, out),
        Kind::LayerNorm => (8.0 * out, 0.0),
        Kind::Gelu => (4.0 * out, out),
        Kind::Conv2d => (2.0 * out * product(&w.axes("w", ["O", "C / groups", "kh", "kw"])?[1..]), 0.0),
        Kind::Ga => Ga::of(w, "x", "", 1)?.count(),
        Kind::Sdpa => sequences(w, 2.0)?,
        Kind::Txl => sequences(w, 3.0)?,
        Kind::Dcn => {
            let [_, channels, kh, kw] =
                w.axes("w", ["O", "C / groups", "kh", "kw"])?.map(|extent| extent as f64);
            let x = w.axes("x", ["N", "C", "H", "W"])?;
            let positions = out / w.out.get(1).map_or(1.0, |&o| o.max(1) as f64);
            (2.0 * out * channels * kh * kw + 8.0 * positions * x[1] as f64 * kh * kw, 0.0)
        }
        Kind::DynConv1d => {
            let ([rows, channels], taps) = (w.axes("w", ["H K", "C"])?, w.count("K")? as f64);
            let (steps, rows) = (out / (channels.max(1) as f64), rows as f64);
            (2.0 * out * rows + 2.0 * out * taps, steps * rows)
        }
        Kind::DynConv2d => {
            let ([rows, channels], taps) = (w.axes("w", ["G K K", "C"])?, (w.count("K")? as f64).powi(2));
            let (positions, rows) = (out / (channels.max(1) as f64), rows as f64);
            (2.0 * out * rows + 2.0 * out * taps, positions * rows)
        }
        Kind::Transformer => translator(w)?,
        Kind::Segmenter => segmenter(w)?,
    })
}

/// `products` products of queries with keys (or weights with values) for each visible pair.
fn sequences(w: &Workload, products: f64) -> Result<(f64, f64), Problem> {
    let axes = ["B", "H", "L", "d"];
    let ([b, h, queries, d], [_, _, keys, dv]) = (w.axes("q", axes)?, w.axes("v", axes)?);
    let causal = w.kind == Kind::Txl || w.flag_or("causal", false)?;
    let visible = |q: usize| if causal { keys.min(q + 1) } else { keys };
    let pairs = (b * h) as f64 * (0..queries).map(visible).sum::<usize>() as f64;
    Ok((2.0 * pairs * ((products - 1.0) * d as f64 + dv as f64), pairs))
}

/// Generalised attention over an image.
struct Ga {
    terms: [bool; 4],
    heads: f64,
    batch: f64,
    channels: f64,
    size: [f64; 2],
    keys: [f64; 2],
    /// Columns of each position's projection.
    columns: f64,
}

impl Ga {
    /// On an image `reduction` times smaller than the tensor called `image`.
    fn of(w: &Workload, image: &str, prefix: &str, reduction: usize) -> Result<Ga, Problem> {
        let [batch, _, height, width] = w.axes(image, ["N", "C", "H", "W"])?;
        let [channels, _] = w.axes(&format!("{prefix}v_w"), ["C", "C"])?;
        let (stride, name) = (w.count_or("kv_stride", 1)?.max(1), format!("{prefix}px_w"));
        let columns = if w.has(&name) { w.axes(&name, ["C", "D / 2"])?[1] } else { 0 };
        let code = if w.says("type") { w.text("type")? } else { "1111" };
        let size = [height, width].map(|extent| extent.div_ceil(reduction));
        let mut flags = code.chars().map(|c| c == '1');
        Ok(Ga {
            terms: std::array::from_fn(|_| flags.next().unwrap_or(false)),
            heads: w.count("heads")? as f64,
            batch: batch as f64,
            channels: channels as f64,
            size: size.map(|extent| extent as f64),
            keys: size.map(|extent| extent.div_ceil(stride) as f64),
            columns: columns as f64,
        })
    }

    fn count(&self) -> (f64, f64) {
        let Ga {
            terms: [e1, e2, e3, e4],
            heads,
            batch: n,
            channels: c,
            size: [h, w],
            keys: [hk, wk],
            columns,
        } = *self;
        let on = |flag: bool| f64::from(u8::from(flag));
        let (queries, keys) = (h * w, hk * wk);
        let projection = |positions: f64| 2.0 * n * positions * c * c;
        let embedded = on(e2 || e4) * 2.0 * (w * wk + h * hk) * c * columns;
        let by_axis = on(e2) * 2.0 * n * queries * (wk + hk) * c; // query times a row and a column of offsets
        let key_scores = on(e3) * 2.0 * n * keys * c;
        let ends = projection(keys) + projection(queries); // value, output
        if e1 {
            let flops = ends + projection(queries) + projection(keys) + 4.0 * n * queries * keys * c;
            (flops + embedded + by_axis + key_scores, n * heads * queries * keys)
        } else if e2 {
            let flops = ends + projection(queries) + on(e3) * projection(keys) + 2.0 * n * queries * keys * c;
            let exps = n * heads * (queries * (wk + hk) + on(e3) * keys);
            (flops + embedded + by_axis + key_scores, exps)
        } else if e4 {
            let flops = ends + embedded + 2.0 * n * (h * hk * wk + w * wk * h) * c;
            let exps = heads * (w * wk + h * hk) + on(e3) * n * heads * keys;
            (flops + on(e3) * 2.0 * n * heads * c * keys, exps)
        } else if e3 {
            // One output for all queries: weigh the input first, then project what is left of it.
            (n * (4.0 * heads * c * keys + 4.0 * c * c), n * heads * keys)
        } else {
            (n * (c * keys + 4.0 * c * c), 0.0)
        }
    }
}

fn translator(w: &Workload) -> Result<(f64, f64), Problem> {
    let [d, ff, vocab, layers] =
        [w.count("d")?, w.count("ff")?, w.count("vocab")?, w.count("layers")?].map(|n| n as f64);
    let [batch, seq, heads] = [w.count("batch")?, w.count("seq")?, w.count("heads")?].map(|n| n as f64);
    let tokens = batch * seq;
    let attention = 2.0 * tokens * d * (4.0 * d) + 4.0 * tokens * seq * d;
    let feed_forward = 4.0 * tokens * d * ff;
    let flops = layers * (3.0 * attention + 2.0 * feed_forward) + 2.0 * tokens * d * vocab;
    Ok((flops, layers * 3.0 * tokens * heads * seq + tokens * vocab))
}

fn segmenter(w: &Workload) -> Result<(f64, f64), Problem> {
    let ga = Ga::of(w, "img", "ga.", 4)?;
    let [classes, channels] = w.axes("head_w", ["classes", "C"])?.map(|extent| extent as f64);
    let pixels = |shrunk: f64| ga.batch * ga.size[0] * ga.size[1] * shrunk * shrunk;
    let mut flops = 2.0 * pixels(1.0) * classes * channels;
    for i in 0..5 {
        let [o, c, kh, kw] = w.axes(&format!("c{i}.w"), ["O", "C", "kh", "kw"])?;
        flops += 2.0 * pixels(if i == 0 { 2.0 } else { 1.0 }) * (o * c * kh * kw) as f64;
    }
    let (attention, exps) = ga.count();
    Ok((flops + attention, exps + pixels(1.0) * classes))
}
