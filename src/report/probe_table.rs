//! The table of probes: what each mechanism reaches on each task, and what it should reach.

use std::fmt::Write;

use super::html::escape;
use super::svg::Svg;
use super::theme::{ALARM, GRID, INK, MUTED, Rgb, hex, interpolate, luminance};

/// From almost white to dark blue: evenly spaced in CIE lightness, so that the order of the numbers is
/// seen with any colour vision and in grey.
const ANCHORS: [Rgb; 6] =
    [[246, 244, 232], [194, 211, 190], [128, 180, 169], [60, 146, 163], [23, 108, 156], [1, 74, 117]];

const LEFT: u32 = 104;
const TOP: u32 = 66;
const CELL: (u32, u32) = (88, 38);
const GAP: u32 = 3;
const LEGEND: u32 = 74;

/// What theory says of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The mechanism has the factor that the task needs.
    Can,
    /// It lacks it.
    Cannot,
    /// It imitates it in part.
    Partly,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeTableCell {
    /// Share of answers that are right, in [0, 1].
    pub accuracy: f64,
    /// What was expected.
    pub expected: Expected,
    /// Whether the accuracy is what was expected.
    pub holds: bool,
}

/// One mechanism.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeTableRow {
    /// Its name.
    pub mechanism: String,
    /// For each task, the cell, where it was trained.
    pub cells: Vec<Option<ProbeTableCell>>,
}

/// The table.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeTable {
    /// Above the table.
    pub title: String,
    /// Names of the columns.
    pub tasks: Vec<String>,
    /// From top to bottom.
    pub rows: Vec<ProbeTableRow>,
}

impl ProbeTable {
    /// Draws the table.
    pub fn draw(&self) -> Svg {
        let columns = self.tasks.len() as u32;
        let width = (LEFT + columns * CELL.0 + 12).max(460);
        let bottom = TOP + self.rows.len() as u32 * CELL.1;
        let mut body = String::from(
            "<defs><pattern id=\"partly\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"1.6\" height=\"7\" fill=\"#000000\" fill-opacity=\"0.22\"/>\
             </pattern></defs>\n",
        );
        text(&mut body, (10, 24), "start", 14.5, &hex(INK.light), &self.title);
        for (column, task) in self.tasks.iter().enumerate() {
            let x = LEFT + column as u32 * CELL.0 + CELL.0 / 2;
            text(&mut body, (x, TOP - 10), "middle", 12.5, &hex(INK.light), &task.replace('_', " "));
        }
        for (row, line) in self.rows.iter().enumerate() {
            let y = TOP + row as u32 * CELL.1;
            text(&mut body, (LEFT - 12, y + CELL.1 / 2 + 4), "end", 13.0, &hex(INK.light), &line.mechanism);
            for (column, cell) in line.cells.iter().enumerate() {
                let x = LEFT + column as u32 * CELL.0;
                match cell {
                    Some(cell) => draw_cell(&mut body, (x, y), cell),
                    None => text(
                        &mut body,
                        (x + CELL.0 / 2, y + CELL.1 / 2 + 4),
                        "middle",
                        12.0,
                        &hex(MUTED.light),
                        "-",
                    ),
                }
            }
        }
        draw_legend(&mut body, bottom + 14);
        Svg::new(width, bottom + LEGEND, &self.title, body)
    }
}

fn draw_cell(body: &mut String, (x, y): (u32, u32), cell: &ProbeTableCell) {
    let colour = interpolate(&ANCHORS, cell.accuracy);
    box_with(body, (x, y), (CELL.0 - GAP, CELL.1 - GAP), &hex(colour));
    if cell.expected == Expected::Partly {
        box_with(body, (x, y), (CELL.0 - GAP, CELL.1 - GAP), "url(#partly)");
    }
    if !cell.holds {
        let (width, height) = (CELL.0 - GAP - 3, CELL.1 - GAP - 3);
        writeln!(
            body,
            "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"none\" stroke=\"{}\" \
             stroke-width=\"3\"/>",
            f64::from(x) + 1.5,
            f64::from(y) + 1.5,
            hex(ALARM.light)
        )
        .expect("a string takes all");
    }
    // Its background is the same in light and in dark, and so is what is written on it.
    let ink = if luminance(colour) > 0.2 { "#101010" } else { "#FFFFFF" };
    let middle = x + (CELL.0 - GAP) / 2;
    text(body, (middle, y + 17), "middle", 13.5, ink, &format!("{:.2}", cell.accuracy));
    let note = match (cell.expected, cell.holds) {
        (Expected::Can, true) => "can",
        (Expected::Cannot, true) => "cannot",
        (Expected::Can, false) => "\u{2260} can",
        (Expected::Cannot, false) => "\u{2260} cannot",
        (Expected::Partly, _) => "partly",
    };
    text(body, (middle, y + 30), "middle", 10.5, ink, note);
}

fn draw_legend(body: &mut String, y: u32) {
    let muted = hex(MUTED.light);
    let steps = 40;
    for step in 0..steps {
        let colour = hex(interpolate(&ANCHORS, f64::from(step) / f64::from(steps - 1)));
        box_with(body, (LEFT + step * 3, y), (3, 12), &colour);
    }
    writeln!(
        body,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"12\" fill=\"none\" stroke=\"{}\"/>",
        steps * 3,
        hex(GRID.light)
    )
    .expect("a string takes all");
    text(body, (LEFT - 8, y + 10), "end", 11.5, &muted, "accuracy 0");
    text(body, (LEFT + steps * 3 + 8, y + 10), "start", 11.5, &muted, "1    (chance: 0.125)");
    let note = "In small, what theory expects; hatched: partly, nothing is claimed;";
    text(body, (10, y + 34), "start", 11.5, &muted, note);
    text(
        body,
        (10, y + 50),
        "start",
        11.5,
        &muted,
        "\u{2260} in a red frame: the result is not what was expected.",
    );
}

fn box_with(body: &mut String, (x, y): (u32, u32), (width, height): (u32, u32), fill: &str) {
    writeln!(body, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>")
        .expect("a string takes all");
}

fn text(body: &mut String, (x, y): (u32, u32), anchor: &str, size: f64, fill: &str, content: &str) {
    let content = escape(content);
    writeln!(
        body,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{fill}\">{content}</text>"
    )
    .expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::theme::tests::contrast;

    fn table() -> ProbeTable {
        let cell = |accuracy, expected, holds| Some(ProbeTableCell { accuracy, expected, holds });
        ProbeTable {
            title: "Probes".into(),
            tasks: vec!["match".into(), "point_near".into(), "shift <far>".into()],
            rows: vec![
                ProbeTableRow {
                    mechanism: "1001".into(),
                    cells: vec![cell(1.0, Expected::Can, true), cell(0.42, Expected::Partly, true), None],
                },
                ProbeTableRow {
                    mechanism: "0100".into(),
                    cells: vec![cell(0.18, Expected::Cannot, true), cell(0.7, Expected::Can, false), None],
                },
            ],
        }
    }

    #[test]
    fn every_cell_shows_its_number_and_what_was_expected() {
        let svg = table().draw().inline();
        for (text, count) in [
            (">1.00<", 1),
            (">0.42<", 1),
            (">0.18<", 1),
            (">0.70<", 1),
            (">can<", 1),
            (">cannot<", 1),
            (">partly<", 1),
            (">\u{2260} can<", 1),
            (">-<", 2),
            ("fill=\"url(#partly)\"", 1),
            ("stroke-width=\"3\"", 1),
            (">point near<", 1),
            (">shift &lt;far&gt;<", 1),
        ] {
            assert_eq!(svg.matches(text).count(), count, "{text} in {svg}");
        }
    }

    #[test]
    fn numbers_are_readable_on_every_colour() {
        for step in 0..=100 {
            let colour = interpolate(&ANCHORS, f64::from(step) / 100.0);
            let ink = if luminance(colour) > 0.2 { [16, 16, 16] } else { [255, 255, 255] };
            assert!(contrast(colour, ink) >= 4.0, "{step}: {colour:?} {:.2}", contrast(colour, ink));
        }
    }

    #[test]
    fn more_is_darker() {
        let luminances: Vec<f64> =
            (0..=50).map(|i| luminance(interpolate(&ANCHORS, f64::from(i) / 50.0))).collect();
        assert!(luminances.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
