//! What a machine asks for is performed, and held against the rules of its group.

use floe_multi::{Beat, MultiEffect, MultiNode};
use floe_raft::{Alarm, Effect, Entry, EntryKind, Envelope, GroupId, Message, RoleKind, Time, Write};

use super::start::disk_of;
use super::world::{Event, GroupsWorld, Load};
use crate::check::{
    Advance, Checked, Checker, Invariant, acknowledges, broken, requests_vote, speaks_of_vote,
};
use crate::machine::Command;
use crate::net::Packet;
use crate::trace::{EventId, Happening};

impl GroupsWorld {
    /// Lets a machine do something, performs what it asks for, and compares what it says of itself.
    pub(crate) fn act(&mut self, host: usize, act: impl FnOnce(&mut MultiNode, Time)) -> Checked {
        let machine = &mut self.hosts[host];
        let now = machine.clock.local(self.now);
        let Some(life) = &mut machine.life else { return Ok(()) };
        act(&mut life.multi, now);
        let mut written = Vec::new();
        while let Some(effect) = self.hosts[host].life.as_mut().and_then(|life| life.multi.poll_effect()) {
            if let MultiEffect::Persist(batch) = &effect {
                written.extend(batch.iter().map(|(group, _)| *group));
            }
            match self.hosts[host].crash_after {
                Some((0, down)) => return self.crash(host, down),
                Some((effects, down)) => self.hosts[host].crash_after = Some((effects - 1, down)),
                None => {}
            }
            self.perform(host, effect)?;
        }
        written.into_iter().try_for_each(|group| self.observe(host, group))?;
        self.start_writing(host);
        self.arm(host);
        Ok(())
    }

    fn perform(&mut self, host: usize, effect: MultiEffect) -> Checked {
        match effect {
            MultiEffect::Persist(batch) => self.persist(host, batch),
            MultiEffect::Beat(beat) => self.send_beat(host, beat),
            MultiEffect::Group(group, Effect::Send(envelope)) => {
                self.observe(host, group)?;
                self.check_said(group, &envelope)?;
                let cause = self.trace.record(self.now, EventId(0), &Happening::Sent { envelope: &envelope });
                let (from, to) = (envelope.from, envelope.to);
                self.send(Packet { from, to, cause, body: Load::Message(group, envelope) });
                Ok(())
            }
            MultiEffect::Group(group, effect) => self.perform_in(host, group, effect),
        }
    }

    fn persist(&mut self, host: usize, batch: Vec<(GroupId, Write)>) -> Checked {
        let node = self.hosts[host].id;
        for (group, write) in &batch {
            self.trace.record(self.now, EventId(0), &Happening::Writing { node, write });
            let Some(life) = &mut self.hosts[host].life else { return Ok(()) };
            let Some(here) = life.groups.get_mut(group) else { continue };
            let Some(known) = self.groups.get_mut(group.0 as usize - 1) else { continue };
            if let Some(from) = write.truncate_from {
                known.check.commits.truncates(node, from, &here.log)?;
            }
            let mut follows = write.entries.first().map_or(here.log.last(), |entry| {
                here.log.id_at(entry.id.index.prev()).unwrap_or(here.log.base)
            });
            for entry in &write.entries {
                known.check.lineage.written(node, entry, follows)?;
                follows = entry.id;
            }
            here.log.write(write).map_err(|reason| {
                broken(Invariant::LogIsWhole, format!("n{node}, group {group}: {reason}"))
            })?;
        }
        if let Some(life) = &mut self.hosts[host].life {
            life.writes.extend(batch);
        }
        Ok(())
    }

    fn send_beat(&mut self, host: usize, beat: Beat) -> Checked {
        for heartbeat in &beat.heartbeats {
            self.observe(host, heartbeat.group)?;
            let Some(group) = self.group(heartbeat.group) else { continue };
            group.check.elections.leads(beat.from, heartbeat.term)?;
        }
        let cause = self.trace.record(self.now, EventId(0), &Happening::Beat { beat: &beat });
        let (from, to) = (beat.from, beat.to);
        self.send(Packet { from, to, cause, body: Load::Beat(beat) });
        Ok(())
    }

    fn send(&mut self, packet: Packet<Load>) {
        let (from, to, cause) = (packet.from, packet.to, packet.cause);
        let mut arrivals = Vec::new();
        if let Some(why) = self.net.send(self.now, packet, 0, &mut arrivals) {
            self.trace.record(self.now, cause, &Happening::Lost { from, to, why });
        }
        for (at, packet) in arrivals {
            self.queue.push(at, Event::Arrive(packet));
        }
    }

    /// Nothing is said that is not durable, and only one leads.
    fn check_said(&mut self, group: GroupId, envelope: &Envelope) -> Checked {
        let Self { hosts, groups, .. } = self;
        let Some(known) = groups.get_mut(group.0 as usize - 1) else { return Ok(()) };
        let Envelope { from, to, term, ref message } = *envelope;
        let Some(disk) = disk_of(hosts, group, from) else { return Ok(()) };
        match message {
            Message::Append { .. } | Message::TimeoutNow { .. } => known.check.elections.leads(from, term),
            Message::Vote { .. } => {
                known.check.elections.votes(from, term, from)?;
                requests_vote(from, term, disk.hard_state)
            }
            Message::VoteReply { granted: true } => {
                known.check.elections.votes(from, term, to)?;
                speaks_of_vote(from, term, to, disk.hard_state)
            }
            Message::AppendOk { matched } => acknowledges(from, term, *matched, disk, None),
            _ => Ok(()),
        }
    }

    fn perform_in(&mut self, host: usize, group: GroupId, effect: Effect) -> Checked {
        let node = self.hosts[host].id;
        self.observe(host, group)?;
        match effect {
            Effect::Apply(entries) => self.apply(host, group, &entries),
            Effect::Fetch { id, first, last, max_bytes } => {
                let fails = self.disk_rng.chance(self.plan.host.fetch_failure) && !self.healed;
                let machine = &mut self.hosts[host];
                let fetched = if fails {
                    floe_raft::Fetched::Failed
                } else {
                    machine.disk.fetch(group, first, last, max_bytes)
                };
                let now = machine.clock.local(self.now);
                if let Some(life) = &mut machine.life {
                    life.multi.handle_fetched(now, group, id, fetched);
                }
                Ok(())
            }
            Effect::ReadReady { read, index } => self.read_ready(host, group, read, index),
            Effect::ReadAborted { read } => {
                self.here(host, group).and_then(|here| here.reads.remove(&read));
                Ok(())
            }
            Effect::Forwarded { proposal, outcome } => self.forwarded(host, group, proposal, outcome),
            Effect::RoleChanged { role, term, leader } => {
                self.elections += u64::from(role == RoleKind::Leader);
                self.trace.record(self.now, EventId(0), &Happening::Role { node, role, term, leader });
                Ok(())
            }
            Effect::Alarm(Alarm::BadMessage { from, reason }) => Err(broken(
                Invariant::NoFalseAlarm,
                format!("n{node} accuses n{from} in group {group}: {reason}"),
            )),
            Effect::Alarm(alarm) => {
                Err(broken(Invariant::NoFalseAlarm, format!("n{node}, group {group}: {alarm:?}")))
            }
            other => Err(broken(
                Invariant::NoFalseAlarm,
                format!("n{node}, group {group}: nothing was compacted or changed, and yet {other:?}"),
            )),
        }
    }

    fn apply(&mut self, host: usize, group: GroupId, entries: &[Entry]) -> Checked {
        let node = self.hosts[host].id;
        for entry in entries {
            let Some(here) = self.here(host, group) else { return Ok(()) };
            if entry.id.index != here.machine.applied().index.next() {
                return Err(broken(
                    Invariant::StateMachineSafety,
                    format!("n{node}, group {group}: {} after {}", entry.id, here.machine.applied()),
                ));
            }
            let mut applied = None;
            match entry.kind {
                EntryKind::Command => {
                    let Some(command) = Command::decode(&entry.payload) else {
                        return Err(broken(
                            Invariant::StateMachineSafety,
                            format!("n{node}, group {group}: bytes that no client proposed"),
                        ));
                    };
                    // Without sessions every command has its reply.
                    let reply = here.machine.apply(entry.id, &command).reply().unwrap_or_default();
                    here.keep_reply(entry.id, command.op, reply);
                    applied = Some((command.op, reply));
                }
                _ => here.machine.skip(entry.id),
            }
            for (term, op) in here.proposed.remove(&entry.id.index).unwrap_or_default() {
                match applied {
                    Some((known, reply)) if term == entry.id.term && known == op => {
                        self.wrote(group, op, entry.id, reply)?;
                    }
                    // Another leader's entry stands at its place.
                    Some(_) | None => self.refused(group, op)?,
                }
            }
        }
        let now = self.hosts[host].clock.local(self.now);
        let Some(life) = &mut self.hosts[host].life else { return Ok(()) };
        let Some(here) = life.groups.get(&group) else { return Ok(()) };
        let (last, hash) = (here.machine.applied(), here.machine.hash());
        life.multi.handle_applied(now, group, last.index);
        self.trace.record(self.now, EventId(0), &Happening::Applied { node, last, hash });
        let Some(known) = self.group(group) else { return Ok(()) };
        known.check.commits.state(node, last, hash)
    }

    /// Compares what a node says of itself with what it said before, once what it wrote is known and before it says
    /// anything to others: they may tell of what it alone knows.
    fn observe(&mut self, host: usize, group: GroupId) -> Checked {
        let Self { hosts, groups, trace, .. } = self;
        let Some(known) = groups.get_mut(group.0 as usize - 1) else { return Ok(()) };
        let Some(life) = &mut hosts[host].life else { return Ok(()) };
        let (Some(node), Some(here)) = (life.multi.group(group), life.groups.get_mut(&group)) else {
            return Ok(());
        };
        let (id, term, leads, commit) = (node.id(), node.term(), node.is_leader(), node.commit());
        if (term, leads, commit) == (here.term, here.leads, here.commit) {
            return Ok(());
        }
        let elected = leads && !(here.leads && here.term == term);
        let from = std::mem::replace(&mut here.commit, commit);
        (here.term, here.leads) = (term, leads);
        known.check.elections.in_term(id, term)?;
        if elected {
            known.check.elections.leads(id, term)?;
        }
        let Some(log) = hosts[host].life.as_ref().and_then(|life| life.groups.get(&group)) else {
            return Ok(());
        };
        if commit != from {
            trace.record(self.now, EventId(0), &Happening::Commit { node: id, index: commit });
            let advance = Advance {
                node: id,
                term,
                leads,
                from,
                to: commit,
                log: &log.log,
                unwritten: None,
                disks: &|node| disk_of(hosts, group, node),
            };
            let Checker { commits, clients, .. } = &mut known.check;
            let members = [&known.membership; 2];
            commits
                .advanced(&advance, members, |id, command, reply| clients.committed(id, command, reply))?;
        }
        if elected {
            known.check.commits.elected(id, term, &log.log)?;
        }
        Ok(())
    }
}
