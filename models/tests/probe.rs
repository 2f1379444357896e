//! The probes on a few cheap cells: what can be learnt is learnt, what cannot is not, and the numbers do
//! not depend on the number of threads.

use termwise_datasets::probe::ProbeTask;
use termwise_models::probe::{Ability, ProbeCell, ProbeConfig, ProbeMechanism, train_cells};

fn train(cells: &[(&str, ProbeTask)], threads: usize) -> Vec<ProbeCell> {
    let cells: Vec<(ProbeMechanism, ProbeTask, u64)> =
        cells.iter().map(|(code, task)| (code.parse().unwrap(), *task, 3)).collect();
    train_cells(&cells, threads, &ProbeConfig::default(), &|_, _, _| {}, &|_, _| {})
}

#[test]
fn cells_come_out_as_theory_expects() {
    let cells = train(
        &[
            ("0010", ProbeTask::Spotlight),
            ("0010", ProbeTask::ShiftNear),
            ("0001", ProbeTask::ShiftFar),
            ("0001", ProbeTask::Spotlight),
            ("dynamic", ProbeTask::PointNear),
            ("regular", ProbeTask::ShiftNear),
        ],
        2,
    );
    for cell in cells {
        let ability = cell.mechanism.ability(cell.task);
        assert_ne!(ability, Ability::Partly);
        assert!(ability.holds(cell.accuracy), "{} on {}: {}", cell.mechanism, cell.task, cell.accuracy);
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let cells = [
        ("0100", ProbeTask::PointNear),
        ("deformable", ProbeTask::ShiftNear),
        ("1000", ProbeTask::Spotlight),
    ];
    let bits = |threads| -> Vec<_> {
        let cells = train(&cells, threads);
        cells
            .into_iter()
            .map(|cell| (cell.accuracy.to_bits(), cell.steps, format!("{:?}", cell.curve)))
            .collect()
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
}
