//! One node, spoken to by hand: what correct peers never say, or say only by a network that is late for a whole term.

use std::time::Duration;

use bytes::Bytes;
use floe_raft::{
    Alarm, Config, Effect, Entry, EntryKind, Envelope, HardState, Index, LogId, Membership, MembershipChange,
    MembershipOperation, Message, Node, NodeId, ReadId, ReadMode, Restored, RoleKind, Round, Term, Time,
};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}

/// A node of three whose disk and state machine are fast.
struct Alone {
    node: Node,
    now: Time,
}

impl Alone {
    fn new(config: Config) -> Self {
        Self::member_of(Membership::of_voters([N1, N2, N3]), config)
    }

    fn member_of(membership: Membership, config: Config) -> Self {
        let restored = Restored {
            // It has been in some terms before.
            hard_state: HardState { term: Term(4), vote: None },
            membership,
            ..Restored::default()
        };
        let now = Time(1_000_000_000);
        let node = Node::new(now, 1, config, restored).expect("a member of a group of three");
        Self { node, now }
    }

    /// Leads in term 5, with a no-op that n2 has.
    fn leading(config: Config) -> Self {
        let mut alone = Self::new(config);
        alone.now = alone.node.poll_timeout().expect("a follower waits for its leader");
        alone.node.handle_timeout(alone.now);
        alone.settle();
        alone.hear(N2, 5, Message::PreVoteReply { granted: true });
        alone.hear(N2, 5, Message::VoteReply { granted: true });
        alone.hear(N2, 5, Message::AppendOk { matched: Index(1) });
        assert_eq!((alone.node.is_leader(), alone.node.commit()), (true, Index(1)));
        alone
    }

    fn hear(&mut self, from: NodeId, term: u64, message: Message) -> Vec<Effect> {
        self.node.handle_message(self.now, Envelope { from, to: N1, term: Term(term), message });
        self.settle()
    }

    /// Time passes, and its timers fire.
    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        let end = self.now.plus(time);
        let mut effects = Vec::new();
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            effects.extend(self.settle());
        }
        self.now = end;
        effects
    }

    fn settle(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.node.poll_effect() {
            match &effect {
                Effect::Persist(write) => self.node.handle_persisted(self.now, write.id),
                Effect::Apply(entries) => {
                    let last = entries.last().expect("a batch is not empty").id.index;
                    self.node.handle_applied(self.now, last);
                }
                _ => {}
            }
            effects.push(effect);
        }
        effects
    }

    fn matched(&self, peer: NodeId) -> Index {
        self.node.status().progress[&peer].matched
    }
}

fn config() -> Config {
    Config::new(N1)
}

fn invited(effects: &[Effect]) -> Vec<NodeId> {
    let to = |effect: &Effect| match effect {
        Effect::Send(Envelope { to, message: Message::TimeoutNow { .. }, .. }) => Some(*to),
        _ => None,
    };
    effects.iter().filter_map(to).collect()
}

/// openraft cecb5de8: an acknowledgement of a term that is over says nothing about the log of this one.
#[test]
fn an_acknowledgement_of_an_older_term_counts_for_nothing() {
    let mut alone = Alone::leading(config());
    let proposed = alone.node.propose(alone.now, "x".into()).expect("it leads");
    alone.settle();
    for from in [N2, N3] {
        alone.hear(from, 4, Message::AppendOk { matched: proposed.index });
    }
    assert_eq!((alone.matched(N2), alone.matched(N3)), (Index(1), Index(0)));
    assert_eq!(alone.node.commit(), Index(1));
    alone.hear(N3, 5, Message::AppendOk { matched: proposed.index });
    assert_eq!((alone.matched(N3), alone.node.commit()), (proposed.index, proposed.index));
}

/// tikv #9208: nor does an answer to a heartbeat of an older term confirm a read of this one, or that anybody answers.
#[test]
fn an_answer_to_a_heartbeat_of_an_older_term_counts_for_nothing() {
    let mut alone = Alone::leading(config());
    alone.node.read(alone.now, ReadId(1), ReadMode::Index).expect("it leads");
    alone.settle();
    let is_ready =
        |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::ReadReady { .. }));
    for round in 1..9 {
        assert!(!is_ready(alone.hear(N2, 4, Message::HeartbeatReply { round: Round(round) })));
    }
    assert!(is_ready(alone.hear(N2, 5, Message::HeartbeatReply { round: Round(2) })));
    // From here on only answers of the term before come: it steps down after an election timeout, or two.
    for _ in 0..20 {
        alone.pass(Duration::from_millis(30));
        alone.hear(N2, 4, Message::HeartbeatReply { round: Round(1) });
    }
    assert_eq!(alone.node.status().role, RoleKind::Follower);
}

/// A vote of the campaign before is not one for this campaign.
#[test]
fn a_vote_of_an_older_term_counts_for_nothing() {
    let mut alone = Alone::new(Config { pre_vote: false, ..config() });
    alone.now = alone.node.poll_timeout().expect("a follower waits for its leader");
    alone.node.handle_timeout(alone.now);
    alone.settle();
    assert_eq!((alone.node.status().role, alone.node.term()), (RoleKind::Candidate, Term(5)));
    alone.hear(N2, 4, Message::VoteReply { granted: true });
    assert_eq!(alone.node.status().role, RoleKind::Candidate);
    alone.hear(N2, 5, Message::VoteReply { granted: true });
    assert_eq!(alone.node.status().role, RoleKind::Leader);
}

/// An answer is to one request of one leader: one to an earlier request may name an index from before the read.
#[test]
fn a_read_is_confirmed_by_the_leader_and_by_the_answer_to_its_own_request() {
    let mut alone = Alone::new(config());
    alone.hear(N2, 5, Message::Heartbeat { commit: Index(0), round: Round(1) });
    alone.node.read(alone.now, ReadId(1), ReadMode::Index).expect("it has a leader");
    let asked = alone.settle().into_iter().find_map(|effect| match effect {
        Effect::Send(Envelope { to: N2, message: Message::ReadIndex { round, .. }, .. }) => Some(round),
        _ => None,
    });
    let asked = asked.expect("it asks its leader");
    let mut answer = |from, round| {
        let effects =
            alone.hear(from, 5, Message::ReadIndexReply { round: Round(round), index: Some(Index(0)) });
        effects.iter().any(|effect| matches!(effect, Effect::ReadReady { .. } | Effect::ReadAborted { .. }))
    };
    assert!(!answer(N2, asked.0 - 1));
    assert!(!answer(N2, asked.0 + 1));
    assert!(!answer(N3, asked.0));
    assert!(answer(N2, asked.0));
    assert!(!answer(N2, asked.0), "it is answered once");
}

/// Its sender has left the term in which the command was passed on to it, and so does who hears of it; but not for one
/// that is leaving the group.
#[test]
fn the_answer_to_a_command_tells_of_a_later_term() {
    let answer = || Message::ProposeReply { outcomes: Vec::new() };
    let mut alone = Alone::new(config());
    alone.hear(N2, 5, Message::Heartbeat { commit: Index(0), round: Round(1) });
    alone.hear(N2, 5, answer());
    assert_eq!((alone.node.term(), alone.node.leader()), (Term(5), Some(N2)));
    alone.hear(N2, 6, answer());
    assert_eq!((alone.node.term(), alone.node.leader()), (Term(6), None));

    let mut alone = Alone::leading(config());
    let remove = MembershipChange {
        forced: true,
        ..MembershipChange::new([MembershipOperation::Remove { node: N3 }])
    };
    alone.node.change_membership(alone.now, &remove).expect("it leads");
    alone.settle();
    alone.hear(N3, 9, answer());
    assert_eq!((alone.node.term(), alone.node.is_leader()), (Term(5), true));
    assert!(!alone.node.status().progress.contains_key(&N3));
    alone.hear(N2, 9, answer());
    assert_eq!((alone.node.term(), alone.node.is_leader()), (Term(9), false));
}

/// Its leader may have sent the invitation to a voter that is one no more.
#[test]
fn only_a_voter_with_data_accepts_an_invitation_to_campaign() {
    let three = Membership::of_voters([N1, N2, N3]);
    let learner = Membership { learners: [N1].into(), ..Membership::of_voters([N2, N3]) };
    let witness = Membership { witnesses: [N1].into(), ..three.clone() };
    let invited = |membership, witness| {
        let mut alone = Alone::member_of(membership, Config { witness, ..config() });
        alone.hear(N2, 5, Message::Heartbeat { commit: Index(0), round: Round(1) });
        alone.hear(N2, 5, Message::TimeoutNow { last: LogId::ZERO });
        alone.node.status().role
    };
    assert_eq!(invited(three, false), RoleKind::Candidate);
    assert_eq!(invited(learner, false), RoleKind::Follower);
    assert_eq!(invited(witness, true), RoleKind::Follower);
}

/// What a peer says of its priority may be long out of date, or a lie.
#[test]
fn nobody_is_handed_the_lead_who_is_less_preferred_or_no_member() {
    let asked = |from, priority| {
        let mut alone = Alone::leading(Config { priority: 100, ..config() });
        let mut effects = Vec::new();
        for _ in 0..20 {
            let round = Round(alone.node.status().progress.len() as u64 - 1);
            alone.hear(N2, 5, Message::HeartbeatReply { round });
            alone.hear(from, 5, Message::Priority { priority });
            effects.extend(alone.pass(Duration::from_millis(30)));
        }
        assert!(alone.node.is_leader());
        invited(&effects)
    };
    assert_eq!(asked(N2, 99), []);
    assert_eq!(asked(N2, 100), []);
    assert_eq!(asked(NodeId(9), 200), []);
    assert_eq!(asked(N2, 101).first(), Some(&N2));
}

fn alarms(effects: Vec<Effect>) -> Vec<Alarm> {
    let alarm = |effect| match effect {
        Effect::Alarm(alarm) => Some(alarm),
        _ => None,
    };
    effects.into_iter().filter_map(alarm).collect()
}

/// Somebody's disk was lost: what is committed here stays, and a person is told.
#[test]
fn an_entry_that_contradicts_a_committed_one_is_refused() {
    let entry = |id| Entry { id, kind: EntryKind::Noop, payload: Bytes::new() };
    let append = |prev, ids: &[LogId]| {
        let entries = ids.iter().map(|id| entry(*id)).collect();
        Message::Append { prev, entries, commit: Index(0) }
    };
    let conflict = |index| vec![Alarm::CommittedConflict { from: N2, index: Index(index) }];
    // It committed 1@5, and not 2@5.
    let deposed = || {
        let mut alone = Alone::leading(config());
        alone.node.propose(alone.now, "x".into()).expect("it leads");
        alone.hear(N2, 6, Message::Heartbeat { commit: Index(0), round: Round(1) });
        assert_eq!((alone.node.commit(), alone.node.last()), (Index(1), id(2, 5)));
        alone
    };
    for message in [
        append(id(0, 0), &[id(1, 6)]),
        append(id(0, 0), &[id(1, 4), id(2, 4)]),
        append(id(1, 4), &[]),
        append(id(1, 4), &[id(2, 5)]),
    ] {
        let mut alone = deposed();
        assert_eq!(alarms(alone.hear(N2, 6, message.clone())), conflict(1), "{message:?}");
        assert_eq!((alone.node.commit(), alone.node.last()), (Index(1), id(2, 5)));
    }
    let mut alone = deposed();
    assert_eq!(alarms(alone.hear(N2, 6, append(id(1, 5), &[id(2, 6)]))), []);
    assert_eq!(alone.node.last(), id(2, 6));

    // Nor does one that nobody elects drop it for what it pulled.
    let pulled = |first| Message::PullReply { prev: id(0, 0), entries: vec![entry(first)], last: first };
    let mut alone = deposed();
    alone.pass(Duration::from_secs(1));
    assert_eq!(alone.node.leader(), None);
    assert_eq!(alarms(alone.hear(N2, 6, pulled(id(1, 6)))), conflict(1));
    assert_eq!(alone.node.last(), id(2, 5));
}

/// A leader of a term that has one, a message from oneself, and one to another: none is acted on.
#[test]
fn a_message_that_cannot_be_is_named_or_dropped() {
    let heartbeat = || Message::Heartbeat { commit: Index(0), round: Round(1) };
    let mut alone = Alone::new(config());
    alone.hear(N2, 5, heartbeat());
    let bad = |from, reason| vec![Alarm::BadMessage { from, reason }];
    assert_eq!(alarms(alone.hear(N3, 5, heartbeat())), bad(N3, "it leads a term that another leads"));
    assert_eq!(alone.node.leader(), Some(N2));
    let beyond = Message::Heartbeat { commit: Index(1), round: Round(2) };
    let reason = "it commits what was not acknowledged; was this node's disk lost?";
    assert_eq!(alarms(alone.hear(N2, 5, beyond)), bad(N2, reason));
    let term = alone.node.term();
    assert_eq!(alone.hear(N1, 9, heartbeat()), []);
    let to_another = Envelope { from: N2, to: N3, term: Term(9), message: heartbeat() };
    alone.node.handle_message(alone.now, to_another);
    assert_eq!((alone.settle(), alone.node.term()), (Vec::new(), term));

    let mut leader = Alone::leading(config());
    assert_eq!(alarms(leader.hear(N2, 5, heartbeat())), [Alarm::TwoLeaders { other: N2, term: Term(5) }]);
    let too_much = Message::AppendOk { matched: Index(2) };
    assert_eq!(alarms(leader.hear(N2, 5, too_much)), bad(N2, "it acknowledges entries that were never sent"));
    let unsent = Message::HeartbeatReply { round: Round(99) };
    assert_eq!(alarms(leader.hear(N2, 5, unsent)), bad(N2, "it answers a heartbeat that was never sent"));
    assert!(leader.node.is_leader());
    // A snapshot of what is committed here as another entry.
    let mut behind = Alone::leading(config());
    behind.hear(N2, 6, heartbeat());
    let membership = Membership::of_voters([N1, N2, N3]);
    let snapshot = Message::Snapshot { last: id(1, 4), membership };
    let conflict = Alarm::CommittedConflict { from: N2, index: Index(1) };
    assert_eq!(alarms(behind.hear(N2, 6, snapshot)), [conflict]);
}
