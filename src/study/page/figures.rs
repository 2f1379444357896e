//! The figures of the page.

use termwise_ops::attention::AttentionModule;

use crate::report::{
    Axis, ForestChart, ForestRow, LineChart, Mark, Scale, ScatterChart, ScatterGroup, ScatterPoint, Series,
    Svg,
};
use crate::study::claims::{ClaimResult, Comparison, Criterion, margin};
use crate::study::summary::{ConfigurationSummary, TaskSummary, interval, signed, without};
use crate::study::{Configuration, Interval, TaskKind};

/// Width of a figure that has the page to itself.
const WIDE: u32 = 690;
/// Width of one of two side by side.
const HALF: u32 = 340;

/// The groups of the paper's figure: name, colour and shape.
const FAMILIES: [(&str, usize, Mark); 7] = [
    ("w/o", 6, Mark::Square),
    ("Transformer attention b1b2b3b4", 0, Mark::Disc),
    ("limited to the window of dynamic convolution", 5, Mark::Ring),
    ("dynamic convolution, alone or before attention", 4, Mark::Triangle),
    ("deformable convolution", 2, Mark::Square),
    ("attention + deformable", 1, Mark::Diamond),
    ("encoder-decoder terms", 3, Mark::Diamond),
];

/// The group of a configuration.
fn family(configuration: &Configuration) -> usize {
    if is_cross(configuration) {
        return 6;
    }
    match (configuration.attention.module, configuration.attention.deformable) {
        (AttentionModule::None, false) => 0,
        (AttentionModule::None, true) => 4,
        (_, true) => 5,
        (AttentionModule::Dynamic | AttentionModule::DynamicTransformer(_), false) => 3,
        (AttentionModule::Transformer(_), false) => 1 + usize::from(configuration.limit_range),
    }
}

/// Whether a configuration varies encoder-decoder attention.
pub fn is_cross(configuration: &Configuration) -> bool {
    configuration.cross != without().cross
}

/// What a scatter chart has to the right.
struct Cost {
    name: &'static str,
    label: &'static str,
    /// The label where there is less room.
    short: &'static str,
    scale: Scale,
    of: fn(&ConfigurationSummary) -> f64,
}

const COSTS: [Cost; 2] = [
    Cost {
        name: "multiply-adds",
        label: "million multiply-adds of attention for one item, forward",
        short: "million multiply-adds",
        scale: Scale::Log,
        of: |c| c.attention_flops / 1e6,
    },
    Cost {
        name: "training time",
        label: "processor seconds of the training on one thread",
        short: "processor seconds",
        scale: Scale::Linear,
        of: |c| c.training_seconds,
    },
];

/// Accuracy against multiply-adds and against time: all but what varies encoder-decoder attention.
pub fn accuracy(task: &TaskSummary) -> Vec<Svg> {
    let own: Vec<&ConfigurationSummary> =
        task.configurations.iter().filter(|c| !is_cross(&c.configuration)).collect();
    COSTS.iter().map(|cost| scatter(task, &own, cost, WIDE)).collect()
}

/// The same for encoder-decoder attention, beside the configurations that vary it their counterpart with both terms.
pub fn cross_accuracy(task: &TaskSummary) -> Vec<Svg> {
    let varied: Vec<&ConfigurationSummary> =
        task.configurations.iter().filter(|c| is_cross(&c.configuration)).collect();
    let counterpart = |c: &&ConfigurationSummary| {
        let own = Configuration { cross: without().cross, ..c.configuration };
        task.configuration(&own)
    };
    let mut shown: Vec<&ConfigurationSummary> = Vec::new();
    for summary in varied.iter().filter_map(counterpart).chain(varied.iter().copied()) {
        if shown.iter().all(|earlier| earlier.configuration != summary.configuration) {
            shown.push(summary);
        }
    }
    if varied.is_empty() {
        return Vec::new();
    }
    COSTS.iter().map(|cost| scatter(task, &shown, cost, HALF)).collect()
}

fn scatter(task: &TaskSummary, shown: &[&ConfigurationSummary], cost: &Cost, width: u32) -> Svg {
    let Cost { name, label, short, scale, of } = cost;
    let groups = FAMILIES.iter().enumerate().map(|(number, (name, style, mark))| {
        let own = shown.iter().filter(|c| family(&c.configuration) == number);
        let point = |c: &&ConfigurationSummary| ScatterPoint {
            label: c.configuration.to_string(),
            x: of(c),
            y: c.mean,
            bar: c
                .difference
                .map_or((c.mean, c.mean), |d| (c.mean - d.estimate + d.low, c.mean - d.estimate + d.high)),
        };
        ScatterGroup {
            name: (*name).to_owned(),
            style: *style,
            mark: *mark,
            points: own.map(point).collect(),
        }
    });
    ScatterChart {
        title: format!("{} and {name}", task.metric),
        x: if width == HALF { (*short).to_owned() } else { (*label).to_owned() },
        scale: *scale,
        y: if task.task.is_visual() { format!("{} (%)", task.metric) } else { task.metric.clone() },
        groups: groups.filter(|group| !group.points.is_empty()).collect(),
        width,
    }
    .draw()
}

/// Which configurations share a chart of curves.
type Choice = (&'static str, fn(&Configuration) -> bool);

const ENCODER_DECODER: &str = "Encoder-decoder terms";

const CURVES: [Choice; 5] = [
    ("One term", |c| terms(c).is_some_and(|n| n <= 1) || *c == without()),
    ("Two terms", |c| terms(c) == Some(2)),
    ("Three terms and four", |c| terms(c).is_some_and(|n| n >= 3)),
    ("Convolutions and combinations", |c| {
        let plain = matches!(c.to_string().as_str(), "w/o" | "0100" | "1111");
        !is_cross(c) && (plain || terms(c).is_none())
    }),
    (ENCODER_DECODER, |c| is_cross(c) || c.to_string() == "1111"),
];

/// How many terms plain Transformer attention has.
fn terms(configuration: &Configuration) -> Option<usize> {
    match configuration.attention.module {
        AttentionModule::Transformer(terms) if family(configuration) == 1 => {
            Some(terms.flags().into_iter().filter(|on| *on).count())
        }
        _ => None,
    }
}

/// The score over the epochs, mean over the seeds, after the steep start.
pub fn curves(task: &TaskSummary) -> Vec<Svg> {
    let chart = |(title, belongs): &Choice| {
        let cross = |c: &&ConfigurationSummary| is_cross(&c.configuration);
        let of_cross = *title == ENCODER_DECODER;
        let shown = task.configurations.iter().filter(|c| belongs(&c.configuration) && !c.curve.is_empty());
        let shown: Vec<&ConfigurationSummary> = shown.collect();
        // One range for all charts of self-attention, so that they compare.
        let own: Vec<&ConfigurationSummary> = match of_cross {
            true => shown.clone(),
            false => task.configurations.iter().filter(|c| !cross(c)).collect(),
        };
        let (bottom, top) = late_range(&own);
        let line = |(style, c): (usize, &&ConfigurationSummary)| {
            let points = c.curve.iter().enumerate().map(|(epoch, score)| ((epoch + 1) as f64, *score));
            Series { name: c.configuration.to_string(), style, points: points.skip(start(c)).collect() }
        };
        let drawn = !shown.is_empty() && (!of_cross || shown.iter().any(cross));
        drawn.then(|| {
            let first = own.iter().map(|c| start(c)).min().unwrap_or(0) + 1;
            let last = own.iter().map(|c| c.curve.len()).max().unwrap_or(1);
            LineChart {
                title: (*title).to_owned(),
                x: Axis::between("epoch", first as f64, last as f64),
                y: Axis::between(&task.metric, bottom, top),
                series: shown.iter().enumerate().map(line).collect(),
                small: true,
            }
            .draw()
        })
    };
    CURVES.iter().filter_map(chart).collect()
}

/// Epochs that are left out: a third, in which all curves rise alike.
fn start(summary: &ConfigurationSummary) -> usize {
    summary.curve.len() / 3
}

/// The scores after the start.
fn late_range(shown: &[&ConfigurationSummary]) -> (f64, f64) {
    let late = |c: &&ConfigurationSummary| c.curve[start(c)..].to_vec();
    let late = shown.iter().flat_map(late);
    let (min, max) = late.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), s| (min.min(s), max.max(s)));
    if min < max { (min - 0.02 * (max - min), max + 0.02 * (max - min)) } else { (min - 1.0, max + 1.0) }
}

/// The differences that a claim rests on. What is far off in comparison has a chart of its own.
pub fn forest(claim: &ClaimResult) -> Vec<Svg> {
    let chart = |far: bool| {
        let mut rows = Vec::new();
        for task in &claim.tasks {
            let chosen = |difference: &Interval| (difference.estimate.abs() > 8.0 * margin(task.task)) == far;
            let tests = task.tests.iter().filter(|test| !matches!(test.criterion, Criterion::Cheaper { .. }));
            let tested = tests.filter_map(|test| {
                let comparison = test.comparison.as_ref()?;
                let rival = test.rivals.map_or("", |_| " (strongest rival)");
                row(comparison, chosen, test.criterion.region(task.task), (test.verdict.symbol(), rival))
            });
            let beside = task.beside.iter().filter_map(|comparison| row(comparison, chosen, None, ("", "")));
            let own: Vec<ForestRow> = tested.chain(beside).collect();
            if !own.is_empty() {
                rows.push(ForestRow::Heading(heading(task.task)));
                rows.extend(own);
            }
        }
        let title = format!("{}: differences with their 95 % intervals", claim.id);
        (!rows.is_empty()).then(|| ForestChart { title, label: "points".to_owned(), rows }.draw())
    };
    [false, true].into_iter().filter_map(chart).collect()
}

/// A task and its score.
pub fn heading(task: TaskKind) -> String {
    format!("{} ({})", task.name(), task.metric())
}

fn row(
    comparison: &Comparison,
    chosen: impl Fn(&Interval) -> bool,
    region: Option<(f64, f64)>,
    (symbol, rival): (&str, &str),
) -> Option<ForestRow> {
    let difference = comparison.difference.filter(chosen)?;
    Some(ForestRow::Difference {
        label: format!("{} \u{2212} {}{rival}", comparison.a, comparison.b),
        estimate: difference.estimate,
        interval: (difference.low, difference.high),
        region,
        note: format!("{} {} {symbol}", signed(difference.estimate), interval(&difference, signed)),
        style: if region.is_some() { 0 } else { 6 },
    })
}
