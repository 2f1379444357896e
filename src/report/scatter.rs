//! Named points with a bar each, such as accuracy against cost.

use std::fmt::Write;
use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;

use super::chart::{FINE, FONT, INTO_STRING, Key, colour, figure, font, role, tick};
use super::html::escape;
use super::labels::{self, Named};
use super::mark::Mark;
use super::svg::Svg;
use super::theme::{self, GRID, INK, MUTED, PAPER};

const HEIGHT: u32 = 400;
/// Height of the letters of a name.
const LABEL: f64 = 11.5;

/// How far apart numbers lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As they are.
    Linear,
    /// By their ratio; zero has a place of its own at the left.
    Log,
}

/// A point.
#[derive(Clone, Debug)]
pub struct ScatterPoint {
    /// Its name.
    pub label: String,
    /// To the right; not negative.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// Both ends of the bar through it.
    pub bar: (f64, f64),
}

/// Points of one kind.
#[derive(Clone, Debug)]
pub struct ScatterGroup {
    /// What the legend calls them.
    pub name: String,
    /// Number of their colour.
    pub style: usize,
    /// Their shape.
    pub mark: Mark,
    /// The points.
    pub points: Vec<ScatterPoint>,
}

/// Points over two axes.
#[derive(Clone, Debug)]
pub struct ScatterChart {
    /// Above the chart.
    pub title: String,
    /// To the right: what it measures, with its unit.
    pub x: String,
    /// How it is divided.
    pub scale: Scale,
    /// Upwards: what it measures, with its unit.
    pub y: String,
    /// Drawn in order.
    pub groups: Vec<ScatterGroup>,
    /// Width of the figure.
    pub width: u32,
}

impl ScatterChart {
    /// Draws the chart.
    pub fn draw(&self) -> Svg {
        let legend: Vec<Key<'_>> =
            self.groups.iter().map(|group| (group.name.as_str(), group.style, Some(group.mark))).collect();
        let axis = XAxis::new(self.scale, self.points().map(|(_, point)| point.x), self.width as usize / 70);
        let (bottom, top) = self.heights();
        let (mut named, mut bounds) = (Vec::new(), [0.0; 4]);
        let figure = figure(&self.title, &legend, (self.width, HEIGHT), |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_right(14 * FINE)
                .margin_top(6 * FINE)
                .x_label_area_size(42 * FINE)
                .y_label_area_size(58 * FINE)
                .build_cartesian_2d(axis.clone(), bottom..top)
                .expect(INTO_STRING);
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(colour(&GRID).stroke_width(FINE))
                .axis_style(colour(&MUTED).stroke_width(FINE))
                .label_style(font(FONT - 1.0, &MUTED))
                .axis_desc_style(font(FONT, &INK))
                .x_labels(axis.ticks.len())
                .y_labels(7)
                .x_label_formatter(&|value| tick(*value))
                .y_label_formatter(&|value| tick(*value))
                .x_desc(&self.x)
                .y_desc(&self.y)
                .draw()
                .expect(INTO_STRING);
            let units = |(x, y): (i32, i32)| (f64::from(x) / f64::from(FINE), f64::from(y) / f64::from(FINE));
            let (left, low) = units(chart.backend_coord(&(axis.range().start, bottom)));
            let (right, high) = units(chart.backend_coord(&(axis.range().end, top)));
            bounds = [left + 2.0, high, right + 8.0, low - 2.0];
            let origin = area.get_base_pixel();
            for (group, point) in self.points() {
                let at = |y: f64| {
                    let (x, y) = chart.backend_coord(&(point.x, y.clamp(bottom, top)));
                    (x - origin.0, y - origin.1)
                };
                let (from, to) = (at(point.bar.0), at(point.bar.1));
                let line = colour(role(group.style)).stroke_width(FINE);
                let cap = 3 * FINE as i32;
                let bar = [from, to].map(|(x, y)| vec![(x - cap, y), (x + cap, y)]);
                for piece in bar.into_iter().chain([vec![from, to]]) {
                    area.draw(&PathElement::new(piece, line)).expect(INTO_STRING);
                }
            }
            for (group, point) in self.points() {
                let at = |y: f64| chart.backend_coord(&(point.x, y.clamp(bottom, top)));
                let (x, y) = at(point.y);
                group.mark.draw(area, (x - origin.0, y - origin.1), group.style);
                named.push(Named {
                    at: units((x, y)),
                    bar: (units(at(point.bar.1)).1, units(at(point.bar.0)).1),
                    size: (point.label.chars().count() as f64 * LABEL * 0.585 + 2.0, LABEL + 2.5),
                });
            }
        });
        figure.with(&self.names(&named, bounds))
    }

    fn points(&self) -> impl Iterator<Item = (&ScatterGroup, &ScatterPoint)> {
        self.groups.iter().flat_map(|group| group.points.iter().map(move |point| (group, point)))
    }

    /// The ends of the axis upwards: all points, and bars as far as they do not squeeze the points.
    fn heights(&self) -> (f64, f64) {
        let ends = |of: fn(&ScatterPoint) -> f64| {
            spread(self.points().map(|(_, point)| of(point)).filter(|value| value.is_finite()))
        };
        let (min, max) = ends(|point| point.y);
        let room = 0.6 * (max - min).max(1e-3 * max.abs()).max(1e-9);
        let (low, high) = (ends(|point| point.bar.0).0, ends(|point| point.bar.1).1);
        let (bottom, top) = (low.max(min - room).min(min), high.min(max + room).max(max));
        let margin = 0.04 * (top - bottom).max(1e-9);
        (bottom - margin, top + margin)
    }

    /// The names, on a rim of paper, with lines to marks that are not beside them.
    fn names(&self, named: &[Named], bounds: labels::Box) -> String {
        let places = labels::place(named, bounds);
        let mut svg = String::new();
        for (point, place) in named.iter().zip(&places) {
            if let Some((x, y)) = place.leader {
                let ((from_x, from_y), stroke) = (point.at, theme::hex(MUTED.light));
                writeln!(
                    svg,
                    "<line x1=\"{from_x:.1}\" y1=\"{from_y:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"{stroke}\" \
                     stroke-width=\"0.7\"/>"
                )
                .expect("a string takes all");
            }
        }
        for ((_, point), place) in self.points().zip(&places) {
            let (x, y) = ((place.area[0] + place.area[2]) / 2.0, place.area[3] - 3.4);
            writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-family=\"sans-serif\" font-size=\"{LABEL}\" fill=\"{}\" stroke=\"{}\" \
                 stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\">{}</text>",
                theme::hex(INK.light),
                theme::hex(PAPER.light),
                escape(&point.label)
            )
            .expect("a string takes all");
        }
        svg
    }
}

/// The axis to the right.
#[derive(Clone)]
struct XAxis {
    scale: Scale,
    /// Both ends, as logarithms where the scale is one.
    ends: (f64, f64),
    /// Where zero is on a logarithmic scale, if there is one.
    zero: Option<f64>,
    /// The numbers that are written.
    ticks: Vec<f64>,
}

impl XAxis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, most: usize) -> Self {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let logarithms = || values.iter().copied().filter(|value| *value > 0.0).map(f64::log10);
        match scale {
            Scale::Linear => {
                let (min, max) = spread(values.iter().copied());
                let margin = 0.06 * (max - min).max(0.05 * max.abs()).max(1e-9);
                let ends = (min - margin, max + margin);
                XAxis { scale, ends, zero: None, ticks: even_ticks(ends.0, ends.1, most) }
            }
            Scale::Log => {
                let (min, max) = spread(logarithms());
                let width = (max - min).max(0.1);
                let zero = values.contains(&0.0).then_some(min - 0.22 * width);
                let ends = (zero.unwrap_or(min) - 0.06 * width, max + 0.06 * width);
                let ticks = zero.map(|_| 0.0).into_iter().chain(log_ticks(min - 0.06 * width, ends.1, most));
                XAxis { scale, ends, zero, ticks: ticks.collect() }
            }
        }
    }
}

impl Ranged for XAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let at = match self.scale {
            Scale::Linear => *value,
            Scale::Log if *value > 0.0 => value.log10(),
            Scale::Log => self.zero.unwrap_or(self.ends.0),
        };
        let along = (at - self.ends.0) / (self.ends.1 - self.ends.0);
        limit.0 + (along * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        match self.scale {
            Scale::Linear => self.ends.0..self.ends.1,
            Scale::Log => 10_f64.powf(self.ends.0)..10_f64.powf(self.ends.1),
        }
    }
}

/// The least and the greatest, or 0 and 1 where there are none.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold(None, |ends: Option<(f64, f64)>, value| {
            let (min, max) = ends.unwrap_or((value, value));
            Some((min.min(value), max.max(value)))
        })
        .unwrap_or((0.0, 1.0))
}

/// Round numbers at even distances.
fn even_ticks(from: f64, to: f64, most: usize) -> Vec<f64> {
    let rough = (to - from) / most as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough).unwrap_or(10.0);
    let first = (from / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|at| *at <= to).collect()
}

/// Round numbers between two powers of ten, as many of a decade as there is room for.
fn log_ticks(from: f64, to: f64, most: usize) -> Vec<f64> {
    const DIGITS: [&[f64]; 5] = [
        &[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        &[1.0, 2.0, 3.0, 5.0, 7.0],
        &[1.0, 2.0, 5.0],
        &[1.0],
    ];
    let ticks = |digits: &&[f64]| {
        let decades = from.floor() as i32..=to.floor() as i32;
        let all = decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)));
        all.filter(|value| (from..=to).contains(&value.log10())).collect::<Vec<f64>>()
    };
    let found =
        DIGITS.iter().map(ticks).find(|ticks| ticks.len() <= most).unwrap_or_else(|| ticks(&DIGITS[4]));
    if found.len() < 3 { even_ticks(10_f64.powf(from), 10_f64.powf(to), most) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(&str, f64, f64)], scale: Scale) -> ScatterChart {
        let point = |&(label, x, y): &(&str, f64, f64)| ScatterPoint {
            label: label.to_owned(),
            x,
            y,
            bar: (y - 1.0, y + 1.0),
        };
        ScatterChart {
            title: "Accuracy & cost".into(),
            x: "multiply-adds".into(),
            scale,
            y: "score".into(),
            groups: vec![ScatterGroup {
                name: "terms".into(),
                style: 1,
                mark: Mark::Disc,
                points: points.iter().map(point).collect(),
            }],
            width: 600,
        }
    }

    /// The centres of the discs in the colour of the group, without the legend's.
    fn discs(svg: &Svg) -> Vec<(f64, f64)> {
        let text = svg.inline();
        let own = text
            .lines()
            .filter(|line| line.contains("<circle") && line.contains(&theme::hex(theme::SERIES[1].light)));
        let value = |line: &str, name: &str| -> f64 {
            line.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        own.skip(1).map(|line| (value(line, "cx"), value(line, "cy"))).collect()
    }

    #[test]
    fn equal_ratios_are_equal_distances_and_zero_stands_apart() {
        let drawn =
            chart(&[("w/o", 0.0, 1.0), ("a", 1.0, 2.0), ("b", 10.0, 3.0), ("c", 100.0, 4.0)], Scale::Log)
                .draw();
        let at = discs(&drawn);
        assert_eq!(at.len(), 4);
        assert!(((at[2].0 - at[1].0) - (at[3].0 - at[2].0)).abs() <= 1.0, "{at:?}");
        assert!(at[0].0 < at[1].0 - 30.0, "{at:?}");
        assert!(((at[0].1 - at[1].1) - (at[2].1 - at[3].1)).abs() <= 1.0 && at[1].1 > at[2].1, "{at:?}");
        let svg = drawn.inline();
        assert!(svg.contains("Accuracy &amp; cost") && svg.contains(">w/o<"), "{svg}");
    }

    #[test]
    fn ticks_are_round_numbers_in_range() {
        assert_eq!(even_ticks(3.0, 21.0, 7), [5.0, 10.0, 15.0, 20.0]);
        let powers: Vec<String> = log_ticks(-0.1, 2.05, 8).into_iter().map(tick).collect();
        assert_eq!(powers, ["1", "2", "5", "10", "20", "50", "100"]);
        for (from, to) in [(0.31, 0.62), (0.98, 1.02), (-3.0, 3.0), (0.0, 0.9)] {
            assert!((3..=8).contains(&log_ticks(from, to, 8).len()), "{:?}", log_ticks(from, to, 8));
        }
    }

    #[test]
    fn charts_without_sensible_numbers_are_drawn() {
        for points in [vec![], vec![("a", 0.0, 0.0)], vec![("a", 3.0, 5.0), ("b", 3.0, 5.0)]] {
            for scale in [Scale::Linear, Scale::Log] {
                assert!(chart(&points, scale).draw().inline().contains("multiply-adds"));
            }
        }
    }

    #[test]
    fn a_bar_far_beyond_the_points_does_not_squeeze_them() {
        let mut wide = chart(&[("a", 1.0, 50.0), ("b", 2.0, 51.0)], Scale::Linear);
        wide.groups[0].points[0].bar = (0.0, 100.0);
        let (bottom, top) = wide.heights();
        assert!(bottom > 49.0 && top < 52.0, "{bottom} {top}");
    }
}
