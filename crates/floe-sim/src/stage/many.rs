//! Many groups on a stage: what a viewer can do to their machines, and what they look like.

use floe_raft::{GroupId, LogId, NodeId};
use floe_trace::{message_name, role_name};

use super::act::{Act, DiskMode, EVER, between};
use super::json::Object;
use super::words::message_text;
use crate::check::Violation;
use crate::clock::{MS, Rate};
use crate::groups::{Event, GroupsWorld, Load};
use crate::trace::{EventId, Happening};

impl GroupsWorld {
    /// Does what a viewer wants, or says why not.
    pub(crate) fn do_act(&mut self, act: &Act) -> Result<Option<&'static str>, Box<Violation>> {
        if let Some(objection) = self.objection(act) {
            return Ok(Some(objection));
        }
        let node = act.node().unwrap_or_default();
        let happening = Happening::Intervention { number: super::act::BY_HAND, what: act.name(), node };
        self.trace.record(self.now, EventId(0), &happening);
        let Some(host) = act.node().and_then(|node| self.position(node)) else {
            self.do_on_all(act);
            return Ok(None);
        };
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
            Act::Pause { lasts, .. } => {
                self.hosts[host].paused_until = Some(until(lasts));
                self.queue.push(until(lasts), Event::Resume(host));
            }
            Act::Delay { link, delay } => self.net.set_delay(*link, *delay),
            Act::Disk { mode: DiskMode::Slow, lasts, .. } => {
                self.hosts[host].slow = 20;
                self.queue.push(until(lasts), Event::QuickDisk(host));
            }
            Act::Disk { lasts, .. } => self.stall(host, until(lasts)),
            Act::ClockRate { percent, .. } => {
                self.hosts[host].clock.set_rate(now, Rate(Rate::TRUE.0 * percent / 100));
                self.look_at_the_clock(host)?;
            }
            Act::ClockAhead { ahead, .. } => {
                self.hosts[host].clock.jump(now, *ahead);
                self.look_at_the_clock(host)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn objection(&self, act: &Act) -> Option<&'static str> {
        if self.healed {
            return Some("this world is being healed: nothing is broken or mended from outside any more");
        }
        let host = act.node().and_then(|node| self.hosts.get(self.position(node)?));
        let runs = host.is_some_and(|host| host.life.is_some());
        let stands = host.is_some_and(|host| host.paused_until.is_some());
        match act {
            Act::Restart { .. } if runs => Some("it is up"),
            Act::Restart { .. } if host.is_some_and(|host| host.wiped) => Some("its disk is lost for ever"),
            Act::Crash { .. } | Act::Pause { .. } if !runs => Some("it is not up"),
            Act::Pause { .. } if stands => Some("it stands still already"),
            Act::Pause { lasts: None, .. } | Act::Disk { lasts: None, .. } => {
                Some("in a world of many groups this needs its time, `for_ms`")
            }
            Act::Disk { mode: DiskMode::Slow | DiskMode::Stalls, .. } => None,
            Act::Crash { .. }
            | Act::Restart { .. }
            | Act::Pause { .. }
            | Act::Cut { .. }
            | Act::Partition { .. }
            | Act::Heal
            | Act::Network { .. }
            | Act::Delay { .. }
            | Act::ClockRate { .. }
            | Act::ClockAhead { .. } => None,
            _ => Some("this is for worlds of one group"),
        }
    }

    fn do_on_all(&mut self, act: &Act) {
        match act {
            Act::Cut { links, lasts } => self.cut_for(links.clone(), *lasts),
            Act::Partition { sides, lasts } => {
                let nodes: Vec<NodeId> = self.hosts.iter().map(|host| host.id).collect();
                self.cut_for(between(&nodes, sides), *lasts);
            }
            Act::Heal => {
                self.net.mend_all();
                self.queue.remove(|_, event| matches!(event, Event::Mend(_) | Event::Flap { .. }));
            }
            Act::Network { .. } => act.change(self.net.plan_mut()),
            _ => {}
        }
    }

    fn cut_for(&mut self, links: Vec<crate::action::Link>, lasts: Option<u64>) {
        self.net.cut(&links);
        self.queue.push(self.now.plus(lasts.unwrap_or(EVER)), Event::Mend(links));
    }

    fn forget_restart(&mut self, host: usize) {
        self.queue.remove(|_, event| matches!(event, Event::Restart(which) if *which == host));
    }

    /// Writes down what it looks like.
    pub(crate) fn show(&self, out: &mut Object<'_>) {
        out.objects("nodes", 0..self.hosts.len(), |out, host| self.show_machine(out, host));
        let mut packets: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(at, number, event)| match event {
                Event::Arrive(packet) => Some((at, number, packet)),
                _ => None,
            })
            .collect();
        packets.sort_by_key(|(_, number, _)| *number);
        out.objects("packets", packets, |out, (at, number, packet)| {
            let sent = self.trace.watcher().and_then(|watcher| watcher.moment(packet.cause));
            out.number("id", number);
            out.number("event", packet.cause.0);
            out.number("from", packet.from.0);
            out.number("to", packet.to.0);
            match &packet.body {
                Load::Message(group, envelope) => {
                    out.text("kind", message_name(&envelope.message));
                    out.number("term", envelope.term.0);
                    out.number("group", group.0);
                    out.text("text", &format!("group {group}: {}", message_text(&envelope.message)));
                }
                Load::Beat(beat) => {
                    out.text("kind", "beat");
                    out.number("term", 0);
                    out.number("heartbeats", beat.heartbeats.len() as u64);
                    out.number("answers", beat.answers.len() as u64);
                    let (heartbeats, answers) = (beat.heartbeats.len(), beat.answers.len());
                    out.text("text", &format!("{heartbeats} heartbeats, {answers} answers"));
                }
            }
            out.number("sent_at", sent.unwrap_or(self.now).0);
            out.number("arrives_at", at.0);
        });
        super::view::show_links(out, &self.net);
        out.objects("clients", [(); 0], |_, ()| {});
        out.object("members", |out| {
            out.nodes("voters", &self.plan.voters);
            out.nodes("outgoing", []);
            out.nodes("learners", &self.plan.learners);
        });
    }

    fn show_machine(&self, out: &mut Object<'_>, host: usize) {
        let machine = &self.hosts[host];
        out.number("id", machine.id.0);
        let status = match &machine.life {
            _ if machine.wiped => "wiped",
            Some(_) if machine.paused_until.is_some() => "paused",
            Some(_) => "up",
            None => "down",
        };
        out.text("status", status);
        nothing_of_one_group(out);
        let of_groups: Vec<_> =
            self.groups.iter().filter(|group| group.membership.contains(machine.id)).collect();
        out.objects("groups", &of_groups, |out, group| {
            let node = machine.life.as_ref().and_then(|life| life.multi.group(group.id));
            out.number("group", group.id.0);
            match node {
                Some(node) => {
                    let status = node.status();
                    out.text("role", role_name(status.role));
                    out.number("term", node.term().0);
                    out.number("commit", node.commit().0);
                }
                None => {
                    out.nothing("role");
                    out.number("term", machine.disk.image(group.id).map_or(0, |disk| disk.hard_state.term.0));
                    out.number("commit", 0);
                }
            }
            let sleeps =
                |group: GroupId| machine.life.as_ref().is_some_and(|life| life.multi.is_asleep(group));
            out.flag("asleep", sleeps(group.id));
        });
        out.object("clock", |out| {
            let rate = (machine.clock.rate().0 * 100 + Rate::TRUE.0 / 2) / Rate::TRUE.0;
            out.number("rate_percent", u64::from(rate));
            out.number("local", machine.clock.local(self.now).0);
        });
        let disk = match machine {
            machine if machine.stalled_until > self.now => "stall",
            machine if machine.slow > 1 => "slow",
            _ => "ok",
        };
        out.text("disk", disk);
        let writing = machine.life.as_ref().map_or(0, |life| life.writes.len() + life.writing.len());
        out.number("writing", writing as u64);
    }
}

/// What a machine has for each of its groups, and not by itself: so that a viewer need not ask whether it is there.
fn nothing_of_one_group(out: &mut Object<'_>) {
    for name in ["role", "vote", "leader", "votes", "lease_until"] {
        out.nothing(name);
    }
    for name in ["term", "commit", "applied", "durable"] {
        out.number(name, 0);
    }
    for name in ["base", "last"] {
        out.log_id(name, LogId::ZERO);
    }
    for name in ["log", "peers"] {
        out.objects(name, [(); 0], |_, ()| {});
    }
    for name in ["voters", "outgoing", "learners"] {
        out.nodes(name, []);
    }
    out.flag("witness", false);
    out.text("member", "voter");
    out.text("hash", "");
    out.object("values", |_| {});
    out.object("timer", |out| {
        out.text("kind", "none");
        out.nothing("set_at");
        out.nothing("due_at");
    });
}

/// After how much idle time the groups of a scripted world sleep.
pub(crate) const SLEEP: u64 = 500 * MS;
