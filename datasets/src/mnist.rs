//! MNIST and data sets in its format (Fashion-MNIST, KMNIST): IDX files, plain or gzipped.
//!
//! ```text
//! DIR/train-images-idx3-ubyte   DIR/train-labels-idx1-ubyte     split "train"
//! DIR/t10k-images-idx3-ubyte    DIR/t10k-labels-idx1-ubyte      split "test" (or "t10k")
//! ```
//!
//! Each also with `.gz`, and with a dot for the hyphen before `idx`. An IDX file starts with numbers of four bytes, the
//! first one first: 0x0803 (bytes in three dimensions), images, rows, columns; or 0x0801, labels. Behind them stands one
//! byte for each value and nothing else. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database".
//!
//! ```
//! use ndarray::array;
//! use termwise_datasets::mnist::Mnist;
//!
//! // Two images of 1 x 3 pixels with the labels 9 and 0.
//! let folder = tempfile::tempdir()?;
//! let images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, /* the pixels */ 0, 51, 255, 10, 11, 12];
//! let labels = [0, 0, 8, 1, 0, 0, 0, 2, /* the labels */ 9, 0];
//! std::fs::write(folder.path().join("t10k-images-idx3-ubyte"), images)?;
//! std::fs::write(folder.path().join("t10k-labels-idx1-ubyte"), labels)?;
//!
//! let test = Mnist::open(folder.path(), "test")?;
//! assert_eq!((test.len(), test.labels(), test.images().dim()), (2, &[9, 0][..], (2, 1, 3)));
//! assert_eq!(test.image(0), array![[0.0, 0.2, 1.0]]); // 51 of 255 is a fifth
//! assert_eq!(test.images()[[1, 0, 2]], 12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, Axis};

use crate::error::{DataError, quote};
use crate::files::{expect_folder, read_gzip_or_plain};

/// How many classes the labels have: 0 to 9.
pub const CLASSES: usize = 10;

/// The most bytes that a file may have or unpack to.
const MAX_BYTES: u64 = 1 << 30;

/// The largest side of an image.
const MAX_SIDE: u32 = 4096;

/// Images and labels of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mnist {
    images: Array3<u8>, // (N, H, W)
    labels: Vec<u8>,
}

impl Mnist {
    /// Reads the split `train` or `test` of a folder.
    ///
    /// # Errors
    /// A file that is absent, there both plain and gzipped, damaged, or of another kind or length than its header
    /// says; sizes outside of 1..=4096; a label beyond 9; not as many labels as images, or none.
    pub fn open(root: &Path, split: &str) -> Result<Self, DataError> {
        expect_folder(root, "data folder")?;
        let prefix = match split {
            "train" => "train",
            "test" | "t10k" => "t10k",
            _ => {
                return Err(DataError::Content {
                    path: root.to_owned(),
                    field: "split",
                    expected: "train or test".to_owned(),
                    found: quote(split),
                });
            }
        };
        let images = read_images(&find(root, &format!("{prefix}-images"), "idx3-ubyte")?)?;
        let path = find(root, &format!("{prefix}-labels"), "idx1-ubyte")?;
        let labels = read_labels(&path)?;
        if labels.len() != images.len_of(Axis(0)) {
            let expected = format!("{}, as there are images", images.len_of(Axis(0)));
            return Err(field_error(&path, "number of labels", expected, labels.len().to_string()));
        }
        Ok(Self { images, labels })
    }

    /// How many images; at least one.
    #[expect(clippy::len_without_is_empty, reason = "no image is an error, so it is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Every image, ink 255 on ground 0.
    pub fn images(&self) -> &Array3<u8> {
        &self.images // (N, H, W)
    }

    /// The class of each image, 0 to 9.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// One image in [0, 1].
    ///
    /// # Panics
    /// Where `index` is not below [`len`](Self::len).
    #[track_caller]
    pub fn image(&self, index: usize) -> Array2<f32> {
        let len = self.len();
        assert!(index < len, "mnist: image {index} of {len}");
        self.images.index_axis(Axis(0), index).mapv(|value| f32::from(value) / 255.0) // (H, W)
    }
}

fn field_error(path: &Path, field: &str, expected: String, found: String) -> DataError {
    DataError::Field { path: path.to_owned(), field: field.to_owned(), expected, found }
}

/// The one file of these names that is there.
fn find(root: &Path, start: &str, end: &str) -> Result<PathBuf, DataError> {
    let names = ["-", "."].map(|joint| ["", ".gz"].map(|gz| format!("{start}{joint}{end}{gz}")));
    let there: Vec<PathBuf> =
        names.iter().flatten().map(|name| root.join(name)).filter(|path| path.is_file()).collect();
    match there.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(DataError::Missing {
            path: root.join(&names[0][0]),
            field: "IDX file",
            expected: "this file, or the same with .gz",
            found: "neither",
        }),
        [first, ..] => Err(DataError::Missing {
            path: first.clone(),
            field: "IDX file",
            expected: "one file of these contents",
            found: "several, plain and gzipped or with a dot in the name",
        }),
    }
}

/// The header of a file, checked against what it may be, and the values behind it.
fn read_idx<const N: usize>(path: &Path, magic: u32) -> Result<([u32; N], Vec<u8>), DataError> {
    let mut bytes = read_gzip_or_plain(path, "IDX file", MAX_BYTES)?;
    let header = 4 * (N + 1);
    if bytes.len() < header {
        let found = format!("{} bytes", bytes.len());
        return Err(field_error(path, "header", format!("{header} bytes"), found));
    }
    let number = |place: usize| {
        u32::from_be_bytes([
            bytes[4 * place],
            bytes[4 * place + 1],
            bytes[4 * place + 2],
            bytes[4 * place + 3],
        ])
    };
    if number(0) != magic {
        let expected = format!("0x{magic:08x} (unsigned bytes in {N} dimensions)");
        return Err(field_error(path, "magic number", expected, format!("0x{:08x}", number(0))));
    }
    let dimensions: [u32; N] = std::array::from_fn(|dimension| number(dimension + 1));
    let product = dimensions.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    if dimensions[0] == 0 {
        return Err(field_error(path, "number of items", "at least one".to_owned(), "0".to_owned()));
    }
    let values = (bytes.len() - header) as u64;
    if product != Some(values) {
        let sizes: Vec<String> = dimensions.iter().map(u32::to_string).collect();
        let expected = format!("{} bytes behind the header", sizes.join(" x "));
        return Err(field_error(path, "length", expected, format!("{values} bytes")));
    }
    bytes.drain(..header);
    Ok((dimensions, bytes))
}

fn read_images(path: &Path) -> Result<Array3<u8>, DataError> {
    let ([count, rows, columns], values) = read_idx::<3>(path, 0x0803)?;
    for (name, side) in [("rows", rows), ("columns", columns)] {
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(field_error(path, name, format!("1 to {MAX_SIDE}"), side.to_string()));
        }
    }
    let shape = (count as usize, rows as usize, columns as usize);
    let mismatch = |error: ndarray::ShapeError| {
        field_error(path, "length", format!("{shape:?} values"), error.to_string())
    };
    Array3::from_shape_vec(shape, values).map_err(mismatch)
}

fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    let (_, labels) = read_idx::<1>(path, 0x0801)?;
    match labels.iter().position(|label| usize::from(*label) >= CLASSES) {
        Some(at) => {
            Err(field_error(path, &format!("label {at}"), "0 to 9".to_owned(), labels[at].to_string()))
        }
        None => Ok(labels),
    }
}
