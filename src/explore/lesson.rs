//! The lesson layer: Transformer attention whose parameters are set by hand, so that each term does one thing that can
//! be seen. The layer itself is the op of every other layer; nothing here but its numbers.
//!
//! A cell's content has nine channels: red, green, blue in [0, 1], how bright and saturated it is, four for an arrow
//! (up, right, down, left), and a constant 1. The one head has nine channels `d` too, each for one term:
//!
//! | `d` | query `U z` | key `V^C x` | position `V^R R` | `u` | `v` | term |
//! |---|---|---|---|---|---|---|
//! | 0-2 | centred colour | centred colour | 0 | 0 | 0 | E1 |
//! | 3-6 | arrow | 0 | along the arrow's ray | 0 | 0 | E2 |
//! | 7 | 0 | brightness | 0 | gain | 0 | E3 |
//! | 8 | 0 | 0 | nearness | 0 | 1 | E4 |
//!
//! so that no term reads a channel of another one.

use ndarray::{Array2, Array3, Array4, ArrayD, Axis};
use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_ops::attention::{Projections, TransformerSettings, sinusoidal_embedding};

use super::scene::{DIRECTIONS, SIZE, Scene};

/// Channels of a cell's content.
pub const CONTENT: usize = 9;
/// Channels of the head.
const HEAD: usize = 9;
/// Channels of the output: a colour.
pub const COLOURS: usize = 3;
const BRIGHTNESS: usize = 3;
const ARROW: usize = 4;
const ONE: usize = 8;

/// E1: a query and a key of the same pure colour, whose centred product is 3, give this times 3.
const SAME_COLOUR: f64 = 1.5;
/// E3: what the brightest and most saturated key gives.
const BRIGHT: f64 = 4.0;

/// E2, along the arrow: 0 ahead, down to -8 at the query and behind.
fn ahead(cells: f64) -> f64 {
    -4.0 * (1.0 - (1.5 * (cells - 0.5)).tanh())
}

/// E2, beside the arrow's ray: falls by nearly 3 a cell.
fn beside(cells: f64) -> f64 {
    -3.0 * (cells.hypot(1.0) - 1.0)
}

/// E4, along each axis: falls by nearly 0.7 a cell.
fn far(cells: f64) -> f64 {
    -0.7 * (cells.hypot(1.0) - 1.0)
}

/// The paper's settings; enough sinusoids, of short enough wavelengths, for the shapes above.
pub fn settings() -> TransformerSettings {
    let terms = "1111".parse().expect("a code");
    TransformerSettings {
        wavelength: 100.0,
        position_magnitude: 3.0,
        ..TransformerSettings::paper(terms, 1, 256)
    }
}

/// The content of a scene's cells. (1, 9, H, W)
pub fn content(scene: &Scene) -> ArrayD<f64> {
    let mut x = Array4::zeros((1, CONTENT, scene.height, scene.width));
    for (i, (rgb, arrow)) in scene.rgb.iter().zip(&scene.arrows).enumerate() {
        let (row, column) = (i / scene.width, i % scene.width);
        let colour = colour(*rgb);
        let (most, least) =
            (colour.iter().copied().fold(0.0, f64::max), colour.iter().copied().fold(1.0, f64::min));
        colour.iter().enumerate().for_each(|(c, value)| x[[0, c, row, column]] = *value);
        x[[0, BRIGHTNESS, row, column]] = (most + (most - least)) / 2.0;
        if *arrow > 0 {
            x[[0, ARROW + usize::from(*arrow) - 1, row, column]] = 1.0;
        }
        x[[0, ONE, row, column]] = 1.0;
    }
    x.into_dyn()
}

/// A colour in the units of the output.
pub fn colour(rgb: [u8; 3]) -> [f64; 3] {
    rgb.map(|value| f64::from(value) / 255.0)
}

/// The layer's parameters by name, in the order of [`projections`].
pub fn parameters() -> Vec<(&'static str, ArrayD<f64>)> {
    let (mut query, mut key) = (Array2::zeros((HEAD, CONTENT)), Array2::zeros((HEAD, CONTENT)));
    for c in 0..COLOURS {
        // 2 colour - 1, from -1 to 1; the gain on one side.
        (query[[c, c]], query[[c, ONE]]) = (2.0 * SAME_COLOUR, -SAME_COLOUR);
        (key[[c, c]], key[[c, ONE]]) = (2.0, -1.0);
    }
    for arrow in 0..4 {
        query[[3 + arrow, ARROW + arrow]] = 1.0;
    }
    key[[7, BRIGHTNESS]] = 1.0;
    let position = |axis: usize| {
        // Row d: the curve over offsets of that axis which channel d holds.
        let curve = |d: usize, offset: f64| match d {
            3..=6 => {
                let (dy, dx) = DIRECTIONS[d - 3];
                let step = [dx, dy][axis] as f64;
                if step == 0.0 { beside(offset) } else { ahead(step * offset) }
            }
            8 => far(offset),
            _ => 0.0,
        };
        fit(&curve).into_dyn()
    };
    let row = |d: usize, gain: f64| {
        let mut row = Array2::zeros((1, HEAD));
        row[[0, d]] = gain;
        row.into_dyn()
    };
    let mut value = Array2::zeros((COLOURS, CONTENT));
    (0..COLOURS).for_each(|c| value[[c, c]] = 1.0);
    vec![
        ("query", query.into_dyn()),
        ("key", key.into_dyn()),
        ("position_x", position(0)),
        ("position_y", position(1)),
        ("key_bias", row(7, BRIGHT)),
        ("position_bias", row(8, 1.0)),
        ("value", value.into_dyn()),
        ("output", Array2::eye(COLOURS).into_dyn()),
    ]
}

/// [`parameters`] on a tape, given as variables in that order.
pub fn projections(vars: &[Var<Cpu<f64>>]) -> Projections<Cpu<f64>> {
    Projections {
        query: Some(vars[0].clone()),
        key: Some(vars[1].clone()),
        positions: vars[2..4].to_vec(),
        key_bias: Some(vars[4].clone()),
        position_bias: Some(vars[5].clone()),
        value: vars[6].clone(),
        output: vars[7].clone(),
        output_bias: None,
    }
}

/// [`parameters`] as leaves of `tape`.
pub fn leaves(tape: &Tape<Cpu<f64>>) -> Vec<Var<Cpu<f64>>> {
    let leaf = |(_, array): (_, ArrayD<f64>)| tape.leaf(Array::from_f64(tape.backend(), &array));
    parameters().into_iter().map(leaf).collect()
}

/// The rows of `V^R` whose products with the embedded offsets come nearest to the curves: least squares over all offsets
/// of the largest scene, a little of the rows' squares added so that they stay small. (9, D / 2)
fn fit(curve: &dyn Fn(usize, f64) -> f64) -> Array2<f64> {
    let settings = settings();
    let offsets: Vec<f64> = (1 - SIZE as i64..SIZE as i64).map(|offset| offset as f64).collect();
    let scaled: Vec<f64> = offsets.iter().map(|offset| settings.position_magnitude * offset).collect();
    let columns = settings.position_dim / 2;
    let embedded = sinusoidal_embedding(&scaled, columns, settings.wavelength);
    let e = embedded.into_dimensionality::<ndarray::Ix2>().expect("a matrix");
    let mut normal = e.t().dot(&e);
    normal.diag_mut().iter_mut().for_each(|value| *value += 1e-6);
    let target = Array2::from_shape_fn((offsets.len(), HEAD), |(i, d)| curve(d, offsets[i]));
    solve(normal, e.t().dot(&target)).reversed_axes()
}

/// The solution of `a x = b` for a positive definite `a`, by elimination.
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    for i in 0..n {
        for j in i + 1..n {
            let factor = a[[j, i]] / a[[i, i]];
            for k in i..n {
                a[[j, k]] -= factor * a[[i, k]];
            }
            let row = b.row(i).to_owned();
            b.row_mut(j).scaled_add(-factor, &row);
        }
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            let row = b.row(j).to_owned();
            b.row_mut(i).scaled_add(-a[[i, j]], &row);
        }
        let pivot = a[[i, i]];
        b.index_axis_mut(Axis(0), i).mapv_inplace(|value| value / pivot);
    }
    b
}

/// A kernel that smooths: 1 2 1 in each direction, over 16. (3, 3)
fn smoothing(i: usize, j: usize) -> f64 {
    [1.0, 2.0, 1.0][i] * [1.0, 2.0, 1.0][j] / 16.0
}

/// The kernel of the convolutions, which smooths the colours. (3, 9, 3, 3)
pub fn kernel() -> ArrayD<f64> {
    let weight = |(o, c, i, j)| if o == c { smoothing(i, j) } else { 0.0 };
    Array4::from_shape_fn((COLOURS, CONTENT, 3, 3), weight).into_dyn()
}

/// The nine taps of [`kernel`], row by row.
pub fn taps() -> [f64; 9] {
    std::array::from_fn(|tap| smoothing(tap / 3, tap % 3))
}

/// What predicts the offsets of deformable convolution from the query's content: an arrow pushes all taps a cell and a
/// half along itself, and brightness spreads them. (18, 9, 1, 1)
pub fn offset_predictor() -> ArrayD<f64> {
    let weight = |(plane, c, _, _): (usize, usize, usize, usize)| {
        let (tap, axis) = (plane / 2, plane % 2);
        let place = [tap / 3, tap % 3][axis] as f64 - 1.0;
        match c {
            BRIGHTNESS => 0.4 * place,
            ARROW..ONE => {
                let (dy, dx) = DIRECTIONS[c - ARROW];
                1.5 * [dy, dx][axis] as f64
            }
            _ => 0.0,
        }
    };
    Array4::from_shape_fn((18, CONTENT, 1, 1), weight).into_dyn()
}

/// What predicts the kernel of dynamic convolution from the query's content: without an arrow the smoothing one, an arrow
/// prefers the taps ahead, and brightness the middle. (1, 9, 9) as groups, taps, channels
pub fn kernel_predictor() -> ArrayD<f64> {
    let weight = |(_, tap, c): (usize, usize, usize)| {
        let (dy, dx) = ((tap / 3) as f64 - 1.0, (tap % 3) as f64 - 1.0);
        match c {
            BRIGHTNESS if tap == 4 => 1.5,
            ARROW..ONE => {
                let (along_y, along_x) = DIRECTIONS[c - ARROW];
                2.5 * (dy * along_y as f64 + dx * along_x as f64)
            }
            ONE => smoothing(tap / 3, tap % 3).ln(),
            _ => 0.0,
        }
    };
    Array3::from_shape_fn((1, 9, CONTENT), weight).into_dyn()
}

/// Picks the colours. (3, 9, 1, 1)
pub fn colours() -> ArrayD<f64> {
    Array4::from_shape_fn((COLOURS, CONTENT, 1, 1), |(o, c, _, _)| if o == c { 1.0 } else { 0.0 }).into_dyn()
}

/// What makes queries, keys, values, offsets and kernels out of a cell's content, each row by row, nine columns wide.
pub fn json() -> Value {
    let list = |array: &ArrayD<f64>| array.iter().copied().collect::<Vec<f64>>();
    let parameters = parameters();
    let named =
        |name: &str| parameters.iter().find(|(other, _)| *other == name).map(|(_, array)| list(array));
    json!({
        "query": named("query"),
        "key": named("key"),
        "value": named("value"),
        "offsets": list(&offset_predictor()),
        "dynamic": list(&kernel_predictor()),
        "taps": taps(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sinusoids hold the curves over the whole largest scene.
    #[test]
    fn the_positions_are_the_curves() {
        let settings = settings();
        let offsets: Vec<f64> = (-31..32).map(f64::from).collect();
        let scaled: Vec<f64> = offsets.iter().map(|o| 3.0 * o).collect();
        let e = sinusoidal_embedding(&scaled, 128, settings.wavelength);
        let e = e.into_dimensionality::<ndarray::Ix2>().unwrap();
        for (axis, name) in ["position_x", "position_y"].into_iter().enumerate() {
            let rows = parameters().into_iter().find(|(other, _)| *other == name).unwrap().1;
            let table = e.dot(&rows.into_dimensionality::<ndarray::Ix2>().unwrap().t());
            for (i, &offset) in offsets.iter().enumerate() {
                let right = if axis == 0 { ahead(offset) } else { beside(offset) };
                let down = if axis == 0 { beside(offset) } else { ahead(offset) };
                for (d, expected) in [(0, 0.0), (4, right), (5, down), (7, 0.0), (8, far(offset))] {
                    assert!(
                        (table[[i, d]] - expected).abs() < 0.1,
                        "{name} {d} at {offset}: {}",
                        table[[i, d]]
                    );
                }
            }
        }
    }
}
