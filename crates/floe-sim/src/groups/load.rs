//! The clients: each sends an operation to some group by way of some machine, and hears of its outcome at once.

use floe_raft::{GroupId, Index, LogId, ProposalId, ProposeError, ReadId, ReadMode};

use super::group::GroupLife;
use super::world::{Event, GroupsWorld};
use crate::check::{Checked, Checker, OperationKind};
use crate::machine::{Command, KEYS, Key, OpId, Reply};

impl GroupsWorld {
    /// A client sends its next operation.
    pub(crate) fn operation(&mut self, client: u64) -> Checked {
        if self.resting {
            return Ok(());
        }
        let pause = self.load_rng.exponential(self.plan.workload.think_mean);
        self.queue.push(self.now.plus(pause), Event::Operation { client });
        let group = GroupId(self.load_rng.between(1, self.plan.groups));
        self.ask(client, group)
    }

    /// One operation of a group, by way of one of its members that runs.
    pub(crate) fn ask(&mut self, client: u64, group: GroupId) -> Checked {
        let is_read = self.load_rng.chance(self.plan.workload.reads);
        let is_compare = self.load_rng.chance(self.plan.workload.compares);
        let key = Key(self.load_rng.below(u64::from(KEYS)) as u8);
        let padding = self.load_rng.below(self.plan.workload.padding + 1) as usize;
        let wanders = self.load_rng.chance(self.plan.workload.wander);
        let Some(host) = self.choose(group, wanders) else { return Ok(()) };
        let node = self.hosts[host].id;
        let Some(known) = self.groups.get_mut(group.0 as usize - 1) else { return Ok(()) };
        let last = known.check.commits.last();
        let expect = is_compare.then(|| known.check.commits.value(key, last));
        let kind = match expect {
            _ if is_read => OperationKind::Get,
            Some(expect) => OperationKind::Compare { expect },
            None => OperationKind::Put,
        };
        let op = known.check.clients.invoked(client, kind, key, node, None);
        self.names += 1;
        let name = self.names;
        let machine = &mut self.hosts[host];
        let now = machine.clock.local(self.now);
        let Some(life) = &mut machine.life else { return Ok(()) };
        let Some(here) = life.groups.get_mut(&group) else { return Ok(()) };
        if is_read {
            here.reads.insert(ReadId(name), (op, last));
            if life.multi.read(now, group, ReadId(name), ReadMode::Index).is_err() {
                here.reads.remove(&ReadId(name));
            }
        } else {
            here.forwarded.insert(ProposalId(name), op);
            let payload = Command { op, value: op, key, expect, tag: None }.encode(padding);
            if life.multi.forward(now, group, ProposalId(name), payload).is_err() {
                here.forwarded.remove(&ProposalId(name));
                self.refused(group, op)?;
            }
        }
        self.act(host, |_, _| ())
    }

    /// A machine that runs and has the group: its leader's if there is one, or any.
    fn choose(&mut self, group: GroupId, wanders: bool) -> Option<usize> {
        let here = |host: &usize| {
            let host = &self.hosts[*host];
            let life = host.life.as_ref().filter(|_| host.paused_until.is_none());
            life.is_some_and(|life| life.groups.contains_key(&group))
        };
        let hosts: Vec<usize> = (0..self.hosts.len()).filter(here).collect();
        let leads = |host: &usize| {
            let life = self.hosts[*host].life.as_ref();
            life.and_then(|life| life.multi.group(group)).is_some_and(floe_raft::Node::is_leader)
        };
        let leader = hosts.iter().copied().find(leads).filter(|_| !wanders);
        leader.or_else(|| self.load_rng.pick(&hosts).copied())
    }

    pub(crate) fn here(&mut self, host: usize, group: GroupId) -> Option<&mut GroupLife> {
        self.hosts[host].life.as_mut()?.groups.get_mut(&group)
    }

    /// A command has its place in the log, or was refused, or nobody knows.
    pub(crate) fn forwarded(
        &mut self,
        host: usize,
        group: GroupId,
        proposal: ProposalId,
        outcome: Result<LogId, ProposeError>,
    ) -> Checked {
        let Some(here) = self.here(host, group) else { return Ok(()) };
        let Some(op) = here.forwarded.remove(&proposal) else { return Ok(()) };
        match outcome {
            Ok(id) if id.index > here.machine.applied().index => {
                here.proposed.entry(id.index).or_default().push((id.term, op));
                Ok(())
            }
            Ok(id) => match here.reply_at(id) {
                Some((known, reply)) if known == op => self.wrote(group, op, id, reply),
                // Applied too long ago to be remembered, or overwritten: its client hears nothing.
                Some(_) | None => Ok(()),
            },
            Err(ProposeError::Unknown) => Ok(()),
            Err(ProposeError::NotLeader { .. } | ProposeError::Busy | ProposeError::TooLarge) => {
                self.refused(group, op)
            }
        }
    }

    pub(crate) fn wrote(&mut self, group: GroupId, op: OpId, id: LogId, reply: Reply) -> Checked {
        let Some(known) = self.group(group) else { return Ok(()) };
        known.check.clients.wrote(op, id, reply)?;
        known.check.clients.received(op, id.index);
        Ok(())
    }

    pub(crate) fn refused(&mut self, group: GroupId, op: OpId) -> Checked {
        self.group(group).map_or(Ok(()), |known| known.check.clients.refused(op))
    }

    /// A read may be served now.
    pub(crate) fn read_ready(&mut self, host: usize, group: GroupId, read: ReadId, index: Index) -> Checked {
        let node = self.hosts[host].id;
        let Some(here) = self.here(host, group) else { return Ok(()) };
        let Some((op, floor)) = here.reads.remove(&read) else { return Ok(()) };
        let machine = here.machine.clone();
        Checker::confirmed(node, floor, index)?;
        let Some(known) = self.group(group) else { return Ok(()) };
        let Some(key) = known.check.clients.operation(op).map(|operation| operation.key) else {
            return Ok(());
        };
        let at = machine.applied().index;
        let expected = known.check.commits.value(key, at);
        known.check.clients.read(op, at, machine.value(key), expected)?;
        known.check.clients.received(op, at);
        Ok(())
    }
}
