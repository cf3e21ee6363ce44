//! The lab's engine: worlds on a stage, behind one function from JSON to JSON. `docs/design/lab.md` is the contract
//! with the page; it names every call and every field.
//!
//! It is pure, like the simulator beneath it: no clock, no randomness, no input or output. So it is the same behind
//! `floe lab` and as WebAssembly in the page, and both give the same answer to the same calls.

#![forbid(unsafe_code)]

mod action;
mod call;
mod engine;
mod error;
mod explain;
mod fields;
mod history;
mod json;
mod rule;
mod settings;

pub use engine::Engine;
