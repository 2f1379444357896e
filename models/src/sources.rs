//! The text of files that a reader is shown.

/// Path in the repository, and text.
pub const SOURCES: &[(&str, &str)] = &[
    ("models/src/probe/train.rs", include_str!("probe/train.rs")),
    ("models/src/translation/layer.rs", include_str!("translation/layer.rs")),
];
