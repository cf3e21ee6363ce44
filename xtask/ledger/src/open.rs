//! One seed with one bug again: what breaks, its history, and the smallest variant.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use floe_sim::{run, run_traced, shrink};

use crate::Arguments;
use crate::search::options_for;

/// Runs it, and says what happened.
pub(crate) fn open(arguments: &Arguments, seed: u64) -> Result<()> {
    let [mutant] = arguments.mutant.as_slice() else {
        bail!("--seed needs the one bug that it is run with: --mutant NAME");
    };
    let options = options_for(*mutant, arguments.unfocused);
    let outcome = match &arguments.trace {
        None => run(seed, &options),
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
            let writer = Rc::new(RefCell::new((BufWriter::new(file), Ok(()))));
            let sink = Rc::clone(&writer);
            let outcome = run_traced(seed, &options, move |line| {
                let (file, written) = &mut *sink.borrow_mut();
                if written.is_ok() {
                    *written = writeln!(file, "{line}");
                }
            });
            let (file, written) = &mut *writer.borrow_mut();
            std::mem::replace(written, Ok(()))?;
            file.flush()?;
            outcome
        }
    };
    println!("{outcome}");
    if outcome.violation.is_some() && arguments.shrink > 0 {
        let shrunk = shrink(&outcome, arguments.shrink);
        println!("made smaller in {} runs:\n{}", shrunk.runs, shrunk.outcome);
    }
    Ok(())
}
