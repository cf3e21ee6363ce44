//! `cargo xtask wasm-hash`: the same seeds have the same history here and in WebAssembly, event for event.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, root, succeed, target};

/// Where there is no operating system.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "xtask-wasm";

/// Makes sure that the target is installed; returns what is missing.
pub(crate) fn missing_target() -> Option<String> {
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    let is_there = added.is_ok_and(|output| output.status.success());
    (!is_there).then(|| format!("`rustup target add {TARGET}` failed here"))
}

/// Runs the seeds in both worlds and compares. Returns why it could not.
pub(crate) fn compare() -> Result<Option<String>> {
    compare_with(&mut cargo(["run", "--quiet", "--release", "--package", PACKAGE])?)
}

/// The same; the command runs them here.
pub(crate) fn compare_with(native: &mut Command) -> Result<Option<String>> {
    if let Some(missing) = missing_target() {
        return Ok(Some(missing));
    }
    if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(Some("Node.js is not installed".to_owned()));
    }
    let here = said(native)?;
    succeed(&mut cargo([
        "build",
        "--quiet",
        "--release",
        "--package",
        PACKAGE,
        "--bin",
        PACKAGE,
        "--target",
        TARGET,
    ])?)?;
    let program = target()?.join(TARGET).join("release").join("xtask-wasm.wasm");
    let there = said(Command::new("node").arg(root()?.join("xtask/wasm/run.mjs")).arg(program))?;
    for (here, there) in here.lines().zip(there.lines()) {
        if here != there {
            bail!("the histories differ (seed, hash, events): here {here}, in WebAssembly {there}");
        }
    }
    let (count, others) = (here.lines().count(), there.lines().count());
    if count == 0 || count != others {
        bail!("there are {count} histories here, and {others} in WebAssembly");
    }
    println!("wasm-hash: {count} seeds have the same history here and in WebAssembly");
    Ok(None)
}

/// What a command prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("a program could not be started")?;
    if !output.status.success() {
        bail!("a program failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("a program printed what is no text")
}
