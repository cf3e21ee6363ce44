//! Running members: `floe serve`, a whole cluster on this machine, and etcd's own command line.

mod config_file;
pub(crate) mod duration;
pub(crate) mod etcd;
mod flags;
mod go_flags;
mod local;
mod logging;
mod run;
pub(crate) mod serve;
