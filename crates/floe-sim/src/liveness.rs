//! The end of the chaos: a random majority is healed, the rest stays broken for ever, and the majority must commit
//! again.

use std::collections::BTreeSet;

use floe_raft::{Index, Membership, NodeId};

use crate::action::Link;
use crate::check::{Checked, Invariant, broken, describe};
use crate::clock::{MS, Rate};
use crate::marks::Mark;
use crate::plan::Feature;
use crate::trace::{EventId, Happening};
use crate::world::{At, Event, World};

impl World {
    /// Heals a random majority and leaves the rest broken for ever. Nothing is promised, and all goes on as before, if the
    /// operator has lost too many disks or forced a change without a majority behind it.
    pub(crate) fn heal(&mut self) -> Checked {
        let Some(core) = self.choose_core() else {
            self.marks.reach(Mark::NothingPromised);
            return Ok(());
        };
        self.break_the_rest(&core);
        let names: Vec<String> = core.iter().map(|node| format!("n{node}")).collect();
        self.cause = EventId(0);
        self.cause = self.note(&Happening::Liveness { core: &names.join(" ") });
        self.net.heal(core.clone());
        self.core = Some(core.clone());
        // Four election timeouts are for elections, not for a disk that takes one of them to read an entry.
        let plan = &mut self.plan.host;
        plan.sync_mean = plan.sync_mean.min(MS);
        plan.fetch_mean = plan.fetch_mean.min(MS / 10);
        plan.apply_mean = plan.apply_mean.min(MS / 10);
        plan.snapshot_mean = plan.snapshot_mean.min(MS);
        let election = self.plan.election_timeout_max();
        self.workload.hurry(election / 16);
        for client in 0..self.workload.clients() {
            self.queue.push(self.now, Event::NextOperation { client });
        }
        for node in core {
            let Some(host) = self.position(node) else { continue };
            self.heal_host(host)?;
        }
        let above = self.check.commits.last();
        let due = self.now.plus(4 * election + self.catching_up());
        self.queue.push(due, Event::MustHaveCommitted { above });
        // As long again, so that commits also go on.
        self.ends = due.plus(4 * election);
        Ok(())
    }

    /// What it takes to bring everybody up to date where an append carries an entry or two and few are under way: a round
    /// trip and a write for each. With windows of the usual size it takes no time worth counting.
    ///
    /// Of the others a leader may need one, too: one that is not healed itself, but heard by two voters, leads on, and commits
    /// when it has brought up the one that is not in the core. Over links that lose messages for ever, each entry may take
    /// until a heartbeat shows that it was lost (seed 400025051).
    fn catching_up(&self) -> u64 {
        if !self.plan.features.contains(&Feature::SmallWindows) {
            return 0;
        }
        let last = self.check.commits.last().0;
        let heartbeat = self.plan.config.heartbeat_interval.as_nanos() as u64;
        let voters: BTreeSet<NodeId> =
            self.memberships_that_count().flat_map(|membership| membership.voters.iter().copied()).collect();
        let core = self.core.iter().flatten().copied().collect::<BTreeSet<_>>();
        let times = voters.union(&core).filter_map(|node| {
            let host = &self.hosts[self.position(*node)?];
            let is_healed = core.contains(node);
            let an_entry = if is_healed { 10 * MS } else { heartbeat };
            let behind = last.saturating_sub(host.storage.image().last().index.0);
            (is_healed || host.life.is_some()).then_some(behind * an_entry)
        });
        times.max().unwrap_or(0)
    }

    /// A random majority by every membership that may still be in force somewhere, and perhaps some more.
    fn choose_core(&mut self) -> Option<BTreeSet<NodeId>> {
        let memberships: Vec<Membership> = self.memberships_that_count().cloned().collect();
        let mut nodes: Vec<NodeId> = memberships.iter().flat_map(Membership::members).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.retain(|node| {
            self.position(*node).is_some_and(|host| !self.hosts[host].wiped && !self.hosts[host].retired)
        });
        self.liveness_rng.shuffle(&mut nodes);
        let mut core = BTreeSet::new();
        // With witnesses a single disk may hold what is committed, so that nobody with data can be spared.
        if !self.plan.witnesses.is_empty() {
            core.extend(nodes.iter().filter(|node| !self.plan.witnesses.contains(node)));
        }
        for membership in &memberships {
            while let Some(missing) = missing_from(membership, &core) {
                core.insert(*nodes.iter().find(|node| missing.contains(node))?);
            }
        }
        if self.liveness_rng.coin() {
            let extra = self.liveness_rng.below(nodes.len() as u64) as usize;
            core.extend(nodes.iter().take(extra));
        }
        Some(core)
    }

    fn heal_host(&mut self, host: usize) -> Checked {
        let now = self.now;
        let machine = &mut self.hosts[host];
        machine.slow = 1;
        machine.stalled_until = now;
        machine.full_until = now;
        machine.storage.set_full(false);
        machine.failing = None;
        machine.crash_after = None;
        machine.clock.set_rate(now, Rate::TRUE);
        let at = At { host, life: machine.lives };
        if machine.life.is_none() {
            return self.restart(host);
        }
        if machine.paused_until.is_some() {
            self.wake_up(host)?;
        }
        self.look_at_the_clock(host);
        // What the disk is at ends soon, instead of when the stall would have been over.
        let writes = self.hosts[host].life.as_ref().is_some_and(|life| !life.writing.is_empty());
        if writes {
            self.queue.push(now.plus(MS), Event::Written(at));
        }
        Ok(())
    }

    /// Cuts more links of those that are not healed, in one direction or both.
    fn break_the_rest(&mut self, core: &BTreeSet<NodeId>) {
        let nodes: Vec<NodeId> = self.plan.nodes().collect();
        let style = self.liveness_rng.below(4);
        for &from in &nodes {
            for &to in &nodes {
                let healed = core.contains(&from) && core.contains(&to);
                let cut = match style {
                    0 => true,
                    1 => core.contains(&from),
                    2 => core.contains(&to),
                    _ => self.liveness_rng.coin(),
                };
                if from != to && !healed && cut {
                    self.net.cut(&[Link { from, to }]);
                }
            }
        }
    }

    /// Four election timeouts after the healing, something more must be committed.
    pub(crate) fn must_have_committed(&mut self, above: Index) -> Checked {
        if self.check.commits.last() > above {
            return Ok(());
        }
        let standing: Vec<String> = self
            .hosts
            .iter()
            .map(|host| match host.standing() {
                Some((role, term)) => format!("n{} {role:?} in term {term}", host.id),
                None => format!("n{} down", host.id),
            })
            .collect();
        let core = self.core.iter().flatten().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ");
        let memberships: Vec<String> = self.memberships_that_count().map(describe).collect();
        Err(broken(
            Invariant::Liveness,
            format!(
                "nothing after {above} is committed long after {core} could talk, with {}: {}",
                memberships.join("; or "),
                standing.join(", ")
            ),
        ))
    }
}

/// Those of whom one more is needed, so that the nodes are a majority of each set of voters, and still are when the
/// leader has promoted all the learners that it may promote by itself and none of these nodes is among them.
fn missing_from(membership: &Membership, core: &BTreeSet<NodeId>) -> Option<BTreeSet<NodeId>> {
    for voters in [&membership.outgoing, &membership.voters] {
        let present = voters.intersection(core).count();
        let promoted = if voters == &membership.voters { &membership.auto_promote } else { &BTreeSet::new() };
        let strangers = promoted.difference(core).count();
        if !voters.is_empty() && present * 2 <= voters.len() + strangers {
            return Some(voters.union(promoted).filter(|node| !core.contains(node)).copied().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_of_each_set_is_needed_and_of_what_may_be_promoted() {
        let mut membership = Membership::of_voters(nodes(&[1, 2, 3]));
        assert_eq!(missing_from(&membership, &nodes(&[1])), Some(nodes(&[2, 3])));
        assert_eq!(missing_from(&membership, &nodes(&[1, 3])), None);
        membership.outgoing = nodes(&[4, 5, 6]);
        assert_eq!(missing_from(&membership, &nodes(&[1, 3, 4])), Some(nodes(&[5, 6])));
        assert_eq!(missing_from(&membership, &nodes(&[1, 3, 4, 5])), None);
        membership.outgoing.clear();
        membership.auto_promote = nodes(&[7]);
        assert_eq!(missing_from(&membership, &nodes(&[1, 3])), Some(nodes(&[2, 7])));
        assert_eq!(missing_from(&membership, &nodes(&[1, 3, 7])), None);
    }
}
