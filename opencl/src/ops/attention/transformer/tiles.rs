//! The tiles of attention: of pairs, queries by keys, and of the output, queries by channels.

use termwise_ops::attention::AttentionSpec;

use crate::Real;
use crate::program::{Source, source};
use crate::tiles::{Tiles, fitted};

/// The sizes that `transformer.cl` is compiled for.
#[derive(Clone, Copy)]
pub(super) struct AttentionTiles {
    pairs: Tiles,
    /// Channels of a work-item: `EACH_CHANNEL`.
    channels: usize,
}

impl AttentionTiles {
    /// Such as hold the operands and fit, with a tile of weights, into 16 KiB of local memory.
    pub fn of<T: Real>(spec: &AttentionSpec, rows: usize) -> Self {
        let most = if size_of::<T>() == 8 { 2 } else { 4 };
        let depth = Tiles::standard::<T>().depth.min(8 * fitted(spec.head_dim.max(spec.value_dim), 2));
        AttentionTiles {
            pairs: Tiles { rows: fitted(rows, most), columns: 8, depth },
            channels: fitted(spec.value_dim, 8),
        }
    }

    pub fn of_pairs(self) -> Tiles {
        self.pairs
    }

    pub fn of_output(self) -> Tiles {
        Tiles { columns: self.channels, ..self.pairs }
    }

    /// The kernels compiled for them.
    pub fn kernels(self) -> Source {
        let Tiles { rows, depth, .. } = self.pairs;
        let defines = [("EACH_ROW", rows), ("EACH_CHANNEL", self.channels), ("DEPTH", depth)];
        Source { defines, ..source!("attention/transformer") }
    }
}
