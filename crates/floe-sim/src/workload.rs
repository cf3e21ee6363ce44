//! The clients: each does one operation at a time, through the node that it believes to lead or through any other,
//! and gives up when the answer does not come, or, if it has a session, sends its write again.

use floe_raft::{Index, LogId};
use floe_session::{ClientId, RequestId, Sequence};

use crate::check::{Checked, OperationKind};
use crate::clock::{DAWN_MS, MS};
use crate::host::Input;
use crate::machine::{Effect, KEYS, Key, OpId, Reply};
use crate::marks::Mark;
use crate::plan::WorkloadPlan;
use crate::rng::{Rng, Stream};
use crate::trace::Happening;
use crate::world::{Event, World};

/// How long a client waits, at least, after a refusal. While nobody leads there is nothing to be gained by haste.
const BACK_OFF: u64 = 25 * MS;

/// What a host tells a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Wrote {
        id: LogId,
        reply: Reply,
    },
    Read {
        at: Index,
        value: OpId,
    },
    /// An earlier attempt at the same request was done, with this reply.
    WasDone {
        reply: Reply,
    },
    /// The session does not know what became of the request, or never knew it.
    Lapsed {
        now_ms: u64,
    },
    /// This attempt never takes effect.
    Refused,
    /// It may or may not take effect.
    Unknown,
}

impl Answer {
    /// What a command came to at its place.
    pub(crate) fn of(id: LogId, effect: Effect) -> Self {
        match effect {
            Effect::Done(reply) | Effect::Replayed(reply) => Self::Wrote { id, reply },
            Effect::Refused { now_ms } => Self::Lapsed { now_ms },
        }
    }
}

/// All clients of a world.
#[derive(Debug)]
pub(crate) struct Workload {
    plan: WorkloadPlan,
    rng: Rng,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    /// What it waits for.
    waits_for: Option<OpId>,
    /// Its session, and how many more times it tries the present request.
    session: Option<Session>,
    tries: u32,
    /// The host that it goes to.
    host: usize,
    /// The last value that it saw of each key, for comparisons that have a chance.
    seen: [OpId; KEYS as usize],
}

/// By which requests are known again.
#[derive(Clone, Copy, Debug)]
struct Session {
    client: ClientId,
    next: Sequence,
}

impl Session {
    /// A new one. Most clients' clocks are right; some are a minute off.
    fn begin(now_ms: u64, rng: &mut Rng) -> Self {
        let birth_ms = match rng.below(16) {
            0 => now_ms + 60_000,
            1 => now_ms - 60_000,
            _ => now_ms,
        };
        let random = u128::from(rng.number()) << 64 | u128::from(rng.number());
        Self { client: ClientId::new(birth_ms, random), next: Sequence::FIRST }
    }

    fn name_next(&mut self) -> RequestId {
        let request = RequestId { client: self.client, sequence: self.next };
        self.next = self.next.next();
        request
    }
}

impl Workload {
    pub(crate) fn new(seed: u64, plan: &WorkloadPlan) -> Self {
        let client =
            |_| Client { waits_for: None, session: None, tries: 0, host: 0, seen: [OpId(0); KEYS as usize] };
        Self {
            plan: plan.clone(),
            rng: Rng::new(seed, Stream::Workload),
            clients: (0..plan.clients).map(client).collect(),
        }
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn think(&mut self) -> u64 {
        self.rng.exponential(self.plan.think_mean)
    }

    pub(crate) fn padding(&mut self) -> usize {
        if self.plan.padding == 0 { 0 } else { self.rng.below(self.plan.padding + 1) as usize }
    }

    pub(crate) fn delay(&mut self) -> u64 {
        if self.plan.delay > 0 { self.plan.delay } else { self.rng.exponential(MS / 2) }
    }

    /// Clients wait for nothing that they asked for before, and are impatient and busy from now on, so that what is left
    /// of the cluster must show that it works.
    pub(crate) fn hurry(&mut self, limit: u64) {
        for client in &mut self.clients {
            client.waits_for = None;
            client.tries = 0;
        }
        self.plan.think_mean = self.plan.think_mean.min(limit);
        self.plan.timeout = self.plan.timeout.min(limit * 8);
        self.plan.reads = self.plan.reads.min(500_000);
    }
}

impl World {
    /// A client invokes its next operation.
    pub(crate) fn next_operation(&mut self, client: usize) {
        if self.workload.clients[client].waits_for.is_some() {
            return;
        }
        let host = self.choose_host(client);
        let Workload { plan, rng, clients } = &mut self.workload;
        let key = Key(rng.below(u64::from(KEYS)) as u8);
        let kind = if rng.chance(plan.reads) {
            OperationKind::Get
        } else if rng.chance(plan.compares) {
            OperationKind::Compare { expect: clients[client].seen[usize::from(key.0)] }
        } else {
            OperationKind::Put
        };
        let node = self.hosts[host].id;
        let now_ms = DAWN_MS + self.now.0 / MS;
        let mut request = None;
        if plan.retries > 0 && kind != OperationKind::Get {
            let session = clients[client].session.get_or_insert_with(|| Session::begin(now_ms, rng));
            request = Some(session.name_next());
            clients[client].tries = plan.retries;
        }
        let op = self.check.clients.invoked(client as u64, kind, key, node, request);
        clients[client].waits_for = Some(op);
        let kind = match kind {
            OperationKind::Get => "get",
            OperationKind::Compare { .. } => "compare",
            OperationKind::Put => "put",
        };
        self.cause = self.note(&Happening::Invoked { client: client as u64, op, kind, key, node });
        self.send_request(host, op);
    }

    fn send_request(&mut self, host: usize, op: OpId) {
        let timeout = self.workload.plan.timeout;
        let sent = self.now.plus(self.workload.delay());
        self.queue.push(sent, Event::Request { host, op, cause: self.cause });
        self.queue.push(self.now.plus(timeout), Event::GiveUp(op));
    }

    /// A client that has a session, and does not know what became of its request, will ask again, under the same name.
    /// Whether it does.
    fn asks_again(&mut self, client: usize, op: OpId) -> bool {
        let named = self.check.clients.operation(op).is_some_and(|operation| operation.request.is_some());
        let known = &mut self.workload.clients[client];
        if !named || known.tries == 0 {
            return false;
        }
        known.tries -= 1;
        let later = self.now.plus(self.workload.think().max(BACK_OFF));
        self.queue.push(later, Event::TryAgain { client, op });
        true
    }

    /// A client sends its request again.
    pub(crate) fn try_again(&mut self, client: usize, op: OpId) {
        if self.workload.clients[client].waits_for.is_some() {
            return;
        }
        let host = self.choose_host(client);
        let node = self.hosts[host].id;
        let Some(first) = self.check.clients.operation(op).map(|operation| operation.first) else { return };
        let Some(again) = self.check.clients.tried_again(first, node) else { return };
        self.workload.clients[client].waits_for = Some(again);
        self.cause = self.note(&Happening::TriedAgain { client: client as u64, op: again, first, node });
        self.send_request(host, again);
    }

    fn choose_host(&mut self, client: usize) -> usize {
        let wanders = self.workload.rng.chance(self.workload.plan.wander);
        let hosts = self.hosts.len() as u64;
        let mut host = self.workload.clients[client].host;
        if wanders {
            host = self.workload.rng.below(hosts) as usize;
        }
        // When a majority was healed, its members are the ones that are asked.
        if let Some(core) = &self.core
            && !core.contains(&self.hosts[host].id)
        {
            let nodes: Vec<_> = core.iter().copied().collect();
            let node = self.workload.rng.pick(&nodes).copied();
            host = node.and_then(|node| self.position(node)).unwrap_or(host);
        }
        self.workload.clients[client].host = host;
        host
    }

    /// A request reaches a host.
    pub(crate) fn request(&mut self, host: usize, op: OpId) -> Checked {
        if self.hosts[host].life.is_none() {
            return self.answer(op, Answer::Refused);
        }
        self.input(host, Input::Operation(op))
    }

    /// A host tells a client what became of its operation. It is checked here, whether or not the client still waits.
    pub(crate) fn answer(&mut self, op: OpId, answer: Answer) -> Checked {
        let Some((client, key, is_read)) = self
            .check
            .clients
            .operation(op)
            .map(|operation| (operation.client, operation.key, operation.kind == OperationKind::Get))
        else {
            return Ok(());
        };
        let (outcome, index, value) = match answer {
            Answer::Wrote { id, reply } => {
                self.check.clients.wrote(op, id, reply)?;
                ("wrote", id.index, reply.previous)
            }
            Answer::Read { at, value } => {
                if !self.plan.host.stale_reads {
                    let expected = self.check.commits.value(key, at);
                    self.check.clients.read(op, at, value, expected)?;
                }
                ("read", at, value)
            }
            Answer::WasDone { reply } => {
                self.check.clients.was_done(op, reply)?;
                ("was-done", Index(0), reply.previous)
            }
            Answer::Lapsed { .. } => {
                self.marks.reach(Mark::SessionLapsed);
                ("lapsed", Index(0), OpId(0))
            }
            Answer::Refused if is_read => ("refused", Index(0), OpId(0)),
            Answer::Refused => {
                self.check.clients.refused(op)?;
                ("refused", Index(0), OpId(0))
            }
            Answer::Unknown => ("unknown", Index(0), OpId(0)),
        };
        self.note(&Happening::Answered { client, op, outcome, index, value });
        let arrives = self.now.plus(self.workload.delay());
        self.queue.push(arrives, Event::Answer(op, answer));
        Ok(())
    }

    /// An answer reaches its client.
    pub(crate) fn answered(&mut self, op: OpId, answer: Answer) {
        let Some((client, key, first)) = self
            .check
            .clients
            .operation(op)
            .map(|operation| (operation.client as usize, operation.key, operation.first))
        else {
            return;
        };
        if client >= self.workload.clients() {
            return self.viewer_hears(op, answer);
        }
        if self.workload.clients[client].waits_for != Some(op) {
            return;
        }
        let mut next = self.workload.think();
        let leader = self.leader_hint(client);
        let known = &mut self.workload.clients[client];
        known.waits_for = None;
        let key = usize::from(key.0);
        match answer {
            Answer::Wrote { id, reply } => {
                known.seen[key] = if reply.wrote { first } else { reply.previous };
                self.check.clients.received(op, id.index);
            }
            Answer::WasDone { reply } => {
                known.seen[key] = if reply.wrote { first } else { reply.previous };
                self.check.clients.received(op, Index(0));
            }
            Answer::Lapsed { now_ms } => {
                known.session = Some(Session::begin(now_ms.max(DAWN_MS), &mut self.workload.rng));
                next = next.max(BACK_OFF);
            }
            Answer::Read { at, value } => {
                known.seen[key] = value;
                self.check.clients.received(op, at);
            }
            Answer::Refused | Answer::Unknown => {
                known.host = leader;
                next = next.max(BACK_OFF);
                if self.asks_again(client, op) {
                    return;
                }
            }
        }
        self.queue.push(self.now.plus(next), Event::NextOperation { client });
    }

    /// A client waits no longer.
    pub(crate) fn give_up(&mut self, op: OpId) {
        let Some(client) = self.check.clients.operation(op).map(|operation| operation.client as usize) else {
            return;
        };
        if client >= self.workload.clients() {
            return self.viewer_gives_up(op);
        }
        if self.workload.clients[client].waits_for != Some(op) {
            return;
        }
        self.note(&Happening::Answered {
            client: client as u64,
            op,
            outcome: "given-up",
            index: Index(0),
            value: OpId(0),
        });
        let next = self.workload.think();
        let host = self.leader_hint(client);
        self.workload.clients[client].waits_for = None;
        self.workload.clients[client].host = host;
        if self.asks_again(client, op) {
            return;
        }
        self.queue.push(self.now.plus(next), Event::NextOperation { client });
    }

    /// Where the node that the client asked says that the leader is; another node if it does not know.
    fn leader_hint(&mut self, client: usize) -> usize {
        let asked = self.workload.clients[client].host;
        let leader = self.hosts[asked].life.as_ref().and_then(|life| life.node.leader());
        let other = self.workload.rng.below(self.hosts.len() as u64) as usize;
        leader.and_then(|leader| self.position(leader)).unwrap_or(other)
    }
}
