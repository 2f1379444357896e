use ndarray::Array2;
use termwise_autograd::{Array, Tape, Var};
use termwise_ops::attention::{
    Lattice, Operands, Projections, Range, RelativeIndex, Visibility, transformer_attention,
};
use termwise_ops::{Kernels, cat, index_select, linear, narrow};

use super::TransformerAttention;

/// What causal self-attention remembers between the steps of decoding: the projected keys and values of the steps
/// before, and the projected offsets.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{KeyValueCache, TransformerAttention}};
/// use termwise_ops::attention::TransformerSettings;
/// let settings = TransformerSettings::transformer_xl("0000".parse().unwrap(), 1, 2);
/// let layer = TransformerAttention::new(1, settings, false, &mut Init::new(Cpu::<f64>::new(), 0));
/// for (_, param) in layer.parameters().into_iter().take(2) {
///     param.set(Array::host(&[1, 1], vec![1.0])); // value, output: each step is the mean of those so far
/// }
/// let tape = Tape::inference(Cpu::new());
/// let step = |values: Vec<f64>, cache: &mut _| {
///     layer.step(&tape.constant(Array::host(&[2, 1, 1], values)), cache).value().as_slice().to_vec()
/// };
/// let mut cache = KeyValueCache::default();
/// assert_eq!(step(vec![1.0, 10.0], &mut cache), [1.0, 10.0]); // two sentences
/// cache.reorder(&[1, 1]); // both go on from the second
/// assert_eq!(step(vec![20.0, 30.0], &mut cache), [15.0, 20.0]);
/// ```
pub struct KeyValueCache<B: Kernels> {
    key: Option<Array<B>>,   // (N, t, M d)
    value: Option<Array<B>>, // (N, t, M d_v)
    /// The offsets `-(rows - 1) ..= 0` from the query to a key. // (rows, M d)
    table: Option<Array<B>>,
}

/// The fewest offsets that are projected at once.
const MIN_ROWS: usize = 32;

impl<B: Kernels> Default for KeyValueCache<B> {
    fn default() -> Self {
        KeyValueCache { key: None, value: None, table: None }
    }
}

impl<B: Kernels> KeyValueCache<B> {
    /// Rearranges the sentences, as a beam search does: sentence `i` goes on from what sentence `order[i]` has seen.
    pub fn reorder(&mut self, order: &[usize]) {
        for cached in [&mut self.key, &mut self.value] {
            *cached = cached.take().map(|array| rows_of(&array, order));
        }
    }
}

/// The slices of `array` that `order` names along the first axis.
pub(super) fn rows_of<B: Kernels>(array: &Array<B>, order: &[usize]) -> Array<B> {
    let order = order.iter().map(|&row| row as i64).collect::<ndarray::Array1<i64>>().into_dyn();
    let array = Tape::inference(array.backend().clone()).constant(array.clone());
    index_select(&array, &order, 0).value().clone()
}

/// Appends a step to what is cached, keeping the last `most`.
fn append<B: Kernels>(cached: &mut Option<Array<B>>, step: &Var<B>, most: usize) -> Var<B> {
    let mut all = match cached {
        Some(cached) => cat(&[&step.tape().constant(cached.clone()), step], 1),
        None => step.clone(),
    };
    let steps = all.shape()[1];
    if steps > most {
        all = narrow(&all, 1, steps - most, most);
    }
    *cached = Some(all.value().clone());
    all
}

impl<B: Kernels> TransformerAttention<B> {
    /// Causal self-attention of the next step (N, 1, C) of sentences of which `cache` holds what came before; all
    /// steps together give what [`forward_1d`](Self::forward_1d) gives on the whole.
    ///
    /// # Panics
    /// If the attention is not causal, or limited to mmcv's window.
    #[track_caller]
    pub fn step(&self, x: &Var<B>, cache: &mut KeyValueCache<B>) -> Var<B> {
        let settings = self.settings();
        assert!(settings.causal, "TransformerAttention: only causal attention has steps");
        let most = match settings.range {
            None => usize::MAX,
            Some(Range::Symmetric(range)) => range + 1,
            Some(Range::Mmcv(_)) => panic!("TransformerAttention: mmcv's window is for images"),
        };
        let terms = settings.terms;
        let projections = self.projections(x.tape());
        let query = projected(terms.uses_query(), projections.query.as_ref(), x);
        let key = projected(terms.uses_key(), projections.key.as_ref(), x)
            .map(|key| append(&mut cache.key, &key, most));
        let value = append(&mut cache.value, &linear(x, &projections.value, None), most);
        let keys = value.shape()[1];
        let table = projections.positions.first().filter(|_| terms.uses_position()).map(|weight| {
            let table = self.offsets(weight, keys, cache);
            narrow(&table, 0, table.shape()[0] - keys, keys)
        });
        // The query stands at the last key: row k of the table is the offset from there to key k.
        let index = RelativeIndex { query: vec![0], key: (0..keys).collect(), shift: 0, rows: keys };
        let operands = Operands {
            query: query.as_ref(),
            key: key.as_ref(),
            value: &value,
            positions: table.iter().map(|table| (table, index.clone())).collect(),
            key_bias: projections.key_bias.as_ref(),
            position_bias: projections.position_bias.as_ref(),
        };
        let scale = self.scale(&projections);
        let lattice = Lattice::Sequence { queries: 1, keys };
        let heads = settings.num_heads;
        let output = transformer_attention(&operands, terms, heads, scale, lattice, &Visibility::default());
        linear(&output, &projections.output, projections.output_bias.as_ref())
    }

    /// The projected offsets, at least those from a query back over `keys` keys.
    fn offsets(&self, weight: &Var<B>, keys: usize, cache: &mut KeyValueCache<B>) -> Var<B> {
        let tape = weight.tape();
        if let Some(table) = cache.table.as_ref().filter(|table| table.shape()[0] >= keys) {
            return tape.constant(table.clone());
        }
        let lattice = Lattice::Sequence { queries: keys.next_power_of_two().max(MIN_ROWS), keys: 1 };
        let (embedding, _) = self.settings().position_embeddings(&lattice).remove(0);
        let table = linear(&tape.constant(Array::from_f64(tape.backend(), &embedding)), weight, None);
        cache.table = Some(table.value().clone());
        table
    }

    fn scale(&self, projections: &Projections<B>) -> f64 {
        let rows = [&projections.query, &projections.key].into_iter().flatten().chain(&projections.positions);
        let heads = self.settings().num_heads;
        self.settings().scale.value(rows.map(|weight| weight.shape()[0] / heads).next().unwrap_or(1))
    }

    /// The keys and values of a sequence (N, K, C) that others will look at again and again.
    pub fn remember(&self, x: &Var<B>, key_padding: Option<&Array2<bool>>) -> Memory<B> {
        let projections = self.projections(x.tape());
        let key = projected(self.settings().terms.uses_key(), projections.key.as_ref(), x);
        let value = linear(x, &projections.value, None);
        Memory {
            key: key.map(|key| key.value().clone()),
            value: value.value().clone(),
            key_padding: key_padding.cloned(),
        }
    }

    /// Attention from `z` (N, Q, C) to a remembered sequence; content terms alone.
    ///
    /// # Panics
    /// If the attention has terms of position: between two sequences there are none.
    #[track_caller]
    pub fn attend(&self, z: &Var<B>, memory: &Memory<B>) -> Var<B> {
        let settings = self.settings();
        assert!(
            !settings.terms.uses_position(),
            "TransformerAttention: no relative position between sequences"
        );
        let projections = self.projections(z.tape());
        let query = projected(settings.terms.uses_query(), projections.query.as_ref(), z);
        let key = memory.key.as_ref().map(|key| z.tape().constant(key.clone()));
        let value = z.tape().constant(memory.value.clone());
        let operands = Operands {
            query: query.as_ref(),
            key: key.as_ref(),
            value: &value,
            positions: Vec::new(),
            key_bias: projections.key_bias.as_ref(),
            position_bias: None,
        };
        let lattice = Lattice::Sequence { queries: z.shape()[1], keys: value.shape()[1] };
        let visibility = Visibility { key_padding: memory.key_padding.clone(), ..Visibility::default() };
        let (scale, heads) = (self.scale(&projections), settings.num_heads);
        let output = transformer_attention(&operands, settings.terms, heads, scale, lattice, &visibility);
        linear(&output, &projections.output, projections.output_bias.as_ref())
    }
}

fn projected<B: Kernels>(used: bool, weight: Option<&Var<B>>, x: &Var<B>) -> Option<Var<B>> {
    weight.filter(|_| used).map(|weight| linear(x, weight, None))
}

/// The projected keys and values of a sequence that is looked at from another one.
///
/// ```
/// use ndarray::array;
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::TransformerAttention};
/// use termwise_ops::attention::TransformerSettings;
/// let settings = TransformerSettings::paper("0000".parse().unwrap(), 1, 2);
/// let layer = TransformerAttention::new(1, settings, false, &mut Init::new(Cpu::<f64>::new(), 0));
/// for (_, param) in layer.parameters().into_iter().take(2) {
///     param.set(Array::host(&[1, 1], vec![1.0])); // value, output: the mean of what is seen
/// }
/// let tape = Tape::inference(Cpu::new());
/// let source = tape.constant(Array::host(&[2, 2, 1], vec![1.0, 3.0, 10.0, 0.0]));
/// let mut memory = layer.remember(&source, Some(&array![[false, false], [false, true]]));
/// let queries = tape.constant(Array::zeros(&Cpu::new(), &[2, 1, 1]));
/// assert_eq!(layer.attend(&queries, &memory).value().as_slice(), [2.0, 10.0]); // the last 0 is hidden
/// memory.reorder(&[1, 0]);
/// assert_eq!(layer.attend(&queries, &memory).value().as_slice(), [10.0, 2.0]);
/// ```
pub struct Memory<B: Kernels> {
    key: Option<Array<B>>,
    value: Array<B>,
    key_padding: Option<Array2<bool>>,
}

impl<B: Kernels> Memory<B> {
    /// Keeps the samples that `order` names, in its order.
    pub fn reorder(&mut self, order: &[usize]) {
        self.key = self.key.take().map(|key| rows_of(&key, order));
        self.value = rows_of(&self.value, order);
        self.key_padding = self.key_padding.take().map(|hidden| hidden.select(ndarray::Axis(0), order));
    }
}
