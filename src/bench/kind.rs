//! What is computed, and what of it is timed.

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A matrix product.
    Gemm,
    /// Softmax of rows.
    Softmax,
    /// Layer normalisation of rows.
    LayerNorm,
    /// The exact GELU.
    Gelu,
    /// A 2-D convolution, depthwise with as many groups as channels.
    Conv2d,
    /// Generalised attention over an image: any of the sixteen types, with its projections.
    Ga,
    /// Scaled dot-product attention.
    Sdpa,
    /// The four terms of Transformer-XL, causal.
    Txl,
    /// A deformable convolution.
    Dcn,
    /// A dynamic convolution of sequences.
    DynConv1d,
    /// A dynamic convolution of images.
    DynConv2d,
    /// A training step of a translator.
    Transformer,
    /// A training step of a segmenter.
    Segmenter,
}

impl Kind {
    /// Every kind under its name.
    pub const ALL: [(&str, Kind); 13] = [
        ("gemm", Kind::Gemm),
        ("softmax", Kind::Softmax),
        ("layernorm", Kind::LayerNorm),
        ("gelu", Kind::Gelu),
        ("conv2d", Kind::Conv2d),
        ("ga", Kind::Ga),
        ("sdpa", Kind::Sdpa),
        ("txl", Kind::Txl),
        ("dcn", Kind::Dcn),
        ("dynconv1d", Kind::DynConv1d),
        ("dynconv2d", Kind::DynConv2d),
        ("transformer", Kind::Transformer),
        ("segmenter", Kind::Segmenter),
    ];

    /// Whether the output is a loss, so that there is something to train.
    pub fn has_loss(self) -> bool {
        matches!(self, Kind::Transformer | Kind::Segmenter)
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Forward, recording nothing.
    Forward,
    /// Forward and backward.
    ForwardBackward,
    /// A training step: forward, backward, Adam.
    Step,
}

impl Phase {
    /// Every phase under its name.
    pub const ALL: [(&str, Phase); 3] =
        [("fwd", Phase::Forward), ("fwdbwd", Phase::ForwardBackward), ("step", Phase::Step)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Phase::ALL.into_iter().find(|(_, phase)| *phase == self).map_or("", |(name, _)| name)
    }
}

impl std::str::FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(&Phase::ALL, text).ok_or_else(|| format!("expected one of {}", names(&Phase::ALL)))
    }
}

/// The value under a name.
pub fn named<T: Copy>(all: &[(&str, T)], text: &str) -> Option<T> {
    all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

/// All names, for a message.
pub fn names<T>(all: &[(&str, T)]) -> String {
    all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
