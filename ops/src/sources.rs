//! The text of files that a reader is shown: those that compute attention, and those that check it.

macro_rules! sources {
    ($($path:literal at $file:literal),* $(,)?) => { &[$(($path, include_str!($file))),*] };
}

/// Path in the repository, and text.
pub const SOURCES: &[(&str, &str)] = sources![
    "ops/src/attention/definition.rs" at "attention/definition.rs",
    "ops/src/attention/deformable_conv.rs" at "attention/deformable_conv.rs",
    "ops/src/attention/deformable_conv_cases.rs" at "attention/deformable_conv_cases.rs",
    "ops/src/attention/dynamic_conv_2d.rs" at "attention/dynamic_conv_2d.rs",
    "ops/src/attention/dynamic_conv_cases.rs" at "attention/dynamic_conv_cases.rs",
    "ops/src/attention/transformer.rs" at "attention/transformer.rs",
    "ops/src/attention/transformer_cases.rs" at "attention/transformer_cases.rs",
    "ops/src/attention/transformer_simple.rs" at "attention/transformer_simple.rs",
    "ops/tests/definition/main.rs" at "../tests/definition/main.rs",
    "ops/tests/gradients.rs" at "../tests/gradients.rs",
];
