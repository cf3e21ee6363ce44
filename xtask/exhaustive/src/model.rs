//! The group as stateright explores it: three nodes, and a network that forgets nothing.
//!
//! Whatever was said may arrive at any time, as often as one likes, or never. So loss, repetition, reordering, delay
//! and partitions need no actions of their own, and a state of the network is the set of what was said.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use floe_raft::{Index, RoleKind, Term};
use stateright::{Model, Property};

use crate::host::Input;
use crate::laws::{self, Law, Mark};
use crate::scenario::Left;
use crate::space::{Local, Packet, Space, Step};

/// Everything that was ever said, sorted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Network {
    pub(crate) packets: Vec<Arc<Packet>>,
    digest: u64,
}

/// Everything that was ever known as committed, in order, with the first term in which it was.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Committed {
    pub(crate) entries: Vec<(Mark, Term)>,
}

/// The read of a model; one is under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Nothing,
    /// At this node, when so much was committed.
    Waits(u8, u8),
    Served,
}

/// A state of the group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) hosts: Vec<Arc<Local>>,
    pub(crate) network: Arc<Network>,
    pub(crate) committed: Arc<Committed>,
    pub(crate) left: Left,
    pub(crate) asked: Asked,
    pub(crate) broken: Option<Law>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for host in &self.hosts {
            host.digest.hash(hasher);
        }
        self.network.digest.hash(hasher);
        self.committed.entries.hash(hasher);
        (self.left, self.asked, self.broken).hash(hasher);
    }
}

/// What may happen next.
#[derive(Clone, PartialEq)]
pub(crate) enum Action {
    Deliver(Arc<Packet>),
    Fire(usize),
    Persist(usize),
    Crash(usize),
    Propose(usize),
    Change(usize),
    Read(usize),
    HandOver(usize),
    /// A heartbeat interval passes.
    Tick,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(packet) => {
                let envelope = &packet.envelope;
                write!(f, "n{}@{} -> n{} ", envelope.from, envelope.term, envelope.to)?;
                envelope.message.fmt(f)
            }
            Self::Fire(at) => write!(f, "n{} timer", at + 1),
            Self::Persist(at) => write!(f, "n{} write done", at + 1),
            Self::Crash(at) => write!(f, "n{} crash and restart", at + 1),
            Self::Propose(at) => write!(f, "n{} propose", at + 1),
            Self::Change(at) => write!(f, "n{} change membership", at + 1),
            Self::Read(at) => write!(f, "n{} read", at + 1),
            Self::HandOver(at) => write!(f, "n{} hand over", at + 1),
            Self::Tick => write!(f, "a heartbeat interval passes"),
        }
    }
}

/// A scenario and the states that were seen of it.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) space: Arc<Space>,
    pub(crate) birth: State,
}

impl Group {
    pub(crate) fn new(space: Space) -> anyhow::Result<Self> {
        let mut network = Network::default();
        let mut hosts = Vec::new();
        for (id, disk) in space.scenario.disks() {
            let (host, sent) = space.start(id, disk)?;
            hosts.push(host);
            network.packets.extend(sent);
        }
        let left = space.scenario.left;
        let birth = State {
            hosts,
            network: Arc::new(network),
            committed: Arc::default(),
            left,
            asked: Asked::Nothing,
            broken: None,
        };
        let mut group = Self { space: Arc::new(space), birth };
        if group.space.scenario.elected {
            group.elect();
        }
        group.begin()?;
        Ok(group)
    }

    /// Lets the first node win an election and settles everything. All that is said on the way stays in the network.
    fn elect(&mut self) {
        let left = self.birth.left;
        self.birth.left.fires = 1;
        if self.space.scenario.timed {
            // By then every timer is due.
            self.birth.left.ticks = 4;
            while let Some(next) = self.tick(&self.birth) {
                self.birth = next;
            }
        }
        let mut state = self.next_state(&self.birth, Action::Fire(0)).unwrap_or_else(|| self.birth.clone());
        let mut actions = Vec::new();
        // With a clock each message once: a heartbeat that is repeated moves a deadline to and fro for ever. And with a
        // witness, whose leader goes back and forth between where it stands and how far it may be brought.
        let once = self.space.scenario.timed || !self.space.scenario.witnesses.is_empty();
        let mut delivered = BTreeSet::new();
        loop {
            state.left = Left::default();
            actions.clear();
            self.actions(&state, &mut actions);
            let Some(next) = actions.drain(..).find_map(|action| {
                let packet = match &action {
                    Action::Deliver(packet) => Some(packet.digest),
                    _ => None,
                };
                let is_again = once && packet.is_some_and(|it| delivered.contains(&it));
                let next = self.next_state(&state, action).filter(|_| !is_again)?;
                delivered.extend(packet);
                Some(next)
            }) else {
                break;
            };
            state = next;
        }
        state.left = left;
        self.birth = state;
    }

    /// Takes the steps of the prologue, which cost nothing of what may happen later.
    fn begin(&mut self) -> anyhow::Result<()> {
        let left = self.birth.left;
        let mut actions = Vec::new();
        for words in self.space.scenario.prologue {
            self.birth.left =
                Left { fires: 1, beats: 1, crashes: 1, proposals: 1, handovers: 1, ticks: 1, ..left };
            self.actions(&self.birth, &mut actions);
            let wanted = actions.drain(..).filter(|action| format!("{action:?}").starts_with(words));
            let next = wanted.filter_map(|action| self.next_state(&self.birth, action)).next();
            self.birth = next.ok_or_else(|| anyhow::anyhow!("nothing begins with \"{words}\" here"))?;
        }
        self.birth.left = left;
        Ok(())
    }

    /// The step that an action is, on which node, and what of the budget it leaves.
    fn step(&self, state: &State, action: &Action) -> Option<(usize, Arc<Step>, Left)> {
        let (at, input, key, left) = self.input(state, action)?;
        let step = self.space.step(state.hosts.get(at)?, &input, key)?;
        Some((at, step, left))
    }

    /// To which node an action is an input, which, by what name it is remembered, and what of the budget it leaves.
    fn input<'a>(&self, state: &State, action: &'a Action) -> Option<(usize, Input<'a>, u64, Left)> {
        let mut left = state.left;
        let (at, input, key) = match action {
            Action::Deliver(packet) => {
                let at = usize::try_from(packet.envelope.to.0.checked_sub(1)?).ok()?;
                (at, Input::Deliver(&packet.envelope), packet.digest)
            }
            Action::Fire(at) => {
                let leads = state.hosts[*at].seen.role == RoleKind::Leader;
                let budget = if leads { &mut left.beats } else { &mut left.fires };
                *budget = budget.checked_sub(1)?;
                (*at, Input::Fire, 0)
            }
            Action::Persist(at) => (*at, Input::Persist, 1),
            Action::Crash(at) => {
                left.crashes = left.crashes.checked_sub(1)?;
                (*at, Input::Crash(0), 2)
            }
            Action::Propose(at) => {
                left.proposals = left.proposals.checked_sub(1)?;
                (*at, Input::Propose, 3)
            }
            Action::Change(at) => {
                left.changes = left.changes.checked_sub(1)?;
                (*at, Input::Change, 4)
            }
            Action::Read(at) => {
                left.reads = left.reads.checked_sub(1)?;
                (*at, Input::Read, 5)
            }
            Action::HandOver(at) => {
                left.handovers = left.handovers.checked_sub(1)?;
                (*at, Input::HandOver, 6)
            }
            Action::Tick => return None,
        };
        Some((at, input, key, left))
    }

    fn is_dead(&self, at: usize) -> bool {
        self.space.scenario.dead.iter().any(|node| *node == at as u64 + 1)
    }

    /// Time passes for everybody. It breaks no law: what it does is to end leases.
    fn tick(&self, state: &State) -> Option<State> {
        let mut next = state.clone();
        next.left.ticks = next.left.ticks.checked_sub(1)?;
        for host in &mut next.hosts {
            if let Some(step) = self.space.step(host, &Input::Wait, 7) {
                *host = Arc::clone(&step.next);
            }
        }
        Some(next)
    }
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.birth.clone()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let is_heard = |packet: &&Arc<Packet>| !self.space.scenario.dead.contains(&packet.envelope.to.0);
        actions.extend(state.network.packets.iter().filter(is_heard).cloned().map(Action::Deliver));
        if state.left.ticks > 0 {
            actions.push(Action::Tick);
        }
        for (at, host) in state.hosts.iter().enumerate().filter(|(at, _)| !self.is_dead(*at)) {
            let leads = host.seen.role == RoleKind::Leader;
            if host.seen.pending > 0 {
                actions.push(Action::Persist(at));
            }
            if (if leads { state.left.beats } else { state.left.fires }) > 0 {
                actions.push(Action::Fire(at));
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(at));
            }
            if leads && state.left.proposals > 0 {
                actions.push(Action::Propose(at));
            }
            if leads && state.left.handovers > 0 {
                actions.push(Action::HandOver(at));
            }
            if leads && state.left.changes > 0 {
                actions.push(Action::Change(at));
            }
            if state.left.reads > 0 && matches!(state.asked, Asked::Nothing | Asked::Served) {
                actions.push(Action::Read(at));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        if action == Action::Tick {
            return self.tick(state);
        }
        let (at, step, left) = self.step(state, &action)?;
        let mut next = state.clone();
        next.left = left;
        next.hosts[at] = Arc::clone(&step.next);
        next.broken = step.broken;
        // A message that changes its receiver in nothing and is answered by what was said before is no step.
        let said = next.say(&step);
        if matches!(action, Action::Deliver(_)) && !said && step.next.digest == state.hosts[at].digest {
            return None;
        }
        next.commit(at);
        next.hear_of_reads(at, &action, &step);
        if next.broken.is_none() {
            next.broken = laws::broken(&next, at, self.space.scenario.change.is_none());
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = always();
        properties.extend(
            self.space.scenario.reaches.iter().map(|(name, reached)| Property::sometimes(name, *reached)),
        );
        properties
    }
}

/// Each law is a property of its own, so that the report names the one that was broken.
fn always() -> Vec<Property<Group>> {
    macro_rules! laws {
        ($($law:ident),*) => { [$((Law::$law, (|_, state| state.broken != Some(Law::$law)) as fn(&Group, &State) -> bool)),*] };
    }
    let conditions = laws![
        ElectionSafety,
        OneVote,
        LogMatching,
        LeaderCompleteness,
        StateMachineSafety,
        CommittedIsDurable,
        OneChange,
        StaleRead,
        LeaseIsAlone,
        SaidBeforeDurable,
        AppliedBeforeDurable,
        Unexpected,
        Panicked
    ];
    let name = |law| {
        Law::ALL.iter().find(|(known, _)| *known == law).map_or("a law without a name", |(_, name)| name)
    };
    conditions.into_iter().map(|(law, condition)| Property::always(name(law), condition)).collect()
}

impl State {
    /// Adds what a node says to what was said; whether any of it is new.
    fn say(&mut self, step: &Step) -> bool {
        let is_new = |packet: &&Arc<Packet>| self.network.find(packet).is_err();
        let fresh: Vec<_> = step.sent.iter().filter(is_new).cloned().collect();
        if fresh.is_empty() {
            return false;
        }
        let mut packets = self.network.packets.clone();
        let mut digest = self.network.digest;
        for packet in fresh {
            let Err(place) = packets.binary_search_by_key(&packet.digest, |known| known.digest) else {
                continue;
            };
            let against = packets.iter().find_map(|known| known.claim.contradiction(packet.claim));
            self.broken = self.broken.or(against);
            digest = digest.wrapping_add(packet.digest);
            packets.insert(place, packet);
        }
        self.network = Arc::new(Network { packets, digest });
        true
    }

    /// The commit index of a node may have moved: what it covers is committed for ever.
    fn commit(&mut self, at: usize) {
        let seen = &self.hosts[at].seen;
        let upto = usize::try_from(seen.commit.0).unwrap_or(usize::MAX);
        let known = &self.committed.entries;
        let Some(covered) = seen.written.get(..upto) else {
            self.broken = Some(Law::StateMachineSafety);
            return;
        };
        if covered.iter().zip(known).any(|(mark, (known, _))| mark != known) {
            self.broken = Some(Law::StateMachineSafety);
        } else if covered.len() > known.len() {
            let fresh = covered[known.len()..].iter().map(|mark| (*mark, seen.term));
            let entries = known.iter().copied().chain(fresh).collect();
            self.committed = Arc::new(Committed { entries });
        }
    }

    /// A read was asked for, answered, given up, or forgotten with its node.
    fn hear_of_reads(&mut self, at: usize, action: &Action, step: &Step) {
        let (node, committed) = (at as u8, self.committed.entries.len() as u8);
        match action {
            Action::Read(_) => self.asked = Asked::Waits(node, committed),
            Action::Crash(_) if matches!(self.asked, Asked::Waits(waits, _) if waits == node) => {
                self.asked = Asked::Nothing;
            }
            _ => {}
        }
        for read in &step.reads {
            let Asked::Waits(_, committed) = self.asked else { continue };
            self.asked = match read {
                Some(index) => {
                    if *index < Index(u64::from(committed)) {
                        self.broken = Some(Law::StaleRead);
                    }
                    Asked::Served
                }
                None => Asked::Nothing,
            };
        }
    }
}

impl Network {
    fn find(&self, packet: &Packet) -> Result<usize, usize> {
        self.packets.binary_search_by_key(&packet.digest, |known| known.digest)
    }
}
