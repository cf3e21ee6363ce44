//! The commands other than `serve`, one a file. Each has its arguments, with help and an example, and a `run`.

pub(crate) mod del;
pub(crate) mod get;
#[cfg(feature = "lab")]
pub(crate) mod lab;
pub(crate) mod member;
pub(crate) mod put;
pub(crate) mod recover;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod watch;
