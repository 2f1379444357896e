//! Trainings as a part of a page.

use super::data::Data;
use super::figures::{
    class_bars, curves, finest_maps, gallery, legend, map_panels, marked, png, query_point, spread,
};
use super::run::Run;
use crate::report::{Page, Panel, Table};

/// The figures of every training at its end.
pub fn table(runs: &[Run]) -> Table {
    let head = ["mechanism", "mean IoU", "pixel acc.", "loss", "parameters", "steps", "s per step"];
    let row = |run: &Run| {
        let (last, steps) = (run.last(), run.steps.len());
        vec![
            run.name(),
            format!("{:.3}", last.score.miou),
            format!("{:.3}", last.score.pixel_accuracy),
            format!("{:.3}", last.loss),
            run.num_parameters().to_string(),
            steps.to_string(),
            format!("{:.3}", step_seconds(run)),
        ]
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: runs.iter().map(row).collect() }
}

/// The median time between two steps of an epoch.
fn step_seconds(run: &Run) -> f64 {
    let pairs = run.steps.windows(2).filter(|pair| pair[0].epoch == pair[1].epoch);
    let mut times: Vec<f64> = pairs.map(|pair| pair[1].seconds - pair[0].seconds).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(run.seconds)
}

/// Adds trainings to a page.
pub fn describe(page: &mut Page, runs: &[Run], data: &Data) {
    let (height, width) = data.train[0].size();
    let budget = match runs.first().and_then(|run| run.config.recipe.time_limit) {
        Some(seconds) => format!("for the same {seconds:.0} seconds"),
        None => "for the same number of epochs".to_owned(),
    };
    page.paragraph(&format!(
        "A small residual network labels every pixel; the mechanism stands in the residual blocks of its last two \
         stages. Data: {}, {} pictures of {height} x {width} to learn from, {} others to measure on. Each network was \
         trained {budget}. \"w/o\" has no attention module; a name with \"+deformable\" has deformable convolution in \
         place of the 3x3 convolution as well. One seed and a short training: small differences mean little.",
        data.name,
        data.train.len(),
        data.validation.len()
    ));
    let caption = "After the last epoch, on pictures that were not trained on; loss on those that were.";
    page.table(&table(runs), caption);
    let [loss, miou] = curves(runs);
    page.figure(&[Panel::Svg(&loss), Panel::Svg(&miou)], "The course of training.");
    page.figure(
        &[Panel::Svg(&class_bars(runs, data))],
        "A class without a bar occurs neither in the truth nor in the prediction.",
    );
    page.subsection("Predictions beside the truth");
    describe_predictions(page, runs, data);
    page.subsection("What the attention looks at");
    describe_maps(page, runs, data);
}

fn describe_predictions(page: &mut Page, runs: &[Run], data: &Data) {
    let columns = gallery(runs, &spread(&data.validation, 5), data);
    // As wide as the page leaves room for in one row.
    let width = (700 / columns.len()).saturating_sub(18).max(60);
    let panels: Vec<Panel<'_>> =
        columns.iter().map(|(name, png)| Panel::Png { png, width, label: name.clone() }).collect();
    page.figure(&panels, "Pictures from the validation set, what they show, and what each network sees.");
    page.figure(&[Panel::Svg(&legend(data))], "The colours of the classes.");
}

fn describe_maps(page: &mut Page, runs: &[Run], data: &Data) {
    let sample = &data.validation[0];
    let point = query_point(sample);
    let mapped: Vec<_> =
        runs.iter().filter_map(|run| Some((run, finest_maps(run, sample, point)?))).collect();
    if mapped.is_empty() {
        page.paragraph("No network of this report has a Transformer attention module.");
        return;
    }
    page.paragraph(
        "The energies of each term and the weights after the softmax, over all keys, for the query at the cross; \
         means over the heads. Dark is the least number, bright the greatest. Where a term ignores the query, its map is \
         the same for every query.",
    );
    let marked = png(&marked(sample, point));
    for (run, maps) in mapped {
        let drawn = map_panels(&maps);
        let shown = (700 / (drawn.len() + 1)).saturating_sub(18).clamp(60, 150); // all of them in one row
        let picture = Panel::Png { png: &marked, width: shown, label: "the query".into() };
        let maps_panels =
            drawn.iter().map(|(label, map)| Panel::Png { png: &map.png, width: shown, label: label.clone() });
        let panels: Vec<Panel<'_>> = std::iter::once(picture).chain(maps_panels).collect();
        let ((height, width), (row, column)) = (maps.size, maps.query);
        let caption = format!(
            "{}, {}: {height} x {width} keys, the query at row {row}, column {column}.",
            run.name(),
            maps.module
        );
        page.figure(&panels, &caption);
    }
}
