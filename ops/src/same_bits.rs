//! A test that an operation gives the same bits on any number of threads.

use rayon::ThreadPoolBuilder;
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};

/// Runs `op` on normal inputs of `shapes`, forwards and backwards, on 1, 2 and 5 threads.
///
/// # Panics
/// If an output or a gradient differs in any bit.
#[track_caller]
pub(crate) fn assert_same_bits(
    name: &str,
    shapes: &[&[usize]],
    op: impl Fn(&[Var<Cpu<f32>>]) -> Var<Cpu<f32>> + Sync,
) {
    let bits = |threads: usize| -> Vec<u32> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| {
            let mut samples = Samples::new(11);
            let tape = Tape::new(Cpu::new());
            let mut normal = |shape: &[usize]| Array::from_f64(&Cpu::new(), &samples.normal(shape));
            let inputs: Vec<_> = shapes.iter().map(|shape| tape.leaf(normal(shape))).collect();
            let y = op(&inputs);
            let gradients = tape.backward_with(&[(&y, normal(y.shape()))]);
            let gradients = inputs.iter().map(|input| gradients.of(input).expect("a gradient"));
            gradients.chain([y.value()]).flat_map(Array::as_slice).map(|v| v.to_bits()).collect()
        })
    };
    let one = bits(1);
    for threads in [2, 5] {
        assert!(one == bits(threads), "{name}: {threads} threads give other bits than one");
    }
}
