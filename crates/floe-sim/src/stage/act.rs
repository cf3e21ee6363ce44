//! What a viewer can do to a world: to its machines, links, disks and clocks, and as a client or an operator.

use std::collections::BTreeSet;

use bytes::Bytes;
use floe_raft::{Membership, MembershipOperation, NodeId, RoleKind};

use super::client::Ask;
use super::script::StageError;
use super::words::NAMES;
use crate::action::{Link, Target};
use crate::check::Violation;
use crate::clock::Rate;
use crate::host::Input;
use crate::machine::Key;
use crate::members::WantedChange;
use crate::plan::NetworkPlan;
use crate::trace::{EventId, Happening};
use crate::world::{Event, Mend, World};

/// One deed of a viewer. What has a `lasts` ends after so many nanoseconds, or when it is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A client writes.
    Write {
        /// One of the eight keys.
        key: String,
        /// What.
        write: Write,
        /// Through which node; the one that the client believes to lead, if not said.
        node: Option<NodeId>,
        /// Client and sequence, if the client has a session: the same once more is the same request, sent again.
        request: Option<(u64, u64)>,
    },
    /// A client reads.
    Read {
        /// One of the eight keys.
        key: String,
        /// Through which node; the one that the client believes to lead, if not said.
        node: Option<NodeId>,
    },
    /// The process dies.
    Crash {
        /// Whose.
        node: NodeId,
        /// How long it stays down.
        lasts: Option<u64>,
    },
    /// The process is started again.
    Restart {
        /// Whose.
        node: NodeId,
    },
    /// The process stands still.
    Pause {
        /// Whose.
        node: NodeId,
        /// How long.
        lasts: Option<u64>,
    },
    /// The process goes on.
    Resume {
        /// Whose.
        node: NodeId,
    },
    /// Machine and disk are lost for ever.
    Wipe {
        /// Whose.
        node: NodeId,
    },
    /// These links carry nothing.
    Cut {
        /// Which, each direction by itself.
        links: Vec<Link>,
        /// How long.
        lasts: Option<u64>,
    },
    /// Each side talks within itself only.
    Partition {
        /// The sides.
        sides: Vec<Vec<NodeId>>,
        /// How long.
        lasts: Option<u64>,
    },
    /// All links carry again.
    Heal,
    /// A packet under way is lost.
    Lose {
        /// Its number, as in the view.
        packet: u64,
    },
    /// How all links are from now on; what is not said stays.
    Network {
        /// The least and the largest delay, in nanoseconds.
        delay: Option<[u64; 2]>,
        /// How many of a million packets are lost.
        loss: Option<u32>,
        /// How many of a million packets arrive twice.
        duplicate: Option<u32>,
        /// Whether packets overtake each other.
        reorder: Option<bool>,
    },
    /// One direction takes so long from now on.
    Delay {
        /// Which.
        link: Link,
        /// In nanoseconds.
        delay: u64,
    },
    /// What the disk does from now on.
    Disk {
        /// Whose.
        node: NodeId,
        /// What.
        mode: DiskMode,
        /// How long; of one that fails, how long the process stays down.
        lasts: Option<u64>,
    },
    /// The clock runs at this rate from now on.
    ClockRate {
        /// Whose.
        node: NodeId,
        /// In hundredths of the true rate.
        percent: u32,
    },
    /// The clock jumps ahead, as after a suspend.
    ClockAhead {
        /// Whose.
        node: NodeId,
        /// Nanoseconds.
        ahead: u64,
    },
    /// The election timeout runs out now.
    Campaign {
        /// Whose.
        node: NodeId,
    },
    /// The leader is asked to hand leadership to this node.
    Transfer {
        /// To whom.
        to: NodeId,
    },
    /// The leader is asked to change the membership, in all these ways together.
    Member {
        /// How.
        changes: Vec<Change>,
    },
    /// The node makes a snapshot of what it has applied, and lets go of the log below it.
    Snapshot {
        /// Which.
        node: NodeId,
    },
}

/// What a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// This value.
    Set(i64),
    /// So much more than there is.
    Add(i64),
}

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskMode {
    /// What it is asked for.
    Works,
    /// All takes twenty times as long.
    Slow,
    /// Nothing gets done.
    Stalls,
    /// The next write fails, and the process stops, as it must.
    Fails,
}

/// One change of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node becomes a voter at once.
    AddVoter(NodeId),
    /// A node receives the log and does not vote.
    AddLearner(NodeId),
    /// A learner becomes a voter.
    Promote(NodeId),
    /// A voter becomes a learner.
    Demote(NodeId),
    /// A member leaves.
    Remove(NodeId),
}

impl Act {
    /// Its name in traces.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Write { .. } => "write",
            Self::Read { .. } => "read",
            Self::Crash { .. } => "crash",
            Self::Restart { .. } => "restart",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Wipe { .. } => "wipe",
            Self::Cut { .. } => "cut",
            Self::Partition { .. } => "partition",
            Self::Heal => "heal",
            Self::Lose { .. } => "lose",
            Self::Network { .. } => "network",
            Self::Delay { .. } => "link",
            Self::Disk { mode: DiskMode::Works, .. } => "disk-works",
            Self::Disk { mode: DiskMode::Slow, .. } => "slow-disk",
            Self::Disk { mode: DiskMode::Stalls, .. } => "stall-disk",
            Self::Disk { mode: DiskMode::Fails, .. } => "fail-disk",
            Self::ClockRate { .. } => "clock-rate",
            Self::ClockAhead { .. } => "clock-jump",
            Self::Campaign { .. } => "campaign",
            Self::Transfer { .. } => "transfer",
            Self::Member { .. } => "change",
            Self::Snapshot { .. } => "snapshot",
        }
    }

    /// Whom it is done to; none if to several or to nobody.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Write { node, .. } | Self::Read { node, .. } => *node,
            Self::Crash { node, .. }
            | Self::Restart { node }
            | Self::Pause { node, .. }
            | Self::Resume { node }
            | Self::Wipe { node }
            | Self::Disk { node, .. }
            | Self::ClockRate { node, .. }
            | Self::ClockAhead { node, .. }
            | Self::Campaign { node }
            | Self::Transfer { to: node }
            | Self::Snapshot { node } => Some(*node),
            Self::Delay { link, .. } => Some(link.from),
            Self::Cut { .. }
            | Self::Partition { .. }
            | Self::Heal
            | Self::Lose { .. }
            | Self::Network { .. }
            | Self::Member { .. } => None,
        }
    }

    /// What a client asks, if it is that.
    fn ask(&self) -> Option<Ask> {
        let (key, write, node, request) = match self {
            Self::Write { key, write, node, request } => (key, Some(*write), *node, *request),
            Self::Read { key, node } => (key, None, *node, None),
            _ => return None,
        };
        let place = NAMES.iter().position(|name| name == key)?;
        Some(Ask { key: Key(place as u8), write, node, request })
    }

    /// How the network is from now on, if that is what it changes.
    pub(super) fn change(&self, plan: &mut NetworkPlan) {
        let Self::Network { delay, loss, duplicate, reorder } = self else { return };
        if let Some([low, high]) = *delay {
            (plan.delay_min, plan.delay_mean, plan.delay_spread) = (low, 0, high - low);
        }
        plan.loss = loss.unwrap_or(plan.loss);
        plan.duplicate = duplicate.unwrap_or(plan.duplicate);
        plan.ordered = reorder.map_or(plan.ordered, |reorder| !reorder);
    }

    /// Whether it can be meant, in a world of so many nodes.
    pub(crate) fn check(&self, nodes: u64) -> Result<(), StageError> {
        let refuse = |reason: String| Err(StageError::Act(reason));
        let known = |node: &NodeId| (1..=nodes).contains(&node.0);
        let named: Vec<NodeId> = match self {
            Self::Cut { links, .. } => links.iter().flat_map(|link| [link.from, link.to]).collect(),
            Self::Partition { sides, .. } => sides.concat(),
            Self::Member { changes } => changes.iter().map(|change| change.node()).collect(),
            Self::Delay { link, .. } => vec![link.from, link.to],
            _ => self.node().into_iter().collect(),
        };
        if let Some(stranger) = named.iter().find(|node| !known(node)) {
            return refuse(format!("there is no node {}: the nodes are 1 to {nodes}", stranger.0));
        }
        match self {
            Self::Write { key, .. } | Self::Read { key, .. } if !NAMES.contains(&key.as_str()) => {
                refuse(format!("there is no key {key:?}: the keys are {}", NAMES.join(", ")))
            }
            Self::Partition { .. } if named.iter().collect::<BTreeSet<_>>().len() != named.len() => {
                refuse("a node is on two sides of the partition".to_owned())
            }
            Self::Cut { links, .. } if links.is_empty() => refuse("the cut names no link".to_owned()),
            Self::Member { changes } if changes.is_empty() => refuse("the change names nothing".to_owned()),
            Self::ClockRate { percent, .. } if !(50..=200).contains(percent) => {
                refuse("a clock runs at 50 to 200 percent of the true rate".to_owned())
            }
            Self::Network { delay: Some([low, high]), .. } if low > high => {
                refuse("the least delay is above the largest one".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Change {
    fn node(self) -> NodeId {
        match self {
            Self::AddVoter(node)
            | Self::AddLearner(node)
            | Self::Promote(node)
            | Self::Demote(node)
            | Self::Remove(node) => node,
        }
    }

    fn operation(self, witnesses: &BTreeSet<NodeId>) -> MembershipOperation {
        let node = self.node();
        let address = Bytes::from(format!("n{}", node.0));
        match self {
            Self::AddVoter(_) if witnesses.contains(&node) => {
                MembershipOperation::AddWitness { node, address }
            }
            Self::AddVoter(_) => MembershipOperation::AddVoter { node, address },
            Self::AddLearner(_) => MembershipOperation::AddLearner { node, address, auto_promote: false },
            Self::Promote(_) => MembershipOperation::Promote { node },
            Self::Demote(_) => MembershipOperation::Demote { node },
            Self::Remove(_) => MembershipOperation::Remove { node },
        }
    }
}

/// Why an act was not done; `None` if it was.
type Refusal = Option<&'static str>;

/// What has no end of its own.
pub(super) const EVER: u64 = u64::MAX;

impl World {
    /// Does what a viewer wants.
    pub(crate) fn do_act(&mut self, act: &Act) -> Result<Refusal, Box<Violation>> {
        if let Some(reason) = self.objection(act) {
            return Ok(Some(reason));
        }
        self.cause = EventId(0);
        if let Some(ask) = act.ask() {
            let objection = self.objection_to(&ask);
            if objection.is_none() {
                self.viewer_asks(&ask);
            }
            return Ok(objection);
        }
        if let Act::Lose { packet } = act {
            return Ok(self.lose(*packet));
        }
        let node = act.node().unwrap_or_default();
        self.cause = self.note(&Happening::Intervention { number: BY_HAND, what: act.name(), node });
        match act.node().and_then(|node| self.position(node)) {
            Some(host) => self.do_on(host, act)?,
            None => self.do_on_all(act)?,
        }
        Ok(None)
    }

    /// Why it makes no sense now.
    fn objection(&self, act: &Act) -> Refusal {
        let is_client = matches!(act, Act::Write { .. } | Act::Read { .. });
        if self.core.is_some() && !is_client {
            return Some("this world is being healed: nothing is broken or mended from outside any more");
        }
        let asks_leader = matches!(act, Act::Member { .. } | Act::Transfer { .. });
        if asks_leader && self.find(Target::Leader).is_none() {
            return Some("nobody leads now who could be asked");
        }
        let host = &self.hosts[act.node().and_then(|node| self.position(node))?];
        let runs = host.life.is_some();
        match act {
            Act::Restart { .. } if runs => Some("it is up"),
            Act::Restart { .. } if host.wiped => Some("its disk is lost, and its id is never used again"),
            Act::Restart { .. } if host.retired => Some("it was removed, and its id is never used again"),
            Act::Crash { .. } | Act::Pause { .. } | Act::Campaign { .. } | Act::Snapshot { .. } if !runs => {
                Some("it is not up")
            }
            Act::Disk { mode: DiskMode::Fails, .. } if !runs => Some("it is not up"),
            Act::Resume { .. } if !host.is_paused() => Some("it does not stand still"),
            Act::Campaign { .. } | Act::Snapshot { .. } if host.is_paused() => Some("it stands still"),
            Act::Campaign { .. } if host.standing().is_some_and(|(role, _)| role == RoleKind::Leader) => {
                Some("it leads already")
            }
            Act::Wipe { .. } if host.wiped => Some("its disk is lost already"),
            Act::Wipe { .. } if !self.can_bear_the_loss(host.id) => {
                Some("a majority of the voters must keep their disks, or nothing holds what was promised")
            }
            _ => None,
        }
    }

    fn do_on(&mut self, host: usize, act: &Act) -> Result<(), Box<Violation>> {
        let now = self.now;
        let until = |lasts: &Option<u64>| now.plus(lasts.unwrap_or(EVER));
        match act {
            Act::Crash { lasts, .. } => {
                self.forget_restart(host);
                self.crash(host, lasts.unwrap_or(EVER))?;
            }
            Act::Restart { .. } => {
                self.forget_restart(host);
                self.restart(host)?;
            }
            Act::Pause { lasts, .. } => self.pause(host, until(lasts)),
            Act::Resume { .. } => self.wake_up(host)?,
            Act::Wipe { .. } => {
                self.forget_restart(host);
                self.wipe(host)?;
            }
            Act::Delay { link, delay } => self.net.set_delay(*link, *delay),
            Act::Disk { mode, lasts, .. } => self.set_disk(host, *mode, *lasts),
            Act::ClockRate { percent, .. } => {
                let rate = Rate(Rate::TRUE.0 * percent / 100);
                self.hosts[host].clock.set_rate(now, rate);
                self.look_at_the_clock(host);
            }
            Act::ClockAhead { ahead, .. } => {
                self.hosts[host].clock.jump(now, *ahead);
                self.look_at_the_clock(host);
            }
            Act::Campaign { .. } => self.hasten_election(host),
            Act::Transfer { to } => {
                if let Some(leader) = self.find(Target::Leader) {
                    self.input(leader, Input::Transfer(*to))?;
                }
            }
            Act::Snapshot { .. } => {
                self.save(host)?;
                self.start_writing(host)?;
            }
            Act::Write { .. }
            | Act::Read { .. }
            | Act::Cut { .. }
            | Act::Partition { .. }
            | Act::Heal
            | Act::Lose { .. }
            | Act::Network { .. }
            | Act::Member { .. } => {}
        }
        Ok(())
    }

    fn do_on_all(&mut self, act: &Act) -> Result<(), Box<Violation>> {
        match act {
            Act::Cut { links, lasts } => self.cut_for(links.clone(), *lasts),
            Act::Partition { sides, lasts } => {
                let nodes: Vec<NodeId> = self.plan.nodes().collect();
                self.cut_for(between(&nodes, sides), *lasts);
            }
            Act::Heal => {
                self.net.mend_all();
                self.queue
                    .remove(|_, event| matches!(event, Event::Mend(Mend::Links(_) | Mend::Flap { .. })));
            }
            Act::Network { .. } => act.change(self.net.plan_mut()),
            Act::Member { changes } => {
                let Some(leader) = self.find(Target::Leader) else { return Ok(()) };
                let witnesses = &self.plan.witnesses;
                let operations = changes.iter().map(|change| change.operation(witnesses)).collect();
                let wanted =
                    WantedChange { steps: Vec::new(), forced: false, tries: 1, operations: Some(operations) };
                self.input(leader, Input::Change(wanted))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn cut_for(&mut self, links: Vec<Link>, lasts: Option<u64>) {
        self.net.cut(&links);
        self.queue.push(self.now.plus(lasts.unwrap_or(EVER)), Event::Mend(Mend::Links(links)));
    }

    fn forget_restart(&mut self, host: usize) {
        self.queue.remove(|_, event| matches!(event, Event::Restart(which) if *which == host));
    }

    /// A packet is taken from the wire.
    fn lose(&mut self, packet: u64) -> Refusal {
        let found = self.queue.iter().find_map(|(_, number, event)| match event {
            Event::Arrive(found) if number == packet => Some((found.cause, found.from, found.to)),
            _ => None,
        });
        let Some((cause, from, to)) = found else { return Some("it is under way no more") };
        self.queue.remove(|number, _| number == packet);
        self.cause = cause;
        self.note(&Happening::Lost { from, to, why: "taken" });
        None
    }

    fn set_disk(&mut self, host: usize, mode: DiskMode, lasts: Option<u64>) {
        let now = self.now;
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let was_stalled = machine.stalled_until > now;
        machine.slow = 1;
        machine.stalled_until = now;
        machine.failing = None;
        self.queue.remove(|_, event| matches!(event, Event::Mend(Mend::SlowDisk(which)) if *which == host));
        let ends = now.plus(lasts.unwrap_or(EVER));
        match mode {
            DiskMode::Works => {}
            DiskMode::Slow => {
                machine.slow = 20;
                self.queue.push(ends, Event::Mend(Mend::SlowDisk(host)));
            }
            DiskMode::Stalls => machine.stalled_until = ends,
            DiskMode::Fails => machine.failing = Some(lasts.unwrap_or(EVER)),
        }
        // What waited for the end of the stall goes on.
        let writes = self.hosts[host].life.as_ref().is_some_and(|life| !life.writing.is_empty());
        if was_stalled && writes {
            self.queue.remove(|_, event| matches!(event, Event::Written(which) if *which == at));
            let takes = self.plan.host.takes(&mut self.disk_rng, self.plan.host.sync_mean);
            self.queue.push(now.max(self.hosts[host].stalled_until).plus(takes), Event::Written(at));
        }
    }

    /// The membership in force on whoever leads in the highest term; else the last committed one.
    pub(crate) fn membership_in_force(&self) -> &Membership {
        let leader = self.find(Target::Leader).and_then(|host| self.hosts[host].life.as_ref());
        match leader {
            Some(life) => life.node.membership(),
            None => self.check.memberships.of(self.check.commits.membership()),
        }
    }
}

/// The number of an intervention that a viewer makes: none of the schedule has it.
pub(super) const BY_HAND: u32 = u32::MAX - 1;

/// The links that leave a side.
pub(super) fn between(nodes: &[NodeId], sides: &[Vec<NodeId>]) -> Vec<Link> {
    let side = |node: &NodeId| sides.iter().position(|side| side.contains(node));
    let pairs = nodes.iter().flat_map(|from| nodes.iter().map(|to| (*from, *to)));
    pairs.filter(|(from, to)| side(from) != side(to)).map(|(from, to)| Link { from, to }).collect()
}
