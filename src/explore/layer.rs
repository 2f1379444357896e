//! A Transformer attention that can be looked at: what its maps are made of, and one query's maps by the op.

use std::time::Instant;

use ndarray::Array2;
use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_ops::attention::{
    Lattice, Operands, Projected, Projections, RelativeIndex, Terms, TransformerSettings, Visibility,
    transformer_attention_with_maps,
};
use termwise_ops::{linear, matmul, mul, reshape, scale, softmax, sub, sum};

use super::check::Parts;

type B = Cpu<f64>;

/// What the words of a text are, where the layer is one of a text.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Of the queries.
    pub queries: Vec<String>,
    /// Of the keys.
    pub keys: Vec<String>,
}

/// One head of a Transformer attention over one sample: a query, key and value for each place.
#[derive(Clone)]
pub struct HeadLayer {
    /// How many heads there are beside it, itself included.
    pub heads: usize,
    /// The terms that the layer has.
    pub terms: Terms,
    /// Whether queries come after keys that they may not see.
    pub causal: bool,
    /// The words, for a text.
    pub words: Option<Words>,
    scale: f64,
    lattice: Lattice,
    visibility: Visibility,
    query: Option<Array<B>>,                   // (1, Q, d)
    key: Option<Array<B>>,                     // (1, K, d)
    value: Array<B>,                           // (1, K, d_v)
    positions: Vec<(Array<B>, RelativeIndex)>, // (rows, d)
    key_bias: Option<Array<B>>,                // (1, d)
    position_bias: Option<Array<B>>,           // (1, d)
    output: Array<B>,                          // (C, d_v)
    output_bias: Option<Array<B>>,             // (C,)
}

/// Columns `m n .. (m + 1) n` of the last axis of `x`, n of `heads` equal parts.
fn part(x: &Array<B>, m: usize, heads: usize) -> Array<B> {
    let mut shape = x.shape().to_vec();
    let columns = shape.pop().expect("at least one axis");
    let n = columns / heads;
    shape.push(n);
    let rows = x.as_slice().chunks_exact(columns.max(1));
    Array::host(&shape, rows.flat_map(|row| row[m * n..(m + 1) * n].to_vec()).collect())
}

impl HeadLayer {
    /// Head `m` of what a layer works on. `projected` holds one sample.
    pub fn of(
        projected: &Projected<B>,
        projections: &Projections<B>,
        settings: &TransformerSettings,
        m: usize,
        words: Option<Words>,
    ) -> Self {
        let heads = settings.num_heads;
        let head = |var: &Option<Var<B>>| var.as_ref().map(|var| part(var.value(), m, heads));
        let row = |var: &Option<Var<B>>| {
            var.as_ref().map(|var| {
                let d = var.shape()[1];
                Array::host(&[1, d], var.value().as_slice()[m * d..(m + 1) * d].to_vec())
            })
        };
        let terms = settings.terms;
        HeadLayer {
            heads,
            terms,
            causal: settings.causal,
            words,
            scale: projected.scale,
            lattice: projected.lattice,
            visibility: projected.visibility.clone(),
            query: head(&projected.query),
            key: head(&projected.key),
            value: part(projected.value.value(), m, heads),
            positions: projected
                .positions
                .iter()
                .map(|(table, index)| (part(table.value(), m, heads), index.clone()))
                .collect(),
            key_bias: row(&projected.key_bias).filter(|_| terms.key),
            position_bias: row(&projected.position_bias).filter(|_| terms.position),
            output: part(projections.output.value(), m, heads),
            output_bias: projections.output_bias.as_ref().map(|bias| bias.value().clone()),
        }
    }

    /// Rows and columns of the queries.
    pub fn query_grid(&self) -> (usize, usize) {
        self.lattice.query_grid()
    }

    /// Rows and columns of the keys.
    pub fn key_grid(&self) -> (usize, usize) {
        self.lattice.key_grid()
    }

    fn channels(&self) -> usize {
        self.output.shape()[0]
    }

    /// All that the maps are made of.
    pub fn json(&self) -> Value {
        let list = |array: &Option<Array<B>>| array.as_ref().map(|array| array.as_slice().to_vec());
        let dim = |array: &Array<B>| array.shape()[array.shape().len() - 1];
        let tables = self.positions.iter().map(|(table, _)| table);
        let head_dim = self.query.iter().chain(&self.key).chain(tables).map(dim).next().unwrap_or(0);
        let (height, width) = self.key_grid();
        let queries = self.query_grid().0 * self.query_grid().1;
        let mut answer = json!({
            "queries": queries,
            "keys": height * width,
            "heads": self.heads,
            "head_dim": head_dim,
            "value_dim": dim(&self.value),
            "channels": self.channels(),
            "scale": self.scale,
            "terms": self.terms.to_string(),
            "query": list(&self.query),
            "key": list(&self.key),
            "value": self.value.as_slice(),
            "u": list(&self.key_bias),
            "v": list(&self.position_bias),
            "output_matrix": self.output.as_slice(),
            "output_bias": list(&self.output_bias),
            "height": height,
            "width": width,
        });
        let table = |i: usize| self.positions.get(i).map(|(table, _)| table.as_slice().to_vec());
        let more = match &self.words {
            None => json!({"kind": "image", "position_x": table(0), "position_y": table(1)}),
            Some(words) => json!({
                "kind": "sequence",
                "position": table(0),
                "first_offset": self.positions.first().map(|(_, index)| -(index.shift as i64)),
                "causal": self.causal,
                "query_words": words.queries,
                "key_words": words.keys,
            }),
        };
        if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
            answer.extend(more);
        }
        answer
    }

    /// One query's maps with `terms`, by the op, and what a loss of half the squared distance from `target` says to them.
    pub fn attend(&self, q: usize, terms: Terms, target: Option<&[f64]>) -> Value {
        let start = Instant::now();
        let (height, width) = self.key_grid();
        let keys = height * width;
        let tape = Tape::inference(Cpu::new());
        let all = self.one_query(&tape, q, self.terms);
        let chosen = if terms == self.terms { None } else { Some(self.one_query(&tape, q, terms)) };
        let (_, all_maps) = &all;
        let (output, maps) = chosen.as_ref().unwrap_or(&all);
        let listed = |array: &Array<B>| array.as_slice().to_vec();
        let energies = all_maps.energies.each_ref().map(|map| map.as_ref().map(listed));
        let seen = self.seen(q);
        let total: Vec<f64> = (0..keys)
            .map(|k| maps.energies.iter().flatten().map(|energies| energies.as_slice()[k]).sum())
            .collect();
        let d_v = self.value.shape()[2];
        let bias = self.output_bias.as_ref().map(|bias| tape.constant(bias.clone()));
        let matrix = tape.constant(self.output.clone());
        let y = linear(&reshape(output, &[1, d_v]), &matrix, bias.as_ref());
        let backward = self.backward(&total, &seen, target);
        json!({
            "height": height,
            "width": width,
            "query_vector": self.query.as_ref().map(|query| {
                let d = query.shape()[2];
                query.as_slice()[q * d..(q + 1) * d].to_vec()
            }),
            "energies": energies,
            "sum": total,
            "visible": if seen.iter().all(|seen| *seen) { None } else { Some(&seen) },
            "weights": listed(&maps.weights),
            "head_output": listed(output.value()),
            "output": listed(y.value()),
            "backward": backward,
            "milliseconds": start.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// The layer over its first few rows and columns, or words: small enough for every derivative to be checked.
    pub fn parts(&self) -> Parts {
        const SIDE: usize = 4;
        const WORDS: usize = 8;
        let ((query_rows, query_columns), (rows, columns)) = (self.query_grid(), self.key_grid());
        let lattice = match self.lattice {
            Lattice::Sequence { .. } => {
                Lattice::Sequence { queries: query_columns.min(WORDS), keys: columns.min(WORDS) }
            }
            Lattice::Image { .. } => Lattice::Image {
                height: rows.min(SIDE),
                width: columns.min(SIDE),
                query_stride: 1,
                key_stride: 1,
            },
        };
        // The places of a grid that are in a smaller one.
        let kept = |(height, width): (usize, usize), of: (usize, usize)| -> Vec<usize> {
            let (height, width) = (height.min(of.0), width.min(of.1));
            (0..height).flat_map(|y| (0..width).map(move |x| y * of.1 + x)).collect()
        };
        let places = |array: &Array<B>, kept: &[usize]| {
            let d = array.shape()[2];
            let values = kept.iter().flat_map(|&i| array.as_slice()[i * d..(i + 1) * d].to_vec()).collect();
            Array::host(&[1, kept.len(), d], values)
        };
        let queries = kept(lattice.query_grid(), (query_rows, query_columns));
        let keys = kept(lattice.key_grid(), (rows, columns));
        let mut operands = Vec::new();
        operands.extend(self.query.iter().map(|query| ("query", places(query, &queries))));
        operands.extend(self.key.iter().map(|key| ("key", places(key, &keys))));
        operands.push(("value", places(&self.value, &keys)));
        let (names, indices) = match self.lattice {
            Lattice::Sequence { .. } => (["position", ""], vec![lattice.x_index()]),
            Lattice::Image { .. } => {
                (["position_x", "position_y"], vec![lattice.x_index(), lattice.y_index()])
            }
        };
        for ((name, (table, whole)), index) in names.into_iter().zip(&self.positions).zip(&indices) {
            // Offset 0 is in row `shift` of either table.
            let (first, d) = (whole.shift - index.shift, table.shape()[1]);
            let values = table.as_slice()[first * d..(first + index.rows) * d].to_vec();
            operands.push((name, Array::host(&[index.rows, d], values)));
        }
        operands.extend(self.key_bias.iter().map(|u| ("u", u.clone())));
        operands.extend(self.position_bias.iter().map(|v| ("v", v.clone())));
        operands.push(("output", self.output.clone()));
        let visibility = Visibility { key_padding: None, ..self.visibility.clone() };
        Parts { operands, indices, scale: self.scale, lattice, visibility }
    }

    /// Which keys a query sees.
    fn seen(&self, q: usize) -> Vec<bool> {
        let mut seen = vec![false; self.key_grid().0 * self.key_grid().1];
        for keys in self.visibility.visible_keys(&self.lattice, q).intervals() {
            seen[keys].fill(true);
        }
        if let Some(padding) = &self.visibility.key_padding {
            seen.iter_mut().zip(padding.row(0)).for_each(|(seen, padding)| *seen &= !padding);
        }
        seen
    }

    /// The op with one query: the same numbers as among all others, at a part of the cost.
    fn one_query(
        &self,
        tape: &Tape<B>,
        q: usize,
        terms: Terms,
    ) -> (Var<B>, termwise_ops::attention::AttentionMaps<B>) {
        let keys = self.value.shape()[1];
        let constant = |array: &Option<Array<B>>| array.as_ref().map(|array| tape.constant(array.clone()));
        let query = self.query.as_ref().map(|query| {
            let d = query.shape()[2];
            tape.constant(Array::host(&[1, 1, d], query.as_slice()[q * d..(q + 1) * d].to_vec()))
        });
        let (key, key_bias) = (constant(&self.key), constant(&self.key_bias));
        let (value, position_bias) = (tape.constant(self.value.clone()), constant(&self.position_bias));
        let tables: Vec<(Var<B>, RelativeIndex)> = self
            .positions
            .iter()
            .map(|(table, index)| {
                let index = RelativeIndex { query: vec![index.query[q]], ..index.clone() };
                (tape.constant(table.clone()), index)
            })
            .collect();
        let operands = Operands {
            query: query.as_ref(),
            key: key.as_ref(),
            value: &value,
            positions: tables.iter().map(|(table, index)| (table, index.clone())).collect(),
            key_bias: key_bias.as_ref(),
            position_bias: position_bias.as_ref(),
        };
        let hidden: Vec<bool> = self.seen(q).iter().map(|seen| !seen).collect();
        let key_padding = Array2::from_shape_vec((1, keys), hidden).expect("one for each key");
        let visibility = Visibility {
            key_padding: Some(key_padding).filter(|padding| padding.iter().any(|hidden| *hidden)),
            ..Visibility::default()
        };
        let lattice = Lattice::Sequence { queries: 1, keys };
        transformer_attention_with_maps(&operands, terms, 1, self.scale, lattice, &visibility)
    }

    /// The reverse sweep from the loss to the output, the weights and the energies of the keys that are seen. A tape is
    /// swept once, so each of the three is the leaf of a tape of its own.
    fn backward(&self, energies: &[f64], seen: &[bool], target: Option<&[f64]>) -> Value {
        let places: Vec<usize> = (0..seen.len()).filter(|&k| seen[k]).collect();
        let channels = self.channels();
        let target = target.map_or_else(|| vec![0.0; channels], <[f64]>::to_vec);
        let d_v = self.value.shape()[2];
        let rows: Vec<f64> =
            places.iter().flat_map(|&k| self.value.as_slice()[k * d_v..(k + 1) * d_v].to_vec()).collect();
        let project = |weights: &Var<B>| {
            let tape = weights.tape();
            let value = tape.constant(Array::host(&[places.len(), d_v], rows.clone()));
            let bias = self.output_bias.as_ref().map(|bias| tape.constant(bias.clone()));
            linear(&matmul(weights, &value), &tape.constant(self.output.clone()), bias.as_ref())
        };
        let loss = |output: &Var<B>| {
            let target = Array::host(&[1, channels], target.clone());
            let difference = sub(output, &output.tape().constant(target));
            scale(&sum(&mul(&difference, &difference), None, false), 0.5)
        };
        let sweep = |start: &Array<B>, way: &dyn Fn(&Var<B>) -> Var<B>| {
            let tape = Tape::new(Cpu::new());
            let leaf = tape.leaf(start.clone());
            let loss = way(&leaf);
            let value = loss.value().item();
            let gradients = tape.backward(&loss);
            (value, gradients.of(&leaf).map(|gradient| gradient.as_slice().to_vec()))
        };
        let spread = |gradient: Option<Vec<f64>>| {
            let mut whole = vec![0.0; seen.len()];
            places.iter().zip(gradient.iter().flatten()).for_each(|(&k, value)| whole[k] = *value);
            whole
        };
        let visible = places.iter().map(|&k| energies[k]).collect();
        let energies = Array::host(&[1, places.len()], visible);
        let tape = Tape::inference(Cpu::new());
        let weights = softmax(&tape.constant(energies.clone()), -1);
        let output = project(&weights);
        let (value, of_energies) = sweep(&energies, &|energies| loss(&project(&softmax(energies, -1))));
        let (_, of_weights) = sweep(weights.value(), &|weights| loss(&project(weights)));
        let (_, of_output) = sweep(output.value(), &loss);
        json!({
            "loss": value,
            "target": target,
            "grad_output": of_output,
            "grad_weights": spread(of_weights),
            "grad_energies": spread(of_energies),
        })
    }
}
