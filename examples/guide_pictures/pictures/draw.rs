//! What the pictures are drawn with: lines, text, maps of weights.

use super::theme::{GRID, INK, MUTED, PAPER, Rgb, SERIES, figure_css, hex};

/// The colours of E1 to E4.
pub fn term(i: usize) -> Rgb {
    SERIES[i].light
}

/// The colour of what belongs to no term.
pub fn neutral() -> Rgb {
    SERIES[6].light
}

/// A picture in the making.
pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// Where text stands relative to its point.
#[derive(Clone, Copy)]
pub enum Align {
    Start,
    Middle,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Drawing { width, height, body: String::new() }
    }

    /// The SVG file. `title` is what a screen reader says of it.
    pub fn file(&self, title: &str) -> String {
        let Drawing { width, height, body } = self;
        let (css, paper) = (figure_css(), hex(PAPER.light));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg class=\"figure\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\">\n<title>{title}</title>\n\
             <style>\n{css}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{paper}\"/>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: &str) {
        self.body += element;
        self.body.push('\n');
    }

    pub fn text(&mut self, [x, y]: [f64; 2], size: f64, align: Align, colour: Rgb, text: &str) {
        let anchor = match align {
            Align::Start => "",
            Align::Middle => " text-anchor=\"middle\"",
        };
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"{anchor} fill=\"{}\">{text}</text>",
            hex(colour)
        ));
    }

    /// A heading over a part of the picture.
    pub fn heading(&mut self, at: [f64; 2], text: &str) {
        self.text(at, 13.0, Align::Start, INK.light, text);
    }

    /// A remark below a part of the picture.
    pub fn remark(&mut self, at: [f64; 2], text: &str) {
        self.text(at, 12.0, Align::Start, MUTED.light, text);
    }

    pub fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], width: f64, colour: Rgb) {
        self.push(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{}\" \
             stroke-width=\"{width}\"/>",
            hex(colour)
        ));
    }

    pub fn polyline(&mut self, points: &[[f64; 2]], colour: Rgb) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        self.push(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
            points.join(" "),
            hex(colour)
        ));
    }

    /// A filled rectangle; `opacity` in [0, 1].
    pub fn area(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], colour: Rgb, opacity: f64) {
        self.push(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\" \
             fill-opacity=\"{opacity:.2}\"/>",
            hex(colour)
        ));
    }

    /// The outline of a rectangle.
    pub fn frame(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], stroke: f64, colour: Rgb) {
        self.push(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"none\" \
             stroke=\"{}\" stroke-width=\"{stroke}\"/>",
            hex(colour)
        ));
    }

    pub fn disc(&mut self, [x, y]: [f64; 2], radius: f64, colour: Rgb, filled: bool) {
        let (fill, stroke) = if filled { (hex(colour), "none".into()) } else { ("none".into(), hex(colour)) };
        self.push(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ));
    }

    /// A map of weights, a cell each: the darker, the heavier; percentages of at least one are printed.
    pub fn weights(&mut self, grid: Grid, weights: &[f64], colour: Rgb) {
        for (i, &weight) in weights.iter().enumerate() {
            let at = grid.corner(i / grid.columns, i % grid.columns);
            self.area(at, [grid.cell, grid.cell], colour, 0.75 * weight.clamp(0.0, 1.0).sqrt());
            self.frame(at, [grid.cell, grid.cell], 1.0, GRID.light);
            if weight >= 0.01 {
                let [x, y] = grid.middle(i / grid.columns, i % grid.columns);
                let below = grid.cell / 2.0 - 4.0;
                self.text([x, y + below], 10.0, Align::Middle, INK.light, &format!("{:.0}", 100.0 * weight));
            }
        }
    }

    /// Bars up and down from a base line.
    pub fn bars(&mut self, [x, base]: [f64; 2], step: f64, heights: &[f64], colour: Rgb) {
        for (i, &height) in heights.iter().enumerate() {
            let at = [x + i as f64 * step + 2.0, base - height.max(0.0)];
            self.area(at, [step - 4.0, height.abs().max(0.5)], colour, 0.9);
        }
        self.line([x, base], [x + heights.len() as f64 * step, base], 1.0, MUTED.light);
    }

    /// A line with a head.
    pub fn arrow(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], colour: Rgb) {
        self.line([x1, y1], [x2, y2], 1.5, colour);
        let length = (x2 - x1).hypot(y2 - y1).max(1e-9);
        let (ux, uy) = ((x2 - x1) / length, (y2 - y1) / length);
        for side in [-1.0, 1.0] {
            let wing = [x2 - 5.0 * ux - side * 3.0 * uy, y2 - 5.0 * uy + side * 3.0 * ux];
            self.line([x2, y2], wing, 1.5, colour);
        }
    }
}

/// Cells in rows and columns.
#[derive(Clone, Copy)]
pub struct Grid {
    pub at: [f64; 2],
    pub cell: f64,
    pub columns: usize,
}

impl Grid {
    pub fn corner(self, row: usize, column: usize) -> [f64; 2] {
        [self.at[0] + column as f64 * self.cell, self.at[1] + row as f64 * self.cell]
    }

    pub fn middle(self, row: usize, column: usize) -> [f64; 2] {
        self.point(row as f64, column as f64)
    }

    /// The middle of the cell at a position between cells.
    pub fn point(self, row: f64, column: f64) -> [f64; 2] {
        [self.at[0] + (column + 0.5) * self.cell, self.at[1] + (row + 0.5) * self.cell]
    }
}
