//! `cargo xtask lab-test`: the lab's tours on the engine that the page loads, and the page itself in headless Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{build_floe, root, succeed};

/// Which tests to run.
#[derive(clap::Args)]
pub(crate) struct LabTest {
    /// Only what needs no browser.
    #[arg(long)]
    engine: bool,
    /// Where the browser's tests leave pictures of the page; nowhere if not said.
    #[arg(long)]
    screenshots: Option<PathBuf>,
    /// Only tests whose name has this in it.
    #[arg(long)]
    name: Option<String>,
}

/// Runs the tests, and prints what could not be run.
pub(crate) fn run(task: &LabTest) -> Result<()> {
    if let Some(missing) = engine(task.name.as_deref())? {
        println!("lab-test: engine SKIPPED: {missing}");
        return Ok(());
    }
    if !task.engine
        && let Some(missing) = browser(None, task.screenshots.as_deref(), task.name.as_deref())?
    {
        println!("lab-test: browser SKIPPED: {missing}");
    }
    Ok(())
}

/// Every tour on the committed engine, and the table of strings. Returns what is missing here.
pub(crate) fn engine(name: Option<&str>) -> Result<Option<String>> {
    if !answers("node") {
        return Ok(Some("Node.js is not installed".to_owned()));
    }
    node_test("engine", name, |_| ())?;
    Ok(None)
}

/// The page behind `floe lab`, in headless Chromium; the program is built if none is given. Returns what is missing here.
pub(crate) fn browser(
    floe: Option<&Path>,
    screenshots: Option<&Path>,
    name: Option<&str>,
) -> Result<Option<String>> {
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    if !chromium.exists() {
        let place = chromium.display();
        return Ok(Some(format!("there is no Chromium at {place} (CHROMIUM names another place)")));
    }
    if !answers("node") || !answers("npm") {
        return Ok(Some("Node.js or npm is not installed".to_owned()));
    }
    let tests = root()?.join("web/tests");
    let mut installed = Command::new("npm");
    installed.args(["ls", "--silent"]).current_dir(&tests);
    if !installed.output().is_ok_and(|output| output.status.success()) {
        let mut install = Command::new("npm");
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        if succeed(install.current_dir(&tests)).is_err() {
            return Ok(Some("`npm ci` in web/tests failed here".to_owned()));
        }
    }
    let floe = floe.map_or_else(|| build_floe(false), |given| Ok(given.to_owned()))?;
    node_test("browser", name, |command| {
        command.env("CHROMIUM", &chromium).env("FLOE", floe);
        if let Some(folder) = screenshots {
            command.env("LAB_SCREENSHOTS", folder);
        }
    })?;
    Ok(None)
}

/// Runs the test files of a folder below `web/tests`.
fn node_test(folder: &str, name: Option<&str>, prepare: impl FnOnce(&mut Command)) -> Result<()> {
    let folder = root()?.join("web/tests").join(folder);
    let files = std::fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    files.sort();
    let mut command = Command::new("node");
    command.arg("--test");
    if let Some(name) = name {
        command.arg(format!("--test-name-pattern={name}"));
    }
    prepare(command.args(files));
    succeed(&mut command)
}

fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
