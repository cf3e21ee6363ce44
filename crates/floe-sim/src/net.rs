//! The network: links with delay, loss, copies, replays, clogs, and cuts of single directions.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use floe_raft::{Envelope, LogId, Membership, NodeId, SnapshotOutcome};

use crate::action::Link;
use crate::clock::{MS, Moment};
use crate::machine::Machine;
use crate::plan::NetworkPlan;
use crate::rng::{Rng, Stream};
use crate::trace::EventId;

/// Something on its way between two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Packet<B = Body> {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    /// The event that sent it.
    pub(crate) cause: EventId,
    pub(crate) body: B,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A message of the core.
    Raft(Envelope),
    /// A message of the core and the state that arrives beside it.
    Snapshot { envelope: Envelope, transfer: TransferId, state: Rc<SnapshotState> },
    /// What became of a snapshot, told by the receiving host to the sending one.
    SnapshotDone { transfer: TransferId, outcome: SnapshotOutcome },
}

/// Names one transfer of a snapshot in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransferId(pub(crate) u64);

/// Applied state as it travels.
#[derive(Debug)]
pub(crate) struct SnapshotState {
    pub(crate) last: LogId,
    pub(crate) membership: Membership,
    pub(crate) machine: Machine,
}

/// All links of a world.
#[derive(Debug)]
pub(crate) struct Network<B = Body> {
    plan: NetworkPlan,
    rng: Rng,
    /// How many cuts each directed link has.
    cuts: BTreeMap<Link, u32>,
    clogs: BTreeMap<Link, Moment>,
    /// Links that take so long, whatever the others do.
    slow: BTreeMap<Link, u64>,
    /// When the last packet of each link arrives, for those that keep the order.
    last_arrival: BTreeMap<Link, Moment>,
    /// Some of the packets ever sent, to be sent again.
    past: Vec<Packet<B>>,
    sent: u64,
    /// The nodes between which the network is perfect now.
    healed: BTreeSet<NodeId>,
}

/// How many old packets are kept for replays.
const PAST: usize = 128;

impl<B: Clone> Network<B> {
    pub(crate) fn new(seed: u64, plan: NetworkPlan) -> Self {
        Self {
            plan,
            rng: Rng::new(seed, Stream::Network),
            cuts: BTreeMap::new(),
            clogs: BTreeMap::new(),
            slow: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            past: Vec::new(),
            sent: 0,
            healed: BTreeSet::new(),
        }
    }

    /// Takes a packet and returns what arrives when, in `arrivals`. `extra` is the time that the sheer size of the
    /// packet takes. Returns why it is lost, if it is.
    pub(crate) fn send(
        &mut self,
        now: Moment,
        packet: Packet<B>,
        extra: u64,
        arrivals: &mut Vec<(Moment, Packet<B>)>,
    ) -> Option<&'static str> {
        let link = Link { from: packet.from, to: packet.to };
        if self.perfect(link) {
            let at = self.in_order(link, now.plus(self.plan.delay_min.min(MS) + extra.min(MS)), true);
            arrivals.push((at, packet));
            return None;
        }
        self.remember(&packet);
        if self.rng.chance(self.plan.replay)
            && let Some(old) = self.rng.pick(&self.past).cloned()
        {
            let old_link = Link { from: old.from, to: old.to };
            let late = self.delay(old_link);
            if !self.is_cut(old_link) {
                arrivals.push((now.plus(late), old));
            }
        }
        if self.is_cut(link) {
            return Some("cut");
        }
        if self.rng.chance(self.plan.loss) {
            return Some("loss");
        }
        if self.rng.chance(self.plan.duplicate) {
            let at = now.plus(self.delay(link) + extra);
            arrivals.push((at, packet.clone()));
        }
        let at = now.plus(self.delay(link) + extra);
        let ordered = self.plan.ordered;
        let at = self.in_order(link, at, ordered);
        arrivals.push((at, packet));
        None
    }

    /// Whether what was sent still arrives: a cut also takes what is under way.
    pub(crate) fn delivers(&self, from: NodeId, to: NodeId) -> bool {
        let link = Link { from, to };
        self.perfect(link) || !self.is_cut(link)
    }

    pub(crate) fn cut(&mut self, links: &[Link]) {
        for link in links {
            *self.cuts.entry(*link).or_default() += 1;
        }
    }

    pub(crate) fn mend(&mut self, links: &[Link]) {
        for link in links {
            if let Some(count) = self.cuts.get_mut(link) {
                *count -= 1;
                if *count == 0 {
                    self.cuts.remove(link);
                }
            }
        }
    }

    /// All links carry again.
    pub(crate) fn mend_all(&mut self) {
        self.cuts.clear();
        self.clogs.clear();
    }

    /// The links that carry nothing.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = Link> + '_ {
        self.cuts.keys().copied()
    }

    /// The links that take a time of their own.
    pub(crate) fn slow_links(&self) -> impl Iterator<Item = (Link, u64)> + '_ {
        self.slow.iter().map(|(link, delay)| (*link, *delay))
    }

    /// This link takes so long from now on.
    pub(crate) fn set_delay(&mut self, link: Link, delay: u64) {
        self.slow.insert(link, delay);
    }

    /// How all links are from now on.
    pub(crate) fn plan_mut(&mut self) -> &mut NetworkPlan {
        &mut self.plan
    }

    pub(crate) fn clog(&mut self, link: Link, until: Moment) {
        let end = self.clogs.entry(link).or_default();
        *end = until.max(*end);
    }

    /// Makes the links between these nodes perfect, and leaves all the others as they are.
    pub(crate) fn heal(&mut self, nodes: BTreeSet<NodeId>) {
        self.healed = nodes;
        self.last_arrival.clear();
    }

    fn perfect(&self, link: Link) -> bool {
        !self.healed.is_empty() && self.healed.contains(&link.from) && self.healed.contains(&link.to)
    }

    fn is_cut(&self, link: Link) -> bool {
        !self.cuts.is_empty() && self.cuts.contains_key(&link)
    }

    fn delay(&mut self, link: Link) -> u64 {
        if let Some(delay) = self.slow.get(&link) {
            return *delay;
        }
        let mut delay = self.plan.delay_min + self.rng.exponential(self.plan.delay_mean);
        if self.plan.delay_spread > 0 {
            delay += self.rng.below(self.plan.delay_spread + 1);
        }
        if self.rng.chance(self.plan.late) {
            delay += self.rng.below(self.plan.late_max);
        }
        delay
    }

    fn in_order(&mut self, link: Link, at: Moment, ordered: bool) -> Moment {
        let mut at = at;
        if !self.clogs.is_empty()
            && !self.perfect(link)
            && let Some(end) = self.clogs.get(&link)
        {
            at = at.max(*end);
        }
        if ordered {
            let last = self.last_arrival.entry(link).or_default();
            at = at.max(*last);
            *last = at;
        }
        at
    }

    /// Keeps a sample of all packets ever sent, in which every one of them is equally likely (reservoir sampling),
    /// so that a replayed packet may be very old.
    fn remember(&mut self, packet: &Packet<B>) {
        if self.plan.replay == 0 {
            return;
        }
        self.sent += 1;
        if self.past.len() < PAST {
            self.past.push(packet.clone());
        } else if let Some(slot) = self.past.get_mut(self.rng.below(self.sent) as usize) {
            *slot = packet.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::{Message, Term};

    fn packet(from: u64, to: u64) -> Packet {
        let (from, to) = (NodeId(from), NodeId(to));
        let envelope = Envelope { from, to, term: Term(1), message: Message::VoteReply { granted: true } };
        Packet { from, to, cause: EventId(0), body: Body::Raft(envelope) }
    }

    fn send(network: &mut Network, at: u64, from: u64, to: u64) -> Vec<Moment> {
        let mut arrivals = Vec::new();
        network.send(Moment(at), packet(from, to), 0, &mut arrivals);
        arrivals.into_iter().map(|(at, _)| at).collect()
    }

    fn calm() -> NetworkPlan {
        NetworkPlan { delay_min: 100, delay_mean: 1_000, ordered: true, ..NetworkPlan::default() }
    }

    #[test]
    fn an_ordered_link_keeps_the_order() {
        let mut network = Network::new(1, calm());
        let arrivals: Vec<Moment> = (0..200).flat_map(|at| send(&mut network, at, 1, 2)).collect();
        assert_eq!(arrivals.len(), 200);
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn a_cut_has_one_direction_and_counts() {
        let mut network = Network::new(1, calm());
        let links = [Link { from: NodeId(1), to: NodeId(2) }];
        network.cut(&links);
        network.cut(&links);
        assert!(send(&mut network, 0, 1, 2).is_empty());
        assert_eq!(send(&mut network, 0, 2, 1).len(), 1);
        network.mend(&links);
        assert!(send(&mut network, 0, 1, 2).is_empty());
        network.mend(&links);
        assert_eq!(send(&mut network, 0, 1, 2).len(), 1);
    }

    #[test]
    fn healing_reaches_the_chosen_only() {
        let mut network = Network::new(1, NetworkPlan { loss: 1_000_000, ..calm() });
        network.heal(BTreeSet::from([NodeId(1), NodeId(2)]));
        assert_eq!(send(&mut network, 0, 1, 2).len(), 1);
        assert!(send(&mut network, 0, 1, 3).is_empty());
    }

    #[test]
    fn duplicates_and_replays_arrive() {
        let mut network = Network::new(1, NetworkPlan { duplicate: 500_000, replay: 500_000, ..calm() });
        let arrivals: usize = (0..1_000).map(|at| send(&mut network, at, 1, 2).len()).sum();
        assert!((1_850..2_150).contains(&arrivals), "{arrivals} packets arrived of 1,000");
    }

    #[test]
    fn a_clog_holds_packets_back() {
        let mut network = Network::new(1, calm());
        network.clog(Link { from: NodeId(1), to: NodeId(2) }, Moment(1_000_000));
        assert!(send(&mut network, 0, 1, 2)[0] >= Moment(1_000_000));
        assert!(send(&mut network, 0, 2, 1)[0] < Moment(1_000_000));
    }
}
