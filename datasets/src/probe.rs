//! Six tiny tasks, each solvable through one factor of attention only: they show which mechanism
//! *can* use which factor.
//!
//! A sample is a grid of 8 x 8 tokens. Each token holds a value (one of 8), and in some tasks a
//! symbol, a question or a mark; the target of a token is a value somewhere else on the grid. No
//! token knows where it is.
//!
//! | task | a token outputs the value of | factor |
//! |---|---|---|
//! | [`Match`](ProbeTask::Match) | the token whose symbol it asks for | query and key content |
//! | [`PointNear`](ProbeTask::PointNear), [`PointFar`](ProbeTask::PointFar) | the cell 1 (3) away in the direction it asks for | query content and relative position |
//! | [`Spotlight`](ProbeTask::Spotlight) | the one cell that is lit | key content |
//! | [`ShiftNear`](ProbeTask::ShiftNear), [`ShiftFar`](ProbeTask::ShiftFar) | the cell one up, one right (three down, two left) | relative position |

use std::fmt;
use std::str::FromStr;

use ndarray::{Array3, Array4};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Height and width of the grid.
pub const PROBE_GRID: usize = 8;
/// Number of values, so chance is 1 in 8.
pub const PROBE_VALUES: usize = 8;
/// Number of symbols in [`ProbeTask::Match`], each on one cell.
const SYMBOLS: usize = 16;
/// Directions up, right, down, left as (dy, dx).
const DIRECTIONS: [(i64, i64); 4] = [(-1, 0), (0, 1), (1, 0), (0, -1)];

/// Channels of a token, all one-hot: value 8, own symbol 16, symbol asked for 16, direction asked
/// for 4, lit 1.
pub const PROBE_CHANNELS: usize = PROBE_VALUES + 2 * SYMBOLS + DIRECTIONS.len() + 1;
/// Target of a token whose answer would lie off the grid; it does not count.
pub const PROBE_IGNORE: i64 = -100;

const SYMBOL: usize = PROBE_VALUES;
const QUESTION: usize = SYMBOL + SYMBOLS;
const DIRECTION: usize = QUESTION + SYMBOLS;
const LIT: usize = DIRECTION + DIRECTIONS.len();

/// One of the six tasks; see the [module documentation](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeTask {
    /// Output the value held by the token whose symbol the query asks for.
    Match,
    /// Output the value one cell away in the direction that the query carries.
    PointNear,
    /// The same three cells away.
    PointFar,
    /// Output the value of the one lit cell.
    Spotlight,
    /// Output the value at the fixed offset (-1, +1).
    ShiftNear,
    /// Output the value at the fixed offset (+3, -2).
    ShiftFar,
}

impl ProbeTask {
    /// All six, in the order of the table.
    pub const ALL: [ProbeTask; 6] = [
        ProbeTask::Match,
        ProbeTask::PointNear,
        ProbeTask::PointFar,
        ProbeTask::Spotlight,
        ProbeTask::ShiftNear,
        ProbeTask::ShiftFar,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            ProbeTask::Match => "match",
            ProbeTask::PointNear => "point_near",
            ProbeTask::PointFar => "point_far",
            ProbeTask::Spotlight => "spotlight",
            ProbeTask::ShiftNear => "shift_near",
            ProbeTask::ShiftFar => "shift_far",
        }
    }

    /// Draws `count` samples: tokens `(count, 45, 8, 8)` and targets `(count, 8, 8)`. A pure function of the state of
    /// `rng`.
    ///
    /// # Examples
    /// ```
    /// use termwise_datasets::probe::{PROBE_IGNORE, ProbeBatch, ProbeTask};
    /// use termwise_datasets::stream;
    /// let task: ProbeTask = "shift_near".parse().unwrap();
    /// let ProbeBatch { tokens, targets } = task.sample(2, &mut stream(100u64, 7, 0, 0));
    /// assert_eq!((tokens.dim(), tokens.sum()), ((2, 45, 8, 8), 128.0)); // here a value is all that a token has
    /// // The target of row 5, column 2 is the value one up and one right, in one of the first 8 channels.
    /// let value = (0..8).find(|&value| tokens[[1, value, 4, 3]] == 1.0).unwrap();
    /// assert_eq!(targets[[1, 5, 2]], value as i64);
    /// assert_eq!((targets[[1, 0, 2]], targets[[1, 5, 7]]), (PROBE_IGNORE, PROBE_IGNORE)); // off the grid
    /// ```
    pub fn sample(self, count: usize, rng: &mut ChaCha8Rng) -> ProbeBatch {
        let grid = PROBE_GRID;
        let mut tokens = Array4::zeros((count, PROBE_CHANNELS, grid, grid));
        let mut targets = Array3::from_elem((count, grid, grid), PROBE_IGNORE);
        for n in 0..count {
            let values = Array3::from_shape_simple_fn((1, grid, grid), || rng.random_range(0..PROBE_VALUES));
            let value = |cell: usize| values[[0, cell / grid, cell % grid]];
            for cell in 0..grid * grid {
                tokens[[n, value(cell), cell / grid, cell % grid]] = 1.0;
            }
            let mut set = |channel: usize, cell: usize| tokens[[n, channel, cell / grid, cell % grid]] = 1.0;
            // Where each token's answer lies.
            let answer: Vec<Option<usize>> = match self {
                ProbeTask::Match => {
                    let mut all: Vec<usize> = (0..grid * grid).collect();
                    let cells = all.partial_shuffle(rng, SYMBOLS).0;
                    cells.iter().enumerate().for_each(|(symbol, &cell)| set(SYMBOL + symbol, cell));
                    let ask = |cell| {
                        let symbol = rng.random_range(0..SYMBOLS);
                        set(QUESTION + symbol, cell);
                        Some(cells[symbol])
                    };
                    (0..grid * grid).map(ask).collect()
                }
                ProbeTask::PointNear | ProbeTask::PointFar => {
                    let distance = if self == ProbeTask::PointNear { 1 } else { 3 };
                    let ask = |cell| {
                        let direction = rng.random_range(0..DIRECTIONS.len());
                        set(DIRECTION + direction, cell);
                        let (dy, dx) = DIRECTIONS[direction];
                        at_offset(cell, distance * dy, distance * dx)
                    };
                    (0..grid * grid).map(ask).collect()
                }
                ProbeTask::Spotlight => {
                    let lit = rng.random_range(0..grid * grid);
                    set(LIT, lit);
                    vec![Some(lit); grid * grid]
                }
                ProbeTask::ShiftNear => (0..grid * grid).map(|cell| at_offset(cell, -1, 1)).collect(),
                ProbeTask::ShiftFar => (0..grid * grid).map(|cell| at_offset(cell, 3, -2)).collect(),
            };
            for (cell, answer) in answer.into_iter().enumerate() {
                if let Some(answer) = answer {
                    targets[[n, cell / grid, cell % grid]] = value(answer) as i64;
                }
            }
        }
        ProbeBatch { tokens, targets }
    }
}

fn at_offset(cell: usize, dy: i64, dx: i64) -> Option<usize> {
    let (y, x) = ((cell / PROBE_GRID) as i64 + dy, (cell % PROBE_GRID) as i64 + dx);
    let inside = 0..PROBE_GRID as i64;
    (inside.contains(&y) && inside.contains(&x)).then_some((y * PROBE_GRID as i64 + x) as usize)
}

impl fmt::Display for ProbeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ProbeTask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ProbeTask::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            let names = ProbeTask::ALL.map(ProbeTask::name).join(", ");
            format!("unknown probe task '{text}': expected one of {names}")
        })
    }
}

/// Samples of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeBatch {
    /// Token contents. (N, 45, 8, 8)
    pub tokens: Array4<f32>,
    /// The value to output at each token, or [`PROBE_IGNORE`]. (N, 8, 8)
    pub targets: Array3<i64>,
}

#[cfg(test)]
mod tests {
    use ndarray::s;
    use rand::SeedableRng;

    use super::*;

    fn one_hot(tokens: &Array4<f32>, channels: std::ops::Range<usize>, y: usize, x: usize) -> Vec<usize> {
        channels.clone().filter(|&c| tokens[[0, c, y, x]] == 1.0).map(|c| c - channels.start).collect()
    }

    /// Solves every task by its rule from the tokens alone and compares with the targets.
    #[test]
    fn targets_follow_the_rule_of_the_task() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for task in ProbeTask::ALL {
            let ProbeBatch { tokens, targets } = task.sample(1, &mut rng);
            let value = |y: usize, x: usize| one_hot(&tokens, 0..8, y, x)[0] as i64;
            let find = |channel: usize| {
                let plane = tokens.slice(s![0, channel, .., ..]);
                plane.indexed_iter().find(|(_, v)| **v == 1.0).map(|(at, _)| at).unwrap()
            };
            for y in 0..8 {
                for x in 0..8 {
                    let shifted = |dy: i64, dx: i64| {
                        let (y, x) = (y as i64 + dy, x as i64 + dx);
                        if (0..8).contains(&y) && (0..8).contains(&x) {
                            value(y as usize, x as usize)
                        } else {
                            -100
                        }
                    };
                    let pointed = |d: i64| {
                        let (dy, dx) = [(-d, 0), (0, d), (d, 0), (0, -d)][one_hot(&tokens, 40..44, y, x)[0]];
                        shifted(dy, dx)
                    };
                    let expected = match task {
                        ProbeTask::Match => {
                            let (y, x) = find(8 + one_hot(&tokens, 24..40, y, x)[0]);
                            value(y, x)
                        }
                        ProbeTask::PointNear => pointed(1),
                        ProbeTask::PointFar => pointed(3),
                        ProbeTask::Spotlight => {
                            let (y, x) = find(44);
                            value(y, x)
                        }
                        ProbeTask::ShiftNear => shifted(-1, 1),
                        ProbeTask::ShiftFar => shifted(3, -2),
                    };
                    assert_eq!(targets[[0, y, x]], expected, "{task} at {y}, {x}");
                }
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_samples_again_and_another_seed_others() {
        let sample = |seed| ProbeTask::Match.sample(2, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(sample(1), sample(1));
        assert_ne!(sample(1), sample(2));
    }
}
