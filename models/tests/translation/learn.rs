use termwise_autograd::{Cpu, Module, Tape};
use termwise_datasets::translation::{TokenBatches, TranslationBatch};
use termwise_models::Init;
use termwise_models::layers::Dropout;
use termwise_models::translation::{SearchOptions, Translator, TranslatorConfig, translate_tokens};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};

use super::copies;

/// Trains a small translator to repeat distinct tokens in their order; the share of new sentences that it repeats
/// without a mistake.
fn repeats(code: &str, steps: usize) -> f64 {
    let config = TranslatorConfig {
        channels: 32,
        num_heads: 2,
        feed_forward: 64,
        encoder_layers: 1,
        decoder_layers: 1,
        kernel_sizes: vec![3],
        ..TranslatorConfig::new(code.parse().unwrap(), 20)
    };
    let model = Translator::<Cpu<f32>>::new(config, &mut Init::new(Cpu::new(), 0));
    let mut pairs = copies(2100, 6, 16);
    let unseen = pairs.split_off(2000);
    let batches = TokenBatches::new(&pairs, 400, 0);
    let order: Vec<Vec<usize>> = (0..).flat_map(|epoch| batches.epoch(epoch)).take(steps).collect();
    let mut adam = Adam::new(AdamConfig::adam());
    for (step, indices) in order.iter().enumerate() {
        let batch = TranslationBatch::stack(indices.iter().map(|&index| &pairs[index]));
        let tape = Tape::new(Cpu::new());
        let (loss, _) = model.loss(&tape, &batch, 0.0, &Dropout::off());
        let gradients = tape.backward(&loss);
        let parameters = model.parameters();
        let rate = 5e-3 * (1.0 - step as f64 / steps as f64);
        adam.step(&parameters, &clip_grad_norm(&parameters, &gradients, 1.0), rate);
    }
    let sources: Vec<Vec<u32>> = unseen.iter().map(|pair| pair.source.clone()).collect();
    let found = translate_tokens(&model, &sources, &SearchOptions { beam: 2, ..SearchOptions::default() });
    let right = found.iter().zip(&unseen).filter(|(found, pair)| **found == pair.target).count();
    right as f64 / unseen.len() as f64
}

#[test]
fn order_is_learned_by_what_can_see_it_and_by_nothing_else() {
    for code in ["1111", "0110", "dynamic", "deformable"] {
        let share = repeats(code, 1200);
        // Those that cannot repeat less than half; what is missing here depends on rounding.
        assert!(share > 0.85, "{code} repeats {share} of the sentences");
    }
    // Without a position a sentence is a bag of words.
    for code in ["w/o", "1010"] {
        let share = repeats(code, 1200);
        assert!(share < 0.5, "{code} repeats {share} of the sentences");
    }
}
