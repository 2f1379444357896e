//! The tiles of attention: of pairs, queries by keys, and of the output, queries by channels.

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
    pub fn of<T: Real>(rows: usize, head_dim: usize, value_dim: usize) -> Self {
        let most = if size_of::<T>() == 8 { 2 } else { 4 };
        let depth = Tiles::standard::<T>().depth.min(8 * fitted(head_dim.max(value_dim), 2));
        AttentionTiles {
            pairs: Tiles { rows: fitted(rows, most), columns: 8, depth },
            channels: fitted(value_dim, 8),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what `transformer_forward` keeps in local memory.
    fn local_bytes<T: Real>(tiles: AttentionTiles) -> usize {
        let Tiles { rows, columns, depth } = tiles.pairs;
        let (rows, columns) = (8 * rows, 8 * columns);
        assert!(8 * tiles.channels <= columns, "values pass through the tile of keys");
        (depth * (rows + 1) + depth * (columns + 1) + rows * (columns + 1) + rows * 8) * size_of::<T>()
    }

    #[test]
    fn every_size_fits_the_local_memory_that_any_device_has() {
        for rows in [1, 9, 17, 1000] {
            for (head_dim, value_dim) in [(0, 1), (8, 8), (8, 9), (64, 3), (3, 500)] {
                let single = local_bytes::<f32>(AttentionTiles::of::<f32>(rows, head_dim, value_dim));
                let double = local_bytes::<f64>(AttentionTiles::of::<f64>(rows, head_dim, value_dim));
                assert!(single <= 16 << 10, "{rows} {head_dim} {value_dim}: {single} in f32");
                assert!(double <= 16 << 10, "{rows} {head_dim} {value_dim}: {double} in f64");
            }
        }
        let eight = AttentionTiles::of::<f32>(1000, 8, 8);
        assert_eq!((eight.pairs.rows, eight.pairs.depth, eight.channels), (4, 8, 1));
    }
}
