//! The log through its public interface, over a disk that loses power, lies and fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod corruption;
mod crash;
mod faults;
mod life;
mod model;
mod segments;
mod torn;
