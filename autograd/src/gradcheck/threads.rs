//! The law that a second run, and a run on 1, 2 or 3 threads, gives the same bits.

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

/// `None` when called from a rayon worker: see the safety comment below.
pub(super) fn same_bits(problem: &Problem<'_>, cotangent: &[f64]) -> Option<LawReport> {
    static POOLS: OnceLock<[ThreadPool; 3]> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
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
    let runs = pools.each_ref().map(|pool| {
        let lent = Lent(problem);
        pool.install(move || run(lent.problem(), cotangent))
    });
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

/// A problem lent to a thread while its own thread waits.
struct Lent<'a>(&'a Problem<'a>);

impl<'a> Lent<'a> {
    // A method, so that a closure captures the wrapper and not the reference in it.
    fn problem(self) -> &'a Problem<'a> {
        self.0
    }
}

// SAFETY: What keeps a `Problem` from being sent is the caller's closure, which may share `Rc`s and
// cells with others, all of them on the calling thread. That thread blocks inside
// `ThreadPool::install` for as long as the closure runs elsewhere: it is no rayon worker (checked by
// the only user of this type), so it does not pick up other jobs meanwhile. Hence nothing is touched
// by two threads at once, and `install` orders all accesses before and after. Only a reference is
// lent, so nothing of the caller's is dropped on the other thread, and the tape made there is dropped
// there.
unsafe impl Send for Lent<'_> {}
