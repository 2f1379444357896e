//! Something that lives on a thread of its own: a model's parameters belong to the thread that made them.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::http::Failure;
use super::server::guarded;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A value on its own thread, which ends with it.
pub struct Worker<T> {
    jobs: Mutex<Sender<Job<T>>>,
}

impl<T: 'static> Worker<T> {
    /// Makes the value there. Its kernels run on that one thread, so that their bits depend on nothing else.
    pub fn new(make: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<Self, Failure> {
        let (jobs, inbox) = channel::<Job<T>>();
        let (say, made) = channel();
        let live = move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
            let value = guarded(make).and_then(|value| match &pool {
                Ok(_) => Ok(value),
                Err(error) => Err(Failure::new(500, format!("threads: expected one more, found {error}"))),
            });
            let mut value = match value {
                Ok(value) => {
                    let _ = say.send(Ok(())); // nobody waits any more: then the loop below ends at once
                    value
                }
                Err(failure) => {
                    let _ = say.send(Err(failure));
                    return;
                }
            };
            for job in inbox {
                job(&mut value);
            }
        };
        let spawned = std::thread::Builder::new().name("explore-model".into()).spawn(live);
        spawned.map_err(|error| Failure::new(500, format!("threads: expected one more, found {error}")))?;
        made.recv().unwrap_or_else(|_| Err(Failure::new(500, "the computation ended without an answer")))?;
        Ok(Worker { jobs: Mutex::new(jobs) })
    }

    /// Has the value answer a question; a panic is a failure, and the value lives on.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut T) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let (say, answer) = channel();
        let job: Job<T> = Box::new(move |value| {
            let _ = say.send(guarded(|| question(value))); // one who has left needs no answer
        });
        let gone = || Failure::new(500, "the computation ended without an answer");
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).send(job).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_message_and_the_value_lives_on() {
        let worker = Worker::new(|| Ok(1)).unwrap_or_else(|failure| panic!("{failure:?}"));
        let failure = worker.ask::<()>(|value| panic!("the value is {value}")).unwrap_err();
        assert_eq!(
            (failure.status, failure.sentence.as_str()),
            (500, "the computation failed: the value is 1")
        );
        assert_eq!(worker.ask(|value| Ok(*value + 1)).unwrap(), 2);
        assert!(Worker::<u8>::new(|| panic!("no value")).is_err_and(|failure| failure.status == 500));
    }
}
