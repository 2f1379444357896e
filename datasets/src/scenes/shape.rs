//! The shapes and their signed distances.

use std::f32::consts::{PI, TAU};

/// A class of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A filled circle.
    Disc,
    /// A square.
    Square,
    /// A triangle with equal sides.
    Triangle,
    /// A rectangle four times as long as wide.
    Bar,
    /// A circle with a round hole.
    Ring,
    /// A plus sign.
    Cross,
    /// A star with five points.
    Star,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 7] =
        [Self::Disc, Self::Square, Self::Triangle, Self::Bar, Self::Ring, Self::Cross, Self::Star];

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Bar => "bar",
            Self::Ring => "ring",
            Self::Cross => "cross",
            Self::Star => "star",
        }
    }

    /// The outline at scale 1: area pi, centred at the origin.
    pub(super) fn outline(self) -> Outline {
        let polygon = |points: Vec<[f32; 2]>| {
            let area =
                points.iter().zip(points.iter().cycle().skip(1)).map(|(a, b)| a[0] * b[1] - a[1] * b[0]);
            let scale = (PI / (area.sum::<f32>() / 2.0).abs()).sqrt();
            Outline::Polygon(points.into_iter().map(|point| point.map(|value| value * scale)).collect())
        };
        let rectangle = |x: f32, y: f32| vec![[-x, -y], [x, -y], [x, y], [-x, y]];
        // Points on circles of the given radii in turn.
        let spokes = |count: usize, radii: [f32; 2]| {
            let point = |index: usize| {
                let angle = TAU * index as f32 / count as f32;
                [radii[index % 2] * angle.cos(), radii[index % 2] * angle.sin()]
            };
            (0..count).map(point).collect()
        };
        match self {
            Self::Disc => Outline::Ring { inner: 0.0, outer: 1.0 },
            Self::Ring => {
                let hole: f32 = 0.55; // of the outer radius
                let outer = 1.0 / (1.0 - hole * hole).sqrt();
                Outline::Ring { inner: hole * outer, outer }
            }
            Self::Square => polygon(rectangle(1.0, 1.0)),
            Self::Bar => polygon(rectangle(4.0, 1.0)),
            Self::Triangle => polygon(spokes(3, [1.0, 1.0])),
            Self::Star => polygon(spokes(10, [1.0, 0.42])),
            Self::Cross => {
                let (arm, half) = (1.0, 0.32);
                let corner = [[arm, half], [half, half], [half, arm]];
                let turn = |[x, y]: [f32; 2], quarters: usize| match quarters {
                    0 => [x, y],
                    1 => [-y, x],
                    2 => [-x, -y],
                    _ => [y, -x],
                };
                polygon((0..4).flat_map(|quarters| corner.map(|point| turn(point, quarters))).collect())
            }
        }
    }
}

/// The boundary of a shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outline {
    /// Between two circles; the inner one may be empty.
    Ring { inner: f32, outer: f32 },
    /// A closed polygon without crossings.
    Polygon(Vec<[f32; 2]>),
}

impl Outline {
    /// The radius of the circle around the origin that holds the shape.
    pub(super) fn reach(&self) -> f32 {
        match self {
            Self::Ring { outer, .. } => *outer,
            Self::Polygon(points) => points.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f32::max),
        }
    }

    /// The distance of a point to the boundary, negative inside.
    pub(super) fn distance(&self, point: [f32; 2]) -> f32 {
        match self {
            Self::Ring { inner, outer } => {
                let radius = point[0].hypot(point[1]);
                let outside = radius - outer;
                if *inner > 0.0 { outside.max(inner - radius) } else { outside }
            }
            Self::Polygon(points) => polygon_distance(points, point),
        }
    }
}

fn polygon_distance(points: &[[f32; 2]], [x, y]: [f32; 2]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let mut from = points[points.len() - 1];
    for &to in points {
        let (edge, offset) = ([to[0] - from[0], to[1] - from[1]], [x - from[0], y - from[1]]);
        let along = (offset[0] * edge[0] + offset[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1]);
        let along = along.clamp(0.0, 1.0);
        nearest = nearest.min((offset[0] - along * edge[0]).hypot(offset[1] - along * edge[1]));
        // A ray to the right crosses the boundary an odd number of times from inside.
        if (from[1] > y) != (to[1] > y) && x < from[0] + edge[0] * (y - from[1]) / edge[1] {
            inside = !inside;
        }
        from = to;
    }
    if inside { -nearest } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes cannot tell the classes apart: every shape has area pi.
    #[test]
    fn all_shapes_have_the_area_of_the_unit_disc() {
        for shape in Shape::ALL {
            let outline = shape.outline();
            let (steps, side) = (600, 2.5);
            let coordinate = |index: usize| side * ((2 * index + 1) as f32 / steps as f32 - 1.0);
            let mut inside = 0;
            for row in 0..steps {
                for column in 0..steps {
                    // A turned grid: edges along its axes would make the count jump by whole rows.
                    let (x, y) = (coordinate(column), coordinate(row));
                    let point = [0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y];
                    let distance = outline.distance(point);
                    inside += usize::from(distance < 0.0);
                    assert!(distance >= 0.0 || point[0].hypot(point[1]) <= outline.reach() + 1e-4);
                }
            }
            let area = inside as f32 * (2.0 * side / steps as f32).powi(2);
            assert!((area - PI).abs() < 0.02, "{shape:?}: {area}");
        }
    }

    #[test]
    fn distances_are_euclidean() {
        let square = Shape::Square.outline();
        let half = PI.sqrt() / 2.0;
        for (point, expected) in [
            ([0.0, 0.0], -half),
            ([half + 2.0, 0.1], 2.0),
            ([half + 3.0, -half - 4.0], 5.0),
            ([half - 0.25, 0.0], -0.25),
        ] {
            assert!(
                (square.distance(point) - expected).abs() < 1e-5,
                "{point:?}: {}",
                square.distance(point)
            );
        }
        let ring = Outline::Ring { inner: 1.0, outer: 2.0 };
        assert_eq!(
            [ring.distance([0.0, 0.0]), ring.distance([0.0, 1.75]), ring.distance([3.0, 0.0])],
            [1.0, -0.25, 1.0]
        );
    }
}
