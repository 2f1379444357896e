//! All runs of a study in numbers: what `study.json`, the table on the terminal and the page are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use termwise_ops::attention::AttentionModule;

use super::claims::{ClaimResult, claims};
use super::{Bootstrap, Configuration, Interval, Run, TaskKind};
use crate::report::Table;

/// What the runs themselves do not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The command that made the study.
    pub command: Option<String>,
    /// Version of the program.
    pub version: Option<String>,
    /// Commit of its source.
    pub commit: Option<String>,
    /// The machine, in words.
    pub machine: Option<String>,
    /// Each task's data and settings.
    pub tasks: BTreeMap<TaskKind, AboutTask>,
}

/// What a task's runs have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AboutTask {
    /// Name of the data.
    pub data: Option<String>,
    /// Settings in the order in which they are shown: name and value.
    pub settings: Vec<(String, String)>,
}

/// A study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How it was made.
    pub about: About,
    /// The tasks that were run.
    pub tasks: Vec<TaskSummary>,
    /// What became of each claim.
    pub claims: Vec<ClaimResult>,
}

/// All runs of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// Which.
    pub task: TaskKind,
    /// What its score is called.
    pub metric: String,
    /// Name of the data.
    pub data: Option<String>,
    /// Settings: name and value.
    pub settings: Vec<(String, String)>,
    /// Pictures or sentences that a score was measured on.
    pub items: usize,
    /// What was compared, in the order of the paper's figure.
    pub configurations: Vec<ConfigurationSummary>,
}

/// All runs of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationSummary {
    /// Which.
    pub configuration: Configuration,
    /// The seeds, ascending.
    pub seeds: Vec<u64>,
    /// The score with each seed.
    pub scores: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n - 1; none of one seed.
    pub standard_deviation: Option<f64>,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// The mean with its interval.
    pub interval: Interval,
    /// How much more it scores than `w/o`, where both were run with some seed.
    pub difference: Option<Interval>,
    /// Further figures, their mean over the seeds that have them.
    pub figures: BTreeMap<String, f64>,
    /// Trainable numbers.
    pub parameters: usize,
    /// Multiply-adds of the attention for one item, forward.
    pub attention_flops: f64,
    /// Processor seconds of a training step, the median over the seeds.
    pub step_seconds: f64,
    /// Processor seconds of the training, the median over the seeds.
    pub training_seconds: f64,
    /// Most bytes of memory that a run held.
    pub peak_bytes: Option<u64>,
    /// The score after each epoch, the mean over the seeds.
    pub curve: Vec<f64>,
}

impl Summary {
    /// Computes everything from finished runs of any tasks, in any order.
    ///
    /// # Errors
    /// If runs of a task do not fit together, as [`Bootstrap::new`] says.
    pub fn new(runs: &[Run], mut about: About) -> Result<Self, String> {
        let mut measured = Vec::new();
        for task in TaskKind::ALL {
            let runs: Vec<&Run> = runs.iter().filter(|run| run.record.id.task == task).collect();
            if !runs.is_empty() {
                let bootstrap = Bootstrap::new(&runs)?;
                let about = about.tasks.remove(&task).unwrap_or_default();
                measured.push((TaskSummary::new(task, &runs, &bootstrap, about), bootstrap));
            }
        }
        let borrowed: Vec<_> = measured.iter().map(|(summary, bootstrap)| (summary, bootstrap)).collect();
        let claims = claims().iter().map(|claim| claim.judge(&borrowed)).collect();
        about.tasks.clear();
        Ok(Summary { about, claims, tasks: measured.into_iter().map(|(summary, _)| summary).collect() })
    }
}

impl Summary {
    /// The verdicts, a row for each claim: of all its tasks, then of each.
    pub fn verdicts(&self) -> Table {
        let row = |claim: &ClaimResult| {
            let of = |task| {
                let own = claim.tasks.iter().find(|verdict| verdict.task == task);
                own.map_or_else(|| "no claim".to_owned(), |own| own.verdict.to_string())
            };
            [claim.id.clone(), claim.verdict.to_string()].into_iter().chain(TaskKind::ALL.map(of)).collect()
        };
        let head = ["claim", "all"].into_iter().chain(TaskKind::ALL.map(TaskKind::name)).map(str::to_owned);
        Table { head: head.collect(), rows: self.claims.iter().map(row).collect() }
    }
}

impl TaskSummary {
    fn new(task: TaskKind, runs: &[&Run], bootstrap: &Bootstrap, about: AboutTask) -> Self {
        let mut configurations: Vec<Configuration> =
            runs.iter().map(|run| run.record.id.configuration).collect();
        configurations.sort_by_cached_key(place);
        configurations.dedup();
        let of = |configuration: Configuration| {
            let mut own: Vec<&Run> =
                runs.iter().copied().filter(|run| run.record.id.configuration == configuration).collect();
            own.sort_by_key(|run| run.record.id.seed);
            ConfigurationSummary::new(configuration, &own, bootstrap)
        };
        TaskSummary {
            task,
            metric: task.metric().to_owned(),
            data: about.data,
            settings: about.settings,
            items: runs[0].evidence.num_items(),
            configurations: configurations.into_iter().map(of).collect(),
        }
    }

    /// What was measured of a configuration, if it was run.
    pub fn configuration(&self, configuration: &Configuration) -> Option<&ConfigurationSummary> {
        self.configurations.iter().find(|summary| summary.configuration == *configuration)
    }

    /// The scores, a row for each configuration.
    pub fn table(&self) -> Table {
        let head = [
            "configuration",
            "seeds",
            &self.metric,
            "sd",
            "95 % interval",
            "\u{2212} w/o",
            "95 % interval",
            "Mmadd",
            "train s",
        ];
        let row = |c: &ConfigurationSummary| {
            vec![
                c.configuration.to_string(),
                c.seeds.len().to_string(),
                number(c.mean),
                c.standard_deviation.map_or_else(|| "\u{2013}".to_owned(), number),
                interval(&c.interval, number),
                c.difference.map_or_else(|| "\u{2013}".to_owned(), |d| signed(d.estimate)),
                c.difference.map_or_else(|| "\u{2013}".to_owned(), |d| interval(&d, signed)),
                number(c.attention_flops / 1e6),
                format!("{:.0}", c.training_seconds),
            ]
        };
        Table { head: head.map(str::to_owned).to_vec(), rows: self.configurations.iter().map(row).collect() }
    }
}

impl ConfigurationSummary {
    fn new(configuration: Configuration, runs: &[&Run], bootstrap: &Bootstrap) -> Self {
        let records: Vec<_> = runs.iter().map(|run| &run.record).collect();
        let scores: Vec<f64> = records.iter().map(|record| record.score).collect();
        let mean = mean(&scores);
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        let names: std::collections::BTreeSet<&String> =
            records.iter().flat_map(|record| record.figures.keys()).collect();
        let figures = names.into_iter().map(|name| {
            let values: Vec<f64> =
                records.iter().filter_map(|record| record.figures.get(name).copied()).collect();
            (name.clone(), self::mean(&values))
        });
        let epochs = records.iter().map(|record| record.epochs.len()).min().unwrap_or(0);
        let after = |epoch: usize| {
            self::mean(&records.iter().map(|record| record.epochs[epoch].score).collect::<Vec<_>>())
        };
        ConfigurationSummary {
            configuration,
            seeds: records.iter().map(|record| record.id.seed).collect(),
            mean,
            standard_deviation: (scores.len() > 1).then(|| (squares / (scores.len() - 1) as f64).sqrt()),
            min: scores.iter().copied().fold(f64::INFINITY, f64::min),
            max: scores.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            scores,
            interval: bootstrap.mean(&configuration).expect("it was run"),
            difference: bootstrap
                .difference(&configuration, &without())
                .filter(|_| configuration != without()),
            figures: figures.collect(),
            parameters: records[0].parameters,
            attention_flops: records[0].attention_flops,
            step_seconds: median(records.iter().map(|record| record.step_seconds).collect()),
            training_seconds: median(records.iter().map(|record| record.training_seconds()).collect()),
            peak_bytes: records.iter().filter_map(|record| record.peak_bytes).max(),
            curve: (0..epochs).map(after).collect(),
        }
    }
}

/// The network without attention.
pub fn without() -> Configuration {
    "w/o".parse().expect("a configuration")
}

/// Where a configuration stands among others: Transformer attention by its switches, then dynamic convolution, then
/// what has deformable convolution, then what differs in encoder-decoder attention.
fn place(configuration: &Configuration) -> (bool, bool, u8, String) {
    let module = match configuration.attention.module {
        AttentionModule::None => 0,
        AttentionModule::Transformer(_) => 1,
        AttentionModule::Dynamic => 2,
        AttentionModule::DynamicTransformer(_) => 3,
    };
    let text = configuration.to_string();
    (text.contains(" x "), configuration.attention.deformable, module, text)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// A number with two places, and a minus that is as wide as a plus.
pub fn number(value: f64) -> String {
    format!("{value:.2}").replace('-', "\u{2212}")
}

/// A difference, with its sign.
pub fn signed(value: f64) -> String {
    format!("{value:+.2}").replace('-', "\u{2212}")
}

/// Both ends of an interval.
pub fn interval(interval: &Interval, number: fn(f64) -> String) -> String {
    format!("[{}, {}]", number(interval.low), number(interval.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::claims::Verdict;
    use crate::study::synthetic::run;

    fn runs() -> Vec<Run> {
        let mut runs = Vec::new();
        for (configuration, score) in [("1111", 52.0), ("dynamic", 44.0), ("w/o", 40.0), ("deformable", 47.0)]
        {
            for (seed, luck) in [(2, 1.0), (0, 0.0), (1, -0.4)] {
                runs.push(run(
                    TaskKind::Detection,
                    configuration,
                    seed,
                    &[score + luck, score - luck, score + luck],
                ));
            }
        }
        runs
    }

    #[test]
    fn figures_of_a_configuration_are_those_made_by_hand() {
        let mut runs = runs();
        for (run, (step_seconds, steps)) in runs.iter_mut().zip([(0.5, 10), (0.1, 10), (0.2, 20)]) {
            (run.record.step_seconds, run.record.steps) = (step_seconds, steps);
            run.record.figures.insert("AP50".into(), 100.0 * step_seconds);
            run.record.peak_bytes = Some(steps as u64);
            run.record.epochs.truncate(steps / 4);
        }
        let summary = Summary::new(&runs, About::default()).unwrap();
        let order: Vec<String> =
            summary.tasks[0].configurations.iter().map(|c| c.configuration.to_string()).collect();
        assert_eq!(order, ["w/o", "1111", "dynamic", "deformable"]);
        let found = &summary.tasks[0].configurations[1];
        assert_eq!(found.seeds, [0, 1, 2]);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        // Two of three items with the luck, one against it: 52 + (0, -0.4, 1) / 3.
        assert!(
            near(found.mean, 52.0 + 0.2 / 3.0)
                && near(found.min, 52.0 - 0.4 / 3.0)
                && near(found.max, 52.0 + 1.0 / 3.0)
        );
        assert!(near(found.standard_deviation.unwrap(), (0.52_f64 / 9.0).sqrt()), "{found:?}");
        assert!(near(found.step_seconds, 0.2) && near(found.training_seconds, 4.0));
        assert!(near(found.figures["AP50"], 80.0 / 3.0) && found.peak_bytes == Some(20));
        assert!(near(found.difference.unwrap().estimate, 12.0));
        assert_eq!(summary.tasks[0].configurations[0].difference, None);
        // Both shorter trainings end after two epochs.
        assert_eq!(found.curve.len(), 2);
        assert!(near(found.curve[1], 0.75 * found.mean));
    }

    #[test]
    fn json_reads_back_as_it_was_written_and_names_what_is_missing() {
        let mut about = About { command: Some("termwise study".into()), ..About::default() };
        let settings = vec![("epochs".to_owned(), "12".to_owned())];
        about.tasks.insert(TaskKind::Detection, AboutTask { data: Some("blood cells".into()), settings });
        let summary = Summary::new(&runs(), about).unwrap();
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
        assert!(!text.contains("null,null"), "{text}");
        assert_eq!(summary.tasks[0].data.as_deref(), Some("blood cells"));
        let f4 = &summary.claims[3];
        assert_eq!((f4.id.as_str(), f4.verdict), ("F4", Verdict::NotTested));
        let reasons: Vec<&str> =
            f4.tasks.iter().flat_map(|task| &task.tests).filter_map(|test| test.reason.as_deref()).collect();
        assert_eq!(
            reasons,
            [
                "no run of segmentation",
                "no run of segmentation",
                "no run of 0100",
                "no run of 0100",
                "no run of translation"
            ]
        );
    }

    #[test]
    fn the_order_of_the_runs_does_not_matter() {
        let forward = Summary::new(&runs(), About::default()).unwrap();
        let backward: Vec<Run> = runs().into_iter().rev().collect();
        assert_eq!(Summary::new(&backward, About::default()).unwrap(), forward);
    }

    #[test]
    fn every_row_of_the_table_has_every_column() {
        let summary = Summary::new(&runs(), About::default()).unwrap();
        let table = summary.tasks[0].table();
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()) && table.rows.len() == 4);
        assert_eq!(table.rows[1][..4], ["1111", "3", "52.07", "0.24"]);
        assert_eq!(table.rows[1][5], "+12.00");
        let verdicts = summary.verdicts();
        assert!(verdicts.rows.iter().all(|row| row.len() == verdicts.head.len()) && verdicts.rows.len() == 6);
        assert_eq!(
            verdicts.rows[1],
            ["F2", "\u{2013} not tested", "no claim", "no claim", "\u{2013} not tested"]
        );
    }
}
