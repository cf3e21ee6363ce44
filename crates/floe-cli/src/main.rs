//! `floe`: serve a cluster, use it, look into it. Called through a link named `etcd` it takes etcd's command line.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

mod arguments;
mod bytes_of;
mod client;
mod command;
mod environment;
#[cfg(feature = "lab")]
mod lab;
mod once;
mod print;
mod server;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default();
    if called == "etcd" {
        server::etcd::main(words.get(1..).unwrap_or_default())
    } else {
        arguments::main(words)
    }
}
