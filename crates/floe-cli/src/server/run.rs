//! The life of the members of this process: start, ready, a signal, and a clean stop.

use std::future::pending;
use std::process::ExitCode;

use floe::{Failure, Stopped};
use floe_etcd::{Config, Server, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

/// The exit code of a process that was told twice to stop, as a shell would report it.
const STOPPED_AT_ONCE: i32 = 130;

/// The exit code of a member that was removed from its cluster: whoever starts it again and again should stop that.
const REMOVED: u8 = 4;

/// Why the members of this process ended without being asked to.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{doing}: {error}")]
    System { doing: &'static str, error: std::io::Error },
    #[error("member {name} does not start: {source}")]
    Start { name: String, source: Box<StartError> },
    #[error("member {name} stopped: {reason}")]
    Failed { name: String, reason: String },
    #[error("member {name} stopped: {}", Failure::Removed)]
    Removed { name: String },
}

impl RunError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Removed { .. } => ExitCode::from(REMOVED),
            Self::Start { source, .. } if was_removed(source) => ExitCode::from(REMOVED),
            Self::System { .. } | Self::Start { .. } | Self::Failed { .. } => ExitCode::FAILURE,
        }
    }
}

fn was_removed(error: &StartError) -> bool {
    matches!(error, StartError::Node(floe::StartError::Removed { .. }))
}

struct Member {
    name: String,
    server: Server,
    /// What its log lines are written in.
    span: Span,
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Runs members until a signal or a failure ends them. `ready` is called with names and client URLs once all of them
/// serve.
pub(crate) fn main(configs: Vec<Config>, ready: impl FnOnce(&[(String, String)])) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::System { doing: "starting the asynchronous runtime", error })
        .and_then(|runtime| runtime.block_on(live(configs, ready)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", with_causes(&error));
            error.exit_code()
        }
    }
}

/// An error and its causes in one line. A cause that an error has taken into its own text is not said twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

async fn live(configs: Vec<Config>, ready: impl FnOnce(&[(String, String)])) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let mut members: Vec<Member> = Vec::new();
    let mut outcome = Ok(());
    let mut removed = None;
    let several = configs.len() > 1;
    for config in configs {
        let name = config.name.clone();
        // Where a process has several members, every line of their logs says whose it is.
        let span = if several { tracing::error_span!("member", name) } else { Span::none() };
        match Server::start(config).instrument(span.clone()).await {
            Ok(server) => members.push(Member { name, server, span }),
            // The others of this process are a cluster without it.
            Err(error) if several && was_removed(&error) => {
                span.in_scope(|| tracing::warn!("not started: {}", with_causes(&error)));
                removed = Some(RunError::Start { name, source: Box::new(error) });
            }
            Err(error) => {
                outcome = Err(RunError::Start { name, source: Box::new(error) });
                break;
            }
        }
    }
    if let (Some(removed), true, true) = (removed, members.is_empty(), outcome.is_ok()) {
        outcome = Err(removed);
    }
    if outcome.is_ok() {
        outcome = run(&mut members, &mut signals, ready).await;
    }
    stop(members, &mut signals).await;
    outcome
}

/// Lets the members live until a signal or a failure. One that is removed goes, with its listeners, and the others stay.
async fn run(
    members: &mut Vec<Member>,
    signals: &mut Signals,
    ready: impl FnOnce(&[(String, String)]),
) -> Result<(), RunError> {
    let mut ready = Some(ready);
    loop {
        let end = tokio::select! {
            () = signals.next() => return Ok(()),
            end = first_end(members) => end,
            served = served(members), if ready.is_some() => {
                if let Some(ready) = ready.take() {
                    ready(&served);
                }
                continue;
            }
        };
        match end {
            End::Failed(error) => return Err(error),
            End::Removed(name) => {
                let Some(at) = members.iter().position(|member| member.name == name) else { continue };
                if members.len() == 1 {
                    return Err(RunError::Removed { name });
                }
                let Member { server, span, .. } = members.remove(at);
                span.in_scope(|| tracing::warn!("{}; the others stay", Failure::Removed));
                server.shutdown().instrument(span).await;
            }
        }
    }
}

/// Resolves when every member serves, with their names and client URLs.
async fn served(members: &[Member]) -> Vec<(String, String)> {
    let mut served = Vec::new();
    for member in members {
        member.server.wait_ready().await;
        let urls: Vec<String> = member.server.client_urls().iter().map(ToString::to_string).collect();
        // Scripts that start an etcd wait for these words.
        member.span.in_scope(|| tracing::info!("ready to serve client requests at {}", urls.join(",")));
        served.push((member.name.clone(), urls.into_iter().next().unwrap_or_default()));
    }
    served
}

/// How a member ended by itself.
enum End {
    /// It was removed from its cluster.
    Removed(String),
    /// It could not go on.
    Failed(RunError),
}

/// Resolves when a member has stopped by itself.
async fn first_end(members: &[Member]) -> End {
    let mut ends = JoinSet::new();
    for member in members {
        let (name, handle) = (member.name.clone(), member.server.handle().clone());
        ends.spawn(async move { (name, handle.stopped().await) });
    }
    while let Some(end) = ends.join_next().await {
        match end {
            Ok((name, Stopped::Failed(Failure::Removed))) => return End::Removed(name),
            Ok((name, Stopped::Failed(failure))) => {
                return End::Failed(RunError::Failed { name, reason: failure.to_string() });
            }
            // Asked to, or a task that was ended.
            Ok((_, Stopped::Requested)) | Err(_) => {}
        }
    }
    pending().await
}

/// Stops all members together: each hands over what it leads and finishes what is under way. A second signal ends
/// the process at once, which is as safe as any crash.
async fn stop(members: Vec<Member>, signals: &mut Signals) {
    if members.is_empty() {
        return;
    }
    tracing::info!("stopping");
    let mut stopping = JoinSet::new();
    for member in members {
        stopping.spawn(async move { member.server.shutdown().await }.instrument(member.span));
    }
    let all_stopped = async { while stopping.join_next().await.is_some() {} };
    tokio::select! {
        () = all_stopped => tracing::info!("stopped"),
        () = signals.next() => {
            tracing::warn!("a signal while stopping: ending at once");
            std::process::exit(STOPPED_AT_ONCE);
        }
    }
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let listen =
            |kind| signal(kind).map_err(|error| RunError::System { doing: "listening for signals", error });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_causes_once() {
        let disk = std::io::Error::new(std::io::ErrorKind::StorageFull, "the disk is full");
        let inner = RunError::System { doing: "opening", error: disk };
        assert_eq!(with_causes(&inner), "opening: the disk is full");

        #[derive(Debug, thiserror::Error)]
        #[error("the store failed")]
        struct Outer(#[source] RunError);
        assert_eq!(with_causes(&Outer(inner)), "the store failed: opening: the disk is full");
    }
}
