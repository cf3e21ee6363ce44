//! The simulator against itself and against the real core: seeds hold, histories repeat, broken hosts are found,
//! failures shrink, and the worlds reach what they are for.

mod determinism;
mod failure;
mod graphs;
mod groups;
mod mutants;
mod reach;
mod seeds;
mod shrinking;
#[cfg(feature = "store")]
mod store;
