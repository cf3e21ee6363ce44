//! Runs some seeds of the simulator and tells the hash of each history. `cargo xtask wasm-hash` builds it for this
//! machine and for WebAssembly, and compares what the two say.
//!
//! In WebAssembly without a system there is nothing to print to. The text is left in memory, between two marks, and
//! `run.mjs` finds it there.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use floe_sim::{Options, Restrictions, run};

/// Enough to meet every feature several times.
const SEEDS: u64 = 40;

/// Stands twice in front of the text. Once, it is also among the program's constants.
const BEGIN: &str = "<floe-trace-hashes>";
const END: &str = "</floe-trace-hashes>";

fn main() {
    let restrictions = Restrictions { seconds: Some(10), ..Restrictions::default() };
    let options = Options { restrictions, ..Options::default() };
    let mut text = [BEGIN, BEGIN].concat();
    for seed in 1..=SEEDS {
        let outcome = run(seed, &options);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{seed} {} {}", outcome.hash, outcome.statistics.traced);
    }
    text.push_str(END);
    println!("{}", text.trim_start_matches(BEGIN).trim_end_matches(END).trim_end());
    // It must still be there when the program has ended.
    std::hint::black_box(text.leak());
}
