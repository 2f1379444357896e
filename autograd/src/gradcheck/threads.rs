//! The law that a second run, and a run on 1, 2 or 3 threads, gives the same bits.

use std::cell::Cell;
use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::laws::same_bits as equal;
use super::problem::{Problem, gradient_of};
use super::report::{Law, LawReport};
use crate::Array;

/// Output and gradients of one run.
type Run = Vec<Vec<f64>>;

fn run(problem: &Problem<'_>, cotangent: &[f64]) -> Run {
    let tape = problem.tape();
    let leaves = problem.leaves(&tape);
    let output = (problem.function)(&leaves);
    let swept = tape.backward_with(&[(&output, Array::host(output.shape(), cotangent.to_vec()))]);
    let gradients = leaves.iter().map(|leaf| gradient_of(swept.of(leaf), leaf).values);
    std::iter::once(output.value().as_slice().to_vec()).chain(gradients).collect()
}

/// What differs between two runs.
fn difference(problem: &Problem<'_>, first: &Run, second: &Run) -> Option<String> {
    let position = first.iter().zip(second).position(|(a, b)| !equal(a, b))?;
    Some(match position {
        0 => "the output".into(),
        input => format!("the gradient of input {}", problem.inputs[input - 1].name),
    })
}

pub(super) fn repeatable(problem: &Problem<'_>, cotangent: &[f64]) -> LawReport {
    let broken = difference(problem, &run(problem, cotangent), &run(problem, cotangent));
    LawReport {
        law: Law::Repeatable,
        holds: broken.is_none(),
        detail: match broken {
            Some(what) => format!("{what} has other bits in a second run of the same computation"),
            None => "a second run has the same bits".into(),
        },
    }
}

/// `None` inside a function that is itself being checked for this.
pub(super) fn same_bits(problem: &Problem<'_>, cotangent: &[f64]) -> Option<LawReport> {
    static POOLS: OnceLock<[ThreadPool; 3]> = OnceLock::new();
    // The thread that runs it belongs to one of the pools and must not wait for that pool.
    if LENT.get() {
        return None;
    }
    let pools = POOLS.get_or_init(|| {
        [1, 2, 3].map(|threads| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool of a few threads can be made")
        })
    });
    let runs = pools.each_ref().map(|pool| run_in(pool, problem, cotangent));
    let broken = [1, 2].into_iter().find_map(|i| Some((i + 1, difference(problem, &runs[0], &runs[i])?)));
    Some(LawReport {
        law: Law::Threads,
        holds: broken.is_none(),
        detail: match broken {
            Some((threads, what)) => format!("{what} has other bits on {threads} threads than on 1"),
            None => "1, 2 and 3 threads give the same bits".into(),
        },
    })
}

fn run_in(pool: &ThreadPool, problem: &Problem<'_>, cotangent: &[f64]) -> Run {
    let lent = Lent(problem);
    let install = move || {
        pool.install(move || {
            LENT.set(true);
            let run = run(lent.problem(), cotangent);
            LENT.set(false);
            run
        })
    };
    if rayon::current_thread_index().is_none() {
        return install();
    }
    // A rayon worker would pick up other jobs while it waits for another pool; a join just waits.
    std::thread::scope(|scope| match scope.spawn(install).join() {
        Ok(run) => run,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

thread_local! {
    /// Whether this thread runs a problem that was lent to it.
    static LENT: Cell<bool> = const { Cell::new(false) };
}

/// A problem lent to a thread while its own thread waits.
struct Lent<'a>(&'a Problem<'a>);

impl<'a> Lent<'a> {
    // A method, so that a closure captures the wrapper and not the reference in it.
    fn problem(self) -> &'a Problem<'a> {
        self.0
    }
}

// SAFETY: What keeps a `Problem` from being sent is the caller's closure, which may share `Rc`s and
// cells with others, all of them on the calling thread. `run_in`, the only user of this type, blocks
// that thread for as long as the closure runs elsewhere, and sees to it that it does not work on
// anything else meanwhile. Hence nothing is touched by two threads at once, and the hand-over to and
// from the pool orders all accesses. Only a reference is lent, so nothing of the caller's is dropped
// on the other thread, and the tape made there is dropped there.
unsafe impl Send for Lent<'_> {}
