use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::spatial::{Interpolation, Resize, Window, interpolate, max_pool2d};
use termwise_ops::{Kernels, add};

use super::{BatchNorm2d, Conv2d, Mode};
use crate::Init;

/// A 1x1 or 3x3 convolution and its normalisation, without a nonlinearity.
struct ConvNorm<B: Kernels> {
    conv: Conv2d<B>,
    norm: BatchNorm2d<B>,
}

impl<B: Kernels> ConvNorm<B> {
    fn new(channels: [usize; 2], kernel: usize, init: &mut Init<B>) -> Self {
        ConvNorm { conv: Conv2d::new(channels, kernel, 1, init), norm: BatchNorm2d::new(channels[1], init) }
    }

    fn forward(&self, x: &Var<B>, mode: Mode) -> Var<B> {
        self.norm.forward(&self.conv.forward(x), mode)
    }
}

impl<B: Kernels> Module<B> for ConvNorm<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("conv", &self.conv);
        parameters.module("norm", &self.norm);
    }
}

/// Feature pyramid: every level of a backbone gets the meaning of the coarser ones.
///
/// ```text
/// P_i = 3x3(M_i),  M_i = 1x1(C_i) + up(M_(i+1));  one more level is every second pixel of the last
/// ```
///
/// Each convolution is followed by batch normalisation, since nothing is pretrained here.
/// Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{Fpn, Mode}};
/// let pyramid = Fpn::new(&[1, 1], 1, &mut Init::new(Cpu::<f64>::new(), 0));
/// for (name, param) in pyramid.parameters() {
///     let values = match param.shape()[..] {
///         [_, _, 3, 3] => vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
///         [_, _, 1, 1] => vec![1.0],
///         _ => continue, // fresh normalisations, which change next to nothing in evaluation
///     };
///     param.set(Array::host(&param.shape(), values));
/// }
/// let tape = Tape::inference(Cpu::new());
/// let fine = tape.constant(Array::host(&[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]));
/// let coarse = tape.constant(Array::host(&[1, 1, 1, 1], vec![10.0]));
/// let levels = pyramid.forward(&[fine, coarse], Mode::Eval);
/// assert_eq!(levels.len(), 3);
/// for (level, expected) in levels.iter().zip([&[11.0, 12.0, 13.0, 14.0][..], &[10.0], &[10.0]]) {
///     assert!(level.value().as_slice().iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-3));
/// }
/// ```
pub struct Fpn<B: Kernels> {
    laterals: Vec<ConvNorm<B>>,
    outputs: Vec<ConvNorm<B>>,
}

impl<B: Kernels> Fpn<B> {
    /// Fresh parameters, for maps with `inputs` channels, from fine to coarse, to `channels` each.
    pub fn new(inputs: &[usize], channels: usize, init: &mut Init<B>) -> Self {
        Fpn {
            laterals: inputs.iter().map(|&input| ConvNorm::new([input, channels], 1, init)).collect(),
            outputs: inputs.iter().map(|_| ConvNorm::new([channels, channels], 3, init)).collect(),
        }
    }

    /// Maps from fine to coarse (N, C_i, H_i, W_i) to as many and one more (N, C, H_i, W_i).
    ///
    /// # Panics
    /// If there are not as many maps as the pyramid was built for.
    #[track_caller]
    pub fn forward(&self, features: &[Var<B>], mode: Mode) -> Vec<Var<B>> {
        assert!(
            features.len() == self.laterals.len(),
            "Fpn: {} maps for {} levels",
            features.len(),
            self.laterals.len()
        );
        let mut levels: Vec<Var<B>> = Vec::new();
        let mut merged: Option<Var<B>> = None;
        for ((x, lateral), output) in features.iter().zip(&self.laterals).zip(&self.outputs).rev() {
            let fine = lateral.forward(x, mode);
            let sum = match &merged {
                Some(coarse) => {
                    let size = [fine.shape()[2], fine.shape()[3]];
                    add(&fine, &interpolate(coarse, Resize::Size(size), Interpolation::Nearest))
                }
                None => fine,
            };
            levels.push(output.forward(&sum, mode));
            merged = Some(sum);
        }
        levels.reverse();
        let coarsest = levels.last().expect("at least one level");
        levels.push(max_pool2d(coarsest, &Window::new(1).stride(2)));
        levels
    }
}

impl<B: Kernels> Module<B> for Fpn<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        for (i, (lateral, output)) in self.laterals.iter().zip(&self.outputs).enumerate() {
            parameters.module(&format!("lateral{i}"), lateral);
            parameters.module(&format!("output{i}"), output);
        }
    }
}
