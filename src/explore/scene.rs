//! Pictures of coloured cells, some with an arrow: what the attention looks at.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::fields::Fields;
use super::http::Failure;

/// The longest side of a scene of the lesson.
pub const SIZE: usize = 32;
/// The longest side of a picture that a trained network looks at.
pub const PICTURE: usize = 256;

/// Directions of arrows 1 to 4: up, right, down, left as (dy, dx).
pub const DIRECTIONS: [(i64, i64); 4] = [(-1, 0), (0, 1), (1, 0), (0, -1)];

/// Rows of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green, blue of each cell, row by row.
    pub rgb: Vec<[u8; 3]>,
    /// 0, or the number of a direction.
    pub arrows: Vec<u8>,
}

/// The scenes that can be asked for: name and title.
pub const SCENES: [(&str, &str); 5] = [
    ("arrows", "Arrows that point somewhere"),
    ("colours", "Cells of eight colours"),
    ("spotlight", "One bright cell among dull ones"),
    ("stripes", "Stripes"),
    ("shapes", "Shapes"),
];

const WHITE: [u8; 3] = [245, 245, 245];
/// Eight colours, the last two white and dark grey.
pub const PALETTE: [[u8; 3]; 8] = [
    [214, 39, 40],
    [44, 130, 60],
    [31, 90, 200],
    [240, 190, 30],
    [130, 60, 170],
    [20, 170, 190],
    [245, 245, 245],
    [60, 60, 60],
];

impl Scene {
    fn filled(size: usize, colour: [u8; 3]) -> Self {
        Scene { height: size, width: size, rgb: vec![colour; size * size], arrows: vec![0; size * size] }
    }

    /// One of [`SCENES`], `size` by `size`.
    pub fn named(name: &str, size: usize, seed: u64) -> Option<Scene> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut scene = Scene::filled(size, [120, 120, 120]);
        let cells = size * size;
        match name {
            "arrows" => {
                scene.rgb.iter_mut().for_each(|cell| *cell = PALETTE[rng.random_range(0..8)]);
                for arrow in &mut scene.arrows {
                    if rng.random_range(0..4) == 0 {
                        *arrow = rng.random_range(1..5);
                    }
                }
            }
            "colours" => scene.rgb.iter_mut().for_each(|cell| *cell = PALETTE[rng.random_range(0..8)]),
            "spotlight" => {
                scene.rgb.iter_mut().for_each(|cell| *cell = [rng.random_range(60..110); 3]);
                scene.rgb[rng.random_range(0..cells)] = PALETTE[3];
                scene.arrows[rng.random_range(0..cells)] = rng.random_range(1..5);
            }
            "stripes" => {
                let (first, step) = (rng.random_range(0..8), rng.random_range(1..8));
                let thickness = rng.random_range(1..4);
                let upright = rng.random_range(0..2) == 0;
                for (i, cell) in scene.rgb.iter_mut().enumerate() {
                    let along = if upright { i % size } else { i / size };
                    *cell = PALETTE[(first + step * (along / thickness)) % 8];
                }
            }
            "shapes" => {
                scene = Scene::filled(size, WHITE);
                for _ in 0..4 {
                    scene.shape(size, &mut rng);
                }
            }
            _ => return None,
        }
        Some(scene)
    }

    /// A disc or a box somewhere, with an arrow at its middle.
    fn shape(&mut self, size: usize, rng: &mut ChaCha8Rng) {
        let (y, x) = (rng.random_range(0..size) as i64, rng.random_range(0..size) as i64);
        let radius = rng.random_range(1..(size / 5).max(1) + 1) as i64;
        let (colour, round) = (PALETTE[rng.random_range(0..6)], rng.random_range(0..2) == 0);
        for (i, cell) in self.rgb.iter_mut().enumerate() {
            let (dy, dx) = ((i / size) as i64 - y, (i % size) as i64 - x);
            let inside =
                if round { dy * dy + dx * dx <= radius * radius } else { dy.abs().max(dx.abs()) < radius };
            if inside {
                *cell = colour;
            }
        }
        self.arrows[y as usize * size + x as usize] = rng.random_range(1..5);
    }

    /// The scene that a question holds, of at most `longest` cells a side.
    pub fn read(value: &Value, longest: usize) -> Result<Scene, Failure> {
        let fields = Fields::of(value, "scene", &["height", "width", "rgb", "arrows"])?;
        let height = fields.whole("height", 1..=longest as u64)? as usize;
        let width = fields.whole("width", 1..=longest as u64)? as usize;
        let rgb = fields.wholes("rgb", 3 * height * width, 255)?;
        let arrows = match fields.get("arrows") {
            None => vec![0; height * width],
            Some(_) => fields.wholes("arrows", height * width, 4)?.iter().map(|a| *a as u8).collect(),
        };
        let rgb = rgb.chunks_exact(3).map(|c| [c[0] as u8, c[1] as u8, c[2] as u8]).collect();
        Ok(Scene { height, width, rgb, arrows })
    }

    /// The scene as an answer holds it.
    pub fn json(&self) -> Value {
        json!({"height": self.height, "width": self.width, "rgb": self.rgb.concat(), "arrows": self.arrows})
    }

    /// The number of the cell in a row and a column that a question names.
    pub fn cell(&self, fields: &Fields, name: &str) -> Result<usize, Failure> {
        let expected = || format!("[row, column] inside of {} x {}", self.height, self.width);
        let most = self.height.max(self.width) as u64;
        let at = fields.wholes(name, 2, most).map_err(|_| fields.wrong(name, expected()))?;
        let (row, column) = (at[0] as usize, at[1] as usize);
        if row >= self.height || column >= self.width {
            return Err(Failure::field(&fields.name(name), expected(), format!("[{row}, {column}]")));
        }
        Ok(row * self.width + column)
    }
}
