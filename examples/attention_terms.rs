//! An attention layer by itself: what each of the four terms contributes to one query's attention over a tiny image.
//!
//! `cargo run --release --example attention_terms`

use termwise::models::Init;
use termwise::models::layers::TransformerAttention;
use termwise::ops::attention::{TransformerSettings, attention_2d_with_maps};
use termwise::prelude::*;

const HEIGHT: usize = 4;
const WIDTH: usize = 6;

fn main() {
    // The layer: all four terms, 2 heads, offsets embedded in 8 numbers; 8 channels in and out, for images; its parameters
    // drawn with seed 1. Another code, such as "0110", switches terms off.
    let backend = Cpu::<f32>::new();
    let settings = TransformerSettings::paper("1111".parse().expect("a code"), 2, 8);
    let attention = TransformerAttention::new(8, settings.clone(), true, &mut Init::new(backend, 1));
    for (name, parameter) in attention.parameters() {
        println!("{name:14} {:?}", parameter.shape());
    }

    // A picture of noise, (N, C, H, W), and a tape that records nothing: nothing is trained here.
    let image = gradcheck::Samples::new(2).normal(&[1, 8, HEIGHT, WIDTH]);
    let tape = Tape::inference(backend);
    let x = tape.constant(Array::from_f64(&backend, &image));
    let y = attention.forward_2d(&x);
    println!("output         {:?}\n", y.shape());

    // The same computation, which also hands out what it saw: energies of each term and weights, (N, M, Q, K).
    let (_, maps) = attention_2d_with_maps(&x, &attention.projections(&tape), &settings);
    let (head, query) = (0, WIDTH + 2); // row 1, column 2
    println!("head {head}, the query at row 1, column 2; a number for each key:");
    let names = ["E1 query-key", "E2 query-position", "E3 key", "E4 position"];
    for (name, energies) in names.iter().zip(&maps.energies) {
        show(name, energies.as_ref().expect("all terms are on"), head, query);
    }
    show("weights after the softmax of their sum", &maps.weights, head, query);
}

/// Prints one head's row of one query as a map over the keys.
fn show(name: &str, maps: &Array<Cpu<f32>>, head: usize, query: usize) {
    println!("{name}");
    let maps = maps.view();
    for y in 0..HEIGHT {
        let row: Vec<String> =
            (0..WIDTH).map(|x| format!("{:7.3}", maps[[0, head, query, y * WIDTH + x]])).collect();
        println!("  {}", row.join(" "));
    }
}
