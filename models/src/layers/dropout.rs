use std::cell::Cell;

use termwise_autograd::Var;
use termwise_ops::{Kernels, dropout};

/// Dropout in all places of one forward pass: each use gets a mask of its own, a function of the seed and of
/// how many uses came before it.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_models::layers::Dropout;
/// let x = Tape::new(Cpu::<f64>::new()).leaf(Array::full(&Cpu::new(), &[100], 1.0));
/// let masks = || {
///     let dropout = Dropout::new(0.5, 7);
///     [dropout.apply(&x), dropout.apply(&x)].map(|y| y.value().as_slice().to_vec())
/// };
/// assert_eq!(masks(), masks());
/// assert_ne!(masks()[0], masks()[1]);
/// assert!(masks()[0].iter().all(|&y| y == 0.0 || y == 2.0)); // what is kept is divided by 1 - 0.5
/// assert_eq!(Dropout::off().apply(&x).value().as_slice(), x.value().as_slice());
/// ```
#[derive(Debug)]
pub struct Dropout {
    probability: f64,
    seed: u64,
    uses: Cell<u64>,
}

impl Dropout {
    /// Sets elements to zero with `probability`. Take another seed for each step.
    pub fn new(probability: f64, seed: u64) -> Self {
        Dropout { probability, seed, uses: Cell::new(0) }
    }

    /// None: for evaluation.
    pub fn off() -> Self {
        Dropout::new(0.0, 0)
    }

    /// Applies the next mask.
    #[track_caller]
    pub fn apply<B: Kernels>(&self, x: &Var<B>) -> Var<B> {
        let uses = self.uses.get();
        self.uses.set(uses + 1);
        // The operation hashes the seed, so neighbouring ones give unrelated masks. An odd factor keeps
        // the uses of one step from meeting those of the next.
        dropout(x, self.probability, self.seed.wrapping_add(uses.wrapping_mul(0xd134_2543_de82_ef95)), true)
    }
}
