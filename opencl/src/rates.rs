//! What a device can do at most, measured: the roof that a workload's time is held against.

use std::time::Instant;

use termwise_autograd::Array;

use crate::backend::{Device, OpenCl};
use crate::launch::GROUP;
use crate::program::source;

/// Rates of a device in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Operations of multiply-adds in registers (two each), a second.
    pub fma: f64,
    /// Exponentials a second.
    pub exp: f64,
    /// Bytes a second of `a = b + s c`.
    pub triad: f64,
    /// Bytes of its three arrays together.
    pub triad_bytes: usize,
}

/// Seconds for each rate.
const SECONDS: f64 = 0.3;
/// Work-groups that keep the largest devices busy.
const GROUPS: usize = 8192;
/// Elements of each array of the triad, where memory allows.
const TRIAD: usize = 1 << 24;

impl Device {
    /// Measures the device for about a second: the fastest of many runs, as the host's clock sees them.
    pub fn rates(&self) -> Rates {
        let backend = OpenCl::<f32>::new(self).expect("every device computes in f32");
        let items = GROUPS * GROUP;
        let numbers = Array::zeros(&backend, &[items]);
        let len = TRIAD.min((self.info().max_buffer / 16) as usize).min((self.info().memory / 64) as usize);
        let [a, b, c] = std::array::from_fn(|_| Array::zeros(&backend, &[len]));
        let fma = |rounds: usize| {
            let launch = backend.launch(source!("bench/rates"), "rate_fma").array(&numbers);
            launch.real(0.5).real(1.0).int(rounds).items(items);
            (2 * 16 * 16 * rounds * items) as f64
        };
        let exp = |rounds: usize| {
            let launch = backend.launch(source!("bench/rates"), "rate_exp").array(&numbers);
            launch.real(-0.5).int(rounds).items(items);
            (4 * rounds * items) as f64
        };
        let triad = |rounds: usize| {
            for _ in 0..rounds {
                let launch =
                    backend.launch(source!("bench/rates"), "rate_triad").array(&a).array(&b).array(&c);
                launch.real(3.0).int(len).items(len);
            }
            (12 * len * rounds) as f64
        };
        Rates {
            fma: self.fastest(&fma),
            exp: self.fastest(&exp),
            triad: self.fastest(&triad),
            triad_bytes: 12 * len,
        }
    }

    /// The highest rate of `work(rounds)`, which returns how much it did. Rounds grow until a run is long beside
    /// what it takes to begin one.
    fn fastest(&self, work: &dyn Fn(usize) -> f64) -> f64 {
        let timed = |rounds: usize| {
            let start = Instant::now();
            let done = work(rounds);
            self.finish().unwrap_or_else(|error| crate::error::fail(error));
            (done, start.elapsed().as_secs_f64())
        };
        timed(1); // compiles
        let mut rounds = 1;
        while timed(rounds).1 < SECONDS / 10.0 && rounds < 1 << 16 {
            rounds *= 2;
        }
        let (start, mut rate) = (Instant::now(), 0f64);
        while start.elapsed().as_secs_f64() < SECONDS {
            let (done, seconds) = timed(rounds);
            rate = rate.max(done / seconds);
        }
        rate
    }
}
