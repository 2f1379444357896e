//! Timed workloads: what `termwise bench` runs, and how it is measured.
//!
//! A workload names its inputs by shape and seed, so that programs in other languages can make the very
//! same ones, run them beside this one, and compare check sums before they compare times. Every workload
//! is built from the public operations and layers; nothing here computes anything of its own.
//!
//! | file | what |
//! |---|---|
//! | `workload` | the format of a file of workloads, field by field |
//! | `kind` | the kinds of workloads, and what of them is timed |
//! | `fill` | the numbers in a tensor |
//! | `cost` | operations, exponentials and bytes that a workload cannot do without |
//! | `graph` | the computation of each kind of workload |
//! | `measure` | clocks, repetitions, memory |
//! | `place` | the host or a device, and what a device is asked besides |
//! | `row` | one workload in one phase, run and reported |
//! | `machine` | what this machine can do at most |
//! | `table` | the report for a person |

pub mod cost;
mod fill;
mod graph;
mod kind;
pub mod machine;
pub mod measure;
pub mod place;
pub mod row;
pub mod table;
pub mod workload;
