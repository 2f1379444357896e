use super::*;
use proptest::prelude::*;

fn parse(json: &str) -> Schedule {
    serde_json::from_str(json).unwrap()
}

#[track_caller]
fn assert_rates(schedule: &Schedule, expected: &[(f64, f64)]) {
    for &(step, lr) in expected {
        let found = schedule.lr(step);
        assert!((found - lr).abs() <= 1e-15, "step {step}: found {found}, expected {lr}");
    }
}

#[test]
fn constant() {
    assert_rates(&Schedule::Constant { base_lr: 0.3 }, &[(0.0, 0.3), (1e9, 0.3)]);
}

#[test]
fn inverse_sqrt_peaks_at_the_end_of_the_warm_up() {
    let schedule = Schedule::InverseSqrt { base_lr: 0.8, warmup_updates: 4, warmup_init_lr: 0.4 };
    assert_rates(&schedule, &[(0.0, 0.4), (1.0, 0.5), (4.0, 0.8), (16.0, 0.4), (64.0, 0.2)]);
    let unset = Schedule::InverseSqrt { base_lr: 0.8, warmup_updates: 4, warmup_init_lr: -1.0 };
    assert_rates(&unset, &[(0.0, 0.0), (1.0, 0.2), (4.0, 0.8)]);
    let none = Schedule::InverseSqrt { base_lr: 0.8, warmup_updates: 0, warmup_init_lr: -1.0 };
    assert_rates(&none, &[(0.0, 0.8), (1.0, 0.8), (4.0, 0.4)]);
}

#[test]
fn fairseq_cosine_restarts_longer_and_lower() {
    let schedule = Schedule::FairseqCosine {
        base_lr: 1.0,
        min_lr: 0.2,
        warmup_updates: 2,
        warmup_init_lr: -1.0,
        period: 4.0,
        t_mult: 2.0,
        lr_shrink: 0.5,
    };
    assert_rates(
        &schedule,
        &[
            (0.0, 0.2),
            (1.0, 0.6),
            (2.0, 1.0), // cycle 0, 4 steps
            (4.0, 0.6),
            (6.0, 0.5), // cycle 1, 8 steps
            (10.0, 0.3),
            (14.0, 0.25), // cycle 2, 16 steps
            (22.0, 0.15),
        ],
    );
}

#[test]
fn each_cycle_starts_at_its_top_whatever_the_factor() {
    for t_mult in [1.0, 2.0, 3.0, 5.0] {
        let schedule = Schedule::FairseqCosine {
            base_lr: 1.0,
            min_lr: 0.0,
            warmup_updates: 0,
            warmup_init_lr: 0.0,
            period: 1.0,
            t_mult,
            lr_shrink: 0.5,
        };
        let mut start = 0.0;
        for cycle in 0..8 {
            assert_rates(&schedule, &[(start, 0.5_f64.powi(cycle))]);
            start += t_mult.powi(cycle);
        }
    }
}

#[test]
fn cosine_falls_and_rises() {
    let schedule = Schedule::Cosine { base_lr: 0.5, eta_min: 0.1, t_max: 6.0 };
    assert_rates(&schedule, &[(0.0, 0.5), (2.0, 0.4), (3.0, 0.3), (6.0, 0.1), (12.0, 0.5)]);
}

#[test]
fn multistep_drops_during_and_after_the_warm_up() {
    let schedule = Schedule::MultistepLinearWarmup {
        base_lr: 1.0,
        milestones: vec![8, 2, 8],
        gamma: 0.5,
        warmup_iters: 4,
        start_factor: 0.5,
    };
    assert_rates(&schedule, &[(0.0, 0.5), (1.0, 0.625), (2.0, 0.375), (4.0, 0.5), (7.9, 0.5), (8.0, 0.125)]);
    let plain =
        parse(r#"{"kind": "multistep_linear_warmup", "base_lr": 1, "milestones": [3], "gamma": 0.1}"#);
    assert_rates(&plain, &[(0.0, 1.0), (2.0, 1.0), (3.0, 0.1)]);
}

#[test]
fn poly_ends_at_zero() {
    let schedule = Schedule::Poly { base_lr: 0.4, total_iters: 10.0, power: 2.0 };
    assert_rates(&schedule, &[(0.0, 0.4), (5.0, 0.1), (10.0, 0.0), (11.0, 0.0)]);
}

#[test]
fn warmup_cosine_with_nothing_to_anneal() {
    let schedule = Schedule::WarmupCosine {
        base_lr: 1.0,
        warmup_steps: 2,
        total_steps: 2,
        warmup_init_lr: 0.5,
        min_lr: 0.1,
    };
    assert_rates(&schedule, &[(0.0, 0.5), (1.0, 0.75), (2.0, 0.1), (3.0, 0.1)]);
}

#[test]
fn a_config_names_a_schedule() {
    let schedule = parse(r#"{"kind": "inverse_sqrt", "base_lr": 0.5, "warmup_updates": 4}"#);
    let expected = Schedule::InverseSqrt { base_lr: 0.5, warmup_updates: 4, warmup_init_lr: -1.0 };
    assert_eq!(schedule, expected);
    assert_eq!(parse(&serde_json::to_string(&schedule).unwrap()), schedule);
    let wave = parse(r#"{"kind": "fairseq_cosine", "base_lr": 1, "period": 20, "t_mult": 2}"#);
    assert_rates(&wave, &[(0.0, 1.0), (10.0, 0.5), (20.0, 1.0)]);

    let misspelt = serde_json::from_str::<Schedule>(r#"{"kind": "constant", "base_lr": 1, "warmup": 3}"#);
    assert!(misspelt.unwrap_err().to_string().contains("unknown field `warmup`"));
    let unknown = serde_json::from_str::<Schedule>(r#"{"kind": "exponential", "base_lr": 1}"#);
    assert!(unknown.unwrap_err().to_string().contains("unknown variant `exponential`"));
}

#[test]
fn numbers_that_describe_no_schedule_are_named() {
    let error = |json: &str| parse(json).check().unwrap_err().to_string();
    assert_eq!(
        error(r#"{"kind": "constant", "base_lr": -0.1}"#),
        "base_lr is -0.1, expected a finite number, at least 0"
    );
    assert_eq!(
        error(r#"{"kind": "cosine", "base_lr": 1, "t_max": 0}"#),
        "t_max is 0, expected a finite number above 0"
    );
    assert_eq!(
        error(r#"{"kind": "fairseq_cosine", "base_lr": 1, "period": 20, "t_mult": 0.5}"#),
        "t_mult is 0.5, expected at least 1"
    );
    assert_eq!(
        error(r#"{"kind": "warmup_cosine", "base_lr": 1, "warmup_steps": 5, "total_steps": 4}"#),
        "total_steps is 4, expected at least warmup_steps"
    );
}

#[test]
#[should_panic(expected = "Schedule::lr: t_max is -1, expected a finite number above 0")]
fn lr_refuses_such_numbers() {
    Schedule::Cosine { base_lr: 1.0, eta_min: 0.0, t_max: -1.0 }.lr(0.0);
}

#[test]
#[should_panic(expected = "step is NaN")]
fn lr_refuses_a_step_that_is_none() {
    Schedule::Constant { base_lr: 1.0 }.lr(f64::NAN);
}

proptest! {
    /// The cycle found is the one whose bounds enclose the step.
    #[test]
    fn cycles_tile_the_steps(step in 0.0..1e5, period in 0.5..50.0, mult in 1.0..4.0) {
        let (cycle, share) = cycle_at(step, period, mult);
        let start: f64 = (0..cycle as i32).map(|i| period * mult.powi(i)).sum();
        let length = period * mult.powi(cycle as i32);
        prop_assert!((0.0..1.0).contains(&share));
        prop_assert!((start + share * length - step).abs() <= 1e-9 * (1.0 + step));
    }

    #[test]
    fn rates_stay_between_floor_and_base(step in 0.0..500.0, warmup in 0u64..50, rest in 0u64..300) {
        let schedule = Schedule::WarmupCosine {
            base_lr: 2.0, warmup_steps: warmup, total_steps: warmup + rest, warmup_init_lr: 0.5, min_lr: 0.25,
        };
        prop_assert!((0.25..=2.0).contains(&schedule.lr(step)));
    }

    /// The warm-up meets the decay: no jump beyond what one small step can change.
    #[test]
    fn warm_up_joins_the_decay(warmup in 1u64..100) {
        for kind in ["inverse_sqrt", "fairseq_cosine"] {
            let period = if kind == "fairseq_cosine" { r#", "period": 10"# } else { "" };
            let schedule = parse(&format!(
                r#"{{"kind": "{kind}", "base_lr": 1, "warmup_updates": {warmup}{period}}}"#
            ));
            let end = warmup as f64;
            prop_assert!((schedule.lr(end) - 1.0).abs() < 1e-15);
            prop_assert!((schedule.lr(end - 1e-6) - schedule.lr(end + 1e-6)).abs() < 1e-5);
        }
    }
}
