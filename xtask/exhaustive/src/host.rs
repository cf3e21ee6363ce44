//! One real node and its host, driven by single inputs. Whatever is not an input of its own happens at once: effects
//! are drained, committed entries applied and, unless the model holds writes, the disk written.

use floe_raft::{
    Effect, Entry, Envelope, Index, Membership, MembershipChange, Message, Node, NodeId, ReadId, ReadMode,
    Time,
};

use crate::canonical::{self, HEARTBEAT};
use crate::disk::Disk;
use crate::laws::Law;
use crate::scenario::Scenario;

/// What can happen to a node.
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    /// A message arrives.
    Deliver(&'a Envelope),
    /// The timer that is due next fires.
    Fire,
    /// The oldest write becomes durable.
    Persist,
    /// The power fails and comes back; so many of the pending writes were on disk all the same.
    Crash(usize),
    /// A client proposes a command.
    Propose,
    /// An operator changes the membership.
    Change,
    /// A client asks for a read.
    Read,
    /// An operator asks the leader to hand over.
    HandOver,
    /// A heartbeat interval passes. The node is told with its next input.
    Wait,
}

/// A node, its host and its disk.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) disk: Disk,
    /// Stands still but for timeouts; with a clock, the time.
    pub(crate) now: Time,
    /// How often it was started. Each life has its own random numbers.
    lives: u64,
    /// The state machine contains this much.
    pub(crate) applied: Index,
}

/// What came of an input.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Envelope>,
    /// What was said of reads: the index, or nothing if it could not be confirmed.
    pub(crate) reads: Vec<Option<Index>>,
    /// The law that this node broke all by itself.
    pub(crate) broken: Option<Law>,
}

const BIRTH: Time = Time(1_000);

impl Host {
    /// Starts a node from a disk.
    pub(crate) fn start(scenario: &Scenario, id: NodeId, disk: Disk) -> anyhow::Result<(Self, Outcome)> {
        let node = boot(scenario, id, &disk, 1)?;
        let mut host = Self { node, disk, now: BIRTH, lives: 1, applied: Index::ZERO };
        let mut outcome = Outcome::default();
        host.settle(scenario, &mut outcome);
        Ok((host, outcome))
    }

    /// Hands over one input and does the host's work; `None` when it cannot happen now.
    pub(crate) fn step(&mut self, scenario: &Scenario, input: &Input<'_>) -> Option<Outcome> {
        let mut outcome = Outcome::default();
        match input {
            Input::Deliver(envelope) => self.node.handle_message(self.now, (*envelope).clone()),
            Input::Fire => {
                let due = self.node.poll_timeout()?;
                if scenario.timed && due > self.now {
                    return None;
                }
                self.now = self.now.max(due);
                self.node.handle_timeout(self.now);
            }
            Input::Persist => {
                let write = self.disk.complete()?;
                self.node.handle_persisted(self.now, write);
            }
            Input::Crash(kept) => {
                self.disk.crash(*kept);
                self.lives += 1;
                self.now = BIRTH;
                self.applied = Index::ZERO;
                self.node = boot(scenario, self.node.id(), &self.disk, self.lives).ok()?;
            }
            Input::Propose => {
                let nth = self.disk.written.len();
                let command = format!("{}.{nth}", self.node.id());
                self.node.propose(self.now, command.into()).ok()?;
            }
            Input::Change => {
                let operations = scenario.change.clone()?;
                // The models decide who is reachable, not the health that a leader believes in.
                let change = MembershipChange { operations: vec![operations], forced: true };
                self.node.change_membership(self.now, &change).ok()?;
            }
            // The name of the read matters to nobody but the host, and there is one at a time.
            Input::Read => {
                let mode = if scenario.timed { ReadMode::Lease } else { ReadMode::Index };
                self.node.read(self.now, ReadId(1), mode).ok()?;
            }
            Input::Wait => self.now = Time(self.now.0 + HEARTBEAT),
            Input::HandOver => self.node.transfer_leadership(self.now, scenario.heir).ok()?,
        }
        self.settle(scenario, &mut outcome);
        Some(outcome)
    }

    /// Drains effects and does the host's work, until the node is at rest.
    fn settle(&mut self, scenario: &Scenario, outcome: &mut Outcome) {
        loop {
            let before = self.applied;
            while let Some(effect) = self.node.poll_effect() {
                self.perform(effect, outcome);
            }
            if self.applied > before {
                self.node.handle_applied(self.now, self.applied);
            } else if !scenario.holds_writes
                && let Some(write) = self.disk.complete()
            {
                self.node.handle_persisted(self.now, write);
            } else {
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect, outcome: &mut Outcome) {
        match effect {
            Effect::Persist(write) => self.disk.submit(write),
            Effect::Send(envelope) => {
                if !self.may_say(&envelope) {
                    outcome.broken = Some(Law::SaidBeforeDurable);
                }
                outcome.sent.push(envelope);
            }
            Effect::Apply(entries) => {
                let follows = entries.first().is_some_and(|entry| entry.id.index == self.applied.next());
                let is_durable = |entry: &Entry| self.disk.durable.contains(entry);
                if !follows || !entries.iter().all(is_durable) {
                    outcome.broken = Some(Law::AppliedBeforeDurable);
                }
                self.applied = entries.last().map_or(self.applied, |entry| entry.id.index);
            }
            Effect::ReadReady { read: _, index } => {
                if self.applied < index {
                    outcome.broken = Some(Law::StaleRead);
                }
                outcome.reads.push(Some(index));
            }
            Effect::ReadAborted { read: _ } => outcome.reads.push(None),
            // Entries stay in memory, and nothing is compacted: neither is ever asked for.
            Effect::Fetch { .. } | Effect::SendSnapshot { .. } | Effect::InstallSnapshot { .. } => {
                outcome.broken = Some(Law::Unexpected);
            }
            // All nodes are correct, so that none has a reason to complain of another.
            Effect::Alarm(_) => outcome.broken = Some(Law::Unexpected),
            Effect::Forwarded { .. } | Effect::RoleChanged { .. } | Effect::MembershipChanged(_) => {}
        }
    }

    /// Whether the disk holds what a message says.
    fn may_say(&self, envelope: &Envelope) -> bool {
        let Envelope { from, to, term, message } = envelope;
        let voted = |vote| {
            let durable = self.disk.hard_state;
            durable.term > *term || (durable.term == *term && durable.vote == Some(vote))
        };
        match message {
            Message::Vote { .. } => voted(*from),
            Message::VoteReply { granted: true } => voted(*to),
            Message::AppendOk { matched } => {
                self.disk.hard_state.term >= *term && matched.0 <= self.disk.durable.len() as u64
            }
            _ => true,
        }
    }

    /// Two states of one digest are the same.
    pub(crate) fn digest(&self, timed: bool) -> u128 {
        let text = format!("{:?} {:?} {} {:?}", self.node, self.disk, self.lives, self.applied);
        canonical::digest(&text, self.now.0, timed)
    }
}

fn boot(scenario: &Scenario, id: NodeId, disk: &Disk, lives: u64) -> anyhow::Result<Node> {
    let config = scenario.config(id);
    let birth = scenario.birth();
    let birth = if birth.contains(id) { birth } else { Membership::default() };
    // The upper half of the seed marks the life.
    Ok(Node::new(BIRTH, lives << 32, config, disk.restored(&birth))?)
}
