//! `termwise explore`: a page that shows what attention attends to, and the server on this machine that computes for it.
//!
//! | file | what |
//! |---|---|
//! | `server`, `http` | connections: one request each, bounded in bytes and time, and from this machine alone |
//! | `page` | the document, put together from the files in `page/` |
//! | `export` | the page in a file, with answers in it |
//! | `engine` | the questions and who answers them |
//! | `fields` | reading a question |
//! | `info` | what there is to ask for |
//! | `probe` | probes that are trained while one looks |
//! | `networks` | networks from checkpoints |
//! | `worker` | a model on a thread of its own |
//! | `scene` | pictures of cells |
//! | `lesson` | the parameters of the layer whose terms each do one thing |
//! | `layer` | a Transformer attention that can be looked at |
//! | `check` | a live check of its gradient |
//! | `convolution` | deformable and dynamic convolution at one query |
//! | `matrix` | every mechanism as one matrix, and its cost |
//!
//! Every number is made by an op or a layer of `termwise-ops` and `termwise-models`, in `f64`.

mod check;
mod convolution;
mod engine;
mod export;
mod fields;
mod http;
mod info;
mod layer;
mod lesson;
mod matrix;
mod networks;
mod page;
mod probe;
mod scene;
mod server;
mod worker;

pub use engine::Engine;
pub use export::export;
pub use page::Assets;
pub use server::Server;
