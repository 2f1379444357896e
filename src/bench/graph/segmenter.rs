//! The loss of a segmenter: five convolutions, two of them halving the image, attention after the fourth.

use ndarray::Array3;
use termwise_autograd::{Tape, Var};
use termwise_models::Init;
use termwise_models::layers::{BatchNorm2d, Conv2d, Mode, TransformerAttention2d};
use termwise_ops::spatial::{Interpolation, Resize, interpolate};
use termwise_ops::{CrossEntropy, add, cross_entropy, relu};

use super::attention::settings;
use super::{Forward, Inputs, Problem, Single};

/// How many convolutions have stride 2; those after them are residual.
const HALVING: usize = 2;
/// All convolutions.
const BLOCKS: usize = 5;
/// The convolution that attention follows.
const ATTENDED: usize = 3;

struct Segmenter<B: Single> {
    blocks: Vec<(Conv2d<B>, BatchNorm2d<B>)>,
    attention: TransformerAttention2d<B>,
    head: Conv2d<B>,
}

impl<B: Single> Segmenter<B> {
    /// Layers of the shapes that the workload's tensors have, filled with their numbers.
    fn of(inputs: &mut Inputs<B>) -> Result<Self, Problem> {
        let w = inputs.workload;
        let init = &mut Init::new(inputs.backend.clone(), 0); // every number is replaced
        let mut input = w.axes("img", ["N", "C", "H", "W"])?[1];
        let mut blocks = Vec::new();
        for i in 0..BLOCKS {
            let name = format!("c{i}.w");
            let [channels, _, kernel, _] = w.axes(&name, ["O", "C", "3", "3"])?;
            let conv = Conv2d::new([input, channels], kernel, if i < HALVING { 2 } else { 1 }, init);
            let norm = BatchNorm2d::new(channels, init);
            inputs.give(&name, &[channels, input, 3, 3], &conv, "weight")?;
            inputs.give(&format!("c{i}.g"), &[channels], &norm, "weight")?;
            inputs.give(&format!("c{i}.b"), &[channels], &norm, "bias")?;
            blocks.push((conv, norm));
            input = channels;
        }
        let settings = settings(inputs, "ga.", input)?;
        let (terms, columns) = (settings.terms, settings.position_dim / 2);
        let attention = TransformerAttention2d::new(input, settings, init);
        let (square, flat) = ([input, input], [input]);
        let position = [input, columns];
        let parts: [(bool, &str, &[usize], &str); 10] = [
            (terms.uses_query(), "q_w", &square, "query"),
            (terms.uses_key(), "k_w", &square, "key"),
            (true, "v_w", &square, "value"),
            (terms.uses_position(), "px_w", &position, "position_x"),
            (terms.uses_position(), "py_w", &position, "position_y"),
            (terms.key, "u", &flat, "key_bias"),
            (terms.position, "vb", &flat, "position_bias"),
            (true, "o_w", &square, "output"),
            (true, "o_b", &flat, "output_bias"),
            (true, "gamma", &[1], "gamma"),
        ];
        for (_, name, shape, parameter) in parts.into_iter().filter(|(used, ..)| *used) {
            inputs.give(&format!("ga.{name}"), shape, &attention, parameter)?;
        }
        let [classes, _] = w.axes("head_w", ["classes", "C"])?;
        let head = Conv2d::new([input, classes], 1, 1, init).with_bias(init);
        inputs.give("head_w", &[classes, input], &head, "weight")?;
        inputs.give("head_b", &[classes], &head, "bias")?;
        Ok(Segmenter { blocks, attention, head })
    }

    /// Logits (N, classes, H, W) of images (N, C, H, W).
    fn forward(&self, image: &Var<B>) -> Var<B> {
        let mut x = image.clone();
        for (i, (conv, norm)) in self.blocks.iter().enumerate() {
            let z = relu(&norm.forward(&conv.forward(&x), Mode::Train));
            x = if i < HALVING { z } else { add(&x, &z) };
            if i == ATTENDED {
                x = self.attention.forward(&x);
            }
        }
        interpolate(&self.head.forward(&x), Resize::Scale([4.0; 2]), Interpolation::Nearest)
    }
}

/// The mean cross-entropy of labelling every pixel of `img`; fields `heads`, `kv_stride`, `pe_dim`, `type`.
pub fn loss<B: Single>(inputs: &mut Inputs<B>) -> Result<Forward<B>, Problem> {
    let [batch, _, height, width] = inputs.workload.axes("img", ["N", "C", "H", "W"])?;
    if !(height.is_multiple_of(4) && width.is_multiple_of(4)) {
        let found = format!("{height} x {width}");
        return Err(Problem::new("tensors.img.shape", "a height and a width that 4 divides", found));
    }
    let [classes, _] = inputs.workload.axes("head_w", ["classes", "C"])?;
    let classes_field = inputs.workload.count_or("classes", classes)?;
    if classes_field != classes {
        return Err(Problem::new("classes", format!("{classes}, the rows of head_w"), classes_field));
    }
    let image = inputs.get("img")?;
    let segmenter = Segmenter::of(inputs)?;
    let label = |i: usize| ((i * 31 + 7) % classes) as i64;
    let labels = (0..batch * height * width).map(label).collect();
    let labels =
        Array3::from_shape_vec((batch, height, width), labels).expect("a label for each pixel").into_dyn();
    Ok(Box::new(move |tape: &Tape<B>| {
        let logits = segmenter.forward(&image.var(tape));
        cross_entropy(&logits, &labels, None, &CrossEntropy::default())
    }))
}
