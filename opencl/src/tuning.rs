//! The tile sizes of matrix products: measured once for each device and number type, and remembered.
//!
//! Which [`Tiles`] are fastest depends on a device's registers and local memory. What is chosen serves large operands;
//! small ones have smaller tiles, which hold them.
//!
//! The first large product of a process looks the sizes up in `termwise/opencl-tiles.tsv` in the user's folder of
//! cached files, or measures them, which takes a fraction of a second, and writes them there. Where no file can be
//! written each process measures. [`TILES`] names sizes by hand.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use termwise_autograd::Array;

use crate::backend::OpenCl;
use crate::buffer::Real;
use crate::device::DeviceInfo;
use crate::error::fail;
use crate::ops::tensor::matmul::{Extents, Operand, product_with};
use crate::tiles::Tiles;

/// The environment variable that names tile sizes, `EACH,DEPTH`, in place of measured ones.
pub const TILES: &str = "TERMWISE_OPENCL_TILES";

/// Columns that every depth divides: sums are cut at their multiples alone.
pub(crate) const UNIT: usize = 16;

/// What is tried, best guess first; each fits into 16 KiB of local memory.
const SINGLE: [Tiles; 4] =
    [Tiles::square(8, 16), Tiles::square(8, 8), Tiles::square(4, 16), Tiles::square(4, 8)];
const DOUBLE: [Tiles; 3] = [Tiles::square(8, 8), Tiles::square(4, 16), Tiles::square(4, 8)];

/// Multiply-adds from which on a product is worth a measurement before it.
const WORTH: usize = 1 << 27;
/// Rows, columns and depth of the product that is measured.
const MEASURED: [usize; 3] = [1024, 256, 1024];
/// How often each is measured.
const RUNS: usize = 3;

impl Tiles {
    /// All that may be chosen for a number type.
    pub fn all<T: Real>() -> &'static [Tiles] {
        if T::NAME == "f64" { &DOUBLE } else { &SINGLE }
    }

    /// What is used for a product of so many multiply-adds.
    pub fn of<T: Real>(backend: &OpenCl<T>, work: usize) -> Tiles {
        let chosen = &backend.runtime().tiles[usize::from(T::NAME == "f64")];
        match chosen.get() {
            Some(&tiles) => tiles,
            None if work < WORTH && std::env::var_os(TILES).is_none() => Tiles::all::<T>()[0],
            None => *chosen.get_or_init(|| named::<T>().unwrap_or_else(|| remembered(backend))),
        }
    }

    fn name(self) -> String {
        format!("{},{}", self.rows, self.depth)
    }

    fn parse<T: Real>(text: &str) -> Option<Tiles> {
        Tiles::all::<T>().iter().copied().find(|tiles| tiles.name() == text.trim())
    }
}

/// The sizes that the user names.
///
/// # Panics
/// If there are none of that name.
fn named<T: Real>() -> Option<Tiles> {
    let text = std::env::var(TILES).ok()?;
    let known = || Tiles::all::<T>().iter().map(|tiles| tiles.name()).collect::<Vec<_>>().join(" or ");
    Some(
        Tiles::parse::<T>(&text)
            .unwrap_or_else(|| panic!("OpenCL: {TILES}: expected {}, found {text:?}", known())),
    )
}

/// The sizes of an earlier process, or measured ones, which are then written down.
fn remembered<T: Real>(backend: &OpenCl<T>) -> Tiles {
    let (file, key) = (file(), key(backend.device().info(), T::NAME));
    if let Some(tiles) = file.as_deref().and_then(|file| read::<T>(file, &key)) {
        return tiles;
    }
    let tiles = fastest(backend);
    if let Some(file) = &file {
        // What cannot be kept is measured again next time.
        let _ = write(file, &key, tiles);
    }
    tiles
}

/// The fastest for a product of middle size.
fn fastest<T: Real>(backend: &OpenCl<T>) -> Tiles {
    let [m, k, n] = MEASURED;
    let (a, b) = (Array::full(backend, &[m, k], 0.5), Array::full(backend, &[k, n], 0.5));
    let time = |tiles: Tiles| {
        let start = Instant::now();
        product_with(
            tiles,
            &Extents::one(m, k, n),
            Operand::rows(&a, k),
            Operand::rows(&b, n),
            None,
            &[m, n],
        );
        backend.device().finish().unwrap_or_else(|error| fail(error));
        start.elapsed()
    };
    let best = |&tiles: &Tiles| {
        time(tiles); // compiles
        (0..RUNS).map(|_| time(tiles)).min()
    };
    *Tiles::all::<T>().iter().min_by_key(|tiles| best(tiles)).expect("there are some")
}

/// What the sizes depend on.
fn key(info: &DeviceInfo, scalar: &str) -> String {
    [&info.name, &info.platform, &info.driver, scalar].map(|part| part.replace(['\t', '\n'], " ")).join("\t")
}

/// The file: lines of key, tab, sizes.
fn file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cached = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    cached.map(|cached| cached.join("termwise").join("opencl-tiles.tsv"))
}

fn read<T: Real>(file: &Path, key: &str) -> Option<Tiles> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| Tiles::parse::<T>(line.strip_prefix(key)?.strip_prefix('\t')?))
}

/// Replaces the file as a whole: another process may be reading it.
fn write(file: &Path, key: &str, tiles: Tiles) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let before = fs::read_to_string(file).unwrap_or_default();
    let others = before.lines().filter(|line| !line.starts_with(&format!("{key}\t")));
    let own = format!("{key}\t{}", tiles.name());
    let lines: String = others.chain([own.as_str()]).flat_map(|line| [line, "\n"]).collect();
    let partial = folder.join(format!("opencl-tiles.{}.partial", std::process::id()));
    let written = fs::File::create(&partial).and_then(|mut to| to.write_all(lines.as_bytes()));
    let moved = written.and_then(|()| fs::rename(&partial, file));
    if moved.is_err() {
        let _ = fs::remove_file(&partial);
    }
    moved
}

#[cfg(test)]
mod tests {
    use termwise_autograd::gradcheck::Samples;

    use super::*;
    use crate::program::tests::backend;

    #[test]
    fn sizes_are_remembered_for_each_device_and_type() {
        let folder = std::env::temp_dir().join(format!("termwise-tiles-{}", std::process::id()));
        let file = folder.join("deep/opencl-tiles.tsv");
        assert_eq!(read::<f32>(&file, "a"), None);
        write(&file, "a\tf32", SINGLE[2]).unwrap();
        write(&file, "a\tf64", DOUBLE[0]).unwrap();
        write(&file, "a\tf32", SINGLE[3]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\tf64\t8,8\na\tf32\t4,8\n");
        assert_eq!(read::<f32>(&file, "a\tf32"), Some(SINGLE[3]));
        assert_eq!(read::<f64>(&file, "a\tf64"), Some(DOUBLE[0]));
        assert_eq!(read::<f32>(&file, "b\tf32"), None);
        fs::write(&file, "a\tf32\t9,9\nnonsense").unwrap();
        assert_eq!(read::<f32>(&file, "a\tf32"), None);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_choice_fits_the_local_memory_and_cuts_sums_alike() {
        for (choices, bytes) in [(&SINGLE[..], 4), (&DOUBLE[..], 8)] {
            for tiles in choices {
                let numbers = tiles.depth * (8 * tiles.rows + 1 + 8 * tiles.columns + 1);
                assert!(numbers * bytes <= 16 << 10, "{tiles:?}");
                assert_eq!(UNIT % tiles.depth, 0, "{tiles:?}");
            }
        }
    }

    /// Sums in one part and in many, tiles cut off on all sides, several terms: the same bits for all sizes.
    #[test]
    fn sizes_change_no_bit() {
        let Some(backend) = backend() else { return };
        for [m, k, n] in [[1, 1, 1], [65, 33, 3], [7, 700, 9], [130, 24, 71]] {
            let mut samples = Samples::new(7);
            let a = Array::from_f64(&backend, &samples.normal(&[m, k]));
            let b = Array::from_f64(&backend, &samples.normal(&[k, n]));
            let oblong = [(1, 8), (8, 1), (2, 4), (4, 2)];
            let oblong = oblong.map(|(rows, columns)| Tiles { rows, columns, depth: 8 });
            let results: Vec<Vec<u32>> = SINGLE
                .into_iter()
                .chain(oblong)
                .map(|tiles| {
                    let (a, b) = (Operand::rows(&a, k), Operand::rows(&b, n));
                    let c = product_with(tiles, &Extents::one(m, k, n), a, b, None, &[m, n]);
                    c.to_ndarray().iter().map(|value| value.to_bits()).collect()
                })
                .collect();
            assert!(results.iter().all(|result| *result == results[0]), "({m}, {k}) ({k}, {n})");
        }
    }

    #[test]
    fn one_of_the_choices_is_the_fastest() {
        let Some(backend) = backend() else { return };
        assert!(SINGLE.contains(&fastest(&backend)));
    }
}
