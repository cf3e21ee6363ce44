//! What must be true once a world has come to an end, or to rest: nobody waits for what is forgotten, everybody who
//! was healed follows the leader, and no change of the membership is left half done.

use floe_raft::NodeId;

use crate::check::{Checked, Invariant, broken};
use crate::host::Input;
use crate::marks::Mark;
use crate::world::World;

impl World {
    /// Every read that clients wait for is known to the node that was asked, or was answered: one that is forgotten
    /// would be waited for as long as the client has patience.
    pub(crate) fn check_unanswered(&self) -> Checked {
        for life in self.hosts.iter().filter_map(|host| host.life.as_ref()) {
            let asked = life.inbox.iter().any(|(_, input)| matches!(input, Input::Operation(_)));
            let known = life.node.status().reads_waiting;
            if !asked && life.reads.len() > known {
                return Err(broken(
                    Invariant::Answered,
                    format!(
                        "n{} has {} reads to answer and knows of {known}",
                        life.node.id(),
                        life.reads.len()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether those who are preferred lead, where somebody is. It is no rule: who is preferred may be cut off, or behind.
    pub(crate) fn look_who_leads(&mut self) {
        let leading = self.hosts.iter().filter_map(|host| host.life.as_ref());
        let leading = leading.filter(|life| life.node.is_leader());
        let Some(leader) = leading.max_by_key(|life| life.node.term()) else { return };
        let (id, membership) = (leader.node.id(), leader.node.membership());
        let could_lead = |node: &NodeId| {
            let lives = self.position(*node).is_some_and(|host| self.hosts[host].life.is_some());
            lives && *node != id && !membership.is_witness(*node)
        };
        let own = self.plan.priority(id);
        let others = membership.voters.iter().filter(|node| could_lead(node));
        let others: Vec<u8> = others.map(|node| self.plan.priority(*node)).collect();
        if others.iter().any(|other| *other > own) {
            self.marks.reach(Mark::OtherLeads);
        } else if others.iter().any(|other| *other < own) {
            self.marks.reach(Mark::PreferredLeads);
        }
    }

    /// Long after a majority was healed each of them follows the leader, if that is one of them: a node that no
    /// message can reach any more, since its term is ahead, is lost to the group although nothing is wrong with it.
    /// And the leader has left the joint membership that is committed.
    pub(crate) fn check_settled(&self) -> Checked {
        let Some(core) = &self.core else { return Ok(()) };
        let leading = self.hosts.iter().filter_map(|host| host.life.as_ref());
        let leading = leading.filter(|life| life.node.is_leader());
        let Some(leader) = leading.max_by_key(|life| life.node.term()) else { return Ok(()) };
        let (id, status) = (leader.node.id(), leader.node.status());
        if !core.contains(&id) {
            return Ok(());
        }
        let is_done = leader.node.commit() >= status.membership_at && status.transfer_to.is_none();
        if status.membership.is_joint() && is_done {
            return Err(broken(
                Invariant::Liveness,
                format!("n{id} leads and does not leave the joint membership of {}", status.membership_at),
            ));
        }
        let strays: Vec<NodeId> = self
            .hosts
            .iter()
            .filter(|host| core.contains(&host.id) && status.membership.contains(host.id))
            .filter(|host| host.life.as_ref().is_some_and(|life| life.node.leader() != Some(id)))
            .map(|host| host.id)
            .collect();
        if strays.is_empty() {
            return Ok(());
        }
        Err(broken(
            Invariant::Liveness,
            format!(
                "long after they could talk, {strays:?} do not follow n{id}, which leads {}",
                leader.node.term()
            ),
        ))
    }
}
