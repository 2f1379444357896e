//! What a call of the tile algorithm works on, and how it is cut into pieces.

use std::ops::Range;

use termwise_autograd::simd::{self, Isa, Kernel, Vector};
use termwise_autograd::{Array, Cpu, Scalar};

use super::super::transformer::AttentionSpec;
use super::super::{Lattice, RelativeIndex, VisibleKeys};

/// Queries in a block.
pub(super) const BLOCK: usize = 32;
/// Most keys in a chunk.
const WIDTH: usize = 256;
/// Tasks that a call is cut into at least, where it has as many blocks of queries.
const MIN_TASKS: usize = 8;

/// Consecutive keys that are worked on at once.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub start: usize,
    pub len: usize,
    /// The rows of the lattice of keys that it has a part in.
    pub rows: Range<usize>,
}

impl Chunk {
    /// The parts that lie in one row each of a lattice `width` keys wide.
    #[inline(always)]
    pub fn segments(&self, width: usize) -> impl Iterator<Item = Segment> + use<> {
        let (start, end) = (self.start, self.start + self.len);
        self.rows.clone().map(move |y| {
            let (first, last) = (start.max(y * width), end.min((y + 1) * width));
            Segment { y, x: first - y * width, at: first - start, len: last - first }
        })
    }
}

/// The part of a chunk that lies in one row of the lattice of keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Row of keys.
    pub y: usize,
    /// First column of keys.
    pub x: usize,
    /// Its place in the chunk.
    pub at: usize,
    pub len: usize,
}

/// How the relative terms are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relative {
    /// There are none.
    Absent,
    /// A table for columns and one for rows of an image: `x(q, column of k) + y(q, row of k)`.
    Separable,
    /// One table on a sequence: row `k + shift - q`, for all pairs that are visible by position.
    Line,
    /// One table over all pairs of a row offset and a column offset.
    Joint,
}

impl Relative {
    /// What the tables of a call are; `None` where they are none of these.
    pub fn of(spec: &AttentionSpec) -> Option<Self> {
        let is_image = matches!(spec.lattice, Lattice::Image { .. });
        match spec.relative.as_slice() {
            [] => Some(Relative::Absent),
            [x, y] if is_image && spec.lattice.is_index(0, x) && spec.lattice.is_index(1, y) => {
                Some(Relative::Separable)
            }
            [line] if !is_image && counts_up(spec, line) => Some(Relative::Line),
            [joint] if is_image && *joint == spec.lattice.joint_index() => Some(Relative::Joint),
            _ => None,
        }
    }
}

/// Whether positions count up from 0 on both sides of a sequence, and there is a row for every visible pair.
fn counts_up(spec: &AttentionSpec, line: &RelativeIndex) -> bool {
    let counts_up = |positions: &[usize], count: usize| positions.iter().copied().eq(0..count);
    let covers = |q: usize| {
        let keys = spec.visibility.visible_keys(&spec.lattice, q).span();
        keys.is_empty() || keys.end + line.shift <= line.rows + q && keys.start + line.shift >= q
    };
    counts_up(&line.query, spec.queries) && counts_up(&line.key, spec.keys) && (0..spec.queries).all(covers)
}

/// A call: its description, its operands and its partition, which depends on nothing but the shapes.
pub(super) struct Plan<'a, T> {
    pub spec: &'a AttentionSpec,
    pub isa: Isa,
    /// Lanes of a vector.
    pub lanes: usize,
    pub query: Option<&'a [T]>,
    pub key: Option<&'a [T]>,
    pub value: &'a [T],
    pub tables: Vec<&'a [T]>,
    pub key_bias: Option<&'a [T]>,
    pub position_bias: Option<&'a [T]>,
    /// What each query sees by position, where that limits it.
    visible: Option<Vec<VisibleKeys>>,
    pub relative: Relative,
    /// Queries in a block.
    pub block: usize,
    /// Numbers from one row of a packed chunk of keys to the next: its length and padding.
    pub width: usize,
    pub chunks: Vec<Chunk>,
    /// Tasks per head and sample.
    pub groups: usize,
    /// Samples per task.
    pub samples: usize,
}

impl<'a, T: Scalar> Plan<'a, T> {
    pub fn new(
        isa: Isa,
        spec: &'a AttentionSpec,
        inputs: [&'a Array<Cpu<T>>; 7],
        relative: Relative,
    ) -> Self {
        let lanes = simd::run_on::<T, _>(isa, Lanes);
        let slice = |i: usize| inputs[i].present().map(Array::as_slice);
        let (block, width) = (BLOCK, WIDTH);
        let width = width.min(spec.keys.next_multiple_of(padding::<T>()));
        let chunks = chunks(spec, width);
        let blocks = spec.queries.div_ceil(block);
        let visible = |q| spec.visibility.visible_keys(&spec.lattice, q);
        Plan {
            spec,
            isa,
            lanes,
            query: slice(0).filter(|_| spec.terms.uses_query()),
            key: slice(1),
            value: inputs[2].as_slice(),
            tables: inputs[3..5].iter().filter_map(|t| t.present()).map(Array::as_slice).collect(),
            key_bias: slice(5),
            position_bias: slice(6),
            visible: spec.visibility.by_position().then(|| (0..spec.queries).map(visible).collect()),
            relative,
            block,
            width,
            chunks,
            groups: MIN_TASKS.div_ceil(spec.batch * spec.num_heads).clamp(1, blocks),
            samples: 1,
        }
    }

    /// The same with several samples a task, where there are many: they share the gradients of the tables.
    pub fn with_shared_tables(self) -> Self {
        let heads = self.spec.batch * self.spec.num_heads;
        let samples = if self.relative == Relative::Absent { 1 } else { (heads / (2 * MIN_TASKS)).max(1) };
        Plan { samples: samples.min(self.spec.batch), ..self }
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.spec.batch.div_ceil(self.samples) * self.spec.num_heads * self.groups
    }

    /// Samples, head and blocks of queries of task `i`. Consecutive tasks differ in their blocks, then in
    /// their head.
    pub fn task(&self, i: usize) -> (Range<usize>, usize, Range<usize>) {
        let (group, i) = (i % self.groups, i / self.groups);
        let (m, first) = (i % self.spec.num_heads, i / self.spec.num_heads * self.samples);
        let blocks = self.spec.queries.div_ceil(self.block);
        let blocks = group * blocks / self.groups..(group + 1) * blocks / self.groups;
        (first..(first + self.samples).min(self.spec.batch), m, blocks)
    }

    /// Rough count of operations of a task.
    pub fn work(&self) -> usize {
        let spec = self.spec;
        self.samples * spec.queries.div_ceil(self.groups) * spec.keys * (spec.head_dim + spec.value_dim + 8)
    }

    /// The queries of a block.
    pub fn queries(&self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.spec.queries)
    }

    /// Whether E3 is a bias of each key of its own: with E1 it is folded into the query.
    pub fn has_key_bias(&self) -> bool {
        self.spec.terms.key && !self.spec.terms.query_key
    }

    /// The factor by which query-side operands are multiplied: the scale, and the logarithm's base.
    pub fn scale(&self) -> T {
        T::of(self.spec.scale * std::f64::consts::LOG2_E)
    }

    /// Channels of a head, rounded up to what a register tile takes.
    pub fn channels(&self) -> usize {
        self.spec.head_dim.next_multiple_of(4)
    }

    /// Value channels of a head, rounded up to what a register tile takes.
    pub fn value_channels(&self) -> usize {
        self.spec.value_dim.next_multiple_of(4)
    }

    /// The chunks that some query of the blocks sees.
    pub fn chunks_of(&self, blocks: &Range<usize>) -> Range<usize> {
        let Some(visible) = &self.visible else { return 0..self.chunks.len() };
        let queries = blocks.start * self.block..(blocks.end * self.block).min(self.spec.queries);
        let spans = visible[queries].iter().map(VisibleKeys::span).filter(|span| !span.is_empty());
        let (first, end) =
            spans.fold((usize::MAX, 0), |(first, end), span| (first.min(span.start), end.max(span.end)));
        let reached = |chunk: &Chunk| chunk.start < end && chunk.start + chunk.len > first;
        let Some(start) = self.chunks.iter().position(reached) else { return 0..0 };
        start..start + self.chunks[start..].iter().take_while(|chunk| reached(chunk)).count()
    }

    /// Numbers that the relative terms of a query take: one for each column of keys, and one for each row.
    pub fn lines(&self) -> [usize; 2] {
        if self.relative != Relative::Separable {
            return [0, 0];
        }
        let (rows, columns) = self.spec.lattice.key_grid();
        [columns, rows].map(|extent| extent.next_multiple_of(padding::<T>()) + padding::<T>())
    }

    /// What the queries of a block see by position; `None` where they see all.
    pub fn visible(&self, block: usize) -> Option<Visible<'_>> {
        let keys = &self.visible.as_ref()?[self.queries(block)];
        let (mut some, mut every) = (Range { start: usize::MAX, end: 0 }, 0..usize::MAX);
        for keys in keys {
            let span = keys.span();
            let whole = keys.rows.len() <= 1 || keys.columns.len() == keys.width;
            every = if whole { every.start.max(span.start)..every.end.min(span.end) } else { 0..0 };
            some = some.start.min(span.start)..some.end.max(span.end);
        }
        Some(Visible { keys, some, every })
    }
}

/// What the queries of a block see by position.
#[derive(Clone)]
pub(super) struct Visible<'a> {
    /// Of each query.
    pub keys: &'a [VisibleKeys],
    /// Beyond these keys nobody sees any.
    pub some: Range<usize>,
    /// These everybody sees.
    pub every: Range<usize>,
}

/// Numbers that every packed row is padded to: a cache line.
pub(super) const fn padding<T>() -> usize {
    64 / size_of::<T>()
}

/// Whether products of rows of `channels` numbers keep one lane a key, because rows would waste half a
/// vector and more.
pub(super) fn use_dots(channels: usize, lanes: usize) -> bool {
    2 * channels <= lanes
}

/// All keys in pieces of at most `width`; where a limited range makes whole columns of an image
/// invisible, no piece spans more than one row.
fn chunks(spec: &AttentionSpec, width: usize) -> Vec<Chunk> {
    let (rows, columns) = spec.lattice.key_grid();
    let by_row = spec.visibility.range.is_some() && columns >= 32;
    let (count, extent) = if by_row { (rows, columns) } else { (1, spec.keys) };
    let pieces = |row: usize| {
        (0..extent).step_by(width).map(move |at| {
            let (start, len) = (row * extent + at, width.min(extent - at));
            Chunk { start, len, rows: start / columns..(start + len).div_ceil(columns) }
        })
    };
    (0..count).flat_map(pieces).collect()
}

struct Lanes;

impl<T: Scalar> Kernel<T> for Lanes {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> usize {
        V::LANES
    }
}
