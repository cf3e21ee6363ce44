//! One readable line an effect, a message or a state. `index@term` names entries, `match→next` is progress.

use floe_raft::{
    Alarm, Entry, EntryKind, Envelope, LogId, Membership, Message, NodeId, ProgressState, ReadMode, RoleKind,
    Status, Write,
};

use crate::machine::text;
use crate::network::kind;

/// Entries as `[2@1..4@1 5@2]`.
pub(crate) fn entries(entries: &[Entry]) -> String {
    let mut runs: Vec<(LogId, LogId)> = Vec::new();
    for entry in entries {
        match runs.last_mut() {
            Some((_, last)) if last.term == entry.id.term && last.index.next() == entry.id.index => {
                *last = entry.id;
            }
            _ => runs.push((entry.id, entry.id)),
        }
    }
    let texts: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}..{last}") })
        .collect();
    format!("[{}]", texts.join(" "))
}

/// An entry with its content: `2@1 x=1`. Long contents are named by their length.
pub(crate) fn entry(entry: &Entry) -> String {
    let content = match entry.kind {
        EntryKind::Noop => "noop".to_owned(),
        EntryKind::Command => payload(&entry.payload),
        EntryKind::Membership => "membership".to_owned(),
        EntryKind::Witnessed => "(witnessed)".to_owned(),
    };
    format!("{} {content}", entry.id)
}

/// A command's text, or its length when it is long.
pub(crate) fn payload(bytes: &[u8]) -> String {
    let text = text(bytes);
    if text.len() > 40 { format!("({} bytes)", text.len()) } else { text }
}

/// Entries with their contents, in full.
pub(crate) fn contents(entries: &[Entry]) -> String {
    let texts: Vec<String> = entries.iter().map(entry).collect();
    format!("[{}]", texts.join(", "))
}

/// A disk write, its parts in the order that they are performed.
pub(crate) fn write(write: &Write) -> String {
    let mut text = format!("persist w{}", write.id);
    if let Some(base) = write.restart_after {
        text += &format!(" restart={base}");
    }
    if let Some(from) = write.truncate_from {
        text += &format!(" truncate={from}");
    }
    if !write.entries.is_empty() {
        text += &format!(" {}", entries(&write.entries));
    }
    if let Some(hard_state) = write.hard_state {
        text += &format!(" term={}", hard_state.term);
        if let Some(vote) = hard_state.vote {
            text += &format!(" vote=n{vote}");
        }
    }
    text
}

/// A message with its route: `n1@1→n2 append base=1@1 [2@1] commit=1`.
pub(crate) fn envelope(envelope: &Envelope) -> String {
    format!("n{}@{}→n{} {}", envelope.from, envelope.term, envelope.to, message(&envelope.message))
}

/// A message without its route.
pub(crate) fn message(message: &Message) -> String {
    let verdict = |granted: bool| if granted { "granted" } else { "refused" };
    let details = match message {
        Message::PreVote { last } => format!("last={last}"),
        Message::Vote { last, transfer } => {
            format!("last={last}{}", if *transfer { " transfer" } else { "" })
        }
        Message::PreVoteReply { granted } | Message::VoteReply { granted } => verdict(*granted).to_owned(),
        Message::Append { prev, entries: list, commit } => {
            format!("base={prev} {} commit={commit}", entries(list))
        }
        Message::AppendOk { matched } => format!("match={matched}"),
        Message::AppendReject { prev, hint } => format!("base={prev} hint={hint}"),
        Message::Heartbeat { commit, round } => format!("commit={commit} round={round}"),
        Message::HeartbeatReply { round } => format!("round={round}"),
        Message::ReadIndex { round, mode: ReadMode::Index } => format!("ask={}", number(round.0)),
        Message::ReadIndex { round, mode: ReadMode::Lease } => format!("ask={} lease", number(round.0)),
        Message::Snapshot { last, membership: members } => format!("last={last} {}", membership(members)),
        Message::ReadIndexReply { round, index: Some(index) } => {
            format!("ask={} index={index}", number(round.0))
        }
        Message::ReadIndexReply { round, index: None } => format!("ask={} none", number(round.0)),
        Message::Propose { proposals } => {
            let texts: Vec<String> =
                proposals.iter().map(|(id, bytes)| format!("p{} {}", number(id.0), payload(bytes))).collect();
            format!("[{}]", texts.join(", "))
        }
        Message::ProposeReply { outcomes } => {
            let texts: Vec<String> = outcomes
                .iter()
                .map(|(id, outcome)| match outcome {
                    Ok(at) => format!("p{} {at}", number(id.0)),
                    Err(error) => format!("p{} refused: {error}", number(id.0)),
                })
                .collect();
            format!("[{}]", texts.join(", "))
        }
        Message::Pull { after, last } => format!("after={after} last={last}"),
        Message::PullReply { prev, entries: list, last } => {
            format!("base={prev} {} last={last}", entries(list))
        }
        Message::TimeoutNow { last } => format!("last={last}"),
        Message::Priority { priority } => format!("priority={priority}"),
    };
    format!("{} {details}", kind(message))
}

/// The lower half of a request's number. The upper half tells the lives of a node apart, and says nothing to a reader.
fn number(name: u64) -> u64 {
    name & u64::from(u32::MAX)
}

/// A membership as `voters={1 2 3} learners={4}`.
pub(crate) fn membership(membership: &Membership) -> String {
    let set = |name: &str, nodes: &std::collections::BTreeSet<NodeId>| {
        let ids: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        format!("{name}={{{}}}", ids.join(" "))
    };
    let mut text = set("voters", &membership.voters);
    let others = [
        ("outgoing", &membership.outgoing),
        ("witnesses", &membership.witnesses),
        ("learners", &membership.learners),
        ("auto-promote", &membership.auto_promote),
    ];
    for (name, nodes) in others {
        if !nodes.is_empty() {
            text += &format!(" {}", set(name, nodes));
        }
    }
    text
}

/// A role's name.
pub(crate) fn role(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    }
}

/// A node's state in one line: `n1@1 leader last=2@1 durable=1 commit=1 progress={2:2→3 3:1→3}`. What is as it
/// usually is stays unsaid: `durable` equal to `last`, `applied` equal to `commit`, a vote for the leader.
pub(crate) fn status(status: &Status) -> String {
    let mut text = format!("n{}@{} {}", status.id, status.hard_state.term, role(status.role));
    if let Some(leader) = status.leader.filter(|leader| *leader != status.id) {
        text += &format!(" of n{leader}");
    }
    if let Some(vote) = status.hard_state.vote.filter(|vote| Some(*vote) != status.leader) {
        text += &format!(" vote=n{vote}");
    }
    if status.base != LogId::ZERO {
        text += &format!(" base={}", status.base);
    }
    text += &format!(" last={}", status.last);
    if status.durable != status.last.index {
        text += &format!(" durable={}", status.durable);
    }
    text += &format!(" commit={}", status.commit);
    if status.applied != status.commit {
        text += &format!(" applied={}", status.applied);
    }
    if status.reads_waiting > 0 {
        text += &format!(" reads={}", status.reads_waiting);
    }
    if let Some(to) = status.transfer_to {
        text += &format!(" transfer=n{to}");
    }
    if let Some(index) = status.pending_change {
        text += &format!(" change={index}");
    }
    if status.role == RoleKind::Leader {
        let peers: Vec<String> = status
            .progress
            .iter()
            .map(|(peer, progress)| {
                let state = match progress.state {
                    ProgressState::Probe => " probe",
                    ProgressState::Replicate => "",
                    ProgressState::Snapshot => " snapshot",
                };
                let leaving = if progress.leaving { " leaving" } else { "" };
                format!("{peer}:{}→{}{state}{leaving}", progress.matched, progress.next)
            })
            .collect();
        text += &format!(" progress={{{}}}", peers.join(" "));
    }
    text
}

/// An alarm in words.
pub(crate) fn alarm(alarm: &Alarm) -> String {
    match alarm {
        Alarm::BadMessage { from, reason } => format!("bad message from n{from}: {reason}"),
        Alarm::TwoLeaders { other, term } => format!("n{other} leads in term {term}, too"),
        Alarm::CommittedConflict { from, index } => format!("n{from} would overwrite the committed {index}"),
        Alarm::BadFetch { first } => format!("the fetch from {first} delivered the wrong entries"),
    }
}
