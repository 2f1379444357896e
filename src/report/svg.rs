//! An SVG figure, for a file of its own or inside of a page.

use super::html::escape;
use super::theme::{PAPER, figure_css, hex};

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
