//! What each term looks at: three queries on a small image, the weights of its attention with that term alone.

use ndarray::{Array2, Array3, arr1};
use termwise::ops::attention::definition::{TransformerParts, transformer_energies, transformer_weights};
use termwise::ops::attention::{Terms, sinusoidal_embedding};

use super::draw::{Align, Drawing, Grid, term};
use super::theme::{INK, MUTED};

const ROWS: usize = 5;
const COLUMNS: usize = 7;
const CELL: f64 = 30.0;
/// The places of the two queries.
const HERE: (usize, usize) = (2, 2);
const THERE: (usize, usize) = (3, 4);

/// What lies in a cell, or what a query holds.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Nothing,
    Disc,
    Triangle,
    Right,
    Up,
    /// A disc as large as it is conspicuous, in tenths.
    Salient(u8),
}

/// The keys of the pictures about contents: `o` discs, `^` triangles.
const SYMBOLS: [&str; ROWS] = ["o....^.", "...^...", ".......", "..o...o", "^......"];

fn symbols() -> Vec<Content> {
    let content = |symbol: char| match symbol {
        'o' => Content::Disc,
        '^' => Content::Triangle,
        _ => Content::Nothing,
    };
    SYMBOLS.iter().flat_map(|row| row.chars().map(content)).collect()
}

/// Contents as vectors of C = 2 channels: one direction each for the two kinds.
fn vector(content: Content) -> [f64; 2] {
    match content {
        Content::Nothing => [0.0, 0.0],
        Content::Disc | Content::Right => [1.0, 0.0],
        Content::Triangle | Content::Up => [0.0, 1.0],
        Content::Salient(tenths) => [f64::from(tenths) / 10.0, 0.0],
    }
}

/// `R_{k-q}` for one offset: sines and cosines of dx, then of dy.
fn embedding(dy: i64, dx: i64) -> Vec<f64> {
    [dx, dy].iter().flat_map(|&offset| sinusoidal_embedding(&[offset as f64], 8, 10.0)).collect()
}

/// The weights of one query at `place` with `content`, by the definition.
fn weights(terms: &str, content: Content, place: (usize, usize), keys: &[Content]) -> Vec<f64> {
    let terms: Terms = terms.parse().expect("four switches");
    let cells: Vec<(usize, usize)> = (0..ROWS * COLUMNS).map(|k| (k / COLUMNS, k % COLUMNS)).collect();
    let offset = |k: usize| {
        let (y, x) = cells[k];
        embedding(y as i64 - place.0 as i64, x as i64 - place.1 as i64)
    };
    // Row 0 of V^R answers to "right" and is largest two to the right; row 1 to "up" and two up.
    let rows = [embedding(0, 2), embedding(-2, 0)];
    let parts = TransformerParts {
        z: arr1(&vector(content)).insert_axis(ndarray::Axis(0)),
        x: Array2::from_shape_fn((cells.len(), 2), |(k, c)| vector(keys[k])[c]),
        r: Array3::from_shape_fn((1, cells.len(), 16), |(_, k, d)| offset(k)[d]),
        u_projection: Array3::from_shape_fn((1, 2, 2), |(_, i, j)| f64::from(u8::from(i == j))),
        key_projection: Array3::from_shape_fn((1, 2, 2), |(_, i, j)| 4.0 * f64::from(u8::from(i == j))),
        position_projection: Array3::from_shape_fn((1, 2, 16), |(_, i, d)| 4.0 * rows[i][d]),
        u: ndarray::arr2(&[[1.0, 0.0]]),
        v: ndarray::arr2(&[[1.0, 0.0]]),
    };
    let energies = transformer_energies(&parts, terms, 1, 1.0);
    transformer_weights(&energies, &|_, _| true).iter().copied().collect()
}

fn show(drawing: &mut Drawing, [x, y]: [f64; 2], content: Content) {
    let colour = MUTED.light;
    match content {
        Content::Nothing => {}
        Content::Disc => drawing.disc([x, y], 5.5, colour, true),
        Content::Salient(tenths) => drawing.disc([x, y], 1.0 + 0.6 * f64::from(tenths), colour, true),
        Content::Triangle => {
            let corners = [[x, y - 6.0], [x + 6.0, y + 4.5], [x - 6.0, y + 4.5], [x, y - 6.0]];
            corners.windows(2).for_each(|side| drawing.line(side[0], side[1], 1.5, colour));
        }
        Content::Right => drawing.arrow([x - 7.0, y], [x + 7.0, y], colour),
        Content::Up => drawing.arrow([x, y + 7.0], [x, y - 7.0], colour),
    }
}

/// Three panels: a query; the same content elsewhere; another content at the same place.
fn panels(which: usize, keys: &[Content], contents: [Content; 2], seen: [&str; 3], title: &str) -> String {
    let terms = ["1000", "0100", "0010", "0001"][which];
    let panel = COLUMNS as f64 * CELL;
    let mut drawing = Drawing::new(3.0 * (panel + 28.0) + 12.0, ROWS as f64 * CELL + 96.0);
    let queries = [
        ("a query", contents[0], HERE),
        ("the same content elsewhere", contents[0], THERE),
        ("another content, same place", contents[1], HERE),
    ];
    for (i, ((heading, content, place), seen)) in queries.into_iter().zip(seen).enumerate() {
        let grid = Grid { at: [20.0 + i as f64 * (panel + 28.0), 38.0], cell: CELL, columns: COLUMNS };
        drawing.heading([grid.at[0], 25.0], heading);
        drawing.weights(grid, &weights(terms, content, place, keys), term(which));
        for (k, &key) in keys.iter().enumerate() {
            let [x, y] = grid.middle(k / COLUMNS, k % COLUMNS);
            show(&mut drawing, [x, y - 4.0], key);
        }
        drawing.frame(grid.corner(place.0, place.1), [CELL, CELL], 2.5, INK.light);
        let below = grid.at[1] + ROWS as f64 * CELL + 22.0;
        drawing.text([grid.at[0], below], 12.0, Align::Start, INK.light, "query holds");
        show(&mut drawing, [grid.at[0] + 80.0, below - 4.0], content);
        drawing.remark([grid.at[0], below + 20.0], seen);
    }
    drawing.file(title)
}

pub fn query_key() -> String {
    let seen = ["finds its like", "finds the same cells", "finds others"];
    let title = "E1: the weights follow the content of the query, not its place";
    panels(0, &symbols(), [Content::Disc, Content::Triangle], seen, title)
}

pub fn query_position() -> String {
    let seen = ["looks where it points", "the map moves along", "looks elsewhere"];
    let keys = [Content::Nothing; ROWS * COLUMNS];
    let title = "E2: the weights follow the content of the query and move with it";
    panels(1, &keys, [Content::Right, Content::Up], seen, title)
}

pub fn key() -> String {
    let mut keys: Vec<Content> = (0..ROWS * COLUMNS).map(|k| Content::Salient((k * 7 % 4) as u8)).collect();
    (keys[5], keys[22]) = (Content::Salient(10), Content::Salient(8));
    let seen = ["sees what stands out", "sees the same", "sees the same"];
    let title = "E3: the weights are the same for every query";
    panels(2, &keys, [Content::Disc, Content::Triangle], seen, title)
}

pub fn position() -> String {
    let seen = ["looks two to the right", "the map moves along", "sees the same"];
    let keys = [Content::Nothing; ROWS * COLUMNS];
    let title = "E4: the weights move with the query, whatever it holds";
    panels(3, &keys, [Content::Disc, Content::Triangle], seen, title)
}
