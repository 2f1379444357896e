//! Reading an optimiser's saved state back, entry by entry.

use std::collections::BTreeMap;

use termwise_autograd::{Array, Backend};

/// Why a saved state does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateError {
    /// An entry that no parameter, or not this optimiser, has a use for.
    #[error("optimizer state: entry `{entry}` belongs to no parameter of this model and optimizer")]
    Unknown {
        /// Its name.
        entry: String,
    },
    /// An entry of the wrong shape.
    #[error("optimizer state: entry `{entry}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        entry: String,
        /// The parameter's shape.
        expected: Vec<usize>,
        /// Its own.
        found: Vec<usize>,
    },
    /// An entry that must be there because another of the same parameter is.
    #[error("optimizer state: entry `{entry}` is missing, others of the same parameter are there")]
    Missing {
        /// Its name.
        entry: String,
    },
    /// A count of steps that is not a positive whole number.
    #[error(
        "optimizer state: entry `{entry}` must count steps, expected a whole number from 1, found {found}"
    )]
    NotACount {
        /// Its name.
        entry: String,
        /// Its value.
        found: f64,
    },
}

/// The entries of a state that nobody has claimed yet.
pub(super) struct Entries<B: Backend>(BTreeMap<String, Array<B>>);

impl<B: Backend> Entries<B> {
    pub(super) fn new(state: Vec<(String, Array<B>)>) -> Self {
        Entries(state.into_iter().collect())
    }

    /// Takes `<kind>.<name>` out, if it is there.
    pub(super) fn take(
        &mut self,
        kind: &str,
        name: &str,
        expected: &[usize],
    ) -> Result<Option<Array<B>>, StateError> {
        let entry = format!("{kind}.{name}");
        match self.0.remove(&entry) {
            Some(array) if array.shape() != expected => {
                Err(StateError::Shape { entry, expected: expected.to_vec(), found: array.shape().to_vec() })
            }
            array => Ok(array),
        }
    }

    /// Everything must have been claimed.
    pub(super) fn finish(self) -> Result<(), StateError> {
        match self.0.into_keys().next() {
            Some(entry) => Err(StateError::Unknown { entry }),
            None => Ok(()),
        }
    }
}
