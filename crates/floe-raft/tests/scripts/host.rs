//! What a host does for its node: performs effects, completes writes, applies entries, reads old ones, streams
//! snapshots. Everything that is not held happens at once, in the order in which a real host could do it.

use bytes::BytesMut;
use floe_raft::codec::{decode_envelope, encode_envelope};
use floe_raft::{
    Effect, Entry, Envelope, FetchId, Fetched, Index, LogId, Membership, Message, NodeId, SnapshotOutcome,
    Term,
};

use crate::cluster::Cluster;
use crate::disk::Log;
use crate::failure::Failure;
use crate::format;
use crate::machine::Machine;
use crate::network::{Link, Parcel, kind};

/// A request for older entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchRequest {
    pub(crate) id: FetchId,
    first: Index,
    last: Index,
    max_bytes: u64,
}

impl FetchRequest {
    /// The answer that a log on disk gives.
    pub(crate) fn serve(&self, log: &Log) -> Fetched {
        if self.first <= log.base.index {
            return Fetched::Compacted;
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut cost = 0;
        for index in (self.first.0..=self.last.0).map(Index) {
            let Some(entry) = log.entry(index) else { break };
            cost += entry.cost();
            if cost > self.max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        if entries.is_empty() { Fetched::Failed } else { Fetched::Entries(entries) }
    }
}

/// What arrives is what the bytes on the wire say.
fn over_the_wire(envelope: &Envelope) -> Result<Envelope, Failure> {
    let mut bytes = BytesMut::new();
    encode_envelope(envelope, &mut bytes);
    let decoded = decode_envelope(bytes.freeze())
        .map_err(|error| Failure::law(format!("a message cannot be read: {error}")))?;
    if decoded == *envelope { Ok(decoded) } else { Err(Failure::law("a message changes on its way")) }
}

impl Cluster {
    /// Drains a node's effects and does the host's work, until the node is at rest.
    pub(crate) fn settle(&mut self, id: NodeId) -> Result<(), Failure> {
        for _ in 0..10_000 {
            while let Some(effect) = self.node(id)?.poll_effect() {
                self.perform(id, effect)?;
            }
            let status = self.node(id)?.status();
            self.checker.status(&status, &self.disks)?;
            self.check_leases()?;
            if !self.work(id)? {
                return Ok(());
            }
        }
        Err(Failure::law(format!("n{id} never comes to rest")))
    }

    /// One piece of the host's work that is not held; whether there was any.
    fn work(&mut self, id: NodeId) -> Result<bool, Failure> {
        let disk = self.disk(id)?;
        if !disk.held && !disk.pending.is_empty() {
            let count = disk.pending.len();
            return self.complete_writes(id, count);
        }
        let member = self.member(id)?;
        if !member.applies_held && !member.applies.is_empty() {
            return self.apply_next(id);
        }
        if !self.member(id)?.applies_held && self.report_applied(id)? {
            return Ok(true);
        }
        let member = self.member(id)?;
        if !member.fetches_held && !member.fetches.is_empty() {
            self.answer_fetch(id, false)?;
            return Ok(true);
        }
        self.send_receipts(id)
    }

    /// Makes pending writes durable and reports the last of them; whether there were any.
    pub(crate) fn complete_writes(&mut self, id: NodeId, count: usize) -> Result<bool, Failure> {
        let now = self.local(id);
        let Some(write) = self.disk(id)?.complete(count) else { return Ok(false) };
        self.node(id)?.handle_persisted(now, write);
        Ok(true)
    }

    /// Applies the next batch of committed entries; reporting it is a step of its own.
    pub(crate) fn apply_next(&mut self, id: NodeId) -> Result<bool, Failure> {
        let Some(entries) = self.member(id)?.applies.pop_front() else { return Ok(false) };
        for entry in &entries {
            let Some(member) = self.members.get_mut(&id) else { break };
            if entry.id.index != member.machine.last.index.next() {
                return Err(Failure::law(format!(
                    "n{id} applies {} after {}",
                    entry.id, member.machine.last
                )));
            }
            member.machine.apply(entry);
            member.applied_report = Some(entry.id.index);
            self.checker.applied(id, entry, &member.machine)?;
        }
        Ok(true)
    }

    /// Tells the node what is applied; whether there was anything new.
    pub(crate) fn report_applied(&mut self, id: NodeId) -> Result<bool, Failure> {
        let now = self.local(id);
        let Some(index) = self.member(id)?.applied_report.take() else { return Ok(false) };
        self.node(id)?.handle_applied(now, index);
        Ok(true)
    }

    /// Tells the senders of snapshots that are durable here by now.
    fn send_receipts(&mut self, id: NodeId) -> Result<bool, Failure> {
        let log = &self.disk(id)?.durable;
        let (base, last) = (log.base.index, log.last().index);
        let owed = std::mem::take(&mut self.member(id)?.owed);
        let mut sent = false;
        for (sender, snapshot) in owed {
            let durable =
                base >= snapshot.index || (last >= snapshot.index && self.disk(id)?.durable.covers(snapshot));
            if durable {
                sent = true;
                self.post(
                    Link { from: id, to: sender },
                    Parcel::Receipt(SnapshotOutcome::Installed(snapshot)),
                );
            } else {
                self.member(id)?.owed.push((sender, snapshot));
            }
        }
        Ok(sent)
    }

    /// Puts a parcel on its link, or loses it.
    fn post(&mut self, link: Link, parcel: Parcel) {
        if !self.network.send(link, parcel.clone()) {
            self.lose(link, &parcel);
        }
    }

    /// Performs one effect.
    fn perform(&mut self, id: NodeId, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Persist(write) => {
                let disk = self.disks.get_mut(&id).ok_or_else(|| Failure::law("no disk"))?;
                self.checker.persist(id, disk, &write)?;
                let note = if disk.held { " (held)" } else { "" };
                let line = self.talks.then(|| format!("n{id} {}{note}", format::write(&write)));
                disk.submit(write);
                self.say(|| line.unwrap_or_default());
            }
            Effect::Send(envelope) => self.send(id, envelope)?,
            Effect::Fetch { id: fetch, first, last, max_bytes } => {
                let note = if self.member(id)?.fetches_held { " (held)" } else { "" };
                self.say(|| format!("n{id} fetch {first}..{last}{note}"));
                self.member(id)?.fetches.push_back(FetchRequest { id: fetch, first, last, max_bytes });
            }
            Effect::SendSnapshot { to, term, at_least } => self.stream(id, to, term, at_least)?,
            Effect::InstallSnapshot { last, membership } => self.install(id, last, membership)?,
            Effect::Apply(entries) => {
                let note = if self.member(id)?.applies_held { " (held)" } else { "" };
                self.say(|| format!("n{id} apply {}{note}", format::contents(&entries)));
                self.member(id)?.applies.push_back(entries);
            }
            Effect::ReadReady { read, index } => {
                let machine = &self.member(id)?.machine;
                let (applied, text) = (machine.last.index, machine.describe());
                self.say(|| format!("n{id} r{read} ready at {index}: {text}"));
                self.checker.read_ready(id, read, index, applied)?;
            }
            Effect::ReadAborted { read } => {
                self.say(|| format!("n{id} r{read} aborted"));
                self.checker.read_aborted(id, read)?;
            }
            Effect::Forwarded { proposal, outcome } => {
                let Some(payload) = self.member(id)?.forwards.remove(&proposal) else {
                    return Err(Failure::law(format!("n{id} answers p{proposal}, which is not under way")));
                };
                self.say(|| match outcome {
                    Ok(at) => format!("n{id} p{proposal} appended at {at}"),
                    Err(error) => format!("n{id} p{proposal} failed: {error}"),
                });
                self.checker.proposed(id, &payload, outcome)?;
            }
            Effect::RoleChanged { role, term, leader } => self.say(|| match leader {
                Some(leader) if leader != id => format!("n{id}@{term} follows n{leader}"),
                _ => format!("n{id}@{term} becomes {}", format::role(role)),
            }),
            Effect::MembershipChanged(membership) => {
                self.say(|| format!("n{id} membership {}", format::membership(&membership)));
            }
            Effect::Alarm(alarm) => {
                self.alarms += 1;
                self.say(|| format!("n{id} alarm: {}", format::alarm(&alarm)));
            }
        }
        Ok(())
    }

    /// Streams the state to a peer, as far as this machine has any that is of use.
    fn stream(&mut self, id: NodeId, to: NodeId, term: Term, at_least: Index) -> Result<(), Failure> {
        if self.options.is_witness(to) {
            return Err(Failure::law(format!("n{id} streams its state to the witness n{to}")));
        }
        let machine = self.member(id)?.machine.clone();
        if machine.last.index < at_least || !machine.knows_its_group() {
            self.lost_snapshots.push((id, to));
            return Ok(());
        }
        let message = Message::Snapshot { last: machine.last, membership: machine.membership.clone() };
        let envelope = Envelope { from: id, to, term, message };
        self.checker.sent(&envelope, &self.disks)?;
        let link = Link { from: id, to };
        self.say_sent(link, &envelope);
        self.post(link, Parcel::Snapshot(envelope, Box::new(machine)));
        Ok(())
    }

    fn send(&mut self, id: NodeId, envelope: Envelope) -> Result<(), Failure> {
        let link = Link { from: envelope.from, to: envelope.to };
        if link.from != id || link.to == id || !self.members.contains_key(&link.to) {
            return Err(Failure::law(format!("n{id} sends a message from n{} to n{}", link.from, link.to)));
        }
        self.checker.sent(&envelope, &self.disks)?;
        self.say_sent(link, &envelope);
        self.post(link, Parcel::Message(over_the_wire(&envelope)?));
        Ok(())
    }

    fn say_sent(&mut self, link: Link, envelope: &Envelope) {
        let note = if self.network.is_cut(link) {
            " (lost)"
        } else if self.network.is_delayed(link, kind(&envelope.message)) {
            " (delayed)"
        } else {
            ""
        };
        self.say(|| format!("{}{note}", format::envelope(envelope)));
    }

    /// Replaces the machine by a snapshot that arrived. It is durable at once: the write that restarts the log must
    /// never be durable before the state that it stands on.
    fn install(&mut self, id: NodeId, last: LogId, membership: Membership) -> Result<(), Failure> {
        while self.apply_next(id)? {}
        let witness = self.options.is_witness(id);
        let member = self.member(id)?;
        // A witness has no state: what it installs is the place that it stands for.
        let place = witness.then(|| Machine { last, ..Machine::new(membership.clone()) });
        let Some(machine) = place.or_else(|| member.staged.remove(&last)) else {
            return Err(Failure::law(format!("n{id} installs a snapshot of {last}, which never arrived")));
        };
        member.machine = machine.clone();
        member.checkpoint = machine.clone();
        member.applied_report = Some(last.index);
        self.say(|| format!("n{id} install {}", machine.describe()));
        self.disk(id)?.install(last, membership);
        self.checker.installed(id, &machine)
    }
}
