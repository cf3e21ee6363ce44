//! What a world looks like at a moment, as JSON: `docs/design/lab.md` says what each field means.

use floe_raft::{Entry, Index, Membership, ProgressState, RoleKind};
use floe_trace::role_name;

use super::json::{Object, object};
use super::scene::Scene;
use super::watch::Seen;
use super::words::{Meaning, NAMES, entry_kind, key_name, packet_text};
use super::{End, Stage};
use crate::check::OperationKind;
use crate::clock::{Moment, Rate};
use crate::host::{Host, Life};
use crate::image::LogImage;
use crate::machine::{Key, Machine, OpId};
use crate::net::{Network, Packet};
use crate::world::{Event, World};

/// How many entries of a log are told.
const ENTRIES: usize = 64;
/// How many operations that are over are told.
const OPERATIONS: usize = 48;

impl Stage {
    /// The state.
    pub fn state(&self) -> String {
        let mut out = String::with_capacity(8_192);
        object(&mut out, |state| {
            state.number("at", self.now().0);
            state.number("event", self.events());
            match self.end() {
                Some(End::Violated) => state.text("end", "violated"),
                Some(End::Over) => state.text("end", "over"),
                Some(End::Limit) => state.text("end", "limit"),
                None => state.nothing("end"),
            }
            state.object("verdict", |verdict| self.verdict(verdict));
            self.scene.show(state);
            state.number("actions", self.done as u64);
        });
        out
    }

    fn verdict(&self, out: &mut Object<'_>) {
        match &self.violation {
            None => {
                out.flag("holds", true);
                out.number("checked", self.scene.handled());
            }
            Some(violation) => {
                out.flag("holds", false);
                out.number("checked", self.scene.handled());
                out.text("rule", violation.invariant.name());
                out.text("detail", &violation.detail);
                out.number("event", self.events());
                out.number("at", violation.at.0);
            }
        }
    }

    /// What each node knows of the entry at an index.
    pub fn entry(&self, index: u64) -> String {
        let Scene::One(world) = &self.scene else {
            return format!("{{\"index\":{index},\"text\":\"\",\"nodes\":[]}}");
        };
        let mut out = String::new();
        object(&mut out, |out| {
            out.number("index", index);
            let index = Index(index);
            let text = world.hosts.iter().find_map(|host| log_of(host).entry(index));
            out.text("text", &text.map(|entry| world.entry_text(entry)).unwrap_or_default());
            out.objects("nodes", &world.hosts, |out, host| {
                let (log, disk) = (log_of(host), host.storage.image());
                let commit = host.life.as_ref().map_or(Index(0), |life| life.node.commit());
                let applied = machine_of(host).applied().index;
                out.number("id", host.id.0);
                out.flag("compacted", index <= log.base.index && index > Index(0));
                match log.entry(index) {
                    Some(entry) => {
                        out.flag("has", true);
                        world.show_entry(out, entry, disk);
                    }
                    None => out.flag("has", false),
                }
                out.flag("committed", index <= commit.max(applied));
                out.flag("applied", index <= applied);
            });
        });
        out
    }
}

/// Writes down what a world of one group looks like.
pub(super) fn show_one(world: &World, state: &mut Object<'_>) {
    let members = world.membership_in_force();
    state.objects("nodes", 0..world.hosts.len(), |node, host| world.show_node(node, host, members));
    let mut packets: Vec<(Moment, u64, &Packet)> = world
        .queue
        .iter()
        .filter_map(|(at, number, event)| match event {
            Event::Arrive(packet) => Some((at, number, packet)),
            _ => None,
        })
        .collect();
    packets.sort_by_key(|(_, number, _)| *number);
    state.objects("packets", packets, |out, (at, number, packet)| {
        world.show_packet(out, at, number, packet);
    });
    show_links(state, &world.net);
    world.show_operations(state);
    state.object("members", |out| show_membership(out, members));
}

fn log_of(host: &Host) -> &LogImage {
    host.life.as_ref().map_or(host.storage.image(), |life| &life.log)
}

fn machine_of(host: &Host) -> &Machine {
    host.life.as_ref().map_or(&host.storage.checkpoint().machine, |life| &life.machine)
}

fn status_of(host: &Host) -> &'static str {
    match &host.life {
        _ if host.wiped => "wiped",
        _ if host.retired => "retired",
        Some(_) if host.is_paused() => "paused",
        Some(_) => "up",
        None if host.lives.0 == 0 => "absent",
        None => "down",
    }
}

fn show_membership(out: &mut Object<'_>, membership: &Membership) {
    out.nodes("voters", &membership.voters);
    out.nodes("outgoing", &membership.outgoing);
    out.nodes("learners", &membership.learners);
}

impl World {
    fn show_node(&self, out: &mut Object<'_>, host: usize, members: &Membership) {
        let machine = &self.hosts[host];
        let (id, life) = (machine.id, machine.life.as_ref());
        let (disk, log) = (machine.storage.image(), log_of(machine));
        let hard_state = log.hard_state;
        out.number("id", id.0);
        out.text("status", status_of(machine));
        match life {
            Some(life) => out.text("role", role_name(life.node.status().role)),
            None => out.nothing("role"),
        }
        out.number("term", life.map_or(hard_state.term, |life| life.node.term()).0);
        let vote = life.map_or(hard_state.vote, |life| life.node.status().hard_state.vote);
        out.maybe("vote", vote.map(|vote| vote.0));
        out.maybe("leader", life.and_then(|life| life.node.leader()).map(|leader| leader.0));
        out.flag("witness", self.plan.witnesses.contains(&id));
        let member = match members {
            members if members.is_voter(id) => "voter",
            members if members.contains(id) => "learner",
            _ => "none",
        };
        out.text("member", member);
        let state = machine_of(machine);
        out.number("commit", life.map_or(state.applied().index, |life| life.node.commit()).0);
        out.number("applied", state.applied().index.0);
        out.number("durable", disk.last().index.0);
        out.log_id("base", log.base);
        out.log_id("last", log.last());
        let first = log.entries.len().saturating_sub(ENTRIES);
        out.objects("log", log.entries.range(first..), |out, entry| self.show_entry(out, entry, disk));
        out.object("values", |out| self.show_values(out, state));
        out.text("hash", &format!("{:016x}", state.hash()));
        self.show_timer(out, host);
        match life {
            Some(life) => self.show_life(out, machine, life),
            None => {
                out.nothing("votes");
                out.objects("peers", [(); 0], |_, ()| {});
                show_membership(out, &machine.storage.membership());
                out.nothing("lease_until");
                out.number("writing", 0);
            }
        }
        out.object("clock", |out| {
            let rate = (machine.clock.rate().0 * 100 + Rate::TRUE.0 / 2) / Rate::TRUE.0;
            out.number("rate_percent", u64::from(rate));
            out.number("local", machine.clock.local(self.now).0);
        });
        let disk = match machine {
            machine if machine.failing.is_some() => "fail",
            machine if machine.stalled_until > self.now => "stall",
            machine if machine.slow > 1 => "slow",
            _ => "ok",
        };
        out.text("disk", disk);
    }

    fn show_life(&self, out: &mut Object<'_>, machine: &Host, life: &Life) {
        let status = life.node.status();
        match life.node.votes() {
            Some(votes) => out.object("votes", |out| {
                let asked = if status.role == RoleKind::PreCandidate { 1 } else { 0 };
                out.number("for_term", life.node.term().0 + asked);
                out.nodes("granted", votes.iter().filter(|(_, granted)| **granted).map(|(node, _)| node));
                out.nodes("refused", votes.iter().filter(|(_, granted)| !**granted).map(|(node, _)| node));
            }),
            None => out.nothing("votes"),
        }
        out.objects("peers", &status.progress, |out, (peer, progress)| {
            out.number("id", peer.0);
            out.number("match", progress.matched.0);
            out.number("next", progress.next.0);
            out.text(
                "state",
                match progress.state {
                    ProgressState::Probe => "probe",
                    ProgressState::Replicate => "replicate",
                    ProgressState::Snapshot => "snapshot",
                },
            );
            out.number("in_flight", progress.inflight as u64);
        });
        show_membership(out, &status.membership);
        let lease = status.lease_until.map(|until| machine.clock.moment_of(until).0);
        out.maybe("lease_until", lease);
        out.number("writing", (life.writes.len() + life.writing.len()) as u64);
    }

    fn show_entry(&self, out: &mut Object<'_>, entry: &Entry, disk: &LogImage) {
        out.number("index", entry.id.index.0);
        out.number("term", entry.id.term.0);
        out.text("kind", entry_kind(entry.kind));
        out.text("text", &self.entry_text(entry));
        out.flag("durable", disk.id_at(entry.id.index) == Some(entry.id));
    }

    fn show_values(&self, out: &mut Object<'_>, machine: &Machine) {
        for (key, name) in NAMES.iter().enumerate() {
            let value = machine.value(Key(key as u8));
            if value == OpId(0) {
                continue;
            }
            match self.value_of(value) {
                Some(value) => out.signed(name, value),
                None => out.text(name, "?"),
            }
        }
    }

    fn show_timer(&self, out: &mut Object<'_>, host: usize) {
        let machine = &self.hosts[host];
        let timer = self.backstage.as_ref().and_then(|backstage| backstage.timer(host));
        let runs =
            machine.life.as_ref().zip(timer).and_then(|(life, timer)| Some((life, timer, timer.deadline?)));
        out.object("timer", |out| match runs {
            Some((life, timer, deadline)) => {
                out.text("kind", if life.node.is_leader() { "heartbeat" } else { "election" });
                out.number("set_at", timer.set_at.0);
                out.number("due_at", machine.clock.moment_of(deadline).0);
            }
            None => {
                out.text("kind", "none");
                out.nothing("set_at");
                out.nothing("due_at");
            }
        });
    }

    fn show_packet(&self, out: &mut Object<'_>, at: Moment, number: u64, packet: &Packet) {
        let (kind, term, text) = packet_text(&packet.body);
        let sent = self.trace.watcher().and_then(|watcher| watcher.moment(packet.cause)).unwrap_or(self.now);
        out.number("id", number);
        out.number("event", packet.cause.0);
        out.number("from", packet.from.0);
        out.number("to", packet.to.0);
        out.text("kind", kind);
        out.number("term", term);
        out.number("sent_at", sent.0);
        out.number("arrives_at", at.0);
        out.text("text", &text);
    }

    fn show_operations(&self, out: &mut Object<'_>) {
        let operations: Vec<(&OpId, &Seen)> =
            self.trace.watcher().map(|watcher| watcher.operations.iter().collect()).unwrap_or_default();
        let old = operations.len().saturating_sub(OPERATIONS);
        let told =
            operations.iter().enumerate().filter(|(nth, (_, seen))| *nth >= old || seen.told.is_none());
        out.objects("clients", told, |out, (_, (op, seen))| {
            out.number("op", op.0);
            out.number("client", seen.client);
            out.text("text", &self.operation_text(**op));
            out.flag("again", seen.again);
            out.text("key", key_name(seen.key));
            let (state, answer) = self.outcome(**op, seen);
            out.text("state", state);
            out.number("node", seen.node.0);
            out.number("invoked_at", seen.invoked_at.0);
            out.maybe("answered_at", seen.told.map(|told| told.at.0));
            match answer {
                Some(answer) => out.text("answer", &answer),
                None => out.nothing("answer"),
            }
        });
    }

    /// What became of an operation, and what its client was told.
    fn outcome(&self, op: OpId, seen: &Seen) -> (&'static str, Option<String>) {
        let Some(told) = seen.told else { return ("waiting", None) };
        match told.outcome {
            "read" => ("answered", Some(self.value_text(told.value))),
            "wrote" | "was-done" => {
                let kind = self.check.clients.operation(op).map(|operation| operation.kind);
                let answer = match (self.meaning(op), kind) {
                    (Some(Meaning::Add(_)), _) => self.value_text(op),
                    (_, Some(OperationKind::Compare { expect })) if expect != told.value => {
                        format!("it is {}", self.value_text(told.value))
                    }
                    _ => "ok".to_owned(),
                };
                ("answered", Some(answer))
            }
            "lapsed" => ("refused", Some("the session is not known".to_owned())),
            outcome => (outcome, None),
        }
    }
}

/// Writes down the links that are not whole.
pub(super) fn show_links<B: Clone>(out: &mut Object<'_>, net: &Network<B>) {
    let cuts: Vec<_> = net.cuts().collect();
    let slow = net.slow_links().filter(|(link, _)| !cuts.contains(link));
    let cut = cuts.iter().map(|link| (*link, None));
    let links = cut.chain(slow.map(|(link, delay)| (link, Some(delay))));
    out.objects("links", links, |out, (link, delay)| {
        out.number("from", link.from.0);
        out.number("to", link.to.0);
        out.flag("cut", delay.is_none());
        if let Some(delay) = delay {
            out.number("delay_ms", delay / crate::clock::MS);
        }
    });
}
