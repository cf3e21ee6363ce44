//! Golden scripts: scenarios of the protocol, a file each, run by real nodes under a checker.
//!
//! A script is a sentence, then blocks of commands and, after `---`, what the nodes did. `command/mod.rs` lists the
//! commands. After a change of the protocol, `UPDATE_GOLDENFILES=1 cargo test -p floe-raft --test scripts` writes the
//! files anew; the difference is the change of behaviour, to be read line by line before it is committed.
#![forbid(unsafe_code)]

mod alone;
mod birth;
mod checker;
mod checker_tests;
mod cluster;
mod command;
mod disk;
mod failure;
mod format;
mod host;
mod laws_of_change;
mod machine;
mod network;
mod random;
mod schedules;
mod scripts;
