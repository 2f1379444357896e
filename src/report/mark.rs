//! The shapes of points, which tell groups apart where colours do not.

use plotters::prelude::*;

use super::chart::{Area, FINE, INTO_STRING, colour, role};
use super::theme::PAPER;

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle.
    Triangle,
    /// A ring: what is shown beside the others.
    Ring,
}

impl Mark {
    /// Draws it on a rim of paper, with its centre at a place in the units of plotters.
    pub(super) fn draw(self, area: &Area<'_>, at: (i32, i32), style: usize) {
        for (size, colour) in [(6.4, colour(&PAPER)), (5.0, colour(role(style)))] {
            let size = size * f64::from(FINE);
            let polygon = |corners: &[(f64, f64)], scale: f64| {
                let corner = |(x, y): &(f64, f64)| {
                    (at.0 + (x * scale * size).round() as i32, at.1 + (y * scale * size).round() as i32)
                };
                Polygon::new(corners.iter().map(corner).collect::<Vec<_>>(), colour.filled())
            };
            match self {
                Mark::Disc => area.draw(&Circle::new(at, size as i32, colour.filled())),
                Mark::Square => area.draw(&polygon(&[(-1., -1.), (1., -1.), (1., 1.), (-1., 1.)], 0.88)),
                Mark::Diamond => area.draw(&polygon(&[(0., -1.), (1., 0.), (0., 1.), (-1., 0.)], 1.2)),
                Mark::Triangle => area.draw(&polygon(&[(0., -1.1), (1., 0.75), (-1., 0.75)], 1.05)),
                Mark::Ring => area.draw(&Circle::new(at, size as i32, colour.filled())),
            }
            .expect(INTO_STRING);
        }
        if self == Mark::Ring {
            let hole = Circle::new(at, (2.8 * f64::from(FINE)) as i32, colour(&PAPER).filled());
            area.draw(&hole).expect(INTO_STRING);
        }
    }
}
