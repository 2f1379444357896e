//! Differences with their intervals, one below the other, each with the region in which it should lie.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::chart::{FINE, FONT, INTO_STRING, colour, figure, font, role, text_width, tick};
use super::mark::Mark;
use super::svg::Svg;
use super::theme::{GRID, INK, MUTED};

const WIDTH: u32 = 690;
const ROW: u32 = 26;

/// A row.
#[derive(Clone, Debug)]
pub enum ForestRow {
    /// A heading.
    Heading(String),
    /// A difference.
    Difference {
        /// What is compared.
        label: String,
        /// The difference.
        estimate: f64,
        /// Both ends of its interval.
        interval: (f64, f64),
        /// Where the interval should lie; its ends may be infinite.
        region: Option<(f64, f64)>,
        /// At the right.
        note: String,
        /// Number of its colour.
        style: usize,
    },
}

/// Differences over one axis.
#[derive(Clone, Debug)]
pub struct ForestChart {
    /// Above the chart.
    pub title: String,
    /// What the axis measures, with its unit.
    pub label: String,
    /// From top to bottom.
    pub rows: Vec<ForestRow>,
}

impl ForestChart {
    /// Draws the chart.
    pub fn draw(&self) -> Svg {
        let (mut left, mut right, mut from, mut to) = (20, 20, 0.0_f64, 0.0_f64);
        for row in &self.rows {
            if let ForestRow::Difference { label, interval, region, note, .. } = row {
                (left, right) = (left.max(text_width(label)), right.max(text_width(note)));
                let (low, high) = region.unwrap_or((0.0, 0.0));
                for end in [interval.0, interval.1, low, high] {
                    if end.is_finite() {
                        (from, to) = (from.min(end), to.max(end));
                    }
                }
            }
        }
        let margin = 0.05 * (to - from).max(1e-9);
        let (from, to) = if to > from { (from - margin, to + margin) } else { (-1.0, 1.0) };
        let count = self.rows.len().max(1) as f64;
        figure(&self.title, &[], (WIDTH, ROW * self.rows.len() as u32 + 50), |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_left((left + 20) * FINE)
                .margin_right((right + 20) * FINE)
                .x_label_area_size(42 * FINE)
                .build_cartesian_2d(from..to, count..0.0)
                .expect(INTO_STRING);
            let rows = self.rows.iter().enumerate();
            for (row, region) in rows.clone().filter_map(|(row, of)| match of {
                ForestRow::Difference { region, .. } => Some((row as f64, (*region)?)),
                ForestRow::Heading(_) => None,
            }) {
                let ends = [(region.0.max(from), row + 0.1), (region.1.min(to), row + 0.9)];
                chart.draw_series([Rectangle::new(ends, colour(&GRID).filled())]).expect(INTO_STRING);
            }
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(colour(&MUTED).stroke_width(FINE))
                .label_style(font(FONT - 1.0, &MUTED))
                .axis_desc_style(font(FONT, &INK))
                .y_labels(0)
                .x_labels(7)
                .x_label_formatter(&|value| tick(*value).replace('-', "\u{2212}"))
                .x_desc(&self.label)
                .draw()
                .expect(INTO_STRING);
            let zero = PathElement::new(vec![(0.0, 0.0), (0.0, count)], colour(&MUTED).stroke_width(FINE));
            chart.draw_series([zero]).expect(INTO_STRING);
            let origin = area.get_base_pixel();
            let at = |x: f64, row: usize| {
                let (x, y) = chart.backend_coord(&(x, row as f64 + 0.5));
                (x - origin.0, y - origin.1)
            };
            for (row, of) in rows {
                let text = |content: &str, x: i32, anchor: HPos, size: f64, role| {
                    let style = font(size, role).pos(Pos::new(anchor, VPos::Center));
                    area.draw(&Text::new(content, (x, at(from, row).1), style)).expect(INTO_STRING);
                };
                let edge = 10 * FINE as i32;
                match of {
                    ForestRow::Heading(heading) => text(heading, edge, HPos::Left, FONT, &INK),
                    ForestRow::Difference { label, estimate, interval, note, style, .. } => {
                        text(label, at(from, row).0 - edge, HPos::Right, FONT - 1.0, &INK);
                        text(note, at(to, row).0 + edge, HPos::Left, FONT - 1.0, &INK);
                        let line = colour(role(*style)).stroke_width(2 * FINE);
                        let ends = vec![at(interval.0, row), at(interval.1, row)];
                        area.draw(&PathElement::new(ends, line)).expect(INTO_STRING);
                        Mark::Disc.draw(area, at(*estimate, row), *style);
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::theme::{SERIES, hex};

    fn chart(rows: Vec<ForestRow>) -> String {
        ForestChart { title: "F1 & more".into(), label: "points".into(), rows }.draw().inline()
    }

    fn row(estimate: f64, interval: (f64, f64), region: Option<(f64, f64)>) -> ForestRow {
        ForestRow::Difference {
            label: "a < b".into(),
            estimate,
            interval,
            region,
            note: "note".into(),
            style: 0,
        }
    }

    #[test]
    fn an_interval_is_as_long_as_its_numbers_say() {
        let svg = chart(vec![
            ForestRow::Heading("detection".into()),
            row(1.0, (0.0, 2.0), None),
            row(2.0, (-2.0, 6.0), Some((f64::NEG_INFINITY, 1.5))),
        ]);
        let marker = format!("stroke=\"{}\" stroke-width=\"4\" points=\"", hex(SERIES[0].light));
        let lengths: Vec<f64> = svg
            .split(&marker)
            .skip(1)
            .map(|rest| {
                let mut xs =
                    rest.split_once('"').unwrap().0.split_whitespace().map(|p| p.split_once(',').unwrap().0);
                let mut next = || xs.next().unwrap().parse::<f64>().unwrap();
                let first = next();
                next() - first
            })
            .collect();
        assert_eq!(lengths.len(), 2);
        assert!((lengths[1] / lengths[0] - 4.0).abs() < 0.05, "{lengths:?}");
        assert!(svg.contains("a &lt; b") && svg.contains("detection") && svg.contains("F1 &amp; more"));
        // One region.
        assert_eq!(svg.matches("<rect").count(), 1);
    }

    #[test]
    fn charts_without_rows_or_width_are_drawn() {
        assert!(chart(Vec::new()).contains("points"));
        assert!(chart(vec![row(0.0, (0.0, 0.0), None)]).contains("note"));
    }
}
