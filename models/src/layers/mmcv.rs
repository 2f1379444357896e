//! mmcv's `GeneralizedAttention` by its own configuration and the names of its parameters.

use std::fs;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use termwise_autograd::{Array, Module};
use termwise_ops::Kernels;
use termwise_ops::attention::{Range, Terms, TransformerSettings};

use super::TransformerAttention2d;
use crate::Init;
use crate::checkpoint::CheckpointError;

/// The arguments of mmcv's `GeneralizedAttention`, under mmcv's names and with its defaults.
///
/// ```
/// use termwise_models::layers::MmcvAttention;
/// let mmcv = MmcvAttention { num_heads: 8, ..MmcvAttention::new(256, "0010".parse().unwrap()) };
/// let settings = mmcv.settings();
/// assert_eq!((settings.num_heads, settings.key_stride, settings.wavelength), (8, 2, 1000.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MmcvAttention {
    /// Channels in and out.
    pub in_channels: usize,
    /// Embedding of an offset; `None`, mmcv's -1, for as many numbers as channels.
    pub position_embedding_dim: Option<usize>,
    /// Factor on an offset before it is embedded.
    pub position_magnitude: f64,
    /// Heads.
    pub num_heads: usize,
    /// Keys and values are every `kv_stride`-th pixel.
    pub kv_stride: usize,
    /// Queries are every `q_stride`-th pixel.
    pub q_stride: usize,
    /// How far a query looks, in mmcv's lopsided window; `None`, mmcv's -1, for everywhere.
    pub spatial_range: Option<usize>,
    /// `attention_type`: the terms.
    pub attention_type: Terms,
}

impl MmcvAttention {
    /// mmcv's defaults: 9 heads, both strides 2, no limit.
    pub fn new(in_channels: usize, attention_type: Terms) -> Self {
        MmcvAttention {
            in_channels,
            position_embedding_dim: None,
            position_magnitude: 1.0,
            num_heads: 9,
            kv_stride: 2,
            q_stride: 2,
            spatial_range: None,
            attention_type,
        }
    }

    /// The same in our terms.
    pub fn settings(&self) -> TransformerSettings {
        let dim = self.position_embedding_dim.unwrap_or(self.in_channels);
        TransformerSettings {
            position_magnitude: self.position_magnitude,
            query_stride: self.q_stride,
            key_stride: self.kv_stride,
            range: self.spatial_range.map(Range::Mmcv),
            ..TransformerSettings::mmcv(self.attention_type, self.num_heads, dim)
        }
    }
}

/// Our name of a parameter and mmcv's.
const NAMES: [(&str, &str); 10] = [
    ("query", "query_conv.weight"),
    ("key", "key_conv.weight"),
    ("value", "value_conv.weight"),
    ("position_x", "appr_geom_fc_x.weight"),
    ("position_y", "appr_geom_fc_y.weight"),
    ("key_bias", "appr_bias"),
    ("position_bias", "geom_bias"),
    ("output", "proj_conv.weight"),
    ("output_bias", "proj_conv.bias"),
    ("gamma", "gamma"),
];

impl<B: Kernels> TransformerAttention2d<B> {
    /// The module that mmcv saved: its state dict as a safetensors file of `F32` or `F64`.
    ///
    /// `prefix` is what the names of its parameters start with in a larger model, such as
    /// `backbone.layer3.0.gen_attention_block.`; tensors with other names are not looked at.
    ///
    /// The module computes the formula, as mmcv does but for two of its mistakes: where E2 is on and E4 is off
    /// (`0100`, `0110`, `1100`, `1110`), mmcv's y-part belongs to another query, and with a `spatial_range`
    /// `0010` has the window of query (0, 0) for all. Weights that were trained with these mistakes give other
    /// outputs here.
    ///
    /// # Errors
    /// If the file cannot be read, or a tensor under `prefix` is missing, has another number of elements or another
    /// type, or belongs to no parameter; the error names it.
    ///
    /// # Panics
    /// If `mmcv` describes no module: no heads, more heads than channels.
    ///
    /// # Examples
    /// ```
    /// use termwise_autograd::{Array, Cpu, Module, Param, Parameters, Tape};
    /// use termwise_models::checkpoint::save;
    /// use termwise_models::layers::{MmcvAttention, TransformerAttention2d};
    /// /// What a state dict is: numbers under names.
    /// struct StateDict([(&'static str, Param<Cpu<f32>>); 4]);
    /// impl Module<Cpu<f32>> for StateDict {
    ///     fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
    ///         self.0.iter().for_each(|(name, param)| parameters.param(name, param));
    ///     }
    /// }
    /// let number = |shape: &[usize], value: f32| Param::new(Array::host(shape, vec![value]));
    /// let saved = StateDict([
    ///     ("block.value_conv.weight", number(&[1, 1, 1, 1], 2.0)),
    ///     ("block.proj_conv.weight", number(&[1, 1, 1, 1], 1.0)),
    ///     ("block.proj_conv.bias", number(&[1], 1.0)),
    ///     ("block.gamma", number(&[1], 10.0)),
    /// ]);
    /// let path = std::env::temp_dir().join(format!("termwise-mmcv-{}.safetensors", std::process::id()));
    /// save(&path, &"mmcv", &saved)?;
    /// let mmcv = MmcvAttention::new(1, "0000".parse().unwrap());
    /// let mmcv = MmcvAttention { num_heads: 1, kv_stride: 1, q_stride: 1, ..mmcv };
    /// let module = TransformerAttention2d::from_mmcv(&path, "block.", &mmcv, &Cpu::<f32>::new())?;
    /// let x = Tape::inference(Cpu::new()).constant(Array::host(&[1, 1, 1, 2], vec![1.0, 3.0]));
    /// // The mean 2, times 2, plus 1, times gamma: 50 is added.
    /// assert_eq!(module.forward(&x).value().as_slice(), [51.0, 53.0]);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), termwise_models::checkpoint::CheckpointError>(())
    /// ```
    #[track_caller]
    pub fn from_mmcv(
        path: &Path,
        prefix: &str,
        mmcv: &MmcvAttention,
        backend: &B,
    ) -> Result<Self, CheckpointError> {
        let (channels, heads) = (mmcv.in_channels, mmcv.num_heads);
        assert!(0 < heads && heads <= channels, "from_mmcv: {heads} heads for {channels} channels");
        let bytes = fs::read(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            action: "cannot read",
            source,
        })?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| CheckpointError::field(path, "header", "a whole safetensors file", e))?;
        // The initial values are all replaced.
        let module = Self::new(channels, mmcv.settings(), &mut Init::new(backend.clone(), 0));
        let mut known = Vec::new();
        for (ours, param) in module.parameters() {
            let theirs = NAMES.iter().find(|(name, _)| *name == ours).map(|(_, theirs)| *theirs);
            let name = format!("{prefix}{}", theirs.expect("every parameter has a name in mmcv"));
            // A 1x1 convolution is a matrix, a bias of all heads one row per head: the same numbers in order.
            let (shape, count) = (param.shape(), param.value().len());
            let expected = format!("F32 or F64, {count} elements for {shape:?}");
            let found = match tensors.tensor(&name) {
                Err(_) => Err("no such tensor".to_owned()),
                Ok(tensor) => numbers(&tensor)
                    .filter(|numbers| numbers.len() == count)
                    .ok_or_else(|| format!("{:?} {:?}", tensor.dtype(), tensor.shape())),
            };
            let values = found.map_err(|found| CheckpointError::field(path, &name, expected, found))?;
            let values = ArrayD::from_shape_vec(IxDyn(&shape), values).expect("counted");
            param.set(Array::from_f64(backend, &values));
            known.push(name);
        }
        let stranger = |name: &&str| name.starts_with(prefix) && !known.iter().any(|known| known == name);
        let mut names = tensors.names();
        names.sort_unstable();
        match names.into_iter().find(stranger) {
            Some(name) => {
                let terms = mmcv.attention_type;
                Err(CheckpointError::field(path, name, format!("no such tensor in a module {terms}"), "one"))
            }
            None => Ok(module),
        }
    }
}

/// The elements of a tensor; `None` for other types.
fn numbers(tensor: &TensorView) -> Option<Vec<f64>> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => {
            let (values, _) = data.as_chunks::<4>();
            Some(values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect())
        }
        Dtype::F64 => Some(data.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()),
        _ => None,
    }
}
