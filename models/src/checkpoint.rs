//! Checkpoints: the parameters of a module as a safetensors file that PyTorch and NumPy open too.
//!
//! The file's metadata holds one entry, `termwise`: a JSON object with `format`, and `architecture`, which
//! says how to build the module again, so that a checkpoint can be loaded without being told what it is.
//! The same module gives the same bytes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use termwise_autograd::{Array, Backend, Module, Param, Scalar};
use termwise_datasets::{DataError, write_atomically};

/// What `format` says.
const FORMAT: &str = "termwise-1";
/// The one entry of the metadata. Several would be written in no fixed order, and the same model would
/// give other bytes each time.
const METADATA: &str = "termwise";

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file or its folder cannot be read or written.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is not a safetensors file of this program.
    #[error("{}: field {field}: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field or tensor.
        field: String,
        /// What was expected there.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl CheckpointError {
    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        CheckpointError::Field { path: path.to_owned(), field: field.into(), expected, found }
    }
}

/// What a checkpoint of a training holds besides the model.
pub struct Extra<B: Backend> {
    /// An entry of the metadata.
    pub entry: Value,
    /// Tensors under names that start with [`TRAINING`].
    pub tensors: Named<B>,
}

/// Tensors by their names.
pub type Named<B> = Vec<(String, Array<B>)>;

/// What the names of tensors start with that do not belong to the model.
pub const TRAINING: &str = "training/";

/// Writes all parameters and buffers of `module` as `f32`, with `architecture` in the metadata.
///
/// The file appears whole or not at all: it is written under a temporary name, synced and renamed.
///
/// # Errors
/// If the file cannot be written.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Module};
/// use termwise_models::checkpoint::{Checkpoint, save};
/// use termwise_models::{Init, layers::Linear};
/// let layer = |seed| Linear::new(2, 3, true, &mut Init::new(Cpu::<f32>::new(), seed));
/// let (saved, loaded) = (layer(1), layer(2));
/// let path = std::env::temp_dir().join(format!("termwise-doc-{}.safetensors", std::process::id()));
/// save(&path, &"linear 2 3", &saved)?;
/// let checkpoint = Checkpoint::read(&path)?;
/// assert_eq!(checkpoint.architecture::<String>()?, "linear 2 3");
/// checkpoint.load(&loaded)?;
/// assert_eq!(loaded.parameters()[0].1.value().as_slice(), saved.parameters()[0].1.value().as_slice());
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), termwise_models::checkpoint::CheckpointError>(())
/// ```
pub fn save<B: Backend>(
    path: &Path,
    architecture: &impl Serialize,
    module: &dyn Module<B>,
) -> Result<(), CheckpointError> {
    save_with(path, architecture, module, &Extra { entry: Value::Null, tensors: Vec::new() })
}

/// [`save`], with what is needed to go on with a training.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If the name of an extra tensor does not start with [`TRAINING`].
///
/// # Examples
/// ```
/// use serde_json::json;
/// use termwise_autograd::{Array, Cpu};
/// use termwise_models::checkpoint::{Checkpoint, Extra, save_with};
/// use termwise_models::{Init, layers::Linear};
/// let layer = Linear::new(2, 3, true, &mut Init::new(Cpu::<f32>::new(), 0));
/// let tensors = vec![("training/moment".to_owned(), Array::host(&[2], vec![0.5, 0.25]))];
/// let path = std::env::temp_dir().join(format!("termwise-extra-{}.safetensors", std::process::id()));
/// save_with(&path, &"linear 2 3", &layer, &Extra { entry: json!({ "step": 7 }), tensors })?;
/// let checkpoint = Checkpoint::read(&path)?;
/// assert!(checkpoint.holds_training());
/// assert_eq!(checkpoint.training::<serde_json::Value>()?["step"], 7);
/// let extra = checkpoint.extra(&Cpu::<f32>::new(), "training/")?;
/// assert_eq!((extra[0].0.as_str(), extra[0].1.as_slice()), ("moment", [0.5, 0.25].as_slice()));
/// checkpoint.load(&layer)?; // what a training needs is no part of the model
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), termwise_models::checkpoint::CheckpointError>(())
/// ```
pub fn save_with<B: Backend>(
    path: &Path,
    architecture: &impl Serialize,
    module: &dyn Module<B>,
    extra: &Extra<B>,
) -> Result<(), CheckpointError> {
    let bytes_of = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, param) in module.parameters() {
        let values = param.value().to_ndarray();
        let bytes = bytes_of(&mut values.iter().map(|v| v.as_f64() as f32));
        tensors.push((name, values.shape().to_vec(), bytes));
    }
    for (name, array) in &extra.tensors {
        assert!(
            name.starts_with(TRAINING),
            "checkpoint: an extra tensor is called {name}, expected {TRAINING}.."
        );
        let values = array.to_ndarray();
        let bytes = bytes_of(&mut values.iter().map(|v| v.as_f64() as f32));
        tensors.push((name.clone(), array.shape().to_vec(), bytes));
    }
    let views: Vec<(&str, TensorView)> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes an element");
            (name.as_str(), view)
        })
        .collect();
    let mut header = serde_json::json!({ "format": FORMAT, "architecture": architecture });
    if !extra.entry.is_null() {
        header["training"] = extra.entry.clone();
    }
    let metadata = HashMap::from([(METADATA.to_owned(), header.to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).expect("names are unique and views are whole");
    write_atomically(path, &bytes).map_err(|error| {
        let source = match error {
            DataError::Unwritable { source, .. } => source,
            other => std::io::Error::other(other),
        };
        CheckpointError::Io { path: path.to_owned(), action: "cannot write", source }
    })
}

/// A checkpoint read into memory; [`save`] and [`save_with`] have examples.
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    architecture: String,
    training: Value,
}

impl Checkpoint {
    /// Reads a file and checks that it is a whole checkpoint of this program.
    ///
    /// # Errors
    /// If it cannot be read, is truncated, or is a safetensors file from elsewhere.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            action: "cannot read",
            source,
        })?;
        Self::of_bytes(path, bytes)
    }

    /// The checkpoint that a file of these bytes would be; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .and_then(|header| SafeTensors::deserialize(&bytes).map(|_| header))
            .map_err(|e| CheckpointError::field(path, "header", "a whole safetensors file", e))?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA));
        let header: Value = header.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match header["format"].as_str() {
            Some(FORMAT) => {}
            found => return Err(CheckpointError::field(path, "format", FORMAT, found.unwrap_or("nothing"))),
        }
        let architecture = header["architecture"].to_string();
        Ok(Checkpoint { path: path.to_owned(), bytes, architecture, training: header["training"].clone() })
    }

    /// How many bytes it has: no fewer than four for each parameter.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds what is needed to go on with a training.
    pub fn holds_training(&self) -> bool {
        !self.training.is_null()
    }

    /// The entry of the training it was written by.
    ///
    /// # Errors
    /// If it holds none, or one of another kind.
    pub fn training<S: DeserializeOwned>(&self) -> Result<S, CheckpointError> {
        if self.training.is_null() {
            return Err(self.fault("training", "the state of a training", "a model alone"));
        }
        S::deserialize(&self.training)
            .map_err(|error| self.fault("training", "the state of such a training", error))
    }

    /// The tensors whose names start with `prefix`, without it, in the order of their names.
    ///
    /// # Errors
    /// If one of them is of another type than `F32`.
    pub fn extra<B: Backend>(&self, backend: &B, prefix: &str) -> Result<Named<B>, CheckpointError> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("checked when it was read");
        let mut extra = Vec::new();
        for (name, tensor) in tensors.iter() {
            let Some(name) = name.strip_prefix(prefix) else { continue };
            if tensor.dtype() != Dtype::F32 {
                return Err(self.fault(name, "F32", format!("{:?}", tensor.dtype())));
            }
            let values = numbers(&tensor).map(|v| B::Scalar::of(f64::from(v))).collect();
            extra.push((name.to_owned(), Array::from_vec(backend, tensor.shape(), values)));
        }
        extra.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(extra)
    }

    /// An error about a field of this file.
    pub fn fault(&self, field: &str, expected: impl ToString, found: impl ToString) -> CheckpointError {
        CheckpointError::field(&self.path, field, expected, found)
    }

    /// How to build the module.
    ///
    /// # Errors
    /// If the architecture is of another kind of model.
    pub fn architecture<A: DeserializeOwned>(&self) -> Result<A, CheckpointError> {
        serde_json::from_str(&self.architecture).map_err(|e| {
            CheckpointError::field(
                &self.path,
                "architecture",
                format!("what {} reads ({e})", kind::<A>()),
                &self.architecture,
            )
        })
    }

    /// Fills the parameters of `module`; every one of them must be there in its shape, and nothing else.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, has another shape or type, or belongs to no parameter;
    /// the module is then unchanged.
    pub fn load<B: Backend>(&self, module: &dyn Module<B>) -> Result<(), CheckpointError> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("checked when it was read");
        let parameters = module.parameters();
        let mut values = Vec::with_capacity(parameters.len());
        for (name, param) in &parameters {
            values.push(self.tensor(&tensors, name, param)?);
        }
        if let Some(name) = tensors
            .names()
            .into_iter()
            .find(|name| !name.starts_with(TRAINING) && parameters.iter().all(|(own, _)| own != name))
        {
            return Err(CheckpointError::field(
                &self.path,
                name,
                "no such tensor in this architecture",
                "one",
            ));
        }
        for ((_, param), value) in parameters.iter().zip(values) {
            param.set(value);
        }
        Ok(())
    }

    fn tensor<B: Backend>(
        &self,
        tensors: &SafeTensors,
        name: &str,
        param: &Param<B>,
    ) -> Result<Array<B>, CheckpointError> {
        let shape = param.shape();
        let expected = format!("F32 {shape:?}");
        let tensor = tensors
            .tensor(name)
            .map_err(|_| CheckpointError::field(&self.path, name, &expected, "no such tensor"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(CheckpointError::field(&self.path, name, expected, found));
        }
        let values = numbers(&tensor).map(|v| B::Scalar::of(f64::from(v))).collect();
        Ok(Array::from_vec(param.value().backend(), &shape, values))
    }
}

fn numbers(tensor: &TensorView) -> impl Iterator<Item = f32> {
    tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn kind<A>() -> &'static str {
    std::any::type_name::<A>().rsplit("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Parameters};

    use super::*;
    use crate::Init;

    struct Pair(Param<Cpu<f32>>, Param<Cpu<f32>>);

    impl Module<Cpu<f32>> for Pair {
        fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
            parameters.param("first", &self.0);
            parameters.param("second", &self.1);
        }
    }

    fn pair(seed: u64, shape: &[usize]) -> Pair {
        let mut init = Init::new(Cpu::new(), seed);
        Pair(init.normal(shape, 1.0), init.buffer(&[2], seed as f64))
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let (saved, loaded) = (pair(1, &[2, 3]), pair(2, &[2, 3]));
        save(&path, &"pair", &saved).unwrap();
        let checkpoint = Checkpoint::read(&path).unwrap();
        assert_eq!(checkpoint.architecture::<String>().unwrap(), "pair");
        checkpoint.load(&loaded).unwrap();
        assert_eq!(loaded.0.value().as_slice(), saved.0.value().as_slice());
        assert_eq!(loaded.1.value().as_slice(), [1.0, 1.0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn the_same_module_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let bytes = || {
            save(&path, &["pair", "of", "parameters"], &pair(1, &[2, 3])).unwrap();
            fs::read(&path).unwrap()
        };
        let first = bytes();
        assert!((0..20).all(|_| bytes() == first));
    }

    #[test]
    fn another_architecture_a_truncated_file_and_a_stranger_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        save(&path, &"pair", &pair(1, &[2, 3])).unwrap();
        let other = pair(2, &[3, 2]);
        let before = other.0.value();
        let error = Checkpoint::read(&path).unwrap().load(&other).unwrap_err().to_string();
        assert!(error.ends_with("field first: expected F32 [3, 2], found F32 [2, 3]"), "{error}");
        assert_eq!(other.0.value().as_slice(), before.as_slice());

        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = Checkpoint::read(&path).err().unwrap().to_string();
        assert!(error.contains("expected a whole safetensors file"), "{error}");

        fs::write(&path, safetensors::serialize(Vec::<(&str, TensorView)>::new(), None).unwrap()).unwrap();
        let error = Checkpoint::read(&path).err().unwrap().to_string();
        assert!(error.ends_with("field format: expected termwise-1, found nothing"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_one_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent").join("a.safetensors");
        let error = save(&path, &"pair", &pair(1, &[1])).unwrap_err().to_string();
        assert!(error.contains("absent/a.safetensors: cannot write"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
