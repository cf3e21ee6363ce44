//! Many Raft groups on one machine as a pure function of its inputs: no I/O, no clock, no threads.
//!
//! A [`MultiNode`] holds the nodes of all groups that a machine is a member of, under one [`NodeId`]. It has the same
//! four families of methods as [`floe_raft::Node`], with a [`GroupId`] beside each, and the same driving law: hand over
//! every input that waits, drain [`MultiNode::poll_effect`] to `None`, set the timer to [`MultiNode::poll_timeout`].
//!
//! ```text
//! loop {
//!     wait for a message, a beat, a finished write, ..., or multi.poll_timeout();
//!     for each input that is there:     multi.handle_...(now, group, input)  or  multi.propose(now, group, command)
//!     while let Some(effect) = multi.poll_effect() {
//!         Persist(writes)        one write and one sync for all groups; then handle_persisted for each
//!         Beat(beat)             send it to the machine `beat.to`; there: handle_beat
//!         Group(group, effect)   as with one node
//!     }
//! }
//! ```
//!
//! What it adds: one timer heap (`timers.rs`); the heartbeats of all groups between two machines in one message
//! ([`Beat`]); one batch of writes for all groups; and sleep (`sleep.rs`, `vouch.rs`): a group in which nothing happens has no timers and sends
//! nothing, while the beats of its leader's machine stand for its heartbeats. The rules, and why no group sleeps through the loss of its
//! leader, are in `docs/design/multi.md`.
//!
//! [`NodeId`]: floe_raft::NodeId
//! [`GroupId`]: floe_raft::GroupId
#![forbid(unsafe_code)]

mod beat;
pub mod codec;
mod config;
mod effect;
mod error;
mod group;
mod hear;
mod machine;
mod node;
mod sleep;
mod timers;
mod vouch;

pub use beat::{Answer, Beat, Echo, Heartbeat, Vouch};
pub use config::MultiConfig;
pub use effect::MultiEffect;
pub use error::{AddGroupError, GroupError, MultiConfigError};
pub use node::MultiNode;
