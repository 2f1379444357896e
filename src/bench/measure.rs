//! Clocks, repetitions and memory.

use std::time::Instant;

/// How often something is timed at least, where it is quick.
const MIN_REPETITIONS: usize = 5;
/// How often it is timed at most.
const MAX_REPETITIONS: usize = 300;

/// What each repetition took, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// On the clock on the wall.
    pub wall: Vec<f64>,
    /// Of all processors of this process together; empty where the system does not say.
    pub cpu: Vec<f64>,
}

/// Seconds that all threads of this process have computed so far.
///
/// On one thread that is what a quiet machine's wall clock would show; it stays meaningful where other
/// processes share the processors.
#[cfg(unix)]
pub fn cpu_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

/// Seconds that all threads of this process have computed so far: not known on this system.
#[cfg(not(unix))]
pub fn cpu_seconds() -> Option<f64> {
    None
}

/// A clock for how long to go on: processor time where it is known.
struct Stopwatch {
    wall: Instant,
    cpu: Option<f64>,
}

impl Stopwatch {
    fn start() -> Self {
        Stopwatch { cpu: cpu_seconds(), wall: Instant::now() }
    }

    fn wall(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    fn cpu(&self) -> Option<f64> {
        Some(cpu_seconds()? - self.cpu?)
    }

    fn spent(&self) -> f64 {
        self.cpu().unwrap_or_else(|| self.wall())
    }
}

/// Repeats `run` for about `budget` seconds of processor time, at least 5 and at most 300 times; what takes
/// longer than 2 (or 8) budgets twice (or once). Before that it runs once, and then, if it is quick, for a
/// quarter of the budget without being timed.
pub fn timed(budget: f64, mut run: impl FnMut()) -> Times {
    let first = Stopwatch::start();
    run();
    let first = first.spent();
    let least = repetitions(first, budget);
    if least == MIN_REPETITIONS {
        let warm = Stopwatch::start();
        while warm.wall() < budget / 4.0 {
            run();
        }
    }
    let mut times = Times::default();
    let all = Stopwatch::start();
    while times.wall.len() < MAX_REPETITIONS && (times.wall.len() < least || all.spent() < budget) {
        let one = Stopwatch::start();
        run();
        times.wall.push(one.wall() * 1e3);
        times.cpu.extend(one.cpu().map(|seconds| seconds * 1e3));
    }
    times
}

/// How often to time what took `first` seconds the first time, whatever the budget.
fn repetitions(first: f64, budget: f64) -> usize {
    if first > 8.0 * budget {
        1
    } else if first > 2.0 * budget {
        2
    } else {
        MIN_REPETITIONS
    }
}

/// The middle of some numbers, or the mean of the middle two; `None` of nothing.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

/// The smallest of some numbers; `None` of nothing.
pub fn least(numbers: &[f64]) -> Option<f64> {
    numbers.iter().copied().min_by(f64::total_cmp)
}

/// Resident memory in MiB as Linux tells it: `VmRSS` now, `VmHWM` at its peak; `None` on other systems.
pub fn resident_mb(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Forgets the peak of resident memory, and returns what is resident now; `None` where that is impossible.
pub fn reset_peak_mb() -> Option<f64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    resident_mb("VmRSS")
}

/// Processes that wanted to run, on average over the last minute; `None` where the system does not say.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_numbers() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 10.0]), Some(3.0));
        assert_eq!(least(&[2.0, 1.0, 3.0]), Some(1.0));
    }

    #[test]
    fn quick_work_is_repeated_and_slow_work_is_not() {
        assert_eq!([0.5, 0.8, 1.0, 3.0, 3.3].map(|first| repetitions(first, 0.4)), [5, 5, 2, 2, 1]);
        // Nothing at all fits into no time: the first run was over the budget.
        assert_eq!(repetitions(1e-6, 0.0), 1);
        let mut runs = 0;
        let times = timed(0.0, || runs += 1);
        assert!((1..=MIN_REPETITIONS).contains(&times.wall.len()) && runs == times.wall.len() + 1);
        assert!(times.wall.iter().chain(&times.cpu).all(|&time| time >= 0.0));
    }

    #[test]
    fn processor_time_goes_on_while_there_is_work() {
        let Some(start) = cpu_seconds() else { return };
        while cpu_seconds().is_some_and(|now| now <= start) {}
    }
}
