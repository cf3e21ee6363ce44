//! What a world keeps for those who look at it: timers as rings that run down, timeouts that a script has fixed, and
//! what the viewer's operations mean.

use std::collections::{BTreeMap, VecDeque};

use floe_raft::{NodeId, Time};

use super::words::Meaning;
use crate::clock::{MS, Moment};
use crate::host::LifeId;
use crate::machine::OpId;
use crate::world::World;

/// The first election timeouts of nodes, in nanoseconds of their clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts(pub(crate) BTreeMap<NodeId, VecDeque<u64>>);

/// Beside the world.
#[derive(Debug)]
pub(crate) struct Backstage {
    timeouts: Timeouts,
    timers: Vec<Timer>,
    /// What the viewer's operations are to do.
    pub(crate) meanings: BTreeMap<OpId, Meaning>,
    /// The host that the viewer's client went to last.
    pub(crate) believed: usize,
    /// The viewer's requests that have a name: what each is, so that it can be sent again.
    pub(crate) requests: BTreeMap<(u64, u64), OpId>,
}

/// A timer that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timer {
    /// When it runs out, by the node's clock.
    pub(crate) deadline: Option<Time>,
    pub(crate) set_at: Moment,
    life: LifeId,
}

impl Backstage {
    pub(crate) fn new(timeouts: Timeouts, hosts: usize) -> Self {
        let timers = vec![Timer::default(); hosts];
        Self { timeouts, timers, meanings: BTreeMap::new(), believed: 0, requests: BTreeMap::new() }
    }

    pub(crate) fn timer(&self, host: usize) -> Option<Timer> {
        self.timers.get(host).copied()
    }
}

impl World {
    /// Notes when a host's timer was set anew. A timeout that the script has fixed takes the place of the one drawn.
    pub(crate) fn see_timer(&mut self, host: usize) {
        let Some(backstage) = self.backstage.as_mut() else { return };
        let machine = &mut self.hosts[host];
        let local = machine.clock.local(self.now);
        let Some(life) = machine.life.as_mut() else { return };
        let Some(timer) = backstage.timers.get_mut(host) else { return };
        let election = life.node.election_deadline();
        let mut deadline = election.or_else(|| life.node.heartbeat_at());
        if timer.deadline == deadline && timer.life == machine.lives {
            return;
        }
        let fixed = backstage.timeouts.0.get(&machine.id).and_then(|timeouts| timeouts.front());
        if let (Some(_), Some(fixed)) = (election, fixed) {
            let fixed = Time(local.0 + fixed);
            life.node.set_election_deadline(fixed);
            deadline = Some(fixed);
        }
        *timer = Timer { deadline, set_at: self.now, life: machine.lives };
    }

    /// A host's timer is due. If it is that of an election, the next timeout of the script is its next one.
    pub(crate) fn timeout_runs_out(&mut self, host: usize) {
        let Some(backstage) = self.backstage.as_mut() else { return };
        let machine = &self.hosts[host];
        let local = machine.clock.local(self.now);
        let election = machine.life.as_ref().and_then(|life| life.node.election_deadline());
        if election.is_some_and(|deadline| deadline <= local)
            && let Some(timeouts) = backstage.timeouts.0.get_mut(&machine.id)
        {
            timeouts.pop_front();
        }
    }

    /// Lets the election timeout of a host run out now.
    pub(crate) fn hasten_election(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let local = machine.clock.local(self.now);
        if let Some(life) = machine.life.as_mut() {
            life.node.set_election_deadline(local);
            life.armed = None;
        }
        if let Some(timer) = self.backstage.as_mut().and_then(|backstage| backstage.timers.get_mut(host)) {
            timer.deadline = Some(local);
        }
        self.arm(host);
    }
}

/// How long the viewer's client waits for an answer.
pub(crate) const PATIENCE: u64 = 5_000 * MS;
