//! Gathers the files that the panels of `termwise explore` name, to be shown as they were built in.
//!
//! They are in the folders of the other crates, which a package of this one alone does not hold: then there are none.

use std::path::Path;
use std::{env, fs};

const FILES: [&str; 13] = [
    "models/src/probe/train.rs",
    "models/src/translation/layer.rs",
    "ops/src/attention/definition.rs",
    "ops/src/attention/deformable_conv.rs",
    "ops/src/attention/deformable_conv_cases.rs",
    "ops/src/attention/dynamic_conv_2d.rs",
    "ops/src/attention/dynamic_conv_cases.rs",
    "ops/src/attention/transformer.rs",
    "ops/src/attention/transformer_cases.rs",
    "ops/src/attention/transformer_simple.rs",
    "ops/tests/definition/main.rs",
    "ops/tests/gradients.rs",
    "src/explore/lesson.rs",
];

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let whole = FILES.iter().all(|file| Path::new(&root).join(file).is_file());
    let mut list = String::from("&[\n");
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES.iter().filter(|_| whole) {
        println!("cargo::rerun-if-changed={file}");
        list +=
            &format!("({file:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/\", {file:?}))),\n");
    }
    list += "]\n";
    let out = env::var("OUT_DIR").expect("cargo says where to write");
    fs::write(Path::new(&out).join("sources.rs"), list).expect("cargo made the folder");
}
