//! The figures and the page of the probes.

use termwise_datasets::probe::ProbeTask;
use termwise_models::probe::{Ability, ProbeCell, ProbeMechanism};

use super::probe::summary;
use crate::report::{
    Axis, Expected, LineChart, Page, Panel, ProbeTable, ProbeTableCell, ProbeTableRow, Series, Svg,
};

const ABOUT: &str = "One layer is trained for each cell: tokens on a grid of 8 x 8 are embedded by a linear map, \
    pass through the mechanism alone, without residual and without absolute position, and are read out by another \
    linear map. Each task can be solved through one factor of attention only, so what a layer cannot learn here, its \
    mechanism cannot use. A solved cell reaches an accuracy of 0.95, an unsolvable one stays below 0.60; guessing \
    reaches 0.125, the best constant answer about 0.19.";

/// The mechanisms and tasks that occur, in order of appearance.
pub fn axes(cells: &[ProbeCell]) -> (Vec<ProbeMechanism>, Vec<ProbeTask>) {
    let (mut mechanisms, mut tasks) = (Vec::new(), Vec::new());
    for cell in cells {
        if !mechanisms.contains(&cell.mechanism) {
            mechanisms.push(cell.mechanism);
        }
        if !tasks.contains(&cell.task) {
            tasks.push(cell.task);
        }
    }
    (mechanisms, tasks)
}

/// What a token has to answer.
fn rule(task: ProbeTask) -> &'static str {
    match task {
        ProbeTask::Match => {
            "the value held by the token whose symbol this one asks for (query and key content)"
        }
        ProbeTask::PointNear => {
            "the value 1 cell away in the direction this token asks for (query content and position)"
        }
        ProbeTask::PointFar => {
            "the value 3 cells away in the direction this token asks for (query content and position)"
        }
        ProbeTask::Spotlight => "the value of the one cell that is lit (key content)",
        ProbeTask::ShiftNear => "the value one cell up and one to the right (position)",
        ProbeTask::ShiftFar => "the value three cells down and two to the left (position)",
    }
}

/// The table.
pub fn table(cells: &[ProbeCell]) -> Svg {
    let (mechanisms, tasks) = axes(cells);
    let cell = |mechanism: ProbeMechanism, task: ProbeTask| {
        let cell = cells.iter().find(|cell| cell.mechanism == mechanism && cell.task == task)?;
        let ability = mechanism.ability(task);
        let expected = match ability {
            Ability::Can => Expected::Can,
            Ability::Cannot => Expected::Cannot,
            Ability::Partly => Expected::Partly,
        };
        Some(ProbeTableCell { accuracy: cell.accuracy, expected, holds: ability.holds(cell.accuracy) })
    };
    let row = |mechanism: &ProbeMechanism| ProbeTableRow {
        mechanism: mechanism.to_string(),
        cells: tasks.iter().map(|task| cell(*mechanism, *task)).collect(),
    };
    ProbeTable {
        title: "Accuracy of each mechanism on each task".into(),
        tasks: tasks.iter().map(ProbeTask::to_string).collect(),
        rows: mechanisms.iter().map(row).collect(),
    }
    .draw()
}

/// How the accuracy grew on one task, a line for each mechanism, coloured by what was expected.
fn curves(cells: &[ProbeCell], task: ProbeTask) -> Svg {
    let series = |cell: &ProbeCell| {
        let (name, style) = match cell.mechanism.ability(task) {
            Ability::Can => ("expected: can", 0),
            Ability::Cannot => ("expected: cannot", 1),
            Ability::Partly => ("expected: partly", 3),
        };
        let points = cell.curve.iter().map(|&(step, _, accuracy)| (step as f64, accuracy)).collect();
        Series { name: name.into(), style, points }
    };
    let of_task = cells.iter().filter(|cell| cell.task == task);
    LineChart {
        title: format!("{task}: accuracy while training"),
        x: Axis::new("step"),
        y: Axis::between("accuracy", 0.0, 1.0),
        series: of_task.map(series).collect(),
        small: true,
    }
    .draw()
}

/// All figures under their file names.
pub fn figures(cells: &[ProbeCell]) -> Vec<(String, Svg)> {
    let (_, tasks) = axes(cells);
    let curves = tasks.into_iter().map(|task| (format!("curves_{task}.svg"), curves(cells, task)));
    std::iter::once(("table.svg".to_owned(), table(cells))).chain(curves).collect()
}

/// Adds the probes to a page.
pub fn describe(page: &mut Page, cells: &[ProbeCell]) {
    let (mechanisms, tasks) = axes(cells);
    page.paragraph(ABOUT);
    let caption = format!("Accuracy on fresh samples; below it what theory expects. {}.", summary(cells));
    page.figure(&[Panel::Svg(&table(cells))], &caption);
    page.subsection("The tasks");
    page.definitions(tasks.iter().map(|task| (task.name(), format!("A token answers {}.", rule(*task)))));
    page.subsection("What each mechanism can do, and why");
    let names: Vec<String> = mechanisms.iter().map(ProbeMechanism::to_string).collect();
    page.definitions(names.iter().map(String::as_str).zip(mechanisms.iter().map(|m| m.explanation())));
    page.subsection("How they learn");
    let curves: Vec<Svg> = tasks.iter().map(|task| curves(cells, *task)).collect();
    let panels: Vec<Panel<'_>> = curves.iter().map(Panel::Svg).collect();
    page.figure(&panels, "Each line is one mechanism, its accuracy on training batches. Training ends early where the task is solved.");
}

/// The page of `termwise probe`.
pub fn page(cells: &[ProbeCell]) -> String {
    let seed = cells.first().map_or(0, |cell| cell.seed);
    let mut page = Page::new(
        "Which mechanism can use which factor",
        &format!(
            "Spatial attention mechanisms, each trained alone on tasks that need one factor. Seed {seed}."
        ),
    );
    describe(&mut page, cells);
    page.finish()
}
