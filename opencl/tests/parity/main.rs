//! Every test case of every operation, on the device and, in `f64`, on the host: values and gradients.

mod large;
mod large_attention;
mod optim;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::Case;
use termwise_opencl::parity::compare;
use termwise_opencl::{OpenCl, Real};

/// Compares a folder's cases, and prints how many passed of each op and how near to its bound the worst one came.
fn family<T: Real>(cases: fn() -> Vec<Case<OpenCl<T>>>, host: fn() -> Vec<Case<Cpu<f64>>>) {
    let Some(backend) = support::backend::<T>() else { return };
    let (cases, host) = (cases(), host());
    assert_eq!(cases.len(), host.len());
    let mut ops = BTreeMap::<&str, (usize, usize, f64)>::new();
    let mut failures = Vec::new();
    for (case, host) in cases.iter().zip(&host) {
        let (passed, all, nearest) = ops.entry(case.op()).or_default();
        *all += 1;
        match compare(&backend, case, host) {
            Ok(near) => (*passed, *nearest) = (*passed + 1, nearest.max(near)),
            Err(what) => failures.push(format!("{case:?}: {what}")),
        }
    }
    for (op, (passed, all, nearest)) in &ops {
        println!("{} {op:26} {passed:3} of {all:3} cases, {nearest:.2} of the bound", T::NAME);
    }
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// A test of a folder of `termwise_ops`, in `f32` and in `f64`.
macro_rules! families {
    ($($family:ident)*) => {$(
        mod $family {
            use termwise_ops::$family::cases;

            #[test]
            fn in_f32() {
                super::family::<f32>(cases, cases);
            }

            #[test]
            fn in_f64() {
                super::family::<f64>(cases, cases);
            }
        }
    )*};
}

families! {
    activations attention conv losses norms spatial tensor
}
