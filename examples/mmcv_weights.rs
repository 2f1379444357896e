//! Weights that mmcv's `GeneralizedAttention` saved, loaded by mmcv's names, and its output from them.
//!
//! `cargo run --release --example mmcv_weights`
//!
//! In Python, the file is made by
//! `safetensors.torch.save_file(module.state_dict(), "attention.safetensors")`; of a whole detector the same with the
//! detector's state dict, and the names' common start as the prefix. The files here are golden cases of the tests, which hold
//! mmcv's input and output beside its parameters.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use termwise::models::layers::{MmcvAttention, TransformerAttention2d};
use termwise::prelude::*;

type Failure = Box<dyn std::error::Error>;

/// A case of eight channels, two heads and strides of one: as large as its file is small.
fn mmcv(attention_type: &str, num_heads: usize) -> Result<MmcvAttention, Failure> {
    let terms = attention_type.parse()?;
    Ok(MmcvAttention { num_heads, q_stride: 1, kv_stride: 1, ..MmcvAttention::new(8, terms) })
}

/// A tensor of a file.
fn tensor<T: Scalar>(path: &Path, name: &str) -> Result<Array<Cpu<T>>, Failure> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensor = file.tensor(name)?;
    let number = |bytes: &[u8]| match bytes.try_into() {
        Ok(bytes) => f64::from_le_bytes(bytes),
        Err(_) => f64::from(f32::from_le_bytes(bytes.try_into().expect("four bytes or eight"))),
    };
    let size = tensor.data().len() / tensor.shape().iter().product::<usize>();
    let values = tensor.data().chunks_exact(size).map(|bytes| T::of(number(bytes))).collect();
    Ok(Array::from_vec(&Cpu::new(), tensor.shape(), values))
}

/// The largest difference between our output and mmcv's, from mmcv's weights.
pub fn largest_difference<T: Scalar>(path: &Path, mmcv: &MmcvAttention) -> Result<f64, Failure>
where
    Cpu<T>: Kernels,
{
    let backend = Cpu::<T>::new();
    let attention = TransformerAttention2d::from_mmcv(path, "param.", mmcv, &backend)?;

    let tape = Tape::inference(backend);
    let x = tape.constant(tensor(path, "in.x")?); // (N, C, H, W)
    let y = attention.forward(&x);

    let theirs = tensor::<T>(path, "out.y")?;
    let pairs = y.value().as_slice().iter().zip(theirs.as_slice());
    Ok(pairs.map(|(ours, theirs)| (ours.as_f64() - theirs.as_f64()).abs()).fold(0.0, f64::max))
}

/// A golden case by its name.
pub fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"))
}

fn main() -> Result<(), Failure> {
    let all = largest_difference::<f32>(&case("generalized_attention__055_1111_f32"), &mmcv("1111", 2)?)?;
    println!("1111 in f32, largest difference to mmcv: {all:.1e}");
    let all = largest_difference::<f64>(&case("generalized_attention__042_1111"), &mmcv("1111", 1)?)?;
    println!("1111 in f64, largest difference to mmcv: {all:.1e}");

    // mmcv's own result is wrong where E2 is on and E4 is off: 0100, 0110, 1100 and 1110. There its y-part of the
    // position is that of the query at (x, y) in place of (y, x); on maps that are not square it fails. With a
    // spatial_range, 0010 is wrong too. docs/PUBLIC_IMPLEMENTATIONS.md has the list.
    let literal = case("generalized_attention_mmcv_literal__000_0100");
    let wrong = largest_difference::<f64>(&literal, &mmcv("0100", 2)?)?;
    println!("0100 in f64, as mmcv computes it, which is not the formula: {wrong:.1e}");
    Ok(())
}
