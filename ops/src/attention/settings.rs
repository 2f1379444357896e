//! Where public implementations of Transformer attention differ, as explicit settings with presets.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayD, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::{Lattice, Range, RelativeIndex, Terms, sinusoidal_embedding};

/// The factor on the sum of the four energies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 1: the energies as they are (the paper's equation, mmcv).
    One,
    /// `1 / sqrt(d)`, d the channels per head (Vaswani et al.).
    InverseSqrtHeadDim,
    /// Any other factor.
    Factor(f64),
}

impl Scale {
    /// The number, for heads of `head_dim` channels.
    ///
    /// ```
    /// use termwise_ops::attention::Scale;
    /// assert_eq!(Scale::InverseSqrtHeadDim.value(16), 0.25);
    /// assert_eq!((Scale::One.value(16), Scale::Factor(3.0).value(16)), (1.0, 3.0));
    /// ```
    pub fn value(self, head_dim: usize) -> f64 {
        match self {
            Scale::One => 1.0,
            Scale::InverseSqrtHeadDim => 1.0 / (head_dim as f64).sqrt(),
            Scale::Factor(factor) => factor,
        }
    }
}

/// Which way an offset counts before it is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetSign {
    /// `k - q`, as in the paper.
    KeyMinusQuery,
    /// `q - k`, as in mmcv and Transformer-XL.
    QueryMinusKey,
}

/// How a 2-D offset becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// An x-part plus a y-part, each with a projection of its own and multiplied by the factor
    /// (mmcv: `1 / sqrt(2)`). Two small tables: energies cost `N (W + H) C`.
    Separable(f64),
    /// One table over all pairs `(dy, dx)`, embedded as `[x-embedding | y-embedding]`, one projection.
    Joint,
}

/// Everything that defines a Transformer attention besides its learned numbers.
///
/// ```
/// use termwise_ops::attention::{OffsetSign, TransformerSettings};
/// let settings = TransformerSettings::mmcv("0110".parse().unwrap(), 8, 64);
/// assert_eq!(settings.offset_sign, OffsetSign::QueryMinusKey);
/// assert_eq!(settings.wavelength, 1000.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerSettings {
    /// Which of E1 .. E4 are on.
    pub terms: Terms,
    /// M.
    pub num_heads: usize,
    /// Factor on the energies.
    pub scale: Scale,
    /// Direction of offsets.
    pub offset_sign: OffsetSign,
    /// Base of the embedding's wavelengths.
    pub wavelength: f64,
    /// How 2-D offsets are embedded. Not used on sequences.
    pub position: Position,
    /// D, the dimension of the embedding of an offset: even on sequences, a multiple of 4 on images
    /// (half for x, half for y).
    pub position_dim: usize,
    /// Factor on an offset before it is embedded.
    pub position_magnitude: f64,
    /// Queries are every `query_stride`-th pixel; the output is resized back bilinearly.
    pub query_stride: usize,
    /// Keys and values are every `key_stride`-th pixel.
    pub key_stride: usize,
    /// How far a query looks.
    pub range: Option<Range>,
    /// A query sees no key after itself.
    pub causal: bool,
}

impl TransformerSettings {
    /// The paper's equations: scale 1, offsets key minus query, a separable position as a plain sum,
    /// keys and queries everywhere. The paper states no wavelength; this is the usual 10000.
    pub fn paper(terms: Terms, num_heads: usize, position_dim: usize) -> Self {
        TransformerSettings {
            terms,
            num_heads,
            scale: Scale::One,
            offset_sign: OffsetSign::KeyMinusQuery,
            wavelength: 10_000.0,
            position: Position::Separable(1.0),
            position_dim,
            position_magnitude: 1.0,
            query_stride: 1,
            key_stride: 1,
            range: None,
            causal: false,
        }
    }

    /// mmcv's `GeneralizedAttention` (its defaults but for the strides, which are 1 here): scale 1,
    /// offsets query minus key, wavelength 1000, x- and y-part each over `sqrt(2)`.
    pub fn mmcv(terms: Terms, num_heads: usize, position_dim: usize) -> Self {
        TransformerSettings {
            offset_sign: OffsetSign::QueryMinusKey,
            wavelength: 1000.0,
            position: Position::Separable(1.0 / f64::sqrt(2.0)),
            ..Self::paper(terms, num_heads, position_dim)
        }
    }

    /// Transformer-XL: scale `1 / sqrt(d)`, offsets query minus key, wavelength 10000, causal.
    pub fn transformer_xl(terms: Terms, num_heads: usize, position_dim: usize) -> Self {
        TransformerSettings {
            scale: Scale::InverseSqrtHeadDim,
            offset_sign: OffsetSign::QueryMinusKey,
            causal: true,
            ..Self::paper(terms, num_heads, position_dim)
        }
    }

    /// Number of position projections `V^R`, and the columns of each: two of `D / 2` for a separable
    /// position on an image, else one of `D`.
    ///
    /// ```
    /// use termwise_ops::attention::{Position, TransformerSettings};
    /// let settings = TransformerSettings::paper("0001".parse().unwrap(), 2, 8);
    /// assert_eq!((settings.position_projections(true), settings.position_projections(false)), ((2, 4), (1, 8)));
    /// let joint = TransformerSettings { position: Position::Joint, ..settings };
    /// assert_eq!(joint.position_projections(true), (1, 8));
    /// ```
    pub fn position_projections(&self, image: bool) -> (usize, usize) {
        match self.position {
            Position::Separable(_) if image => (2, self.position_dim / 2),
            _ => (1, self.position_dim),
        }
    }

    /// Embedded offsets of each position table and the index that reads it: on an image x, then y, or
    /// the joint one; on a sequence the only one. (rows, columns of the projection)
    ///
    /// # Panics
    /// If the embedding dimension does not divide as the position needs.
    ///
    /// # Examples
    /// ```
    /// use termwise_ops::attention::{Lattice, OffsetSign, TransformerSettings};
    /// let settings = TransformerSettings::paper("0001".parse().unwrap(), 1, 2);
    /// let lattice = Lattice::Sequence { queries: 2, keys: 2 };
    /// let (sin, cos) = 1f64.sin_cos();
    /// // Sine and cosine of the offsets -1, 0, 1.
    /// let (embedding, _) = &settings.position_embeddings(&lattice)[0];
    /// assert_eq!(embedding, &ndarray::arr2(&[[-sin, cos], [0.0, 1.0], [sin, cos]]).into_dyn());
    /// let reversed = TransformerSettings { offset_sign: OffsetSign::QueryMinusKey, ..settings };
    /// let (embedding, _) = &reversed.position_embeddings(&lattice)[0];
    /// assert_eq!(embedding, &ndarray::arr2(&[[sin, cos], [0.0, 1.0], [-sin, cos]]).into_dyn());
    /// ```
    #[track_caller]
    pub fn position_embeddings(&self, lattice: &Lattice) -> Vec<(ArrayD<f64>, RelativeIndex)> {
        let embed = |index: &RelativeIndex, dim: usize| {
            let sign = if self.offset_sign == OffsetSign::KeyMinusQuery { 1.0 } else { -1.0 };
            let offsets: Vec<f64> =
                index.offsets().map(|o| sign * o as f64 * self.position_magnitude).collect();
            sinusoidal_embedding(&offsets, dim, self.wavelength)
        };
        let Lattice::Image { .. } = lattice else {
            let index = lattice.x_index();
            return vec![(embed(&index, self.position_dim), index)];
        };
        let half = self.position_dim / 2;
        assert!(
            self.position_dim.is_multiple_of(4),
            "position_embeddings: on an image the dimension must be a multiple of 4, it is {}",
            self.position_dim
        );
        let (x, y) = (lattice.x_index(), lattice.y_index());
        let (embedded_x, embedded_y) = (embed(&x, half), embed(&y, half));
        match self.position {
            Position::Separable(factor) => vec![(embedded_x * factor, x), (embedded_y * factor, y)],
            Position::Joint => {
                let repeat = |array: &ArrayD<f64>, row: &dyn Fn(usize) -> usize| {
                    Array2::from_shape_fn((y.rows * x.rows, half), |(i, j)| array[[row(i), j]])
                };
                let parts = [repeat(&embedded_x, &|i| i % x.rows), repeat(&embedded_y, &|i| i / x.rows)];
                let joint = concatenate(Axis(1), &[parts[0].view(), parts[1].view()]).expect("equal rows");
                vec![(joint.into_dyn(), lattice.joint_index())]
            }
        }
    }
}

/// The presets by name.
///
/// ```
/// use termwise_ops::attention::{Preset, Scale};
/// let preset: Preset = "transformer_xl".parse().unwrap();
/// let settings = preset.settings("1111".parse().unwrap(), 8, 64);
/// assert!(settings.causal && settings.scale == Scale::InverseSqrtHeadDim);
/// assert_eq!(Preset::Mmcv.to_string(), "mmcv");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// [`TransformerSettings::paper`].
    Paper,
    /// [`TransformerSettings::mmcv`].
    Mmcv,
    /// [`TransformerSettings::transformer_xl`].
    TransformerXl,
}

impl Preset {
    /// The preset's settings.
    pub fn settings(self, terms: Terms, num_heads: usize, position_dim: usize) -> TransformerSettings {
        match self {
            Preset::Paper => TransformerSettings::paper(terms, num_heads, position_dim),
            Preset::Mmcv => TransformerSettings::mmcv(terms, num_heads, position_dim),
            Preset::TransformerXl => TransformerSettings::transformer_xl(terms, num_heads, position_dim),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Preset::Paper => "paper",
            Preset::Mmcv => "mmcv",
            Preset::TransformerXl => "transformer_xl",
        })
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Preset::Paper, Preset::Mmcv, Preset::TransformerXl]
            .into_iter()
            .find(|preset| preset.to_string() == text)
            .ok_or_else(|| format!("unknown preset '{text}': expected paper, mmcv or transformer_xl"))
    }
}
