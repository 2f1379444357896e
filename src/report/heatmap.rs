//! A map of numbers as a picture.

use ndarray::ArrayView2;

use super::data_uri::png_bytes;
use super::theme::{Rgb, interpolate};

/// From dark indigo over blue and green to pale yellow: evenly spaced in CIE lightness from 12 to 93, the
/// hue turning from 305 to 100 degrees, as colourful as the screen allows up to a chroma of 60. Equal
/// steps of the number look equal, and grey prints keep the order.
const ANCHORS: [Rgb; 9] = [
    [21, 13, 102],
    [2, 53, 102],
    [4, 81, 116],
    [4, 110, 132],
    [5, 139, 145],
    [9, 171, 146],
    [73, 201, 123],
    [170, 222, 111],
    [251, 238, 117],
];

/// What is neither a number nor infinite.
const NOT_A_NUMBER: Rgb = [128, 128, 128];

/// A picture of a map.
#[derive(Clone, Debug)]
pub struct Heatmap {
    /// The PNG file.
    pub png: Vec<u8>,
    /// The number that has the first colour.
    pub min: f64,
    /// The number that has the last colour.
    pub max: f64,
}

/// Draws each number as a square of `pixels` by `pixels`.
///
/// The colours span the least and the greatest finite number, or `range` where one is given (to
/// compare maps); numbers beyond have the colour of the end, what is not a number is grey.
///
/// # Panics
/// If the map is empty or `pixels` is zero.
#[track_caller]
pub fn heatmap(map: &ArrayView2<f64>, range: Option<(f64, f64)>, pixels: usize) -> Heatmap {
    let (rows, columns) = map.dim();
    assert!(
        rows > 0 && columns > 0 && pixels > 0,
        "heatmap: a map of {rows} x {columns}, {pixels} pixels each"
    );
    let (min, max) = range.unwrap_or_else(|| {
        let finite = map.iter().copied().filter(|value| value.is_finite());
        finite
            .fold(None, |range, value| match range {
                None => Some((value, value)),
                Some((min, max)) => Some((value.min(min), value.max(max))),
            })
            .unwrap_or((0.0, 0.0))
    });
    let colour = |value: f64| {
        if value.is_nan() {
            return NOT_A_NUMBER;
        }
        // A map of one number has the first colour.
        let width = if max > min { max - min } else { 1.0 };
        interpolate(&ANCHORS, (value - min) / width)
    };
    let mut rgb = Vec::with_capacity(3 * rows * columns * pixels * pixels);
    for row in map.rows() {
        let line: Vec<u8> =
            row.iter().flat_map(|&value| std::iter::repeat_n(colour(value), pixels)).flatten().collect();
        for _ in 0..pixels {
            rgb.extend_from_slice(&line);
        }
    }
    Heatmap { png: png_bytes(columns * pixels, rows * pixels, &rgb), min, max }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::report::theme::luminance;

    fn pixels(heatmap: &Heatmap) -> Vec<Rgb> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&heatmap.png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        bytes.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()
    }

    #[test]
    fn each_number_is_a_square_of_its_colour() {
        let drawn = heatmap(&array![[0.0, 4.0, 8.0]].view(), None, 2);
        assert_eq!((drawn.min, drawn.max), (0.0, 8.0));
        let (low, middle, high) = (ANCHORS[0], ANCHORS[4], ANCHORS[8]);
        let row = [low, low, middle, middle, high, high];
        assert_eq!(pixels(&drawn), [row, row].concat());
    }

    /// The page must work without the program, so its script holds the colours again.
    #[test]
    fn the_teaching_page_has_the_same_colours() {
        let script = include_str!("../explore/page/colour.js");
        let list = script
            .split_once("const SEQUENTIAL = [")
            .expect("the scale")
            .1
            .split_once("];")
            .expect("its end")
            .0;
        let numbers: Vec<u8> =
            list.split([',', '[', ']']).filter_map(|number| number.trim().parse().ok()).collect();
        assert_eq!(numbers, ANCHORS.concat());
        assert!(script.contains(&format!("const NOT_A_NUMBER = {NOT_A_NUMBER:?};")));
    }

    #[test]
    fn a_given_range_a_constant_and_what_is_no_number() {
        let map = array![[0.5, 7.0, f64::NAN, f64::NEG_INFINITY]];
        let drawn = heatmap(&map.view(), Some((0.0, 1.0)), 1);
        assert_eq!(pixels(&drawn), [ANCHORS[4], ANCHORS[8], NOT_A_NUMBER, ANCHORS[0]]);
        let constant = heatmap(&array![[3.0]].view(), None, 1);
        assert_eq!((pixels(&constant), constant.min, constant.max), (vec![ANCHORS[0]], 3.0, 3.0));
        let none = heatmap(&array![[f64::NAN]].view(), None, 1);
        assert_eq!((pixels(&none), none.min), (vec![NOT_A_NUMBER], 0.0));
    }

    /// CIE lightness, the perceived brightness.
    #[test]
    fn equal_steps_look_equal() {
        let lightness: Vec<f64> = (0..=64)
            .map(|i| 116.0 * luminance(interpolate(&ANCHORS, f64::from(i) / 64.0)).cbrt() - 16.0)
            .collect();
        let steps: Vec<f64> = lightness.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let even = (lightness[64] - lightness[0]) / 64.0;
        assert!(even > 1.2, "{even}");
        assert!(steps.iter().all(|step| (step / even - 1.0).abs() < 0.45), "{steps:.2?}");
    }
}
