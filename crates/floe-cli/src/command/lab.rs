//! `floe lab`: a page on which Raft is watched, broken and understood; on a simulated world, a trace, or a running cluster.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde_json::{Value, json};

use crate::command::sim::Less;
use crate::lab::{self, Cluster, Endpoint, Pages, TraceFile};

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe lab                              open the printed address in a browser
  floe lab --seed 42 --voters 3         on a world of the simulator, with the options of `floe sim`
  floe lab history.ndjson               on a trace of `floe sim --trace` or `floe serve --trace`
  floe lab --attach 127.0.0.1:2379      on a running cluster, which is only looked at

Ctrl-C stops it.")]
pub(crate) struct Arguments {
    /// A trace to open
    #[arg(value_name = "FILE", conflicts_with_all = ["attach", "seed"])]
    file: Option<PathBuf>,
    /// Where to listen [default: the first free port from 127.0.0.1:2370 on]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Members of a running cluster, as host:port, comma-separated; the others are found by them
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "seed")]
    attach: Vec<String>,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    /// A seed of the simulator to open
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    less: Less,
}

/// What the page is opened on.
enum Shown {
    World(Option<Value>),
    Trace(TraceFile),
    Cluster(Vec<Endpoint>),
}

/// Serves the page until a signal ends it.
pub(crate) fn main(arguments: Arguments) -> ExitCode {
    let shown = match shown(&arguments) {
        Ok(shown) => shown,
        Err((code, error)) => return fail(code, &error),
    };
    let listener = match lab::listen(arguments.listen) {
        Ok(listener) => listener,
        Err(error) => return fail(1, &error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listener, shown, arguments.open)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("the lab stops: {error}")),
    }
}

fn fail(code: u8, error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

/// What was asked for, or the exit code and what is wrong with it.
fn shown(arguments: &Arguments) -> Result<Shown, (u8, String)> {
    let Arguments { file, attach, seed, less, .. } = arguments;
    match (file, attach.as_slice(), seed) {
        (Some(path), ..) => TraceFile::open(path).map(Shown::Trace).map_err(|error| (1, error.to_string())),
        (None, [_, ..], _) => {
            let parse = |text: &String| {
                Endpoint::parse(text).map_err(|reason| (2, format!("--attach {text}: {reason}")))
            };
            attach.iter().map(parse).collect::<Result<_, _>>().map(Shown::Cluster)
        }
        (None, [], Some(seed)) => Ok(Shown::World(Some(json!({ "version": 1, "world": less.world(*seed) })))),
        (None, [], None) if !less.is_empty() => {
            Err((2, "the options of `floe sim` need a --seed".to_owned()))
        }
        (None, [], None) => Ok(Shown::World(None)),
    }
}

async fn serve(listener: TcpListener, shown: Shown, open: bool) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut pages = Pages::new(address);
    let link = match shown {
        Shown::World(settings) => lab::to_settings(address, settings.as_ref()),
        Shown::Trace(file) => {
            let link = lab::to_trace(address, &file.name);
            pages.trace = Some(file);
            link
        }
        Shown::Cluster(endpoints) => {
            pages.cluster = Some(Cluster::attach(endpoints));
            lab::to_live(address)
        }
    };
    println!("The lab is at {link}\nCtrl-C stops it.");
    if open {
        browse(&link);
    }
    tokio::select! {
        ended = async { axum::serve(listener, lab::router(pages)).await } => ended,
        stopped = tokio::signal::ctrl_c() => stopped,
        () = terminated() => Ok(()),
    }
}

/// Resolves when the process is asked to end.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Then the signal ends the process as it always did.
        Err(_) => std::future::pending().await,
    }
}

/// Asks the desktop to open the page. The address is printed in any case.
fn browse(link: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started = Command::new(opener)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        eprintln!("cannot open a browser with {opener} ({error}); open the address yourself");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn shown_for(words: &[&str]) -> Result<Shown, (u8, String)> {
        let line =
            Line::try_parse_from([&["lab"], words].concat()).map_err(|error| (2, error.to_string()))?;
        shown(&line.arguments)
    }

    #[test]
    fn a_seed_with_the_options_of_the_simulator_becomes_the_settings_of_a_world() {
        let words = [
            "--seed",
            "42",
            "--voters",
            "5",
            "--without",
            "loss,crash",
            "--skip",
            "3",
            "--mutant",
            "host-forget-vote",
        ];
        let Ok(Shown::World(Some(settings))) = shown_for(&words) else { panic!("a world") };
        let world = json!({"seed": "42", "voters": 5, "without": ["loss", "crash"], "skip": [3], "mutant": "host-forget-vote"});
        assert_eq!(settings, json!({"version": 1, "world": world}));
        assert!(matches!(shown_for(&[]), Ok(Shown::World(None))));
    }

    #[test]
    fn what_makes_no_sense_together_is_refused_with_the_reason() {
        for (words, reason) in [
            (&["--attach", "https://a:1"][..], "TLS"),
            (&["--attach", "a"], "no port"),
            (&["--voters", "3"], "need a --seed"),
            (&["--attach", "a:1", "--seed", "3"], "cannot be used with"),
            (&["t.ndjson", "--seed", "3"], "cannot be used with"),
        ] {
            let Err((code, error)) = shown_for(words) else { panic!("{words:?} is refused") };
            assert!(code == 2 && error.contains(reason), "{words:?}: {error}");
        }
        let Err((code, error)) = shown_for(&["no-such-file"]) else { panic!("it is not there") };
        assert!(code == 1 && error.contains("no-such-file"), "{error}");
    }
}
