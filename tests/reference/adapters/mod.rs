//! One adapter per operation: attributes and tensors of a case in, calls of the public API out.

mod activations;
mod attention;
mod conv;
mod dynamic;
mod indexing;
mod layers;
mod literal;
mod losses;
mod metrics;
mod norms;
mod spatial;
mod tensor;
mod training;

use std::collections::BTreeMap;

use termwise_ops::Kernels;

use crate::case::Case;

/// Runs one case.
pub type Adapter<B> = fn(&mut Case<B>);

/// Adapters by the name of the operation in the case files.
pub type Table<B> = Vec<(&'static str, Adapter<B>)>;

/// The adapters for both number types, and what they run on.
pub struct Adapters<S: Kernels, D: Kernels> {
    single: (S, BTreeMap<&'static str, Adapter<S>>),
    double: (D, BTreeMap<&'static str, Adapter<D>>),
}

impl<S: Kernels, D: Kernels> Adapters<S, D> {
    /// Every operation there is.
    pub fn all(single: S, double: D) -> Self {
        Adapters { single: (single, table()), double: (double, table()) }
    }

    /// Backend and adapter for a case in `f32`.
    pub fn single(&self, op: &str) -> Option<(S, Adapter<S>)> {
        Some((self.single.0.clone(), *self.single.1.get(op)?))
    }

    /// Backend and adapter for a case in `f64`.
    pub fn double(&self, op: &str) -> Option<(D, Adapter<D>)> {
        Some((self.double.0.clone(), *self.double.1.get(op)?))
    }
}

fn table<B: Kernels>() -> BTreeMap<&'static str, Adapter<B>> {
    let groups: [Table<B>; 13] = [
        tensor::table(),
        indexing::table(),
        activations::table(),
        norms::table(),
        losses::table(),
        conv::table(),
        spatial::table(),
        dynamic::table(),
        attention::table(),
        literal::table(),
        layers::table(),
        metrics::table(),
        training::table(),
    ];
    let mut table = BTreeMap::new();
    for (op, adapter) in groups.into_iter().flatten() {
        assert!(table.insert(op, adapter).is_none(), "two adapters for {op}");
    }
    table
}
