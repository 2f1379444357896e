//! Which runs a study is made of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Configuration, RunId, TaskKind};

/// A grid as it is written down: for each task its configurations, and settings of the training that differ from the
/// standard ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// How many seeds, from 0.
    #[serde(default = "three")]
    pub seeds: u64,
    /// Segmentation, where it is part of the study.
    pub segmentation: Option<TaskGrid>,
    /// Detection.
    pub detection: Option<TaskGrid>,
    /// Translation.
    pub translation: Option<TaskGrid>,
}

fn three() -> u64 {
    3
}

/// What of one task is in a grid.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskGrid {
    /// How the attention is made, one after the other.
    pub configurations: Vec<Configuration>,
    /// Fields of `termwise train TASK --config`.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

impl Grid {
    /// The grids that have a name: `quick` and `paper`.
    pub fn named(name: &str) -> Option<Grid> {
        let text = match name {
            "quick" => include_str!("grids/quick.toml"),
            "paper" => include_str!("grids/paper.toml"),
            _ => return None,
        };
        Some(text.parse().expect("a grid that a test reads"))
    }

    /// The tasks that are in it.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskKind, &TaskGrid)> {
        let all = [&self.segmentation, &self.detection, &self.translation];
        TaskKind::ALL.into_iter().zip(all).filter_map(|(task, grid)| Some((task, grid.as_ref()?)))
    }
}

impl FromStr for Grid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let grid: Grid = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message())
        })?;
        if grid.seeds == 0 {
            return Err("seeds: expected at least 1, found 0".into());
        }
        if grid.tasks().next().is_none() {
            return Err("expected at least one of segmentation, detection, translation, found none".into());
        }
        for (task, TaskGrid { configurations, .. }) in grid.tasks() {
            if configurations.is_empty() {
                return Err(format!("{task}.configurations: expected at least one, found none"));
            }
            for (i, configuration) in configurations.iter().enumerate() {
                if !configuration.fits(task) {
                    return Err(format!(
                        "{task}.configurations: encoder-decoder attention is part of translation alone, found \
                         {configuration}"
                    ));
                }
                if configurations[..i].contains(configuration) {
                    return Err(format!(
                        "{task}.configurations: expected each once, found {configuration} twice"
                    ));
                }
            }
        }
        Ok(grid)
    }
}

/// What a study does: it does not change any more, and is kept in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How it was asked for.
    pub command: String,
    /// How many seeds, from 0.
    pub seeds: u64,
    /// The tasks.
    pub tasks: Vec<TaskPlan>,
    /// Which of the runs, where it is not all.
    pub shard: Option<Shard>,
}

/// What a study does with one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPlan {
    /// The task.
    pub task: TaskKind,
    /// Where its data are; absent for built-in ones.
    pub data: Option<PathBuf>,
    /// What the data are, by name.
    pub facts: Map<String, Value>,
    /// Fields of `termwise train TASK --config`.
    pub settings: Map<String, Value>,
    /// The configurations.
    pub configurations: Vec<Configuration>,
}

/// Every `of`-th run, beginning with number `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let found = parts.filter(|&(index, of)| 1 <= index && index <= of);
        let found = found.ok_or("expected I/N with 1 <= I <= N, such as 2/8")?;
        Ok(Shard { index: found.0, of: found.1 })
    }
}

impl Plan {
    /// All runs, seed by seed: whatever is done when a study is cut off has as many seeds for each configuration.
    pub fn runs(&self) -> Vec<RunId> {
        let of_seed = |seed| {
            let of_task = move |plan: &TaskPlan| {
                let task = plan.task;
                let id = move |&configuration: &Configuration| RunId { task, configuration, seed };
                plan.configurations.iter().map(id).collect::<Vec<_>>()
            };
            self.tasks.iter().flat_map(of_task)
        };
        (0..self.seeds).flat_map(of_seed).collect()
    }

    /// The runs of a shard.
    pub fn runs_of(&self, shard: Shard) -> Vec<RunId> {
        self.runs().into_iter().skip(shard.index - 1).step_by(shard.of).collect()
    }

    /// What it does with a task.
    pub fn task(&self, task: TaskKind) -> Option<&TaskPlan> {
        self.tasks.iter().find(|plan| plan.task == task)
    }

    /// Whether runs of the other belong beside its own: the same tasks with the same settings, and data of the same sizes,
    /// wherever they lie.
    pub fn is_same_as(&self, other: &Plan) -> bool {
        let known = |plan: &Plan| -> Vec<TaskPlan> {
            plan.tasks.iter().map(|task| TaskPlan { data: None, ..task.clone() }).collect()
        };
        known(self) == known(other) && self.seeds == other.seeds
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn plan(grid: &Grid) -> Plan {
        let task = |(task, grid): (TaskKind, &TaskGrid)| TaskPlan {
            task,
            data: None,
            facts: Map::new(),
            settings: grid.settings.clone(),
            configurations: grid.configurations.clone(),
        };
        Plan {
            command: String::new(),
            seeds: grid.seeds,
            tasks: grid.tasks().map(task).collect(),
            shard: None,
        }
    }

    #[test]
    fn the_grid_of_the_paper_is_whole() {
        let grid = Grid::named("paper").unwrap();
        for (task, TaskGrid { configurations, .. }) in grid.tasks() {
            let has = |code: &str| configurations.contains(&code.parse().unwrap());
            assert!((0..16).all(|bits| has(&format!("{bits:04b}"))), "{task}");
            assert!(["w/o", "deformable", "dynamic", "0100 limited", "1111+deformable"].into_iter().all(has));
        }
        assert_eq!(grid.tasks().count(), 3);
        assert_eq!(plan(&grid).runs().len(), 3 * (23 + 23 + 26));
        assert_eq!(Grid::named("quick").unwrap().tasks().count(), 3);
        assert!(Grid::named("slow").is_none());
    }

    #[test]
    fn shards_share_all_runs_among_them_and_names_differ() {
        let plan = plan(&Grid::named("quick").unwrap());
        let all = plan.runs();
        for of in [1, 2, 7, 200] {
            let shards: Vec<RunId> = (1..=of).flat_map(|index| plan.runs_of(Shard { index, of })).collect();
            assert_eq!(shards.len(), all.len());
            assert_eq!(shards.iter().collect::<HashSet<_>>(), all.iter().collect::<HashSet<_>>());
        }
        let names: HashSet<String> = all.iter().map(RunId::folder).collect();
        assert_eq!(names.len(), all.len());
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b)))
        );
    }

    #[test]
    fn what_is_wrong_with_a_grid_is_named() {
        for (text, expected) in [
            ("seeds = 0\n[detection]\nconfigurations = [\"w/o\"]", "seeds: expected at least 1"),
            ("seeds = 2", "at least one of segmentation"),
            ("[segmentation]\nconfigurations = []", "segmentation.configurations: expected at least one"),
            ("[segmentation]\nconfigurations = [\"0120\"]", "line 2: unknown"),
            ("[detection]\nconfigurations = [\"w/o\", \"w/o\"]", "found w/o twice"),
            ("[detection]\nconfigurations = [\"1111 x 1000\"]", "part of translation alone"),
            ("[detection]\nconfiguration = [\"w/o\"]", "unknown field `configuration`"),
        ] {
            let error = text.parse::<Grid>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for text in ["0/3", "4/3", "1", "a/b", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
