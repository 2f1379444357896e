//! The operands as the kernels take them.

use std::ops::Range;

use termwise_autograd::Array;
use termwise_ops::attention::AttentionSpec;
use termwise_ops::conv::Conv2dKernel;
use termwise_ops::tensor::{StridedKernel, Window};

use super::tiles::AttentionTiles;
use crate::launch::Launch;
use crate::layout::Strides;
use crate::ops::tensor::matmul::{Extents, Operand, product};
use crate::{Buffer, OpenCl, Real};

/// Places of the operands among a kernel's inputs.
pub(super) const QUERY: usize = 0;
pub(super) const KEY: usize = 1;
pub(super) const VALUE: usize = 2;
pub(super) const TABLES: usize = 3;
pub(super) const KEY_BIAS: usize = 5;
pub(super) const POSITION_BIAS: usize = 6;

/// A table of positions.
pub(super) struct Table<'a, T: Real> {
    /// (rows, M d)
    pub array: &'a Array<OpenCl<T>>,
    pub rows: usize,
    /// Of each key and then of each query: their sum is the row of the pair.
    pub places: Buffer<i32>,
}

/// What the terms that are on need, on the device.
pub(super) struct Operands<'a, T: Real> {
    pub spec: &'a AttentionSpec,
    /// Rows of weights, of which each is a query's or all queries'.
    pub rows: usize,
    pub key: Option<&'a Array<OpenCl<T>>>,
    /// `u`. (M, d)
    pub key_bias: Option<&'a Array<OpenCl<T>>>,
    /// `Q + b3 u`, where E1 is on. (N, Q, M d)
    pub query: Option<Array<OpenCl<T>>>,
    /// `u . K`, where E3 is on and E1 is off. (N, M, K)
    key_energies: Option<Array<OpenCl<T>>>,
    /// `b2 Q + b4 v`. (N, Q, M d), or (M, d) where E2 is off
    pub position_query: Option<Array<OpenCl<T>>>,
    pub tables: Vec<Table<'a, T>>,
    pub tiles: AttentionTiles,
    visible: Option<Buffer<i32>>,
    padding: Option<Buffer<u8>>,
}

impl<'a, T: Real> Operands<'a, T> {
    pub fn new(spec: &'a AttentionSpec, inputs: [&'a Array<OpenCl<T>>; 7], rows: usize) -> Self {
        let (backend, terms) = (inputs[VALUE].backend(), spec.terms);
        let operand = |used: bool, place: usize| inputs[place].present().filter(|_| used);
        let key = operand(terms.uses_key(), KEY);
        let key_bias = operand(terms.key, KEY_BIAS);
        let query = operand(terms.query_key, QUERY).map(|query| plus(query, key_bias));
        let key_energies = match (&query, key, key_bias) {
            (None, Some(key), Some(bias)) => Some(key_energies(spec, key, bias)),
            _ => None,
        };
        let position_bias = operand(terms.position, POSITION_BIAS);
        let position_query = match operand(terms.query_position, QUERY) {
            Some(query) => Some(plus(query, position_bias)),
            None => position_bias.cloned(),
        };
        let tables = spec.relative.iter().zip(&inputs[TABLES..]).filter(|_| position_query.is_some());
        let tables = tables.map(|(index, array)| {
            // key + shift - query, the shift with the queries: none is negative.
            let of_queries = index.query.iter().map(|query| index.shift - query);
            let places: Vec<usize> = index.key.iter().copied().chain(of_queries).collect();
            Table { array, rows: index.rows, places: backend.indices(&places) }
        });
        let visible = spec.visibility.by_position().then(|| {
            let of_query = |query: usize| {
                let sees = spec.visibility.visible_keys(&spec.lattice, query);
                let span = sees.span();
                [sees.rows.start, sees.rows.end, sees.columns.start, sees.columns.end, span.start, span.end]
            };
            backend.indices(&(0..rows).flat_map(of_query).collect::<Vec<_>>())
        });
        let padding = spec.visibility.key_padding.as_ref();
        let padding = padding.map(|hidden| {
            backend.constants(&hidden.iter().map(|&hidden| u8::from(hidden)).collect::<Vec<_>>())
        });
        let (tables, tiles) =
            (tables.collect(), AttentionTiles::of::<T>(rows, spec.head_dim, spec.value_dim));
        Operands {
            spec,
            rows,
            key,
            key_bias,
            query,
            key_energies,
            position_query,
            tables,
            tiles,
            visible,
            padding,
        }
    }

    /// Whether what queries see of a position depends on their content.
    pub fn by_query(&self) -> bool {
        self.spec.terms.query_position
    }

    /// Numbers that the strips of one query need.
    pub fn strip_numbers(&self) -> usize {
        let rows = if self.by_query() { self.tables.iter().map(|table| table.rows).sum() } else { 0 };
        self.spec.batch * self.spec.num_heads * rows
    }

    /// `P'_t` of some queries for each table: (N, M, count, rows), or (M, rows).
    pub fn strips(&self, block: &Range<usize>) -> Vec<Array<OpenCl<T>>> {
        let Some(query) = &self.position_query else { return vec![] };
        let &AttentionSpec { batch, num_heads: heads, head_dim: d, .. } = self.spec;
        let (count, channels) = (block.len(), heads * d);
        let query = if self.by_query() { rows(query, block) } else { query.clone() };
        let of_table = |table: &Table<T>| {
            let right = Operand::transposed(table.array, channels);
            if self.by_query() {
                let batches = Strides::from_axes([(batch, [count * channels, 0]), (heads, [d, d])]);
                let extents = Extents { batches, ..Extents::one(count, d, table.rows) };
                let shape = [batch, heads, count, table.rows];
                product(&extents, Operand::rows(&query, channels), right, None, &shape)
            } else {
                let batches = Strides::from_axes([(heads, [d, d])]);
                let extents = Extents { batches, ..Extents::one(1, d, table.rows) };
                product(&extents, Operand::rows(&query, d), right, None, &[heads, table.rows])
            }
        };
        self.tables.iter().map(of_table).collect()
    }

    /// Hands a kernel `OPERANDS` of `transformer.cl`.
    pub fn arguments<'b>(
        &'b self,
        launch: Launch<'b, T>,
        strips: &'b [Array<OpenCl<T>>],
        block: &Range<usize>,
    ) -> Launch<'b, T> {
        let spec = self.spec;
        let launch = launch.optional(self.query.as_ref()).optional(self.key);
        let launch = launch.optional(self.key_energies.as_ref());
        let launch = launch.optional(strips.first()).optional(strips.get(1));
        let table = |t: usize| self.tables.get(t);
        let launch = launch.optional_buffer(table(0).map(|table| &table.places));
        let launch = launch.optional_buffer(table(1).map(|table| &table.places));
        let launch = launch.optional_buffer(self.visible.as_ref()).optional_buffer(self.padding.as_ref());
        let launch = launch.int(spec.num_heads).int(self.rows).int(spec.keys).int(spec.head_dim);
        let launch = launch.int(block.start).int(block.len());
        let rows = |t: usize| table(t).map_or(0, |table| table.rows);
        let launch = launch.int(rows(0)).int(rows(1)).flag(self.by_query());
        launch.int(spec.lattice.key_grid().1.max(1)).real(spec.scale)
    }
}

/// Some rows of each sample of `x` (N, rows, channels).
pub(super) fn rows<T: Real>(x: &Array<OpenCl<T>>, block: &Range<usize>) -> Array<OpenCl<T>> {
    let &[batch, rows, channels] = x.shape() else { unreachable!("operands have three axes") };
    if *block == (0..rows) {
        return x.clone();
    }
    let window = Window {
        offset: block.start * channels,
        shape: vec![batch, block.len(), channels],
        strides: vec![rows * channels, channels, 1],
    };
    OpenCl::read_window(x, &window)
}

/// `x + bias`, for `x` (N, rows, M d) and `bias` (M, d).
fn plus<T: Real>(x: &Array<OpenCl<T>>, bias: Option<&Array<OpenCl<T>>>) -> Array<OpenCl<T>> {
    let Some(bias) = bias else { return x.clone() };
    let &[batch, rows, channels] = x.shape() else { unreachable!("operands have three axes") };
    OpenCl::conv2d_add_bias(x.reshape(&[batch * rows, channels]), bias).reshape(x.shape())
}

/// `u . K`. (N, M, K)
fn key_energies<T: Real>(
    spec: &AttentionSpec,
    key: &Array<OpenCl<T>>,
    bias: &Array<OpenCl<T>>,
) -> Array<OpenCl<T>> {
    let &AttentionSpec { batch, num_heads: heads, keys, head_dim: d, .. } = spec;
    let batches = Strides::from_axes([(batch, [0, keys * heads * d]), (heads, [d, d])]);
    let extents = Extents { batches, ..Extents::one(1, d, keys) };
    let right = Operand::transposed(key, heads * d);
    product(&extents, Operand::rows(bias, d), right, None, &[batch, heads, keys])
}
