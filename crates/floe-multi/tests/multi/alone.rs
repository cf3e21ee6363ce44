//! A machine with one group that never sleeps does what its node would do alone: same effects, same deadlines, whatever
//! happens in whatever order.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_multi::{Beat, MultiConfig, MultiEffect, MultiNode, Vouch};
use floe_raft::{
    Config, Effect, Entry, Envelope, FetchId, Fetched, GroupId, Index, Membership, Message, Node, NodeId,
    ReadId, ReadMode, Restored, Time, WriteId,
};
use proptest::collection::vec;
use proptest::prelude::*;

const GROUP: GroupId = GroupId(7);
const MS: u64 = 1_000_000;

/// A node alone and its twin on a machine.
struct Twins {
    id: NodeId,
    alone: Node,
    multi: MultiNode,
    stamp: u64,
    log: Vec<Entry>,
    writes: Vec<WriteId>,
}

/// An input that waits.
#[derive(Clone, Debug)]
enum Waiting {
    Message(Envelope),
    Fetched(FetchId, Vec<Entry>),
    Applied(Index),
}

impl Twins {
    fn new(id: NodeId) -> Self {
        let membership = Membership::of_voters((1..=3).map(NodeId));
        let restored = Restored { membership, ..Restored::default() };
        let alone = Node::new(Time(0), id.0 * 77, Config::new(id), restored.clone()).unwrap();
        let config = MultiConfig { quiesce_after: None, ..MultiConfig::new(id, id.0) };
        let mut multi = MultiNode::new(Time(0), config).unwrap();
        multi.add_group(Time(0), id.0 * 77, GROUP, Config::new(id), restored).unwrap();
        Self { id, alone, multi, stamp: 0, log: Vec::new(), writes: Vec::new() }
    }

    fn input(&mut self, now: Time, waiting: Waiting) {
        match waiting {
            Waiting::Message(envelope) => {
                self.alone.handle_message(now, envelope.clone());
                self.message(now, envelope);
            }
            Waiting::Fetched(id, entries) => {
                self.alone.handle_fetched(now, id, Fetched::Entries(entries.clone()));
                self.multi.handle_fetched(now, GROUP, id, Fetched::Entries(entries));
            }
            Waiting::Applied(index) => {
                self.alone.handle_applied(now, index);
                self.multi.handle_applied(now, GROUP, index);
            }
        }
    }

    /// Heartbeats and answers reach the machine as beats.
    fn message(&mut self, now: Time, envelope: Envelope) {
        let Envelope { from, to, term, ref message } = envelope;
        self.stamp += 1;
        let mut beat = Beat {
            from,
            to,
            life: from.0,
            stamp: self.stamp,
            echo: None,
            vouch: Vouch::default(),
            refusals: Vec::new(),
            heartbeats: Vec::new(),
            answers: Vec::new(),
        };
        match *message {
            Message::Heartbeat { commit, round } => {
                beat.heartbeats.push(floe_multi::Heartbeat { group: GROUP, term, commit, round });
                self.multi.handle_beat(now, beat);
            }
            Message::HeartbeatReply { round } => {
                beat.answers.push(floe_multi::Answer { group: GROUP, term, round });
                self.multi.handle_beat(now, beat);
            }
            _ => self.multi.handle_message(now, GROUP, envelope),
        }
    }

    /// Drains both, compares, and returns what they ask for.
    fn drain(&mut self) -> Vec<Effect> {
        let is_beat = |effect: &Effect| match effect {
            Effect::Send(envelope) => {
                matches!(envelope.message, Message::Heartbeat { .. } | Message::HeartbeatReply { .. })
            }
            _ => false,
        };
        let mut effects = Vec::new();
        while let Some(effect) = self.alone.poll_effect() {
            effects.push(effect);
        }
        let rank = |effect: &Effect| match effect {
            Effect::Persist(_) => 0,
            other => 1 + u8::from(is_beat(other)),
        };
        // Writes first, beats last; a stable sort keeps the order of each kind.
        effects.sort_by_key(rank);
        let mut of_machine = Vec::new();
        while let Some(effect) = self.multi.poll_effect() {
            match effect {
                MultiEffect::Persist(batch) => {
                    of_machine.extend(batch.into_iter().map(|(_, write)| Effect::Persist(write)));
                }
                MultiEffect::Group(group, effect) => {
                    assert_eq!(group, GROUP);
                    of_machine.push(effect);
                }
                MultiEffect::Beat(Beat { from, to, vouch, heartbeats, answers, .. }) => {
                    assert_eq!(vouch, Vouch::default());
                    of_machine.extend(heartbeats.into_iter().map(|heartbeat| {
                        let floe_multi::Heartbeat { term, commit, round, .. } = heartbeat;
                        Effect::Send(Envelope {
                            from,
                            to,
                            term,
                            message: Message::Heartbeat { commit, round },
                        })
                    }));
                    of_machine.extend(answers.into_iter().map(|answer| {
                        let floe_multi::Answer { term, round, .. } = answer;
                        Effect::Send(Envelope { from, to, term, message: Message::HeartbeatReply { round } })
                    }));
                }
            }
        }
        // Beats go out machine by machine, each with its heartbeats before its answers.
        let receiver = |effect: &Effect| match effect {
            Effect::Send(envelope) if is_beat(effect) => {
                Some((envelope.to, matches!(envelope.message, Message::HeartbeatReply { .. })))
            }
            _ => None,
        };
        effects.sort_by_key(|effect| (rank(effect), receiver(effect)));
        assert_eq!(effects, of_machine);
        assert_eq!(self.alone.poll_timeout(), self.multi.poll_timeout());
        effects
    }
}

/// The world of the property: three pairs of twins, and what waits for each.
struct Story {
    now: u64,
    twins: BTreeMap<NodeId, Twins>,
    waiting: BTreeMap<NodeId, Vec<Waiting>>,
    count: u64,
}

impl Story {
    fn new() -> Self {
        let ids = (1..=3).map(NodeId);
        Self {
            now: 0,
            twins: ids.clone().map(|id| (id, Twins::new(id))).collect(),
            waiting: ids.map(|id| (id, Vec::new())).collect(),
            count: 0,
        }
    }

    fn perform(&mut self, id: NodeId) {
        let twins = self.twins.get_mut(&id).unwrap();
        for effect in twins.drain() {
            match effect {
                Effect::Persist(write) => {
                    if let Some(from) = write.truncate_from {
                        twins.log.truncate(from.0 as usize - 1);
                    }
                    twins.log.extend(write.entries);
                    twins.writes.push(write.id);
                }
                Effect::Send(envelope) => {
                    self.waiting.get_mut(&envelope.to).unwrap().push(Waiting::Message(envelope));
                }
                Effect::Apply(entries) => {
                    let applied = Waiting::Applied(entries.last().unwrap().id.index);
                    self.waiting.get_mut(&id).unwrap().push(applied);
                }
                Effect::Fetch { id: fetch, first, last, .. } => {
                    let entries = twins.log[first.0 as usize - 1..last.0 as usize].to_vec();
                    self.waiting.get_mut(&id).unwrap().push(Waiting::Fetched(fetch, entries));
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, action: u8, who: u64, number: usize) {
        let id = NodeId(who);
        let twins = self.twins.get_mut(&id).unwrap();
        let waiting = self.waiting.get_mut(&id).unwrap();
        let now = Time(self.now);
        match action {
            // Several inputs before one drain.
            0..8 => {
                for _ in 0..1 + number % 3 {
                    if !waiting.is_empty() {
                        let input = waiting.remove(if action == 0 { number % waiting.len() } else { 0 });
                        twins.input(now, input);
                    }
                }
            }
            8 => drop((!waiting.is_empty()).then(|| waiting.remove(number % waiting.len()))),
            9 => waiting.extend_from_within(..waiting.len().min(1)),
            10..13 => {
                for write in twins.writes.drain(..) {
                    twins.alone.handle_persisted(now, write);
                    twins.multi.handle_persisted(now, GROUP, write);
                }
            }
            13..15 => {
                let payload = Bytes::from(vec![1; number % 9]);
                let alone = twins.alone.propose(now, payload.clone()).ok();
                assert_eq!(alone, twins.multi.propose(now, GROUP, payload).ok());
            }
            15 => {
                self.count += 1;
                let read = ReadId(self.count);
                let alone = twins.alone.read(now, read, ReadMode::Index).is_ok();
                assert_eq!(alone, twins.multi.read(now, GROUP, read, ReadMode::Index).is_ok());
            }
            16 => {
                let to = NodeId(number as u64 % 3 + 1);
                let alone = twins.alone.transfer_leadership(now, to).is_ok();
                assert_eq!(alone, twins.multi.transfer_leadership(now, GROUP, to).is_ok());
            }
            17 => {
                let peer = NodeId(number as u64 % 3 + 1);
                twins.alone.handle_peer_gone(now, peer);
                twins.multi.handle_peer_gone(now, peer);
            }
            18..22 => self.now += number as u64 * MS / 50,
            _ => {
                let due = twins.alone.poll_timeout().unwrap();
                self.now = self.now.max(due.0);
                twins.alone.handle_timeout(Time(self.now));
                twins.multi.handle_timeout(Time(self.now));
            }
        }
        self.perform(id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn one_group_does_what_its_node_would_do_alone(
        steps in vec((0..24u8, 1..4u64, 0..1000usize), 1..1500)
    ) {
        let mut story = Story::new();
        for (action, who, number) in steps {
            story.step(action, who, number);
        }
    }
}

#[test]
fn the_story_gets_somewhere() {
    let mut story = Story::new();
    let mut random = 1u64;
    for _ in 0..30_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = random >> 33;
        story.step((bits % 24) as u8, bits / 24 % 3 + 1, (bits / 72 % 1000) as usize);
    }
    let commits = story.twins.values().map(|twins| twins.alone.commit().0).max();
    assert!(commits > Some(100), "{commits:?}");
    assert!(story.twins.values().all(|twins| twins.id == twins.multi.id()));
}
