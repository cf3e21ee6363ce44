//! The binary called `etcd`: etcd's command line, defaults and answers, so that what starts an etcd can start floe.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use floe::{RecoverError, Survivor};
use floe_etcd::Config;

use super::flags::Flags;
use super::go_flags::{self, FLAGS, Meaning};
use super::{config_file, logging, run};
use crate::environment;

/// The version of etcd whose interface floe has.
const ETCD_VERSION: &str = "3.7.0";

/// The flags that mean the same here, after Go's spellings are taken out.
#[derive(Parser)]
#[command(name = "etcd", disable_help_flag = true)]
struct Known {
    #[command(flatten)]
    flags: Flags,
}

/// Starts a member from etcd's command line, given without the program's name.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let mut given = match go_flags::parse(words) {
        Ok(given) => given,
        Err(error) => return refuse(&error),
    };
    let asked =
        |given: &BTreeMap<_, String>, name| given.get(name).is_some_and(|value: &String| value == "true");
    if asked(&given, "version") {
        print!("{}", version());
        return ExitCode::SUCCESS;
    }
    if asked(&given, "help") || asked(&given, "h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    add_variables(&mut given);
    let mut unknown_keys = Vec::new();
    if let Some(path) = given.remove("config-file").filter(|path| !path.is_empty()) {
        match config_file::read(path.as_ref()) {
            Ok(file) => (given, unknown_keys) = (file.given, file.unknown),
            Err(error) => return refuse(&error),
        }
        // It counts alone; and an empty value is none.
        given.retain(|_, value| !value.is_empty());
    }
    let force_new_cluster = given.remove("force-new-cluster").is_some_and(|value| value == "true");
    let ignored = go_flags::take_ignored(&mut given);
    let spelled = given.iter().map(|(name, value)| format!("--{name}={value}"));
    let spelled = spelled.chain(own_variables());
    let known = match Known::try_parse_from(std::iter::once("etcd".to_owned()).chain(spelled)) {
        Ok(known) => known,
        Err(error) => error.exit(),
    };
    let config = match known.flags.config(defaults(), |name| format!("{name}.etcd").into()) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    logging::init(known.flags.log_level.as_deref());
    if !ignored.is_empty() {
        tracing::warn!("flags without a meaning in floe yet, ignored: --{}", ignored.join(", --"));
    }
    if !unknown_keys.is_empty() {
        tracing::warn!(
            "keys of the configuration file without a meaning in floe, ignored: {}",
            unknown_keys.join(", ")
        );
    }
    if force_new_cluster && let Err(error) = force(&config) {
        tracing::error!("cannot force a new cluster: {error}");
        return ExitCode::FAILURE;
    }
    run::main(vec![config], |_| {})
}

/// Makes the member the only one of its cluster. A new data directory has no cluster that could be forced.
fn force(config: &Config) -> Result<(), RecoverError> {
    match Survivor::recover(&config.data_dir) {
        Ok(survivor) => {
            tracing::warn!(last = %survivor.last, "--force-new-cluster: this member is the only one of its cluster now");
            Ok(())
        }
        Err(RecoverError::Empty(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{error}\n`etcd --help` lists the flags.");
    ExitCode::from(2)
}

/// Variables stand behind all flags, also behind those that are ignored and named for it.
fn add_variables(given: &mut BTreeMap<&'static str, String>) {
    for flag in FLAGS {
        if !given.contains_key(flag.name)
            && let Some((_, value)) = environment::server_variable(flag.name)
            && let Ok(value) = value.into_string()
        {
            given.insert(flag.name, value);
        }
    }
}

/// What etcd has no flags for, and its command line has no room for.
fn own_variables() -> impl Iterator<Item = String> {
    ["trace", "trace-sample", "live-state"].into_iter().filter_map(|name| {
        let (_, value) = environment::server_variable(name)?;
        Some(format!("--{name}={}", value.to_str()?))
    })
}

/// etcd's own timings: whoever has tuned around them finds them again.
fn defaults() -> Config {
    Config { heartbeat_interval_ms: 100, election_timeout_ms: 1_000, ..Config::default() }
}

/// The four lines of `etcd --version`, which scripts take apart by their first words.
fn version() -> String {
    let system = std::env::consts::OS;
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let floe = env!("CARGO_PKG_VERSION");
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: floe-{floe}\nGo Version: none (floe is written in Rust)\n\
         Go OS/Arch: {system}/{machine}\n"
    )
}

fn help() -> String {
    let names = |wanted: fn(Meaning) -> bool| -> String {
        FLAGS.iter().filter(|flag| wanted(flag.meaning)).map(|flag| format!("  --{}\n", flag.name)).collect()
    };
    format!(
        "Usage:\n\n  etcd [flags]\n    Start a member. This is floe, called as etcd.\n\n  etcd --version\n    Show the \
         version of etcd whose interface it has.\n\nFlags that mean what they mean in etcd:\n{}\nFlags that are accepted \
         and ignored, with a warning:\n{}",
        names(|meaning| meaning == Meaning::Same),
        names(|meaning| matches!(meaning, Meaning::Ignored(_))),
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A flag that is passed on must exist, or every start with it would fail.
    #[test]
    fn every_flag_that_means_the_same_is_known() {
        let command = Known::command();
        let own = ["version", "help", "h", "config-file", "force-new-cluster"];
        for flag in FLAGS.iter().filter(|flag| flag.meaning == Meaning::Same && !own.contains(&flag.name)) {
            assert!(
                command.get_arguments().any(|argument| argument.get_long() == Some(flag.name)),
                "{}",
                flag.name
            );
        }
    }

    #[test]
    fn the_version_has_etcds_four_lines() {
        let version = version();
        let starts: Vec<&str> = version.lines().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(starts, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
        assert!(version.starts_with("etcd Version: 3.7.0\n"));
    }
}
