//! Line charts and grouped bars, drawn by plotters and coloured by the theme.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::mark::Mark;
use super::svg::Svg;
use super::theme::{self, GRID, INK, MUTED, SERIES};

/// Units of a figure are half a unit of plotters, which knows whole ones only.
pub(super) const FINE: u32 = 2;
const WIDTH: u32 = 560;
/// Width of one of two charts side by side.
const HALF: u32 = 340;
pub(super) const FONT: f64 = 12.5;
/// Height of the title, and of each row of the legend.
const ROW: u32 = 22;
/// Why drawing cannot fail.
pub(super) const INTO_STRING: &str = "drawing into a string of a sane size cannot fail";

/// One axis of a line chart.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with its unit.
    pub label: String,
    /// Its ends; without it, those of the data.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis as long as the data.
    pub fn new(label: &str) -> Self {
        Axis { label: label.to_owned(), range: None }
    }

    /// An axis with given ends.
    pub fn between(label: &str, from: f64, to: f64) -> Self {
        Axis { label: label.to_owned(), range: Some((from, to)) }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it; lines of one name share the entry and should share the style.
    pub name: String,
    /// Number of its colour; colours come again after seven, with dashes.
    pub style: usize,
    /// In order of x. What is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// Above the chart.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Drawn in order.
    pub series: Vec<Series>,
    /// Whether it is one of many: narrower, so that two have room side by side.
    pub small: bool,
}

impl LineChart {
    /// Draws the chart.
    pub fn draw(&self) -> Svg {
        let legend: Vec<Key<'_>> =
            self.series.iter().map(|series| (series.name.as_str(), series.style, None)).collect();
        let (width, height) = if self.small { (HALF, 210) } else { (WIDTH, 270) };
        figure(&self.title, &legend, (width, height), |area| {
            let (x, y) = (self.range(&self.x, |p| p.0), self.range(&self.y, |p| p.1));
            let mut chart = ChartBuilder::on(area)
                .margin_right(14 * FINE)
                .margin_top(6 * FINE)
                .x_label_area_size(42 * FINE)
                .y_label_area_size(58 * FINE)
                .build_cartesian_2d(x.0..x.1, y.0..y.1)
                .expect(INTO_STRING);
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(colour(&GRID).stroke_width(FINE))
                .axis_style(colour(&MUTED).stroke_width(FINE))
                .label_style(font(FONT - 1.0, &MUTED))
                .axis_desc_style(font(FONT, &INK))
                .x_labels(if self.small { 5 } else { 7 })
                .y_labels(6)
                .x_label_formatter(&|value| tick(*value))
                .y_label_formatter(&|value| tick(*value))
                .x_desc(&self.x.label)
                .y_desc(&self.y.label)
                .draw()
                .expect(INTO_STRING);
            for series in &self.series {
                for piece in series.points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
                    draw_line(&mut chart, piece, series.style);
                }
            }
        })
    }

    fn range(&self, axis: &Axis, coordinate: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.series.iter().flat_map(|series| &series.points).map(coordinate);
        let (min, max) = axis.range.unwrap_or_else(|| {
            values
                .filter(|value| value.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                    (min.min(value), max.max(value))
                })
        });
        if !(min.is_finite() && max.is_finite()) {
            (0.0, 1.0)
        } else if max > min {
            (min, max)
        } else {
            (min - 0.5, max + 0.5)
        }
    }
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw_line(chart: &mut Chart<'_, '_>, points: &[(f64, f64)], style: usize) {
    let line = colour(role(style)).stroke_width(2 * FINE);
    let points = points.iter().copied();
    if points.len() == 1 {
        chart.draw_series(points.map(|at| Circle::new(at, 3 * FINE, line.filled()))).map(drop)
    } else if dashed(style) {
        chart.draw_series(DashedLineSeries::new(points, 6 * FINE, 4 * FINE, line)).map(drop)
    } else {
        chart.draw_series(LineSeries::new(points, line)).map(drop)
    }
    .expect(INTO_STRING);
}

/// Horizontal bars in groups: names of any length have room, and a phone shows them.
#[derive(Clone, Debug)]
pub struct BarChart {
    /// Above the chart.
    pub title: String,
    /// What the length of a bar measures; it starts at 0.
    pub label: String,
    /// The names of the groups, from top to bottom.
    pub groups: Vec<String>,
    /// Name and, for each group, a number that is not negative, if there is one.
    pub series: Vec<(String, Vec<Option<f64>>)>,
}

impl BarChart {
    /// Draws the chart.
    ///
    /// # Panics
    /// If a series has not one entry for each group.
    #[track_caller]
    pub fn draw(&self) -> Svg {
        for (name, values) in &self.series {
            let (found, groups) = (values.len(), self.groups.len());
            assert!(found == groups, "BarChart: {name} has {found} values for {groups} groups");
        }
        let legend: Vec<Key<'_>> =
            self.series.iter().enumerate().map(|(style, (name, _))| (name.as_str(), style, None)).collect();
        let bar = 9;
        let group = bar * self.series.len() as u32 + 10;
        let height = group * self.groups.len() as u32 + 48;
        let longest = self.groups.iter().map(|name| text_width(name)).max().unwrap_or(0).max(20);
        let values = self.series.iter().flat_map(|(_, values)| values).flatten();
        let max = values.copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let max = if max > 0.0 { max * 1.05 } else { 1.0 };
        figure(&self.title, &legend, (WIDTH, height), |area| {
            let rows = self.groups.len().max(1) as f64;
            let mut chart = ChartBuilder::on(area)
                .margin_right(14 * FINE)
                .margin_left((longest + 14) * FINE)
                .x_label_area_size(42 * FINE)
                .build_cartesian_2d(0.0..max, rows..0.0)
                .expect(INTO_STRING);
            chart
                .configure_mesh()
                .disable_y_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(colour(&GRID).stroke_width(FINE))
                .axis_style(colour(&MUTED).stroke_width(FINE))
                .label_style(font(FONT - 1.0, &MUTED))
                .axis_desc_style(font(FONT, &INK))
                .y_labels(0)
                .x_label_formatter(&|value| tick(*value))
                .x_desc(&self.label)
                .draw()
                .expect(INTO_STRING);
            let (of_bar, of_gap) = (f64::from(bar) / f64::from(group), 5.0 / f64::from(group));
            for (style, (_, values)) in self.series.iter().enumerate() {
                let bars = values.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?)));
                let bars = bars.filter(|(_, value)| value.is_finite()).map(|(row, value)| {
                    let top = row as f64 + of_gap + style as f64 * of_bar;
                    Rectangle::new([(0.0, top), (value, top + 0.85 * of_bar)], colour(role(style)).filled())
                });
                chart.draw_series(bars).expect(INTO_STRING);
            }
            for (row, name) in self.groups.iter().enumerate() {
                let (x, y) = chart.backend_coord(&(0.0, row as f64 + 0.5));
                let style = font(FONT - 1.0, &INK).pos(Pos::new(HPos::Right, VPos::Center));
                let origin = area.get_base_pixel();
                let at = (x - origin.0 - 8 * FINE as i32, y - origin.1);
                area.draw(&Text::new(name.as_str(), at, style)).expect(INTO_STRING);
            }
        })
    }
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An entry of a legend: name, number of the colour, and a mark where it is not a line.
pub(super) type Key<'a> = (&'a str, usize, Option<Mark>);

/// Title and legend above a plot of a width and a height.
pub(super) fn figure(
    title: &str,
    legend: &[Key<'_>],
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>),
) -> Svg {
    let rows = legend_rows(legend, width);
    let top = 4 + ROW * (1 + rows.len() as u32);
    let mut text = String::new();
    {
        let root =
            SVGBackend::with_string(&mut text, (width * FINE, (top + height) * FINE)).into_drawing_area();
        let bold = font(FONT + 1.5, &INK).pos(Pos::new(HPos::Left, VPos::Center));
        let fine = FINE as i32;
        root.draw(&Text::new(title, (10 * fine, (ROW as i32 / 2 + 3) * fine), bold)).expect(INTO_STRING);
        for (row, entries) in rows.iter().enumerate() {
            let y = (4 + ROW as i32 * (row as i32 + 1) + ROW as i32 / 2) * fine;
            for &((name, style, mark), x) in entries {
                let x = x as i32 * fine;
                if let Some(mark) = mark {
                    mark.draw(&root, (x + 13 * fine, y), style);
                }
                let line = colour(role(style)).stroke_width(3 * FINE);
                let parts = match mark {
                    Some(_) => Vec::new(),
                    None if dashed(style) => vec![(0, 8), (12, 20)],
                    None => vec![(0, 20)],
                };
                for (from, to) in parts {
                    root.draw(&PathElement::new(vec![(x + from * fine, y), (x + to * fine, y)], line))
                        .expect(INTO_STRING);
                }
                let style = font(FONT - 0.5, &INK).pos(Pos::new(HPos::Left, VPos::Center));
                root.draw(&Text::new(name, (x + 26 * fine, y), style)).expect(INTO_STRING);
            }
        }
        draw(&root.split_vertically(top * FINE).1);
        root.present().expect(INTO_STRING);
    }
    let inner =
        text.split_once(">\n").and_then(|(_, rest)| rest.rsplit_once("</svg>")).map_or("", |(body, _)| body);
    let body = format!("<g transform=\"scale({})\">\n{inner}</g>\n", 1.0 / f64::from(FINE));
    Svg::new(width, top + height, title, body)
}

/// The entries of the legend, each name once, with their x, in as many rows as they need.
fn legend_rows<'a>(legend: &[Key<'a>], available: u32) -> Vec<Vec<(Key<'a>, u32)>> {
    let mut rows: Vec<Vec<(Key<'_>, u32)>> = Vec::new();
    let mut x = available;
    for (i, &key) in legend.iter().enumerate() {
        let name = key.0;
        if legend[..i].iter().any(|(earlier, ..)| *earlier == name) {
            continue;
        }
        let width = 26 + text_width(name) + 18;
        if x + width > available || rows.is_empty() {
            rows.push(Vec::new());
            x = 10;
        }
        rows.last_mut().expect("a row was begun").push((key, x));
        x += width;
    }
    rows
}

/// An estimate: an average letter is a little more than half as wide as the font is high.
pub(super) fn text_width(text: &str) -> u32 {
    (text.chars().count() as f64 * (FONT - 0.5) * 0.56).ceil() as u32
}

pub(super) fn role(style: usize) -> &'static theme::Role {
    &SERIES[style % SERIES.len()]
}

fn dashed(style: usize) -> bool {
    style / SERIES.len() % 2 == 1
}

pub(super) fn colour(role: &theme::Role) -> RGBColor {
    let [red, green, blue] = role.light;
    RGBColor(red, green, blue)
}

pub(super) fn font(size: f64, role: &theme::Role) -> TextStyle<'static> {
    // Plotters writes a font size divided by 1.24.
    ("sans-serif", size * 1.24 * f64::from(FINE)).into_font().color(&colour(role))
}

/// A number as short as it can be.
pub(super) fn tick(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e5).contains(&magnitude) {
        return format!("{value:e}").replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
