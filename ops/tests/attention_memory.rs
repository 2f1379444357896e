//! Transformer attention holds nothing of the size of all pairs of a query and a key.

#![cfg(target_os = "linux")]

use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_ops::attention::{Lattice, Operands, Visibility, transformer_attention};

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line of that name");
    1024 * line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB")
}

/// How much memory `f` takes at most, beyond what was in use before.
fn peak(f: impl FnOnce()) -> usize {
    std::fs::write("/proc/self/clear_refs", "5").expect("resets the high-water mark");
    let before = status("VmRSS");
    f();
    status("VmHWM").saturating_sub(before)
}

// One test, so that no other allocates meanwhile.
#[test]
fn memory_grows_with_queries_plus_keys() {
    let (heads, dim) = (2, 8);
    let image = |side| Lattice::Image { height: side, width: side, query_stride: 1, key_stride: 1 };
    let line = |length| Lattice::Sequence { queries: length, keys: length };
    for (lattice, causal, joint) in [
        (image(64), false, false),
        (image(48), true, true),
        (line(4096), true, false),
        (line(4096), false, false),
    ] {
        let (queries, keys) = (lattice.queries().len(), lattice.keys().len());
        let channels = heads * dim;
        let tables = match lattice {
            Lattice::Image { .. } if joint => vec![lattice.joint_index()],
            Lattice::Image { .. } => vec![lattice.x_index(), lattice.y_index()],
            Lattice::Sequence { .. } => vec![lattice.x_index()],
        };
        let mut samples = Samples::new(1);
        let mut normal = |shape: &[usize]| Array::from_f64(&Cpu::<f32>::new(), &samples.normal(shape));
        let (query, key, value) =
            (normal(&[1, queries, channels]), normal(&[1, keys, channels]), normal(&[1, keys, channels]));
        let tables: Vec<_> =
            tables.into_iter().map(|index| (normal(&[index.rows, channels]), index)).collect();
        let biases = [normal(&[heads, dim]), normal(&[heads, dim])];
        let cotangent = normal(&[1, queries, channels]);
        let used = peak(|| {
            let tape = Tape::new(Cpu::new());
            let leaf = |array: &Array<Cpu<f32>>| -> Var<Cpu<f32>> { tape.leaf(array.clone()) };
            let (query, key, value) = (leaf(&query), leaf(&key), leaf(&value));
            let tables: Vec<_> = tables.iter().map(|(table, index)| (leaf(table), index.clone())).collect();
            let biases = [leaf(&biases[0]), leaf(&biases[1])];
            let operands = Operands {
                query: Some(&query),
                key: Some(&key),
                value: &value,
                positions: tables.iter().map(|(table, index)| (table, index.clone())).collect(),
                key_bias: Some(&biases[0]),
                position_bias: Some(&biases[1]),
            };
            let terms = "1111".parse().expect("all four");
            let visibility = Visibility { causal, ..Visibility::default() };
            let output = transformer_attention(&operands, terms, heads, 0.4, lattice, &visibility);
            let gradients = tape.backward_with(&[(&output, cotangent.clone())]);
            assert!(gradients.of(&query).is_some());
        });
        // All pairs of one head alone.
        let pairs = 4 * queries * keys;
        println!("{lattice:?}: {used} bytes at most, {pairs} for all pairs");
        assert!(used < pairs / 2 && used < 20 << 20, "{lattice:?}, causal {causal}: {used} bytes of {pairs}");
    }
}
