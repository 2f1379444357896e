//! The report: one page for who knows the paper.

use std::collections::BTreeSet;

use super::claims::{ClaimResult, Criterion, LEAST_SEEDS, Test, Verdict};
use super::statistics::REPLICATES;
use super::summary::{ConfigurationSummary, Summary, TaskSummary, interval, number, signed};
use super::{Interval, Over};
use crate::report::{Page, Panel, Svg, Table, Tone};

mod figures;

const LEAD: &str = "Every spatial attention mechanism that Zhu et al. compare in \"An Empirical Study of Spatial \
    Attention Mechanisms in Deep Networks\" (ICCV 2019), in small networks on real data. The claims and their criteria \
    were written down before the first run.";

const NOTATION: &str = "A configuration is written as in the paper: four switches b1b2b3b4 for the terms E1 (query and \
    key content), E2 (query content and relative position), E3 (key content) and E4 (relative position) of Transformer \
    attention. w/o has no attention module, limited looks no further than dynamic convolution does, and terms of \
    encoder-decoder attention stand after an x where they are not E1 and E3.";

const BARS: &str = "A point is a mean over the seeds; its bar is the 95 % interval of the difference to w/o, in which what \
    all configurations share has cancelled.";

const INTERVALS: &str = "All intervals are 95 % intervals of a paired bootstrap. A replicate draws validation items and \
    seeds with replacement, the same draw for all configurations of a task, so that a difference is that of two \
    networks on the same items with the same seeds. The percentiles of the replicates are too close together where \
    there are few seeds; both are moved away from the estimate by sqrt(n / (n - 1)) t(.975, n - 1) / 1.96 for n \
    seeds (Hesterberg 2015). Where scores differ by the choice of items more than by the seed, intervals are wider \
    than they need be.";

const TIME: &str = "Training time is the number of steps times the median processor time of one step on one thread, the \
    median over the seeds. Multiply-adds are those of the attention modules alone, forward, for one item, as counted by \
    the paper's Table 1.";

/// The page of a study.
pub fn page(summary: &Summary) -> String {
    let mut page = Page::new("What spatial attention is worth", LEAD);
    overview(&mut page, summary);
    for task in &summary.tasks {
        describe_task(&mut page, task);
    }
    page.section("The claims and their evidence");
    let rule = format!(
        "A criterion names a region for a difference of scores, shaded in the figures. It holds where the 95 % interval \
         lies inside of it, does not hold where it lies outside, and is undecided where it reaches across; a verdict \
         needs {LEAST_SEEDS} seeds. A claim holds where all of its criteria do, and does not hold where one does not."
    );
    page.paragraph(&rule);
    for claim in &summary.claims {
        describe_claim(&mut page, claim);
    }
    method(&mut page, summary);
    page.finish()
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Holds => Tone::Good,
        Verdict::DoesNotHold => Tone::Bad,
        Verdict::Undecided | Verdict::NotTested => Tone::Open,
    }
}

fn overview(page: &mut Page, summary: &Summary) {
    page.section("What held");
    page.verdicts(summary.claims.iter().map(|claim| {
        let verdict = claim.verdict;
        (tone(verdict), [verdict.symbol(), verdict.name()], format!("{}. {}", claim.id, claim.title))
    }));
    page.table(&summary.verdicts(), "The same by task. The verdict of a claim is the worst of its tasks.");
    page.paragraph(NOTATION);
}

fn describe_task(page: &mut Page, task: &TaskSummary) {
    page.section(&capitalised(task.task.name()));
    let data = task.data.as_ref().map_or(String::new(), |data| format!("Data: {data}. "));
    let items = if task.task.is_visual() { "pictures" } else { "sentences" };
    page.paragraph(&format!("{data}Measured: {} on {} {items} of validation data.", task.metric, task.items));
    let zero = task.configurations.iter().any(|c| c.attention_flops == 0.0);
    let zero = if zero { " Zero stands apart from the logarithmic axis." } else { "" };
    for (svg, note) in figures::accuracy(task).iter().zip([zero, ""]) {
        page.figure(&[Panel::Svg(svg)], &format!("{BARS}{note}"));
    }
    let cross = figures::cross_accuracy(task);
    if !cross.is_empty() {
        let caption = "Encoder-decoder attention apart: its terms stand after the x; without an x it has both, E1 and E3.";
        page.figure(&panels(&cross), caption);
    }
    scores(page, task);
    costs(page, task);
    further_figures(page, task);
    let curves = figures::curves(task);
    if !curves.is_empty() {
        page.subsection("While training");
        page.figure(
            &panels(&curves),
            "The score on the validation data after each epoch, mean over the seeds, from a third of the training on.",
        );
    }
}

fn panels(figures: &[Svg]) -> Vec<Panel<'_>> {
    figures.iter().map(Panel::Svg).collect()
}

fn dash() -> String {
    "\u{2013}".to_owned()
}

/// More figures than these have a table of their own.
const FEW: usize = 2;

/// The names of the further figures.
fn names(task: &TaskSummary) -> BTreeSet<&String> {
    task.configurations.iter().flat_map(|c| c.figures.keys()).collect()
}

fn figure(c: &ConfigurationSummary, name: &str) -> String {
    c.figures.get(name).copied().map_or_else(dash, number)
}

fn scores(page: &mut Page, task: &TaskSummary) {
    let names = Some(names(task)).filter(|names| names.len() <= FEW).unwrap_or_default();
    let row = |c: &ConfigurationSummary| {
        let own = [
            c.configuration.to_string(),
            c.seeds.len().to_string(),
            number(c.mean),
            interval(&c.interval, number),
            c.standard_deviation.map_or_else(dash, number),
            number(c.min),
            number(c.max),
        ];
        own.into_iter().chain(names.iter().map(|name| figure(c, name))).collect()
    };
    let head = ["configuration", "seeds", &task.metric, "95 % interval", "sd", "least", "greatest"];
    let head = head.map(str::to_owned).into_iter().chain(names.iter().map(|name| (*name).clone()));
    let further: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let further = if further.is_empty() {
        String::new()
    } else {
        format!(" Beside it the mean of {}.", further.join(" and "))
    };
    let single = task.configurations.iter().any(|c| c.interval.over == Over::Items);
    let single = match single {
        true => " The interval of a single seed is over the items alone: it says nothing about another seed.",
        false => "",
    };
    let caption = format!(
        "{}: mean over the seeds and its interval; standard deviation, least and greatest of the seeds.{further}{single}",
        capitalised(&task.metric)
    );
    let rows = task.configurations.iter().map(row).collect();
    page.table(&Table { head: head.collect(), rows }, &caption);
}

fn costs(page: &mut Page, task: &TaskSummary) {
    let row = |c: &ConfigurationSummary| {
        vec![
            c.configuration.to_string(),
            c.difference.map_or_else(dash, |d| signed(d.estimate)),
            c.difference.map_or_else(dash, |d| interval(&d, signed)),
            number(c.attention_flops / 1e6),
            thousands(c.parameters),
            format!("{:.1}", 1000.0 * c.step_seconds),
            format!("{:.0}", c.training_seconds),
            c.peak_bytes.map_or_else(dash, |bytes| format!("{}", bytes >> 20)),
        ]
    };
    let head = [
        "configuration",
        "\u{2212} w/o",
        "95 % interval",
        "Mmadd",
        "parameters",
        "ms/step",
        "train s",
        "MiB",
    ];
    let caption = format!(
        "What it gains over w/o in {}, and what it costs: million multiply-adds of the attention for one item, forward; \
         parameters of the network; processor time of a step and of the training on one thread, median over the \
         seeds; most memory of the process.",
        task.metric
    );
    let rows = task.configurations.iter().map(row).collect();
    page.table(&Table { head: head.map(str::to_owned).to_vec(), rows }, &caption);
}

fn further_figures(page: &mut Page, task: &TaskSummary) {
    let names = names(task);
    if names.len() <= FEW {
        return;
    }
    let row = |c: &ConfigurationSummary| {
        std::iter::once(c.configuration.to_string()).chain(names.iter().map(|name| figure(c, name))).collect()
    };
    let head =
        std::iter::once("configuration".to_owned()).chain(names.iter().map(|name| (*name).clone())).collect();
    let rows = task.configurations.iter().map(row).collect();
    page.table(&Table { head, rows }, "Further figures, mean over the seeds. No claim rests on them.");
}

/// A whole number with its digits in threes.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join("\u{202f}")
}

fn describe_claim(page: &mut Page, claim: &ClaimResult) {
    page.subsection(&format!("{}. {}", claim.id, claim.title));
    page.verdicts([(
        tone(claim.verdict),
        [claim.verdict.symbol(), claim.verdict.name()],
        claim.text.clone(),
    )]);
    for task in &claim.tasks {
        let entries = task.tests.iter().map(|test| {
            let text = format!("{}. {}", test.text, evidence(test));
            (tone(test.verdict), [test.verdict.symbol(), test.verdict.name()], text)
        });
        page.label(&format!("{}: {}", capitalised(&figures::heading(task.task)), task.verdict.name()));
        page.verdicts(entries);
    }
    let drawn = figures::forest(claim);
    if !drawn.is_empty() {
        let beside = claim.tasks.iter().any(|task| !task.beside.is_empty());
        let beside = if beside { " Grey: shown beside them, without a part in the verdict." } else { "" };
        let caption = format!("Shaded: where the interval has to lie for the criterion to hold.{beside}");
        page.figure(&panels(&drawn), &caption);
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// What was found, in a sentence.
fn evidence(test: &Test) -> String {
    let reason = test.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    let Some(comparison) = &test.comparison else { return format!("Found: nothing{reason}.") };
    let difference = comparison.difference.as_ref().map_or_else(|| "no difference".to_owned(), found);
    let (flops, seconds) = (comparison.attention_flops, comparison.training_seconds);
    match (&test.criterion, test.rivals) {
        (Criterion::Cheaper { .. }, _) => format!(
            "Found: {} against {} million; training took {:.0} s against {:.0} s.",
            number(flops[0] / 1e6),
            number(flops[1] / 1e6),
            seconds[0],
            seconds[1]
        ),
        (_, Some(rivals)) => format!(
            "Found: {rivals} such {}, of which {} is the strongest: {difference}{reason}.",
            if rivals == 1 { "configuration" } else { "configurations" },
            comparison.a
        ),
        _ => format!("Found: {difference}{reason}."),
    }
}

fn found(difference: &Interval) -> String {
    let seeds = if difference.seeds == 1 {
        "1 seed, items alone".to_owned()
    } else {
        format!("{} seeds", difference.seeds)
    };
    format!("{} {}, {seeds}", signed(difference.estimate), interval(difference, signed))
}

fn method(page: &mut Page, summary: &Summary) {
    page.section("How the study was made");
    page.paragraph(INTERVALS).paragraph(TIME);
    let about = &summary.about;
    let given = [
        ("Command", &about.command),
        ("Version", &about.version),
        ("Commit", &about.commit),
        ("Machine", &about.machine),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let replicates = ("Replicates", format!("{REPLICATES} of the bootstrap, of a fixed seed"));
    page.definitions(given.chain([replicates]));
    for task in &summary.tasks {
        page.subsection(&figures::heading(task.task));
        let mut seeds: Vec<u64> = task.configurations.iter().flat_map(|c| c.seeds.iter().copied()).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let data = task.data.iter().map(|data| ("data", data.clone()));
        let rest = [("validation items", task.items.to_string()), ("seeds", seeds.join(", "))];
        let settings = task.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        page.definitions(data.chain(rest).chain(settings));
    }
}

#[cfg(test)]
mod tests;
