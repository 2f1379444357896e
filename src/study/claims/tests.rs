use super::*;
use crate::study::summary::{About, Summary};
use crate::study::synthetic::run;
use crate::study::{Over, Run};
use TaskKind::{Detection, Segmentation, Translation};

fn code(text: &str) -> Configuration {
    text.parse().unwrap()
}

fn interval(low: f64, high: f64) -> Interval {
    Interval { estimate: (low + high) / 2.0, low, high, seeds: 3, over: Over::SeedsAndItems }
}

#[test]
fn an_interval_inside_holds_outside_does_not_and_across_is_undecided() {
    let (a, b) = (code("1111"), code("0111"));
    let (at_most, within) = (Criterion::AtMost { a, b }, Criterion::Within { a, b });
    let (above, by_five) = (Criterion::Above { a, b, by: 0.0 }, Criterion::Above { a, b, by: 5.0 });
    use Verdict::{DoesNotHold, Holds, Undecided};
    for (criterion, task, low, high, expected) in [
        (at_most, Segmentation, -9.0, 1.4, Holds),
        (at_most, Segmentation, -9.0, 1.5, Undecided),
        (at_most, Segmentation, 1.4, 3.0, Undecided),
        (at_most, Segmentation, 1.6, 3.0, DoesNotHold),
        (at_most, Translation, -9.0, 1.4, Undecided),
        (at_most, Translation, -9.0, 0.9, Holds),
        (at_most, Translation, 1.1, 1.4, DoesNotHold),
        (within, Detection, -1.4, 1.4, Holds),
        (within, Detection, -1.6, 1.4, Undecided),
        (within, Detection, -1.6, 1.6, Undecided),
        (within, Detection, 1.4, 1.6, Undecided),
        (within, Detection, 1.6, 1.7, DoesNotHold),
        (within, Detection, -9.0, -1.6, DoesNotHold),
        (within, Translation, -1.2, -1.1, DoesNotHold),
        (above, Detection, 0.1, 9.0, Holds),
        (above, Detection, -0.1, 9.0, Undecided),
        (above, Detection, -2.0, -0.1, DoesNotHold),
        (by_five, Translation, 5.1, 30.0, Holds),
        (by_five, Translation, 4.9, 30.0, Undecided),
        (by_five, Translation, 1.0, 4.9, DoesNotHold),
    ] {
        let (found, reason) = criterion.judge(task, Some(&interval(low, high)));
        assert_eq!(found, expected, "{criterion:?} of {task}: {low} to {high}");
        assert_eq!(reason.is_some(), found == Undecided);
    }
}

#[test]
fn few_seeds_leave_everything_open_and_say_so() {
    let criterion = Criterion::AtMost { a: code("1111"), b: code("0111") };
    for (seeds, over) in [(1, Over::Items), (2, Over::SeedsAndItems)] {
        let interval = Interval { seeds, over, ..interval(-9.0, -8.0) };
        let (verdict, reason) = criterion.judge(Segmentation, Some(&interval));
        assert_eq!(verdict, Verdict::Undecided);
        assert_eq!(reason.unwrap(), format!("{seeds} of the 3 seeds that a verdict needs"));
    }
    assert_eq!(criterion.judge(Segmentation, None).0, Verdict::Undecided);
}

/// Three seeds of each configuration with a score and multiply-adds, a little luck on each seed.
fn study(task: TaskKind, configurations: &[(&str, f64, f64)]) -> Vec<Run> {
    let mut runs = Vec::new();
    for (configuration, score, flops) in configurations {
        for (luck, seed) in [0.0, 0.1, -0.2].into_iter().zip(0..) {
            let mut run = run(task, configuration, seed, &[score + luck, score - luck, score + luck]);
            run.record.attention_flops = *flops;
            runs.push(run);
        }
    }
    runs
}

fn verdicts(runs: &[Run], id: &str) -> (Verdict, Vec<(TaskKind, Verdict)>) {
    let summary = Summary::new(runs, About::default()).unwrap();
    let claim = summary.claims.iter().find(|claim| claim.id == id).unwrap();
    (claim.verdict, claim.tasks.iter().map(|task| (task.task, task.verdict)).collect())
}

#[test]
fn the_claims_are_those_that_were_stated() {
    let stated: Vec<String> = claims()
        .iter()
        .flat_map(|claim| claim.criteria.iter().map(move |(criterion, tasks)| (claim.id, criterion, tasks)))
        .map(|(id, criterion, tasks)| {
            let names: Vec<String> = tasks.iter().map(|task| task.name()[..1].to_owned()).collect();
            let (kind, of) = match criterion {
                Criterion::AtMost { a, b } => ("at most", format!("{a}, {b}")),
                Criterion::Within { a, b } => ("within", format!("{a}, {b}")),
                Criterion::Above { a, b, by } => ("above", format!("{a}, {b}, {by}")),
                Criterion::Cheaper { a, b } => ("cheaper", format!("{a}, {b}")),
                Criterion::BestForCost { a } => ("best", a.to_string()),
            };
            format!("{id} {}: {kind} {of}", names.concat())
        })
        .collect();
    assert_eq!(
        stated,
        [
            "F1 sdt: at most 1111, 0111",
            "F1 sdt: at most 1111, 0011",
            "F2 t: above 1111, 1111 x 0010, 5",
            "F2 t: within 1111, 1111 x 1000",
            "F3 sdt: at most 1111, 0110",
            "F4 sd: above deformable, 0100, 0",
            "F4 sd: cheaper deformable, 0100",
            "F4 t: within deformable, 0100",
            "F5 sd: at most 1111+deformable, 0010+deformable",
            "F5 sd: cheaper 0010+deformable, 1111+deformable",
            "F5 sd: best 0010+deformable",
            "F6 t: within dynamic, 0100",
            "F6 t: cheaper dynamic, 0100",
            "F6 sd: above 0100, dynamic, 0",
        ]
    );
    let margins = TaskKind::ALL.map(margin);
    assert_eq!(margins, [1.5, 1.5, 1.0]);
}

#[test]
fn a_claim_is_as_good_as_its_worst_task_and_says_what_is_missing() {
    let good = [("1111", 50.0, 4.0), ("0110", 49.9, 3.0)];
    let bad = [("1111", 50.0, 4.0), ("0110", 40.0, 3.0)];
    let mut runs = study(Segmentation, &good);
    runs.extend(study(Detection, &good));
    let (verdict, tasks) = verdicts(&runs, "F3");
    assert_eq!(verdict, Verdict::NotTested);
    assert_eq!(tasks[..2], [(Segmentation, Verdict::Holds), (Detection, Verdict::Holds)]);
    runs.extend(study(Translation, &good));
    assert_eq!(verdicts(&runs, "F3").0, Verdict::Holds);
    runs.retain(|run| run.record.id.task != Detection);
    runs.extend(study(Detection, &bad));
    assert_eq!(verdicts(&runs, "F3").0, Verdict::DoesNotHold);
}

#[test]
fn costs_are_compared_without_seeds() {
    let runs =
        study(Translation, &[("dynamic", 30.0, 2.0), ("0100", 30.0, 3.0), ("0100 limited", 28.0, 2.5)]);
    let runs: Vec<Run> = runs.into_iter().filter(|run| run.record.id.seed == 0).collect();
    let summary = Summary::new(&runs, About::default()).unwrap();
    let translation = &summary.claims[5].tasks[2];
    assert_eq!(
        translation.tests.iter().map(|test| test.verdict).collect::<Vec<_>>(),
        [Verdict::Undecided, Verdict::Holds]
    );
    assert_eq!(translation.verdict, Verdict::Undecided);
    // What is beside the verdict: dynamic over limited E2, 2 points.
    let beside = &translation.beside[0];
    assert!((beside.difference.unwrap().estimate - 2.0).abs() < 1e-9);
    assert_eq!(beside.attention_flops, [2.0, 2.5]);
    let dearer = study(Translation, &[("dynamic", 30.0, 3.0), ("0100", 30.0, 3.0)]);
    assert_eq!(verdicts(&dearer, "F6").1[2], (Translation, Verdict::DoesNotHold));
}

#[test]
fn the_best_for_its_cost_has_no_rival_at_or_below_it() {
    let measure = |rival: (&'static str, f64, f64)| {
        let runs = study(
            Segmentation,
            &[("w/o", 30.0, 0.0), ("0010+deformable", 50.0, 3.0), ("1111+deformable", 50.5, 9.0), rival],
        );
        let summary = Summary::new(&runs, About::default()).unwrap();
        summary.claims[4].tasks[0].tests[2].clone()
    };
    for (rival, verdict, strongest, rivals) in [
        (("deformable", 49.0, 1.0), Verdict::Holds, "deformable", 2),
        (("deformable", 55.0, 3.0), Verdict::DoesNotHold, "deformable", 2),
        (("deformable", 55.0, 3.1), Verdict::Holds, "w/o", 1),
        (("deformable", 51.5, 1.0), Verdict::Undecided, "deformable", 2),
    ] {
        let found = measure(rival);
        let name = found.comparison.unwrap().a.to_string();
        assert_eq!(
            (found.verdict, name.as_str(), found.rivals),
            (verdict, strongest, Some(rivals)),
            "{rival:?}"
        );
    }
}
