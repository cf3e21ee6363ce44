//! What happened in a world, event by event: as a hash that tells two histories apart, and as lines of JSON for
//! people and viewers (`docs/design/trace.md` is the format).
//!
//! Every event is described once, by its `describe`; the hash and the JSON are two readers of that description.

use floe_multi::Beat;
use floe_raft::{Envelope, GroupId, HardState, Index, LogId, NodeId, RoleKind, Term, Write};
use floe_trace::{
    Fields, Line, TRACE_VERSION, describe_envelope, describe_hard_state, describe_write, role_name,
};

use crate::check::Violation;
use crate::clock::Moment;
use crate::machine::{Key, OpId};
use crate::stage::Watcher;

/// Names an event of a trace. They are counted from one; zero is "nothing caused it".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventId(pub(crate) u64);

/// A hash over all events of a world: same seed, same hash, on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceHash(pub [u64; 2]);

impl std::fmt::Display for TraceHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    World {
        seed: u64,
        voters: u64,
        learners: u64,
        joiners: u64,
        witnesses: u64,
        heartbeat: u64,
        election: u64,
        features: &'a str,
    },
    Started {
        node: NodeId,
        hard_state: HardState,
        base: LogId,
        last: LogId,
        applied: LogId,
    },
    Role {
        node: NodeId,
        role: RoleKind,
        term: Term,
        leader: Option<NodeId>,
    },
    Commit {
        node: NodeId,
        index: Index,
    },
    Timer {
        node: NodeId,
    },
    Sent {
        envelope: &'a Envelope,
    },
    Arrived {
        from: NodeId,
        to: NodeId,
    },
    Lost {
        from: NodeId,
        to: NodeId,
        why: &'static str,
    },
    Writing {
        node: NodeId,
        write: &'a Write,
    },
    Written {
        node: NodeId,
        last: LogId,
    },
    WriteFailed {
        node: NodeId,
    },
    /// The disk is full, and what waits for it goes on waiting.
    NoSpace {
        node: NodeId,
    },
    Fetched {
        node: NodeId,
        first: Index,
        count: u64,
        outcome: &'static str,
    },
    Applied {
        node: NodeId,
        last: LogId,
        hash: u64,
    },
    Checkpoint {
        node: NodeId,
        last: LogId,
    },
    Compacted {
        node: NodeId,
        base: LogId,
    },
    SnapshotSent {
        from: NodeId,
        to: NodeId,
        last: LogId,
    },
    SnapshotInstalled {
        node: NodeId,
        last: LogId,
    },
    SnapshotDone {
        node: NodeId,
        to: NodeId,
        installed: bool,
    },
    Membership {
        node: NodeId,
        voters: u64,
        learners: u64,
        outgoing: u64,
    },
    Change {
        node: NodeId,
        operations: u64,
        outcome: &'static str,
    },
    Retired {
        node: NodeId,
    },
    PeerGone {
        node: NodeId,
        peer: NodeId,
    },
    Alarm {
        node: NodeId,
        what: &'a str,
    },
    Intervention {
        number: u32,
        what: &'static str,
        node: NodeId,
    },
    Mended {
        what: &'static str,
    },
    Crashed {
        node: NodeId,
    },
    Resumed {
        node: NodeId,
    },
    Liveness {
        core: &'a str,
    },
    Invoked {
        client: u64,
        op: OpId,
        kind: &'static str,
        key: Key,
        node: NodeId,
    },
    TriedAgain {
        client: u64,
        op: OpId,
        first: OpId,
        node: NodeId,
    },
    Answered {
        client: u64,
        op: OpId,
        outcome: &'static str,
        index: Index,
        value: OpId,
    },
    Violated {
        violation: &'a Violation,
    },
    Group {
        group: GroupId,
        members: &'a str,
    },
    Beat {
        beat: &'a Beat,
    },
}

/// Writes down a world's history.
pub(crate) struct Trace {
    lanes: Lanes,
    count: u64,
    sink: Option<Sink>,
    /// Looks at every event beside the sink, which sees its text only.
    watcher: Option<Box<Watcher>>,
}

/// Takes the lines of a trace, each without its newline.
pub(crate) struct Sink(pub(crate) Box<dyn FnMut(&str)>);

impl Trace {
    /// A trace that gives each line to `sink`, and is nothing but a hash without one.
    pub(crate) fn new(sink: Option<Sink>) -> Self {
        Self { lanes: Lanes([0x6A09_E667_F3BC_C908, 0xBB67_AE85_84CA_A73B]), count: 0, sink, watcher: None }
    }

    pub(crate) fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(Box::new(watcher));
    }

    pub(crate) fn watcher(&self) -> Option<&Watcher> {
        self.watcher.as_deref()
    }

    pub(crate) fn record(&mut self, now: Moment, cause: EventId, happening: &Happening<'_>) -> EventId {
        self.count += 1;
        let id = EventId(self.count);
        self.lanes.word(now.0);
        self.lanes.word(cause.0);
        happening.describe(&mut self.lanes);
        if let Some(watcher) = &mut self.watcher {
            watcher.saw(now, happening);
        }
        if let Some(sink) = &mut self.sink {
            let mut line = Line::new(id.0, now.0, cause.0);
            happening.describe(&mut line);
            (sink.0)(&line.finish());
        }
        id
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.lanes.0.map(|lane| (lane ^ (lane >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)))
    }

    pub(crate) fn events(&self) -> u64 {
        self.count
    }
}

/// Two 64-bit hashes that mix differently.
struct Lanes([u64; 2]);

impl Lanes {
    fn word(&mut self, word: u64) {
        let [a, b] = &mut self.0;
        *a = (*a ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25);
        *a ^= *a >> 28;
        *b = b.rotate_left(27).wrapping_add(word ^ (*b >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
}

impl Fields for Lanes {
    fn number(&mut self, _: &'static str, value: u64) {
        self.word(value);
    }

    fn text(&mut self, _: &'static str, value: &str) {
        self.word(value.len() as u64);
        for chunk in value.as_bytes().chunks(8) {
            self.word(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn log_id(&mut self, _: &'static str, value: LogId) {
        self.word(value.index.0);
        self.word(value.term.0);
    }
}

impl Happening<'_> {
    fn describe(&self, out: &mut impl Fields) {
        match self {
            Self::World { seed, voters, learners, joiners, witnesses, heartbeat, election, features } => {
                out.text("kind", "world");
                out.number("version", TRACE_VERSION);
                out.number("seed", *seed);
                out.number("voters", *voters);
                out.number("learners", *learners);
                out.number("joiners", *joiners);
                out.number("witnesses", *witnesses);
                out.number("heartbeat", *heartbeat);
                out.number("election", *election);
                out.text("features", features);
            }
            Self::Sent { envelope } => {
                out.text("kind", "sent");
                describe_envelope(envelope, out);
            }
            Self::Group { group, members } => {
                out.text("kind", "group");
                out.number("group", group.0);
                out.text("members", members);
            }
            Self::Beat { beat } => describe_beat(beat, out),
            Self::Arrived { from, to } => pair(out, "arrived", *from, *to),
            Self::Lost { from, to, why } => {
                pair(out, "lost", *from, *to);
                out.text("why", why);
            }
            Self::SnapshotSent { from, to, last } => {
                pair(out, "snapshot-sent", *from, *to);
                out.log_id("last", *last);
            }
            Self::Mended { what } => {
                out.text("kind", "mended");
                out.text("what", what);
            }
            Self::Liveness { core } => {
                out.text("kind", "liveness");
                out.text("core", core);
            }
            Self::Violated { violation } => {
                out.text("kind", "violated");
                out.text("invariant", violation.invariant.name());
                out.text("detail", &violation.detail);
            }
            of_others => of_others.describe_client(out),
        }
    }

    fn describe_client(&self, out: &mut impl Fields) {
        match self {
            Self::Invoked { client, op, kind, key, node } => {
                out.text("kind", "invoked");
                out.number("client", *client);
                out.number("op", op.0);
                out.text("what", kind);
                out.number("key", u64::from(key.0));
                out.number("node", node.0);
            }
            Self::TriedAgain { client, op, first, node } => {
                out.text("kind", "tried-again");
                out.number("client", *client);
                out.number("op", op.0);
                out.number("first", first.0);
                out.number("node", node.0);
            }
            Self::Answered { client, op, outcome, index, value } => {
                out.text("kind", "answered");
                out.number("client", *client);
                out.number("op", op.0);
                out.text("outcome", outcome);
                out.number("index", index.0);
                out.number("value", value.0);
            }
            of_a_node => of_a_node.describe_at_node(out),
        }
    }

    fn describe_at_node(&self, out: &mut impl Fields) {
        match self {
            Self::Started { node, hard_state, base, last, applied } => {
                at(out, "started", *node);
                describe_hard_state(hard_state, out);
                out.log_id("base", *base);
                out.log_id("last", *last);
                out.log_id("applied", *applied);
            }
            Self::Role { node, role, term, leader } => {
                at(out, "role", *node);
                out.text("role", role_name(*role));
                out.number("term", term.0);
                out.number("leader", leader.unwrap_or_default().0);
            }
            Self::Commit { node, index } => {
                at(out, "commit", *node);
                out.number("index", index.0);
            }
            Self::Timer { node } => at(out, "timer", *node),
            Self::SnapshotDone { node, to, installed } => {
                at(out, "snapshot-done", *node);
                out.number("to", to.0);
                out.number("installed", u64::from(*installed));
            }
            Self::Membership { node, voters, learners, outgoing } => {
                at(out, "membership", *node);
                out.number("voters", *voters);
                out.number("learners", *learners);
                out.number("outgoing", *outgoing);
            }
            Self::Change { node, operations, outcome } => {
                at(out, "change", *node);
                out.number("operations", *operations);
                out.text("outcome", outcome);
            }
            Self::Retired { node } => at(out, "retired", *node),
            Self::PeerGone { node, peer } => {
                at(out, "peer-gone", *node);
                out.number("peer", peer.0);
            }
            Self::Alarm { node, what } => {
                at(out, "alarm", *node);
                out.text("what", what);
            }
            Self::Intervention { number, what, node } => {
                at(out, "intervention", *node);
                out.number("number", u64::from(*number));
                out.text("what", what);
            }
            Self::Crashed { node } => at(out, "crashed", *node),
            Self::Resumed { node } => at(out, "resumed", *node),
            of_its_work => of_its_work.describe_work(out),
        }
    }

    fn describe_work(&self, out: &mut impl Fields) {
        match self {
            Self::Writing { node, write } => {
                at(out, "writing", *node);
                describe_write(write, out);
            }
            Self::Written { node, last } => at_entry(out, "written", *node, *last),
            Self::WriteFailed { node } => at(out, "write-failed", *node),
            Self::NoSpace { node } => at(out, "no-space", *node),
            Self::Fetched { node, first, count, outcome } => {
                at(out, "fetched", *node);
                out.number("first", first.0);
                out.number("count", *count);
                out.text("outcome", outcome);
            }
            Self::Applied { node, last, hash } => {
                at_entry(out, "applied", *node, *last);
                out.number("hash", *hash);
            }
            Self::Checkpoint { node, last } => at_entry(out, "checkpoint", *node, *last),
            Self::Compacted { node, base } => at_entry(out, "compacted", *node, *base),
            Self::SnapshotInstalled { node, last } => at_entry(out, "snapshot-installed", *node, *last),
            // The others describe these.
            Self::World { .. }
            | Self::Started { .. }
            | Self::Role { .. }
            | Self::Commit { .. }
            | Self::Timer { .. }
            | Self::Sent { .. }
            | Self::Arrived { .. }
            | Self::Lost { .. }
            | Self::SnapshotSent { .. }
            | Self::SnapshotDone { .. }
            | Self::Membership { .. }
            | Self::Change { .. }
            | Self::Retired { .. }
            | Self::PeerGone { .. }
            | Self::Alarm { .. }
            | Self::Intervention { .. }
            | Self::Mended { .. }
            | Self::Crashed { .. }
            | Self::Resumed { .. }
            | Self::Liveness { .. }
            | Self::Invoked { .. }
            | Self::TriedAgain { .. }
            | Self::Answered { .. }
            | Self::Group { .. }
            | Self::Beat { .. }
            | Self::Violated { .. } => {}
        }
    }
}

fn describe_beat(beat: &Beat, out: &mut impl Fields) {
    pair(out, "beat", beat.from, beat.to);
    out.number("heartbeats", beat.heartbeats.len() as u64);
    out.number("answers", beat.answers.len() as u64);
    out.number("version", beat.vouch.version);
    out.number("changes", beat.vouch.changes.len() as u64);
    out.number("refusals", beat.refusals.len() as u64);
}

fn at(out: &mut impl Fields, kind: &str, node: NodeId) {
    out.text("kind", kind);
    out.number("node", node.0);
}

fn at_entry(out: &mut impl Fields, kind: &str, node: NodeId, last: LogId) {
    at(out, kind, node);
    out.log_id("last", last);
}

fn pair(out: &mut impl Fields, kind: &str, from: NodeId, to: NodeId) {
    out.text("kind", kind);
    out.number("from", from.0);
    out.number("to", to.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn a_line_is_json_and_text_is_escaped() {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&lines);
        let mut trace =
            Trace::new(Some(Sink(Box::new(move |line: &str| sink.borrow_mut().push(line.to_string())))));
        let alarm = Happening::Alarm { node: NodeId(2), what: "a \"quote\"\n" };
        let cause = trace.record(Moment(5), EventId(0), &alarm);
        let written = Happening::Written { node: NodeId(1), last: LogId::new(Term(3), Index(9)) };
        trace.record(Moment(6), cause, &written);
        assert_eq!(
            *lines.borrow(),
            [
                r#"{"id":1,"at":5,"cause":0,"kind":"alarm","node":2,"what":"a \"quote\"\n"}"#,
                r#"{"id":2,"at":6,"cause":1,"kind":"written","node":1,"last":[9,3]}"#,
            ]
        );
    }

    #[test]
    fn the_hash_sees_every_field_and_the_order() {
        let hash = |events: &[(u64, u64)]| {
            let mut trace = Trace::new(None);
            for (at, node) in events {
                trace.record(Moment(*at), EventId(0), &Happening::Timer { node: NodeId(*node) });
            }
            trace.hash()
        };
        assert_eq!(hash(&[(1, 1), (2, 2)]), hash(&[(1, 1), (2, 2)]));
        assert_ne!(hash(&[(1, 1), (2, 2)]), hash(&[(2, 2), (1, 1)]));
        assert_ne!(hash(&[(1, 1)]), hash(&[(1, 2)]));
        assert_ne!(hash(&[(1, 1)]), hash(&[(2, 1)]));
    }
}
