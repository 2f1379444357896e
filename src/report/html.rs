//! One page that needs nothing else: style and pictures are inside, no address leads out of it.

use super::data_uri::png_data_uri;
use super::svg::Svg;
use super::theme::figure_css;

const STYLE: &str = include_str!("page.css");

/// A table of more rows has them closer together.
const LONG: usize = 12;

/// Text for an element or an attribute. Control characters that no page may have become a replacement sign.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table of text. The first column names the rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub head: Vec<String>,
    /// Rows of as many texts.
    pub rows: Vec<Vec<String>>,
}

/// How a verdict is coloured; its words and its sign say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As expected.
    Good,
    /// Against what was expected.
    Bad,
    /// Neither.
    Open,
}

/// A part of a figure.
pub enum Panel<'a> {
    /// A drawing.
    Svg(&'a Svg),
    /// A picture as a PNG file of few pixels, shown at a width in CSS pixels, its pixels as squares.
    Png {
        /// The file.
        png: &'a [u8],
        /// The width at which it is shown where there is room.
        width: usize,
        /// What it shows, for who cannot see it, and as a label above it.
        label: String,
    },
}

/// A page under construction. All text that it is given is shown as it is: nothing in it is markup.
pub struct Page {
    title: String,
    body: String,
    sections: Vec<String>,
}

impl Page {
    /// A page with a title and a few sentences below it.
    pub fn new(title: &str, lead: &str) -> Self {
        let mut page = Page { title: title.to_owned(), body: String::new(), sections: Vec::new() };
        page.body += &format!("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", escape(title), escape(lead));
        page
    }

    /// A heading, listed at the top of the page.
    pub fn section(&mut self, heading: &str) -> &mut Self {
        self.sections.push(heading.to_owned());
        let (number, heading) = (self.sections.len(), escape(heading));
        self.body += &format!("<h2 id=\"section-{number}\">{heading}</h2>\n");
        self
    }

    /// A smaller heading.
    pub fn subsection(&mut self, heading: &str) -> &mut Self {
        self.body += &format!("<h3>{}</h3>\n", escape(heading));
        self
    }

    /// A line that says what the next list or table is about.
    pub fn label(&mut self, text: &str) -> &mut Self {
        self.body += &format!("<p class=\"label\">{}</p>\n", escape(text));
        self
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.body += &format!("<p>{}</p>\n", escape(text));
        self
    }

    /// Terms with their explanations.
    pub fn definitions<'t>(&mut self, entries: impl IntoIterator<Item = (&'t str, String)>) -> &mut Self {
        self.body += "<dl>\n";
        for (term, text) in entries {
            self.body += &format!("<dt>{}</dt><dd>{}</dd>\n", escape(term), escape(&text));
        }
        self.body += "</dl>\n";
        self
    }

    /// Statements, each with a verdict before it: a sign and words.
    pub fn verdicts<'t>(
        &mut self,
        entries: impl IntoIterator<Item = (Tone, [&'t str; 2], String)>,
    ) -> &mut Self {
        self.body += "<ul class=\"verdicts\">\n";
        for (tone, [sign, words], text) in entries {
            let class = match tone {
                Tone::Good => "good",
                Tone::Bad => "bad",
                Tone::Open => "open",
            };
            self.body += &format!(
                "<li><span class=\"verdict {class}\"><span aria-hidden=\"true\">{}</span> {}</span><span>{}</span></li>\n",
                escape(sign),
                escape(words),
                escape(&text)
            );
        }
        self.body += "</ul>\n";
        self
    }

    /// A table with a caption.
    pub fn table(&mut self, table: &Table, caption: &str) -> &mut Self {
        let class = if table.rows.len() > LONG { " class=\"dense\"" } else { "" };
        self.body += &format!(
            "<div class=\"scroll\"><table{class}>\n<caption>{}</caption>\n<thead><tr>",
            escape(caption)
        );
        for name in &table.head {
            self.body += &format!("<th scope=\"col\">{}</th>", escape(name));
        }
        self.body += "</tr></thead>\n<tbody>\n";
        for row in &table.rows {
            self.body += "<tr>";
            for (column, text) in row.iter().enumerate() {
                let text = escape(text);
                self.body += &match column {
                    0 => format!("<th scope=\"row\">{text}</th>"),
                    _ => format!("<td>{text}</td>"),
                };
            }
            self.body += "</tr>\n";
        }
        self.body += "</tbody></table></div>\n";
        self
    }

    /// Panels side by side, below each other where there is no room, with a caption.
    pub fn figure(&mut self, panels: &[Panel<'_>], caption: &str) -> &mut Self {
        self.body += "<figure><div class=\"panels\">\n";
        for panel in panels {
            match panel {
                Panel::Svg(svg) => {
                    let least = svg.width().min(640) * 3 / 4;
                    self.body += &format!(
                        "<div class=\"drawing\" style=\"--least:{least}px;--natural:{}px\">{}</div>\n",
                        svg.width(),
                        svg.inline()
                    );
                }
                Panel::Png { png, width, label } => {
                    let (label, uri) = (escape(label), png_data_uri(png));
                    self.body += &format!(
                        "<div class=\"picture\" style=\"--natural:{width}px\"><span>{label}</span>\
                         <img alt=\"{label}\" src=\"{uri}\"></div>\n"
                    );
                }
            }
        }
        self.body += &format!("</div><figcaption>{}</figcaption></figure>\n", escape(caption));
        self
    }

    /// The page.
    pub fn finish(&self) -> String {
        let mut contents = String::new();
        if self.sections.len() > 1 {
            contents += "<nav aria-label=\"Contents\"><ol>\n";
            for (i, heading) in self.sections.iter().enumerate() {
                contents += &format!("<li><a href=\"#section-{}\">{}</a></li>\n", i + 1, escape(heading));
            }
            contents += "</ol></nav>\n";
        }
        let lead_end = self.body.find("</p>\n").map_or(0, |at| at + "</p>\n".len());
        let (lead, body) = self.body.split_at(lead_end);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n\
             {lead}{contents}{body}</main>\n</body>\n</html>\n",
            escape(&self.title),
            figure_css()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data_uri::png_bytes;

    fn page() -> Page {
        let mut page = Page::new("Probes & <b>", "What \"each\" can do.");
        let table = Table {
            head: vec!["mechanism".into(), "<i>".into()],
            rows: vec![vec!["w/o".into(), "1 < 2".into()]],
        };
        let png = png_bytes(1, 1, &[1, 2, 3]);
        page.section("First <script>")
            .paragraph("a & b")
            .table(&table, "caption's")
            .definitions([("0010 <", "text >".to_owned())])
            .verdicts([(Tone::Bad, ["x", "does <not> hold"], "claim & <u>".to_owned())])
            .section("Second")
            .figure(&[Panel::Png { png: &png, width: 10, label: "<pixel \"a\">".into() }], "</figcaption>");
        page
    }

    #[test]
    fn all_text_is_escaped() {
        let html = page().finish();
        for text in [
            "Probes &amp; &lt;b&gt;",
            "What &quot;each&quot; can do.",
            "First &lt;script&gt;",
            "a &amp; b",
            "1 &lt; 2",
            "&lt;i&gt;",
            "caption&#39;s",
            "0010 &lt;",
            "does &lt;not&gt; hold",
            "claim &amp; &lt;u&gt;",
            "alt=\"&lt;pixel &quot;a&quot;&gt;\"",
            "&lt;/figcaption&gt;",
        ] {
            assert!(html.contains(text), "{text} is missing in {html}");
        }
        assert!(!html.contains("<b>") && !html.contains("<script") && !html.contains("<i>"));
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let html = page().finish();
        let inside = html.replace("http://www.w3.org/2000/svg", ""); // a name, not an address
        for outside in ["http:", "https:", "//cdn", "@import", "url(", "<script", "srcset"] {
            assert!(!inside.contains(outside), "{outside}");
        }
        for target in html.split("src=\"").chain(html.split("href=\"")).skip(1) {
            assert!(
                target.starts_with("data:") || target.starts_with('#') || target.starts_with("<!DOCTYPE")
            );
        }
    }

    #[test]
    fn every_entry_of_the_contents_has_its_heading() {
        let html = page().finish();
        for number in 1..=2 {
            assert!(html.contains(&format!("href=\"#section-{number}\"")));
            assert!(html.contains(&format!("<h2 id=\"section-{number}\"")));
        }
        assert!(html.find("<nav").unwrap() > html.find("class=\"lead\"").unwrap());
    }

    #[test]
    fn control_characters_do_not_reach_the_page() {
        assert_eq!(escape("a\u{1b}[31m\0b\n"), "a\u{fffd}[31m\u{fffd}b\n");
    }
}
