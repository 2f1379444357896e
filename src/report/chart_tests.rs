use super::*;

fn chart(series: Vec<Series>) -> LineChart {
    LineChart {
        title: "Loss & <time>".into(),
        x: Axis::new("step"),
        y: Axis::between("loss", 0.0, 2.0),
        series,
        small: false,
    }
}

fn series(name: &str, style: usize, points: &[(f64, f64)]) -> Series {
    Series { name: name.into(), style, points: points.to_vec() }
}

/// The x of both ends of each line that has the colour of `style`.
fn polylines(svg: &Svg, style: usize) -> Vec<Vec<(f64, f64)>> {
    let marker = format!("stroke=\"{}\" stroke-width=\"4\" points=\"", theme::hex(SERIES[style].light));
    let svg = svg.inline();
    let pieces = svg.split(&marker).skip(1).map(|rest| {
        let points = rest.split_once('"').unwrap().0.split_whitespace();
        let number = |text: &str| text.parse::<f64>().unwrap();
        points.map(|p| p.split_once(',').map(|(x, y)| (number(x), number(y))).unwrap()).collect()
    });
    pieces.collect()
}

#[test]
fn points_lie_where_their_numbers_say() {
    let drawn = chart(vec![series("a", 0, &[(0.0, 0.0), (50.0, 1.0), (100.0, 2.0)])]).draw();
    let line = &polylines(&drawn, 0)[0];
    // Even steps on both axes, to the right and upwards.
    let (first, middle, last) = (line[0], line[1], line[2]);
    assert!(last.0 > first.0 && last.1 < first.1);
    assert!((middle.0 - (first.0 + last.0) / 2.0).abs() <= 1.0, "{line:?}");
    assert!((middle.1 - (first.1 + last.1) / 2.0).abs() <= 1.0, "{line:?}");
}

#[test]
fn a_gap_interrupts_a_line_and_one_point_is_a_dot() {
    let points = [(0.0, 1.0), (1.0, 1.5), (2.0, f64::NAN), (3.0, 1.0)];
    let drawn = chart(vec![series("a", 1, &points)]).draw();
    assert_eq!(polylines(&drawn, 1).len(), 1);
    let dot = format!("fill=\"{}\"", theme::hex(SERIES[1].light));
    assert_eq!(drawn.inline().matches(&dot).count(), 1);
}

#[test]
fn text_is_text_and_is_escaped() {
    let drawn = chart(vec![series("0010 & <b>", 0, &[(0.0, 1.0), (1.0, 1.0)])]).draw();
    let svg = drawn.inline();
    assert!(svg.contains("0010 &amp; &lt;b&gt;") && svg.contains("Loss &amp; &lt;time&gt;"), "{svg}");
    assert!(!svg.contains("<b>"));
    assert!(svg.contains("step") && svg.contains("loss"));
}

#[test]
fn a_name_stands_in_the_legend_once() {
    let flat = [(0.0, 1.0), (1.0, 1.0)];
    let drawn =
        chart(vec![series("same", 0, &flat), series("same", 0, &flat), series("other", 1, &flat)]).draw();
    assert_eq!(drawn.inline().matches("same").count(), 1);
    let many: Vec<(String, usize)> = (0..12).map(|i| (format!("mechanism {i}"), i)).collect();
    let many: Vec<Key<'_>> = many.iter().map(|(name, style)| (name.as_str(), *style, None)).collect();
    let rows = legend_rows(&many, WIDTH);
    assert!(rows.len() > 1 && rows.concat().len() == 12);
    assert!(rows.concat().iter().all(|((name, ..), x)| x + 26 + text_width(name) <= WIDTH));
}

#[test]
fn a_small_chart_is_narrower_and_its_legend_wraps() {
    let flat = [(0.0, 1.0), (1.0, 1.0)];
    let named = |i: usize| series(&format!("expected: number {i}"), i, &flat);
    let drawn = LineChart { small: true, ..chart((0..4).map(named).collect()) }.draw();
    assert_eq!(drawn.width(), HALF);
    for style in 0..4 {
        let x = polylines(&drawn, style).concat().into_iter().map(|(x, _)| x).fold(0.0, f64::max);
        assert!(x <= f64::from(HALF * FINE), "{x}");
    }
}

#[test]
fn no_data_and_a_constant_are_drawn_too() {
    let empty = LineChart { y: Axis::new("y"), ..chart(Vec::new()) };
    assert!(empty.draw().inline().contains("step"));
    let constant = LineChart { y: Axis::new("y"), ..chart(vec![series("a", 0, &[(5.0, 3.0), (5.0, 3.0)])]) };
    assert_eq!(polylines(&constant.draw(), 0).len(), 1);
}

#[test]
fn bars_are_as_long_as_their_numbers() {
    let bars = BarChart {
        title: "IoU".into(),
        label: "IoU".into(),
        groups: vec!["Sky".into(), "SignSymbol".into()],
        series: vec![("w/o".into(), vec![Some(0.4), Some(0.8)]), ("0010".into(), vec![None, Some(0.2)])],
    };
    let svg = bars.draw().inline();
    let widths = |style: usize| -> Vec<f64> {
        let colour = format!("fill=\"{}\"", theme::hex(SERIES[style].light));
        let rects = svg.lines().filter(|line| line.starts_with("<rect") && line.contains(&colour));
        let width =
            |line: &str| line.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        rects.map(width).collect()
    };
    let (first, second) = (widths(0), widths(1));
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!((first[1] / first[0] - 2.0).abs() < 0.02 && (first[0] / second[0] - 2.0).abs() < 0.02);
}

#[test]
fn ticks_are_short() {
    let ticks = [0.30000000000000004, 1.0, 0.0, -0.0, 250.0, 1e-5, 2e6].map(tick);
    assert_eq!(ticks, ["0.3", "1", "0", "0", "250", "1e-5", "2e6"]);
}
