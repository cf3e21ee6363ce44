//! A virtual network: one queue a directed link, links that are cut, and links whose messages wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use floe_raft::{Envelope, Message, NodeId, SnapshotOutcome};

use crate::machine::Machine;

/// A directed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

/// What travels on a link.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// A message of the protocol.
    Message(Envelope),
    /// A snapshot: the hosts stream the state, and its arrival is announced to the core by a message.
    Snapshot(Envelope, Box<Machine>),
    /// The receiving host tells the sending host what became of a snapshot.
    Receipt(SnapshotOutcome),
}

impl Parcel {
    /// The kind of message, as scripts name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Message(envelope) => kind(&envelope.message),
            Self::Snapshot(..) => "snapshot",
            Self::Receipt(_) => "receipt",
        }
    }
}

/// The name of a message in scripts.
pub(crate) fn kind(message: &Message) -> &'static str {
    match message {
        Message::PreVote { .. } => "pre-vote",
        Message::PreVoteReply { .. } => "pre-vote-reply",
        Message::Vote { .. } => "vote",
        Message::VoteReply { .. } => "vote-reply",
        Message::Append { .. } => "append",
        Message::AppendOk { .. } => "append-ok",
        Message::AppendReject { .. } => "append-reject",
        Message::Heartbeat { .. } => "heartbeat",
        Message::HeartbeatReply { .. } => "heartbeat-reply",
        Message::Snapshot { .. } => "snapshot",
        Message::ReadIndex { .. } => "read-index",
        Message::ReadIndexReply { .. } => "read-index-reply",
        Message::Propose { .. } => "propose",
        Message::ProposeReply { .. } => "propose-reply",
        Message::Pull { .. } => "pull",
        Message::PullReply { .. } => "pull-reply",
        Message::TimeoutNow { .. } => "timeout-now",
        Message::Priority { .. } => "priority",
    }
}

/// The links of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// What is on its way, oldest first.
    pub(crate) queues: BTreeMap<Link, VecDeque<Parcel>>,
    /// Links that lose whatever enters them.
    cut: BTreeSet<Link>,
    /// Links whose parcels, all or those of one kind, move only when a script delivers them by name.
    delayed: BTreeMap<Link, Option<String>>,
}

/// Which parcels a script means: those that match everything it named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) from: Option<NodeId>,
    pub(crate) to: Option<NodeId>,
    pub(crate) kind: Option<&'a str>,
}

impl Filter<'_> {
    pub(crate) fn matches(&self, link: Link) -> bool {
        self.from.is_none_or(|from| from == link.from) && self.to.is_none_or(|to| to == link.to)
    }
}

impl Network {
    /// Puts a parcel on its link; whether the link is whole.
    pub(crate) fn send(&mut self, link: Link, parcel: Parcel) -> bool {
        let whole = !self.is_cut(link);
        if whole {
            self.queues.entry(link).or_default().push_back(parcel);
        }
        whole
    }

    pub(crate) fn is_cut(&self, link: Link) -> bool {
        self.cut.contains(&link)
    }

    pub(crate) fn is_delayed(&self, link: Link, kind: &str) -> bool {
        self.delayed
            .get(&link)
            .is_some_and(|delayed| delayed.as_deref().is_none_or(|delayed| delayed == kind))
    }

    /// From now on the link loses what enters it. What is on it already stays, and moves only when named.
    pub(crate) fn cut(&mut self, link: Link) {
        self.cut.insert(link);
    }

    /// From now on the link's parcels, or those of one kind, wait until they are named.
    pub(crate) fn delay(&mut self, link: Link, kind: Option<&str>) {
        self.delayed.insert(link, kind.map(str::to_owned));
    }

    /// Makes the matching links whole and prompt.
    pub(crate) fn heal(&mut self, filter: Filter<'_>) {
        self.cut.retain(|link| !filter.matches(*link));
        self.delayed.retain(|link, _| !filter.matches(*link));
    }

    /// Removes the matching parcels, at most `count` a link, oldest first.
    pub(crate) fn take(&mut self, filter: Filter<'_>, count: usize) -> Vec<(Link, Parcel)> {
        let mut taken = Vec::new();
        for (link, queue) in &mut self.queues {
            if !filter.matches(*link) {
                continue;
            }
            let mut left = count;
            let mut kept = VecDeque::new();
            for parcel in queue.drain(..) {
                if left > 0 && filter.kind.is_none_or(|kind| kind == parcel.kind()) {
                    left -= 1;
                    taken.push((*link, parcel));
                } else {
                    kept.push_back(parcel);
                }
            }
            *queue = kept;
        }
        taken
    }

    /// Removes the newest matching parcel of each link.
    pub(crate) fn take_newest(&mut self, filter: Filter<'_>) -> Vec<(Link, Parcel)> {
        let mut taken = Vec::new();
        for (link, queue) in &mut self.queues {
            let meant = |parcel: &Parcel| filter.kind.is_none_or(|kind| kind == parcel.kind());
            if filter.matches(*link)
                && let Some(at) = queue.iter().rposition(meant)
                && let Some(parcel) = queue.remove(at)
            {
                taken.push((*link, parcel));
            }
        }
        taken
    }

    /// Puts copies of the matching parcels at the end of their links; whether there were any.
    pub(crate) fn duplicate(&mut self, filter: Filter<'_>, count: usize) -> bool {
        let mut found = false;
        for (link, queue) in &mut self.queues {
            if !filter.matches(*link) {
                continue;
            }
            let meant = |parcel: &&Parcel| filter.kind.is_none_or(|kind| kind == parcel.kind());
            let copies: Vec<Parcel> = queue.iter().filter(meant).take(count).cloned().collect();
            found |= !copies.is_empty();
            queue.extend(copies);
        }
        found
    }

    /// Removes everything that may move by itself.
    pub(crate) fn take_prompt(&mut self) -> Vec<(Link, Parcel)> {
        let mut taken = Vec::new();
        let links: Vec<Link> = self.queues.keys().copied().filter(|link| !self.is_cut(*link)).collect();
        for link in links {
            let queue = self.queues.remove(&link).unwrap_or_default();
            for parcel in queue {
                if self.is_delayed(link, parcel.kind()) {
                    self.queues.entry(link).or_default().push_back(parcel);
                } else {
                    taken.push((link, parcel));
                }
            }
        }
        taken
    }

    /// The links with something on them.
    pub(crate) fn busy_links(&self) -> Vec<Link> {
        self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link).collect()
    }
}
