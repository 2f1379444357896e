//! Where to write the names of points that lie close together.

/// A rectangle: left, top, right, bottom.
pub type Box = [f64; 4];

/// A point with a name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where it lies.
    pub at: (f64, f64),
    /// The upper and lower end of the bar through it.
    pub bar: (f64, f64),
    /// Width and height of its name.
    pub size: (f64, f64),
}

/// Half the width of a mark.
const MARK: f64 = 6.0;
/// Distances from the mark that are tried, and directions at each.
const DISTANCES: [f64; 8] = [0.0, 7.0, 16.0, 27.0, 40.0, 56.0, 75.0, 96.0];
const DIRECTIONS: usize = 16;
/// Beyond this distance a line leads from the name to its mark.
const LEADER: f64 = 5.0;
/// Times that each name looks for a better place among the others.
const SWEEPS: usize = 6;

/// The place of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// What the name takes.
    pub area: Box,
    /// The end of the line that leads to the mark, where it is not beside it.
    pub leader: Option<(f64, f64)>,
}

/// A place for each name inside of `bounds`, such that names cover neither each other nor marks, as far as there is
/// room: every name in turn takes the cheapest place, some times over. The same points have the same places.
pub fn place(points: &[Named], bounds: Box) -> Vec<Place> {
    let mut places: Vec<Option<Place>> = vec![None; points.len()];
    let crowd = |p: usize| {
        let near = |q: &&Named| (q.at.0 - points[p].at.0).hypot(q.at.1 - points[p].at.1) < 60.0;
        points.iter().filter(near).count()
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&p| crowd(p));
    for _ in 0..SWEEPS {
        for &p in &order {
            let cheapest = candidates(&points[p], bounds)
                .map(|(place, effort)| (effort + cost(p, &place, points, &places), place))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            places[p] = cheapest.map(|(_, place)| place);
        }
    }
    places.into_iter().map(|place| place.expect("there is always a candidate")).collect()
}

/// Places around a mark with what each costs by itself.
fn candidates(point: &Named, bounds: Box) -> impl Iterator<Item = (Place, f64)> {
    let Named { at: (x, y), size: (width, height), .. } = *point;
    DISTANCES.into_iter().flat_map(move |distance| {
        (0..DIRECTIONS).map(move |direction| {
            let (sin, cos) = (direction as f64 * std::f64::consts::TAU / DIRECTIONS as f64).sin_cos();
            let reach = MARK + distance;
            let centre = (x + cos * (reach + width / 2.0), y - sin * (reach + height / 2.0));
            let left = centre.0 - width / 2.0;
            let top = centre.1 - height / 2.0;
            // What sticks out is moved inside.
            let left = left.min(bounds[2] - width).max(bounds[0]);
            let top = top.min(bounds[3] - height).max(bounds[1]);
            let area = [left, top, left + width, top + height];
            let nearest = (x.clamp(area[0], area[2]), y.clamp(area[1], area[3]));
            let gap = (nearest.0 - x).hypot(nearest.1 - y);
            let leader = (gap > MARK + LEADER).then_some(nearest);
            // To the right is best, to the left next, above and below cross the bar.
            let unusual = if direction == 0 { 0.0 } else { 1.5 + 1.5 * (1.0 - cos) };
            (Place { area, leader }, gap + unusual)
        })
    })
}

/// What a place costs beside the marks, bars and names of others.
fn cost(p: usize, place: &Place, points: &[Named], places: &[Option<Place>]) -> f64 {
    let mut cost = 0.0;
    for (q, point) in points.iter().enumerate() {
        let (x, y) = point.at;
        let mark = [x - MARK, y - MARK, x + MARK, y + MARK];
        cost += if overlap(&place.area, &mark) > 0.0 { 150.0 } else { 0.0 };
        let crossed = overlap(&place.area, &[x - 1.0, point.bar.0, x + 1.0, point.bar.1]) / 2.0;
        cost += 2.0 * crossed;
        if q == p {
            continue;
        }
        if let Some(end) = place.leader {
            let near = distance_to_segment(point.at, points[p].at, end);
            cost += if near < MARK { 40.0 } else { 0.0 };
        }
        let Some(other) = &places[q] else { continue };
        let shared = overlap(&grown(&place.area), &grown(&other.area));
        cost += if shared > 0.0 { 400.0 + 10.0 * shared } else { 0.0 };
        let lines = [(place.leader, points[p].at, other.area), (other.leader, point.at, place.area)];
        for (leader, from, area) in lines {
            cost += leader.map_or(0.0, |end| if touches(from, end, &area) { 120.0 } else { 0.0 });
        }
        if let (Some(a), Some(b)) = (place.leader, other.leader) {
            cost += if cross(points[p].at, a, point.at, b) { 80.0 } else { 0.0 };
        }
    }
    cost
}

fn grown(area: &Box) -> Box {
    [area[0] - 1.5, area[1] - 0.5, area[2] + 1.5, area[3] + 0.5]
}

/// The area that two rectangles share.
pub fn overlap(a: &Box, b: &Box) -> f64 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    width.max(0.0) * height.max(0.0)
}

fn distance_to_segment(point: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = ((point.0 - a.0) * dx + (point.1 - a.1) * dy) / (dx * dx + dy * dy).max(1e-9);
    let along = along.clamp(0.0, 1.0);
    (a.0 + along * dx - point.0).hypot(a.1 + along * dy - point.1)
}

/// Whether a line runs through a rectangle; it is looked at in steps of a few units.
fn touches(from: (f64, f64), to: (f64, f64), area: &Box) -> bool {
    (0..=24).any(|step| {
        let along = f64::from(step) / 24.0;
        let (x, y) = (from.0 + along * (to.0 - from.0), from.1 + along * (to.1 - from.1));
        (area[0]..=area[2]).contains(&x) && (area[1]..=area[3]).contains(&y)
    })
}

fn cross(a: (f64, f64), b: (f64, f64), c: (f64, f64), d: (f64, f64)) -> bool {
    let side = |p: (f64, f64), q: (f64, f64), r: (f64, f64)| {
        (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0) > 0.0
    };
    side(a, b, c) != side(a, b, d) && side(c, d, a) != side(c, d, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Box = [60.0, 20.0, 660.0, 400.0];

    fn named(x: f64, y: f64, width: f64) -> Named {
        Named { at: (x, y), bar: (y - 20.0, y + 20.0), size: (width, 13.0) }
    }

    #[test]
    fn a_point_alone_has_its_name_beside_it() {
        let found = place(&[named(300.0, 200.0, 30.0)], BOUNDS);
        assert_eq!(found, [Place { area: [306.0, 193.5, 336.0, 206.5], leader: None }]);
        let at_the_edge = place(&[named(655.0, 200.0, 30.0)], BOUNDS)[0];
        assert!(at_the_edge.area[2] <= 649.0, "{at_the_edge:?}");
    }

    #[test]
    fn names_of_a_cluster_neither_cover_each_other_nor_a_mark() {
        let point = |i: usize| {
            let (x, y) = (300.0 + 9.0 * ((i * 7) % 16) as f64, 180.0 + 8.0 * ((i * 5) % 13) as f64);
            named(x, y, if i.is_multiple_of(7) { 96.0 } else { 27.0 })
        };
        let points: Vec<Named> = (0..21).map(point).collect();
        let places = place(&points, BOUNDS);
        for (p, one) in places.iter().enumerate() {
            let area = one.area;
            assert!(
                area[0] >= BOUNDS[0] && area[1] >= BOUNDS[1] && area[2] <= BOUNDS[2] && area[3] <= BOUNDS[3]
            );
            for other in &places[..p] {
                assert_eq!(overlap(&area, &other.area), 0.0, "{area:?} and {:?}", other.area);
            }
        }
        let covered = |place: &Place| {
            let on = |q: &&Named| {
                overlap(&place.area, &[q.at.0 - 2.0, q.at.1 - 2.0, q.at.0 + 2.0, q.at.1 + 2.0]) > 0.0
            };
            points.iter().filter(on).count()
        };
        assert_eq!(places.iter().map(covered).sum::<usize>(), 0);
    }

    #[test]
    fn equal_points_have_places_too() {
        let points = vec![named(300.0, 200.0, 40.0); 6];
        let places = place(&points, BOUNDS);
        assert!((0..6).all(|p| (0..p).all(|q| overlap(&places[p].area, &places[q].area) == 0.0)));
    }
}
