//! The command line of `floe` and what each of its commands exits with.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::client::Failure;
#[cfg(feature = "lab")]
use crate::command::lab;
use crate::command::{del, get, member, put, recover, sim, status, watch};
use crate::environment;
use crate::server::serve;

/// A replicated, linearizable key-value server that speaks etcd's v3 API, and a client for it.
#[derive(Parser)]
#[command(name = "floe", version, after_help = EXAMPLES, max_term_width = 110)]
struct Floe {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  floe serve --cluster 3       three members on this machine, data in ./floe-data
  floe put greeting hello      write a key
  floe get greeting            read it, from any member
  floe watch --prefix ''       follow every change
  floe status                  who leads, how far everybody is
  floe lab                     see it at work, in a browser

Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 the outcome of a write is unknown,
4 (serve) this member was removed from the cluster.
`floe help COMMAND` explains one command. etcdctl and every etcd client work as well.";

#[derive(Subcommand)]
enum Command {
    /// Run a member of a cluster, or with --cluster a whole cluster on this machine
    Serve(Box<serve::Arguments>),
    /// Write a key
    Put(put::Arguments),
    /// Read keys
    Get(get::Arguments),
    /// Delete keys
    Del(del::Arguments),
    /// Follow the changes of keys
    Watch(watch::Arguments),
    /// Show who leads and how far each member is
    Status(status::Arguments),
    /// List, add, promote, move and remove members
    Member(member::Arguments),
    /// List the members of the cluster, as `member list`
    #[command(hide = true)]
    Members(member::List),
    /// Go on with one member when a majority is lost for good, or mend its log
    Recover(recover::Arguments),
    /// Watch Raft run in a browser, and break it: a simulated world, a trace, or a running cluster
    #[cfg(feature = "lab")]
    Lab(Box<lab::Arguments>),
    /// Replay a seed of the simulator: the real core and log in a simulated world of faults
    Sim(sim::Arguments),
}

/// Parses the command line, with variables of the environment behind it, and runs the command.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let command = environment::behind_flags(Floe::command());
    let parsed = command.try_get_matches_from(words).and_then(|matches| Floe::from_arg_matches(&matches));
    let floe = match parsed {
        Ok(floe) => floe,
        Err(error) => error.exit(),
    };
    match floe.command {
        Command::Serve(arguments) => serve::main(&arguments),
        Command::Put(arguments) => finish(put::run(arguments)),
        Command::Get(arguments) => finish(get::run(arguments)),
        Command::Del(arguments) => finish(del::run(arguments)),
        Command::Watch(arguments) => finish(watch::run(arguments)),
        Command::Status(arguments) => finish(status::run(arguments)),
        Command::Member(arguments) => finish(member::run(arguments)),
        Command::Members(arguments) => finish(member::list(arguments)),
        Command::Recover(arguments) => recover::main(&arguments),
        #[cfg(feature = "lab")]
        Command::Lab(arguments) => lab::main(*arguments),
        Command::Sim(arguments) => sim::main(arguments),
    }
}

/// Runs a client command to its end.
fn finish(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Failure::Output(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough: `floe get --prefix '' | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        environment::behind_flags(Floe::command()).debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for command in Floe::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no sentence");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("floe {name}")), "{name} has no example");
        }
    }
}
