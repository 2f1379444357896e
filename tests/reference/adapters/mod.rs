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

use termwise_autograd::Scalar;

use crate::case::Case;

/// Runs one case.
pub type Adapter<T> = fn(&mut Case<T>);

/// Adapters by the name of the operation in the case files.
pub type Table<T> = Vec<(&'static str, Adapter<T>)>;

/// The adapters for both number types.
pub struct Adapters {
    f32: BTreeMap<&'static str, Adapter<f32>>,
    f64: BTreeMap<&'static str, Adapter<f64>>,
}

impl Adapters {
    /// Every operation there is.
    pub fn all() -> Self {
        Adapters { f32: table(), f64: table() }
    }

    /// Adapter for a case in `f32`.
    pub fn f32(&self, op: &str) -> Option<Adapter<f32>> {
        self.f32.get(op).copied()
    }

    /// Adapter for a case in `f64`.
    pub fn f64(&self, op: &str) -> Option<Adapter<f64>> {
        self.f64.get(op).copied()
    }
}

fn table<T: Scalar>() -> BTreeMap<&'static str, Adapter<T>> {
    let groups: [Table<T>; 13] = [
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
