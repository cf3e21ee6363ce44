//! The lab's engine on this machine: reads requests, one a line, and prints the answers, one a line. `cargo xtask lab-wasm
//! --check` compares them with those of the committed engine.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};

use floe_lab::Engine;

fn main() -> io::Result<()> {
    let mut engine = Engine::new();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for request in io::stdin().lock().lines() {
        writeln!(out, "{}", engine.call(&request?))?;
    }
    out.flush()
}
