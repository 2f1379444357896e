//! What the mechanisms cost as the map grows.

use termwise::models::layers::{Extent, attention_flops};

use super::draw::{Align, Drawing, neutral, term};
use super::theme::{GRID, INK, MUTED, Rgb, SERIES};

const SIDES: [usize; 5] = [8, 16, 32, 64, 128];
const LEFT: f64 = 70.0;
const RIGHT: f64 = 470.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 330.0;

/// Multiply-adds over the side of a square map, both logarithmic.
pub fn multiply_adds() -> String {
    let mut drawing = Drawing::new(600.0, 380.0);
    let codes: [(&str, Rgb); 6] = [
        ("1000", term(0)),
        ("0100", term(1)),
        ("0010", term(2)),
        ("0001", term(3)),
        ("dynamic", SERIES[4].light),
        ("deformable", neutral()),
    ];
    let x = |side: usize| LEFT + (RIGHT - LEFT) * (side as f64 / 8.0).log2() / 4.0;
    let y = |count: f64| BOTTOM - (BOTTOM - TOP) * (count.log10() - 6.0) / 6.0;
    drawing.heading([LEFT, 25.0], "multiply-adds of one module, 256 channels, 8 heads, 3x3 kernels");
    for power in 6..=12 {
        let at = y(10_f64.powi(power));
        drawing.line([LEFT, at], [RIGHT, at], 1.0, GRID.light);
        drawing.text([LEFT - 26.0, at + 4.0], 11.0, Align::Middle, MUTED.light, &format!("1e{power}"));
    }
    for side in SIDES {
        let at = [x(side), BOTTOM + 18.0];
        drawing.text(at, 11.0, Align::Middle, MUTED.light, &format!("{side} x {side}"));
    }
    for (code, colour) in codes {
        let parsed = code.parse().expect("a code");
        let count = |side| attention_flops(parsed, Extent::Image(side, side), [256, 8, 3], false);
        let points: Vec<[f64; 2]> = SIDES.iter().map(|&side| [x(side), y(count(side))]).collect();
        drawing.polyline(&points, colour);
    }
    // 1000, 0100 and 0001 end so close together that their names stand apart from the lines.
    let names = [(TOP + 36.0, 0), (TOP + 52.0, 1), (TOP + 68.0, 3), (TOP + 128.0, 4), (TOP + 112.0, 2)];
    for (at, i) in names.into_iter().chain([(TOP + 144.0, 5)]) {
        drawing.text([RIGHT + 12.0, at], 12.0, Align::Start, codes[i].1, codes[i].0);
    }
    drawing.text([LEFT, BOTTOM + 38.0], 12.0, Align::Start, INK.light, "size of the map");
    drawing.file("Multiply-adds of six mechanisms over the size of the map, both logarithmic")
}
