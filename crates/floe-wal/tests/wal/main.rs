//! The log through its public interface, over a disk that loses power, lies and fails.

mod support;

mod corruption;
mod crash;
mod faults;
mod life;
mod model;
mod segments;
mod torn;
