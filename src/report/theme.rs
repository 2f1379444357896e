//! The colours of figures and pages, in light and in dark.
//!
//! A figure is drawn in the light colours, as plain attributes that every viewer understands. The
//! style sheet [`figure_css`] replaces each of them where the reader's system is dark; a style sheet
//! outranks attributes.

use std::fmt::Write;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// A colour in light and the one that takes its place in dark.
pub struct Role {
    pub light: Rgb,
    pub dark: Rgb,
}

const fn role(light: Rgb, dark: Rgb) -> Role {
    Role { light, dark }
}

/// Text and axes.
pub const INK: Role = role([31, 35, 40], [226, 224, 216]);
/// Less important text.
pub const MUTED: Role = role([95, 101, 108], [158, 162, 166]);
/// Lines behind data.
pub const GRID: Role = role([227, 226, 219], [58, 60, 63]);
/// What a figure lies on.
pub const PAPER: Role = role([253, 252, 248], [27, 29, 31]);
/// What contradicts an expectation.
pub const ALARM: Role = role([176, 42, 48], [255, 123, 114]);

/// Series, told apart by full colour vision and by the common deficiencies; each is readable on the
/// paper of its mode. The hues are those of Okabe and Ito ("Color Universal Design", 2008), the
/// bright ones darkened on white.
pub const SERIES: [Role; 7] = [
    role([0, 114, 178], [92, 172, 228]),
    role([213, 94, 0], [242, 142, 60]),
    role([0, 137, 100], [54, 190, 148]),
    role([170, 84, 138], [222, 146, 192]),
    role([142, 112, 0], [222, 196, 72]),
    role([46, 134, 171], [140, 208, 236]),
    role([88, 92, 98], [178, 182, 186]),
];

/// `#RRGGBB`, in the spelling that the style sheet looks for.
pub fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The rules that turn figures dark; their elements are inside a `.figure`.
pub fn figure_css() -> String {
    let mut css = String::from("@media (prefers-color-scheme: dark) {\n");
    for Role { light, dark } in [INK, MUTED, GRID, PAPER, ALARM].iter().chain(&SERIES) {
        for property in ["fill", "stroke"] {
            let (light, dark) = (hex(*light), hex(*dark));
            writeln!(css, ".figure [{property}=\"{light}\"] {{ {property}: {dark}; }}")
                .expect("a string takes all");
        }
    }
    css + "}\n"
}

/// Relative luminance (WCAG 2): 0 for black, 1 for white.
pub fn luminance(colour: Rgb) -> f64 {
    let linear = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The colour at `position` in [0, 1] of a scale through evenly spaced anchors.
pub fn interpolate(anchors: &[Rgb], position: f64) -> Rgb {
    let along = position.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
    let below = (along.floor() as usize).min(anchors.len() - 2);
    let share = along - below as f64;
    std::array::from_fn(|i| {
        let (from, to) = (f64::from(anchors[below][i]), f64::from(anchors[below + 1][i]));
        (from + share * (to - from)).round() as u8
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Contrast ratio (WCAG 2), 1 to 21.
    pub fn contrast(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_and_lines_are_visible_in_both_modes() {
        for Role { light, dark } in [INK, MUTED, ALARM] {
            assert!(contrast(light, PAPER.light) >= 4.5, "{light:?}");
            assert!(contrast(dark, PAPER.dark) >= 4.5, "{dark:?}");
        }
        for Role { light, dark } in SERIES {
            assert!(contrast(light, PAPER.light) >= 3.0, "{light:?}");
            assert!(contrast(dark, PAPER.dark) >= 3.0, "{dark:?}");
        }
    }

    #[test]
    fn every_colour_of_a_figure_has_a_rule_of_its_own() {
        let css = figure_css();
        let rules = 2 * (5 + SERIES.len());
        assert_eq!(css.matches(".figure [").count(), rules);
        let mut selectors: Vec<&str> = css.lines().filter_map(|line| line.split(" {").next()).collect();
        selectors.sort_unstable();
        selectors.dedup();
        // One colour for two roles would turn into two colours.
        assert_eq!(selectors.iter().filter(|line| line.starts_with(".figure")).count(), rules);
    }

    #[test]
    fn a_scale_passes_through_its_anchors() {
        let anchors = [[0, 0, 0], [100, 10, 200], [255, 255, 255]];
        assert_eq!(interpolate(&anchors, 0.5), [100, 10, 200]);
        assert_eq!(interpolate(&anchors, 0.25), [50, 5, 100]);
        assert_eq!(interpolate(&anchors, 2.0), [255, 255, 255]);
        assert_eq!(interpolate(&anchors, -1.0), [0, 0, 0]);
    }
}
