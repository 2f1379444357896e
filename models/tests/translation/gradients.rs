use termwise_autograd::{Cpu, Module, Tape};
use termwise_datasets::translation::{TokenPair, TranslationBatch};
use termwise_models::layers::Dropout;
use termwise_models::translation::{CrossTerms, TranslatorConfig};

use super::{codes, sequences, tiny, translator};

/// Every element of the norm of every gradient, by name.
fn check(config: TranslatorConfig) {
    let name = format!("{} cross {}", config.attention, config.cross);
    let model = translator(config);
    let (sources, targets) = (sequences(&[6, 3, 5], 1), sequences(&[4, 6, 2], 2));
    let pairs: Vec<TokenPair> =
        sources.into_iter().zip(targets).map(|(source, target)| TokenPair { source, target }).collect();
    let tape = Tape::new(Cpu::new()).checked();
    let (loss, _) = model.loss(&tape, &TranslationBatch::stack(&pairs), 0.1, &Dropout::new(0.1, 3));
    let gradients = tape.backward(&loss);
    for (parameter, param) in model.parameters() {
        let gradient =
            gradients.param(param).unwrap_or_else(|| panic!("{name}: {parameter} has no gradient"));
        let largest = gradient.as_slice().iter().fold(0.0, |largest: f64, g| largest.max(g.abs()));
        assert!(largest > 1e-9, "{name}: the gradient of {parameter} is at most {largest}");
    }
}

#[test]
fn they_reach_every_parameter() {
    codes().iter().for_each(|code| check(tiny(code)));
    for cross in CrossTerms::all() {
        check(TranslatorConfig { cross, ..tiny("0110") });
    }
    check(TranslatorConfig { limit_range: true, ..tiny("0100") });
}
