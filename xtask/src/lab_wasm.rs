//! `cargo xtask lab-wasm`: builds the engine that the lab's page loads, and shows that the committed one is what the
//! sources say. `cargo xtask lab-static`: the page with its engine as a folder that any web server can host.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::wasm::{TARGET, missing_target};
use crate::workspace::{cargo, root, succeed, target};

const PACKAGE: &str = "floe-lab-wasm";
/// Where the page lies, and under which name its engine.
const PAGE: &str = "crates/floe-lab/web";
const ENGINE: &str = "engine.wasm.gz";
/// The engine travels to every page that shows it: no more bytes than this, packed as it is committed.
const LARGEST: usize = 500 << 10;
/// What both engines are asked.
const REQUESTS: &str = "xtask/wasm/lab.ndjson";

/// What to do about the engine.
#[derive(clap::Args)]
pub(crate) struct LabWasm {
    /// Write nothing; fail if the committed engine answers otherwise than the sources do.
    #[arg(long)]
    check: bool,
}

/// Builds or checks.
pub(crate) fn run(task: &LabWasm) -> Result<()> {
    if task.check {
        if let Some(missing) = check()? {
            println!("lab-wasm: SKIPPED: {missing}");
        }
        return Ok(());
    }
    if let Some(missing) = missing_target() {
        bail!("the engine cannot be built: {missing}");
    }
    let mut command = cargo(["build", "--quiet", "--profile", "lab", "--package", PACKAGE])?;
    succeed(command.args(["--features", "mutants", "--target", TARGET]))?;
    let built = target()?.join(TARGET).join("lab").join("floe_lab_wasm.wasm");
    let plain = fs::read(&built).with_context(|| format!("{} cannot be read", built.display()))?;
    let packed = through(Command::new("gzip").args(["-9", "-n", "-c"]), &plain)?;
    small_enough(packed.len())?;
    let committed = engine()?;
    fs::write(&committed, &packed).with_context(|| format!("{} cannot be written", committed.display()))?;
    println!("lab-wasm: {ENGINE} has {} KiB, {} KiB unpacked", packed.len() >> 10, plain.len() >> 10);
    Ok(())
}

fn engine() -> Result<PathBuf> {
    Ok(root()?.join(PAGE).join(ENGINE))
}

fn small_enough(bytes: usize) -> Result<()> {
    if bytes > LARGEST {
        bail!("the engine has {} KiB packed, and {} are allowed", bytes >> 10, LARGEST >> 10);
    }
    Ok(())
}

/// Asks the committed engine and the sources' the same, and compares. Returns what is missing here.
pub(crate) fn check() -> Result<Option<String>> {
    let committed = engine()?;
    let packed = fs::read(&committed).with_context(|| format!("{} cannot be read", committed.display()))?;
    small_enough(packed.len())?;
    if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(Some("Node.js is not installed".to_owned()));
    }
    let root = root()?;
    let requests = fs::read(root.join(REQUESTS)).with_context(|| format!("{REQUESTS} cannot be read"))?;
    let there =
        through(Command::new("node").arg(root.join("xtask/wasm/lab.mjs")).arg(&committed), &requests)?;
    let run = ["run", "--quiet", "--release", "--package", "xtask-wasm", "--features", "mutants"];
    let here = through(cargo(run)?.args(["--bin", "lab-answers"]), &requests)?;
    let (here, there) = (String::from_utf8(here)?, String::from_utf8(there)?);
    let requests = String::from_utf8(requests)?;
    for ((request, here), there) in requests.lines().zip(here.lines()).zip(there.lines()) {
        if here != there {
            let same = here.bytes().zip(there.bytes()).take_while(|(here, there)| here == there).count();
            let part = |text: &str| text.chars().skip(same.saturating_sub(60)).take(160).collect::<String>();
            bail!(
                "the committed engine is not what the sources say; `cargo xtask lab-wasm` renews it. Asked {request},\n\
                 it answers        ... {}\nand the sources'  ... {}",
                part(there),
                part(here)
            );
        }
    }
    let counts = [requests.lines().count(), here.lines().count(), there.lines().count()];
    if counts.iter().any(|count| *count != counts[0]) {
        bail!(
            "there are {} requests, {} answers here and {} of the committed engine",
            counts[0],
            counts[1],
            counts[2]
        );
    }
    println!("lab-wasm: {} answers are the same here and from the committed engine", counts[0]);
    Ok(None)
}

/// What a command makes of its input.
fn through(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{:?} could not be started", command.get_program()))?;
    let mut to = child.stdin.take().context("a child has an input")?;
    // It may begin to answer before it has heard all.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || to.write_all(input));
        child.wait_with_output()
    })?;
    if !output.status.success() {
        bail!("{:?} failed ({})", command.get_program(), output.status);
    }
    Ok(output.stdout)
}

/// Writes the page to a folder that is empty or not there.
pub(crate) fn write_static(folder: &Path) -> Result<()> {
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty", folder.display());
    }
    let count = copy(&root()?.join(PAGE), folder)?;
    println!("lab-static: {count} files in {}; any web server can host them", folder.display());
    Ok(())
}

/// Copies what a browser loads; documents stay behind. Returns how many files.
fn copy(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            count += copy(&source, &target)?;
        } else if source.extension().is_none_or(|extension| extension != "md") {
            fs::copy(&source, &target).with_context(|| format!("{} cannot be copied", source.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_folder_has_what_the_page_loads_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("web"), folder.path().join("out"));
        fs::create_dir_all(from.join("css")).unwrap();
        for name in ["index.html", "css/base.css", "README.md"] {
            fs::write(from.join(name), name).unwrap();
        }
        assert_eq!(copy(&from, &to).unwrap(), 2);
        assert_eq!(fs::read_to_string(to.join("css/base.css")).unwrap(), "css/base.css");
        assert!(!to.join("README.md").exists());
        assert!(write_static(&to).is_err());
    }

    #[test]
    fn an_engine_that_is_too_large_is_refused() {
        assert!(small_enough(LARGEST).is_ok());
        assert!(small_enough(LARGEST + 1).is_err());
    }
}
