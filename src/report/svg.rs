//! An SVG figure, for a file of its own or inside of a page.

use super::html::escape;
use super::theme::{INK, MUTED, PAPER, Rgb, figure_css, hex};

/// A figure of `width` by `height` units. Its text is text.
#[derive(Clone, Debug)]
pub struct Svg {
    width: u32,
    height: u32,
    title: String,
    body: String,
}

impl Svg {
    /// A figure from SVG elements. `title` is what a screen reader says of it.
    pub fn new(width: u32, height: u32, title: &str, body: String) -> Self {
        Svg { width, height, title: title.to_owned(), body }
    }

    /// Figures below each other.
    pub fn stacked(title: &str, figures: &[Svg]) -> Self {
        let (mut height, mut body) = (0, String::new());
        for figure in figures {
            body += &format!("<g transform=\"translate(0 {height})\">\n{}</g>\n", figure.body);
            height += figure.height;
        }
        Svg::new(figures.iter().map(|figure| figure.width).max().unwrap_or(0), height, title, body)
    }

    /// The figure with more elements on top.
    pub(super) fn with(mut self, elements: &str) -> Self {
        self.body += elements;
        self
    }

    /// The width at which its text has its natural size, in CSS pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The element for a page that has the rules of [`figure_css`].
    pub fn inline(&self) -> String {
        let Svg { width, height, title, body } = self;
        let title = escape(title);
        format!(
            "<svg class=\"figure\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\">\n{body}</svg>\n"
        )
    }

    /// A whole SVG file, on paper of its own.
    pub fn file(&self) -> String {
        let (start, body) =
            self.inline().split_once(">\n").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("an element");
        let title = escape(&self.title);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{start}>\n<title>{title}</title>\n<style>\n{}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n{body}",
            figure_css(),
            hex(PAPER.light)
        )
    }
}

/// Colours with their names, in rows.
pub fn swatches(title: &str, entries: &[(Rgb, &str)]) -> Svg {
    const WIDTH: u32 = 560;
    let (mut x, mut y, mut body) = (0, 0, String::new());
    for (colour, name) in entries {
        let width = 24 + 8 * name.chars().count() as u32 + 16;
        if x > 0 && x + width > WIDTH {
            (x, y) = (0, y + 24);
        }
        body += &format!(
            "<rect x=\"{x}.5\" y=\"{y}.5\" width=\"16\" height=\"16\" rx=\"2\" fill=\"{}\" stroke=\"{}\"/>\n\
             <text x=\"{}\" y=\"{}\" font-size=\"12.5\" fill=\"{}\">{}</text>\n",
            hex(*colour),
            hex(MUTED.light),
            x + 23,
            y + 13,
            hex(INK.light),
            escape(name)
        );
        x += width;
    }
    Svg::new(WIDTH, y + 20, title, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacked_figures_stand_below_each_other() {
        let figure = |height, body: &str| Svg::new(10, height, "t", body.to_owned());
        let both = Svg::stacked("both", &[figure(20, "<a/>"), figure(7, "<b/>")]);
        assert_eq!((both.width, both.height), (10, 27));
        assert_eq!(
            both.body,
            "<g transform=\"translate(0 0)\">\n<a/></g>\n<g transform=\"translate(0 20)\">\n<b/></g>\n"
        );
    }

    #[test]
    fn a_file_has_its_own_paper_and_colours_and_a_page_shares_its() {
        let svg = Svg::new(10, 20, "a < b", "<g/>".to_owned());
        let file = svg.file();
        assert!(
            file.starts_with("<?xml") && file.contains("<title>a &lt; b</title>") && file.contains("<style>")
        );
        assert_eq!(file.matches("<svg").count(), 1);
        assert!(!svg.inline().contains("<style>") && svg.inline().contains("viewBox=\"0 0 10 20\""));
    }

    #[test]
    fn swatches_wrap_and_are_escaped() {
        let names: Vec<String> = (0..12).map(|i| format!("class <{i}>")).collect();
        let entries: Vec<_> = names.iter().map(|name| ([1, 2, 3], name.as_str())).collect();
        let drawn = swatches("t", &entries);
        assert_eq!(drawn.body.matches("#010203").count(), 12);
        assert!(drawn.height > 24 && !drawn.body.contains("class <"));
    }
}
