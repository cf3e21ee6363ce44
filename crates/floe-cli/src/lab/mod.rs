//! What stands behind `floe lab`: the page and its files, engines that run natively, a trace from a file, and a running
//! cluster that is looked at.

mod assets;
mod attach;
mod engines;
mod link;
mod listen;
mod pages;
mod trace_file;

pub(crate) use attach::{Cluster, Endpoint};
pub(crate) use link::{to_live, to_settings, to_trace};
pub(crate) use listen::listen;
pub(crate) use pages::{Pages, router};
pub(crate) use trace_file::TraceFile;
