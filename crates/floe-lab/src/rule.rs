//! Which rule of the protocol is at work in an event, by the line itself, by what led to it, and by what came of it.
//!
//! The core does not say why it did something; but all that it decides by is in the trace. What is told here is read
//! off there, as a person would.

use crate::history::{History, Line};

/// The rule's name in the table of strings, without the `rule.` before it.
pub(crate) fn rule(
    history: &History<'_>,
    line: &Line,
    causes: &[Line],
    effects: &[Line],
    by_lease: bool,
) -> &'static str {
    let read = if by_lease { "lease" } else { "read-index" };
    match line.kind() {
        "timer" => of_timer(effects),
        "role" => of_role(history, line, causes),
        "commit" => of_commit(history, line),
        "sent" => of_message(history, line, causes),
        "arrived" => of_arrival(history, causes, effects),
        "writing" => of_write(history, line, causes),
        "written" => "durable-first",
        "fetched" => "append",
        "applied" => "applied",
        "compacted" => "compact",
        "checkpoint" | "snapshot-sent" | "snapshot-done" | "snapshot-installed" => "snapshot",
        "membership" if line.number("outgoing") > 0 => "joint",
        "membership" | "change" => "membership",
        "retired" => "retire",
        "crashed" | "peer-gone" => "crash",
        "started" | "resumed" => "restart",
        "intervention" => of_intervention(line),
        "lost" | "mended" | "liveness" | "write-failed" => "fault",
        "invoked" if line.text("what") == "get" => read,
        "invoked" => "append",
        "tried-again" => "session-replay",
        "answered" => match line.text("outcome") {
            "read" => read,
            "was-done" | "lapsed" => "session-replay",
            "wrote" => "applied",
            _ => "other",
        },
        "group" | "beat" => "beat",
        "violated" if line.text("invariant") == "current-term-commit" => "commit-old-term",
        "violated" | "alarm" => "violated",
        _ => "other",
    }
}

fn of_timer(effects: &[Line]) -> &'static str {
    let role = effects.iter().find(|effect| effect.kind() == "role").map(|effect| effect.text("role"));
    let sends = |message: &str| effects.iter().any(|effect| effect.text("message") == message);
    match role {
        Some("follower") if sends("timeout-now") => "transfer",
        Some("follower") => "step-down",
        Some(_) => "election-timeout",
        None if sends("heartbeat") => "heartbeat",
        None if sends("pre-vote") || sends("vote") => "election-timeout",
        None => "other",
    }
}

/// The message whose arrival led to this at once.
fn message(history: &History<'_>, causes: &[Line]) -> Option<Line> {
    let arrived = causes.first().filter(|cause| cause.kind() == "arrived")?;
    history.line(arrived.number("cause"))
}

fn of_role(history: &History<'_>, line: &Line, causes: &[Line]) -> &'static str {
    let message = message(history, causes);
    let message = message.as_ref().map_or("", |sent| sent.text("message"));
    let before = history.before(line.id(), line.number("node"), &["role", "started"], |_| true);
    let was = before.as_ref().map_or("", |before| before.text("role"));
    let rose = before.as_ref().is_some_and(|before| before.number("term") < line.number("term"));
    match line.text("role") {
        "leader" => "elected",
        "pre-candidate" => "election-timeout",
        "candidate" if message == "timeout-now" => "timeout-now",
        "candidate" if message == "pre-vote-reply" => "pre-vote",
        "candidate" => "election-timeout",
        _ if was == "leader" && !rose => "step-down",
        _ if rose => "higher-term",
        _ if line.number("leader") > 0 && message == "append" => "append",
        _ if line.number("leader") > 0 => "heartbeat",
        _ if was == "candidate" || was == "pre-candidate" => "election-timeout",
        _ => "step-down",
    }
}

fn leads(history: &History<'_>, event: u64, node: u64) -> bool {
    let role = history.before(event, node, &["role", "started"], |_| true);
    role.is_some_and(|line| line.text("role") == "leader")
}

fn of_commit(history: &History<'_>, line: &Line) -> &'static str {
    if leads(history, line.id(), line.number("node")) { "commit-quorum" } else { "commit-told" }
}

fn of_message(history: &History<'_>, line: &Line, causes: &[Line]) -> &'static str {
    match line.text("message") {
        "pre-vote" => "pre-vote",
        "pre-vote-reply" if line.number("granted") == 1 => "pre-vote",
        "vote" if line.number("transfer") == 1 => "timeout-now",
        "vote" => "election-timeout",
        "vote-reply" if line.number("granted") == 1 => "vote-granted",
        "pre-vote-reply" | "vote-reply" => refusal(history, line, causes),
        "append-ok" => "append-accepted",
        "append-reject" => "append-rejected",
        "heartbeat" | "heartbeat-reply" => "heartbeat",
        "snapshot" => "snapshot",
        "read-index" | "read-index-reply" => "read-index",
        "timeout-now" => "timeout-now",
        "priority" => "transfer",
        _ => "append",
    }
}

/// Why a vote was refused: what the voter knew, against what it was asked.
fn refusal(history: &History<'_>, line: &Line, causes: &[Line]) -> &'static str {
    let node = line.number("from");
    let wanted = if line.text("message") == "vote-reply" { "vote" } else { "pre-vote" };
    let request = causes.iter().find(|cause| cause.kind() == "sent" && cause.text("message") == wanted);
    let Some(request) = request else { return "vote-refused-term" };
    let at = line.id();
    let own = history.before(at, node, &["role", "started"], |_| true);
    let term = own.as_ref().map_or(0, |own| own.number("term"));
    if request.number("term") < term {
        return "vote-refused-term";
    }
    let writes = ["writing", "started"];
    let last =
        history.before(at, node, &writes, |line| line.has("last")).and_then(|line| line.log_id("last"));
    if request.log_id("last") < last {
        return "vote-refused-log";
    }
    if own.is_some_and(|own| own.number("leader") > 0) {
        return "vote-refused-leader";
    }
    let vote = history.before(at, node, &writes, |line| line.has("vote"));
    let vote = vote
        .filter(|line| line.number("term") == request.number("term"))
        .map_or(0, |line| line.number("vote"));
    if vote > 0 && vote != request.number("from") { "vote-refused-voted" } else { "vote-refused-leader" }
}

fn of_arrival(history: &History<'_>, causes: &[Line], effects: &[Line]) -> &'static str {
    let Some(sent) = causes.first() else { return "other" };
    let rises = effects.iter().find(|effect| effect.kind() == "role");
    let commits = effects.iter().any(|effect| effect.kind() == "commit");
    let elected = rises.is_some_and(|role| role.text("role") == "leader");
    if elected {
        return "elected";
    }
    match sent.text("message") {
        // What the receiver makes of a question is in its answer.
        "pre-vote" | "vote" | "append" => {
            let replies = ["pre-vote-reply", "vote-reply", "append-ok", "append-reject"];
            let reply = effects.iter().find(|effect| replies.contains(&effect.text("message")));
            match reply {
                Some(reply) => {
                    let arrived = Line::clone(reply);
                    let causes = history.causes(&arrived);
                    of_message(history, &arrived, &causes)
                }
                None if effects.iter().any(|effect| effect.has("truncate_from")) => "truncate",
                None if sent.text("message") == "append" => "append-accepted",
                None => "vote-granted",
            }
        }
        "append-ok" if commits => "commit-quorum",
        "vote-reply" | "pre-vote-reply" => {
            let mut above = history.causes(sent);
            above.truncate(4);
            of_message(history, sent, &above)
        }
        "" => "snapshot",
        _ => of_message(history, sent, &causes[1..]),
    }
}

fn of_write(history: &History<'_>, line: &Line, causes: &[Line]) -> &'static str {
    if line.has("truncate_from") {
        return "truncate";
    }
    if line.has("restart_after") {
        return "snapshot";
    }
    if line.number("entries") == 0 {
        return "durable-first";
    }
    if !leads(history, line.id(), line.number("node")) {
        return "append-accepted";
    }
    // The first thing that a leader writes comes of what made it one.
    let cause = causes.first().map_or(0, Line::id);
    let elected = history.before(line.id(), line.number("node"), &["role"], |_| true);
    if elected.is_some_and(|role| role.number("cause") == cause) { "no-op" } else { "append" }
}

fn of_intervention(line: &Line) -> &'static str {
    match line.text("what") {
        "crash" | "wipe" => "crash",
        "restart" | "resume" => "restart",
        "transfer" => "transfer",
        "campaign" => "election-timeout",
        "change" => "membership",
        "snapshot" => "snapshot",
        _ => "fault",
    }
}
