//! Where the project's files are, and how its own `cargo` is run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The directory of the workspace's manifest.
pub(crate) fn root() -> Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let root = Path::new(&own).parent().context("xtask lies in the workspace's root")?;
    Ok(root.to_path_buf())
}

/// A `cargo` command of the toolchain that started this program, in the workspace's root.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()?);
    Ok(command)
}

/// What `cargo metadata --no-deps` says about the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo(["metadata", "--no-deps", "--format-version", "1"])?
        .output()
        .context("cargo metadata could not be started")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed something that is not JSON")
}

/// Builds the `floe` command in the named profile and returns the path of the binary.
pub(crate) fn build_floe(release: bool) -> Result<PathBuf> {
    let mut command = cargo(["build", "--package", "floe-cli"])?;
    if release {
        command.arg("--release");
    }
    succeed(&mut command)?;
    Ok(target()?.join(if release { "release" } else { "debug" }).join("floe"))
}

/// The directory of what is built.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target))
}

/// Runs a command to its end with this program's own output, and makes a bad exit an error that names it.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let named = describe(command);
    let status = command.status().with_context(|| format!("`{named}` could not be started"))?;
    if !status.success() {
        bail!("`{named}` failed ({status})");
    }
    Ok(())
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
