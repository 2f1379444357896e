//! What this machine can do at most, measured: the roof that a workload's time is held against.

use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;
use termwise_autograd::Scalar;
use termwise_autograd::simd::{self, Isa, Kernel, Vector, math};
use termwise_opencl::Device;

use super::cost::PhaseCost;

/// Rates of all threads together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Threads that were busy at once, or compute units of a device.
    pub threads: usize,
    /// The widest instruction set, on which the rates were measured, or the name of a device.
    pub simd: String,
    /// Whether it is a device.
    pub is_device: bool,
    /// Fused multiply-adds of single precision in registers, two operations each: 1e9 a second.
    pub fma_gflops: f64,
    /// Exponentials of numbers in the first cache: 1e9 a second.
    pub gexps: f64,
    /// `a = b + s c` on arrays of several sizes, ascending.
    pub triad: Vec<Triad>,
}

/// How fast arrays of one size are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Triad {
    /// Size of the three arrays of one thread together.
    pub bytes: usize,
    /// 1e9 bytes a second.
    pub gbytes: f64,
}

/// Bytes of the three arrays: in a core's own cache, in the shared one, in memory.
const TRIAD_BYTES: [usize; 3] = [192 << 10, 6 << 20, 192 << 20];

impl Machine {
    /// Measures for about a second, with as many threads as the pool has.
    pub fn measure() -> Self {
        let isa = *simd::available().last().expect("the portable one is always there");
        let best = |seconds: f64, work: &(dyn Fn() -> f64 + Sync)| -> f64 {
            rayon::broadcast(|_| fastest(seconds, work)).into_iter().sum()
        };
        let fma = || simd::run_on::<f32, _>(isa, Fma { rounds: 1 << 16 });
        let exp = || simd::run_on::<f32, _>(isa, Exponentials { rounds: 1 << 7 });
        let triad = TRIAD_BYTES.map(|bytes| {
            let rates = rayon::broadcast(|_| triad_rate(isa, bytes));
            Triad { bytes, gbytes: rates.into_iter().sum() }
        });
        Machine {
            threads: rayon::current_num_threads(),
            simd: isa.to_string(),
            is_device: false,
            fma_gflops: best(0.2, &fma) / 1e9,
            gexps: best(0.2, &exp) / 1e9,
            triad: triad.to_vec(),
        }
    }

    /// Measures a device.
    pub fn of_device(device: &Device) -> Self {
        let rates = device.rates();
        Machine {
            threads: device.info().compute_units as usize,
            simd: device.info().name.clone(),
            is_device: true,
            fma_gflops: rates.fma / 1e9,
            gexps: rates.exp / 1e9,
            triad: vec![Triad { bytes: rates.triad_bytes, gbytes: rates.triad / 1e9 }],
        }
    }

    /// The shortest time, in milliseconds, that a workload can take: its operations and exponentials one after
    /// the other at full rate (they are made of the same instructions), or its bytes, whichever is longer.
    pub fn bound_ms(&self, cost: &PhaseCost) -> f64 {
        let compute = cost.flops / self.fma_gflops + cost.exps / self.gexps;
        let fits = |triad: &&Triad| (triad.bytes * self.threads) as f64 >= cost.bytes;
        let triad = self.triad.iter().find(fits).or(self.triad.last());
        let memory = triad.map_or(0.0, |triad| cost.bytes / triad.gbytes);
        compute.max(memory) / 1e6
    }
}

/// The highest rate of `work`, which returns how much it did, in many short runs over some seconds.
fn fastest(seconds: f64, work: &(dyn Fn() -> f64 + Sync)) -> f64 {
    let start = Instant::now();
    let mut rate = 0f64;
    while start.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        let done = work();
        rate = rate.max(done / one.elapsed().as_secs_f64());
    }
    rate
}

fn triad_rate(isa: Isa, bytes: usize) -> f64 {
    let len = bytes / (3 * size_of::<f32>());
    let (b, c) = (vec![1.0f32; len], vec![2.0f32; len]);
    let mut a = vec![0.0f32; len];
    let start = Instant::now();
    let (mut rate, mut runs) = (0f64, 0);
    while runs < 4 || start.elapsed().as_secs_f64() < 0.1 {
        let one = Instant::now();
        simd::run_on(isa, TriadKernel { a: &mut a, b: &b, c: &c });
        black_box(&mut a);
        rate = rate.max(bytes as f64 / one.elapsed().as_secs_f64());
        runs += 1;
    }
    rate / 1e9
}

/// Independent chains of multiply-adds, enough to hide the latency of each; returns the operations.
struct Fma {
    rounds: usize,
}

impl<T: Scalar> Kernel<T> for Fma {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> f64 {
        const CHAINS: usize = 12; // 16 registers hold them and the two operands
        let (factor, term) = (V::splat(T::of(black_box(0.5))), V::splat(T::of(black_box(1.0))));
        let mut chains = [V::zero(); CHAINS];
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = chain.mul_add(factor, term);
            }
        }
        let mut total = V::zero();
        for chain in chains {
            total += chain;
        }
        black_box(total.sum());
        (2 * CHAINS * V::LANES * self.rounds) as f64
    }
}

/// Exponentials of a short row, over and over; returns how many.
struct Exponentials {
    rounds: usize,
}

impl<T: Scalar> Kernel<T> for Exponentials {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> f64 {
        let mut from = [T::of(-1.5); 1024];
        let mut into = [T::zero(); 1024];
        for _ in 0..self.rounds {
            black_box(&mut from);
            for (x, y) in from.chunks_exact(V::LANES).zip(into.chunks_exact_mut(V::LANES)) {
                math::exp_nonpositive(V::from_slice(x)).write_to(y);
            }
            black_box(&mut into);
        }
        (from.len() * self.rounds) as f64
    }
}

/// `a = b + s c`.
struct TriadKernel<'a, T> {
    a: &'a mut [T],
    b: &'a [T],
    c: &'a [T],
}

impl<T: Scalar> Kernel<T> for TriadKernel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let s = V::splat(T::of(3.0));
        let lanes = V::LANES;
        let inputs = self.b.chunks_exact(lanes).zip(self.c.chunks_exact(lanes));
        for (a, (b, c)) in self.a.chunks_exact_mut(lanes).zip(inputs) {
            s.mul_add(V::from_slice(c), V::from_slice(b)).write_to(a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_longer_of_computing_and_moving() {
        let triad = [(1 << 20, 100.0), (1 << 30, 10.0)].map(|(bytes, gbytes)| Triad { bytes, gbytes });
        let machine = Machine {
            threads: 1,
            simd: "avx2".into(),
            is_device: false,
            fma_gflops: 100.0,
            gexps: 2.0,
            triad: triad.to_vec(),
        };
        let bound = |flops, exps, bytes| machine.bound_ms(&PhaseCost { flops, exps, bytes });
        assert_eq!(bound(2e8, 0.0, 0.0), 2.0);
        assert_eq!(bound(2e8, 2e6, 1e6), 3.0);
        assert_eq!(bound(0.0, 0.0, 1e6), 0.01, "in the cache");
        assert_eq!(bound(2e8, 0.0, 1e8), 10.0, "in memory");
    }

    #[test]
    fn every_rate_is_measured() {
        let machine = Machine::measure();
        assert_eq!(machine.threads, rayon::current_num_threads());
        let rates =
            [machine.fma_gflops, machine.gexps].into_iter().chain(machine.triad.iter().map(|t| t.gbytes));
        assert!(rates.into_iter().all(|rate| rate > 0.0 && rate.is_finite()), "{machine:?}");
        // One exponential takes several multiply-adds.
        assert!(machine.fma_gflops > machine.gexps, "{machine:?}");
    }
}
