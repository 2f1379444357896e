//! Convolutions: regular, deformable, dynamic.

use termwise_ops::{
    Conv2dOptions, DynamicConvOptions, conv2d, deform_conv2d, dynamic_conv, dynamic_conv_2d_output,
};

use super::{Forward, Inputs, Problem, Single};

const IMAGE: [&str; 4] = ["N", "C", "H", "W"];
const KERNEL: [&str; 4] = ["O", "C / groups", "kh", "kw"];

/// Any 2-D convolution: fields `groups` (1), `pad` (0) and `stride` (1).
pub fn regular<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    w.axes("x", IMAGE)?;
    let [channels, ..] = w.axes("w", KERNEL)?;
    let options = Conv2dOptions::new()
        .padding(w.count_or("pad", 0)?)
        .stride(w.count_or("stride", 1)?)
        .groups(w.count_or("groups", 1)?);
    let (x, weight) = (inputs.get("x")?, inputs.get("w")?);
    let bias = if w.has("b") { Some(inputs.get_shaped("b", &[channels])?) } else { None };
    Ok(Box::new(move |tape| {
        let bias = bias.as_ref().map(|bias| bias.var(tape));
        conv2d(&x.var(tape), &weight.var(tape), bias.as_ref(), options)
    }))
}

/// Deformable convolution: with a tensor `mask` version 2, else version 1; fields `pad` (1), `stride` (1).
pub fn deformable<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    let ([_, channels, ..], [out_channels, per_group, ..]) = (w.axes("x", IMAGE)?, w.axes("w", KERNEL)?);
    w.axes("off", ["N", "2 G kh kw", "H", "W"])?;
    if w.flag_or("mask", w.has("mask"))? {
        w.axes("mask", ["N", "G kh kw", "H", "W"])?;
    }
    let options = Conv2dOptions::new()
        .padding(w.count_or("pad", 1)?)
        .stride(w.count_or("stride", 1)?)
        .groups(channels / per_group.max(1));
    let (x, offset, mask, weight) =
        (inputs.get("x")?, inputs.get("off")?, inputs.get_if_any("mask")?, inputs.get("w")?);
    let bias = inputs.get_shaped("b", &[out_channels])?;
    Ok(Box::new(move |tape| {
        let mask = mask.as_ref().map(|mask| mask.var(tape));
        let bias = bias.var(tape);
        deform_conv2d(&x.var(tape), &offset.var(tape), mask.as_ref(), &weight.var(tape), Some(&bias), options)
    }))
}

/// Dynamic convolution of a sequence (T, B, C): fields `heads` and `K`, centred, the kernel softmaxed.
pub fn dynamic_1d<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    let ([_, _, channels], heads, taps) = (w.axes("x", ["T", "B", "C"])?, w.count("heads")?, w.count("K")?);
    check_divides("heads", heads, channels)?;
    let x = inputs.get("x")?;
    let weight = inputs.get_shaped("w", &[heads * taps, channels])?;
    let options = DynamicConvOptions::new(heads, taps);
    Ok(Box::new(move |tape| dynamic_conv(&x.var(tape), None, &weight.var(tape), None, None, options)))
}

/// Dynamic convolution of images: fields `groups` and `K`, centred, the kernel softmaxed.
pub fn dynamic_2d<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let w = inputs.workload;
    let ([_, channels, ..], groups, taps) = (w.axes("x", IMAGE)?, w.count("groups")?, w.count("K")?);
    check_divides("groups", groups, channels)?;
    if taps.is_multiple_of(2) {
        return Err(Problem::new("K", "an odd size, which keeps that of the image", taps));
    }
    let x = inputs.get("x")?;
    let shape = [groups * taps * taps, channels];
    let weight = inputs.get_as("w", &shape, &[groups, taps * taps, channels])?;
    let options = Conv2dOptions::new().padding(taps / 2);
    Ok(Box::new(move |tape| dynamic_conv_2d_output(&x.var(tape), &weight.var(tape), taps, None, options)))
}

/// Refuses a number of runs that channels cannot be cut into.
pub fn check_divides(field: &str, runs: usize, channels: usize) -> Result<(), Problem> {
    match channels.is_multiple_of(runs) {
        true => Ok(()),
        false => Err(Problem::new(field, format!("a divisor of {channels} channels"), runs)),
    }
}
