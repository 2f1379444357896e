//! Optimisers and gradient clipping: arithmetic on parameters, outside the tape.
