//! `cargo xtask churn`: members come and go while writers write and processes die, in the middle of changes too.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use floe_etcd::proto::etcdserverpb::Member;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::RwLock;
use tokio::time::sleep;

use crate::bystander::Bystander;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::network::Network;

/// etcd's own. Failures are noticed faster where there is evidence.
const ELECTION_TIMEOUT_MS: u32 = 1_000;
/// No write may wait longer for the next that succeeds, by whomever, while a majority is up. It always is: nobody is
/// killed unless there are three voters, all of them up and caught up.
pub(crate) const GAP_LIMIT_MS: u64 = 2 * ELECTION_TIMEOUT_MS as u64;
const WRITERS: u64 = 6;
/// A writer gives up here and goes to the next member: a gap is one of the cluster, not of a writer that waits.
const WRITE_LIMIT: Duration = Duration::from_millis(400);
const READ_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(8);
/// How long a change may take, with all refusals and deaths on the way.
const CHANGE_LIMIT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);
const FAULTS_SHOWN: usize = 10;

/// What etcd's `MemberPromote` says of a voter.
const IS_VOTER: &str = "etcdserver: can only promote a learner member";

/// What the writers and the rest share.
struct Shared {
    ledger: Mutex<Ledger>,
    /// Each write is made under a read lock, so that whoever holds the write lock knows that none is under way.
    gate: RwLock<()>,
    sequence: AtomicU64,
    /// Of those members that run and belong to the cluster.
    clients: Mutex<Vec<Client>>,
    gaps: Mutex<Gaps>,
}

/// How long nobody had a write acknowledged.
#[derive(Debug)]
struct Gaps {
    last: Instant,
    longest: Duration,
    recent: Gap,
}

/// The longest since somebody asked.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    length: Duration,
    /// In the words of the members' logs.
    ended: TimeOfDay,
}

/// Since midnight, UTC.
#[derive(Clone, Copy, Debug, Default)]
struct TimeOfDay(Duration);

impl TimeOfDay {
    fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Duration::from_millis((since_epoch.as_millis() % 86_400_000) as u64))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, self.0.subsec_millis())
    }
}

impl Gaps {
    fn acknowledged(&mut self) {
        let length = self.last.elapsed();
        self.last = Instant::now();
        self.longest = self.longest.max(length);
        if length > self.recent.length {
            self.recent = Gap { length, ended: TimeOfDay::now() };
        }
    }
}

/// The run: what is done and counted.
struct Churn {
    cluster: Cluster,
    random: StdRng,
    shared: Arc<Shared>,
    /// Tells a stall of the machine's disk from one of the cluster.
    bystander: Bystander,
    /// Positions of those that belong to the cluster.
    members: Vec<usize>,
    /// Those of them that certainly vote and are not about to leave. Of at least three of these one may be killed.
    voters: Vec<usize>,
    /// A voter is not up already.
    sparing: bool,
    until: Instant,
    gap_limit: Duration,
    changes: u32,
    kills: u32,
}

/// Churns for some minutes, and prints a line for each stage.
pub(crate) async fn run(minutes: f64, seed: u64, gap_limit: Duration, binary: PathBuf) -> Result<()> {
    println!(
        "churn: {minutes} minutes with seed {seed}, {WRITERS} writers, election timeout {ELECTION_TIMEOUT_MS} ms"
    );
    let cluster = Cluster::new(binary, 1, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    let shared = Arc::new(Shared {
        ledger: Mutex::default(),
        gate: RwLock::new(()),
        sequence: AtomicU64::new(0),
        clients: Mutex::default(),
        gaps: Mutex::new(Gaps { last: Instant::now(), longest: Duration::ZERO, recent: Gap::default() }),
    });
    let bystander = Bystander::start(cluster.path()?)?;
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let random = StdRng::seed_from_u64(seed);
    let mut churn = Churn {
        cluster,
        random,
        shared,
        bystander,
        members: vec![0],
        voters: vec![0],
        sparing: false,
        until,
        gap_limit,
        changes: 0,
        kills: 0,
    };
    match churn.play().await {
        Ok(()) => {
            let (acknowledged, unknown) = lock(&churn.shared.ledger).counts();
            let longest = lock(&churn.shared.gaps).longest;
            println!(
                "churn: {} changes, {} kills, {acknowledged} acknowledged, 0 lost ({unknown} with an unknown outcome), \
                 longest gap {} ms",
                churn.changes,
                churn.kills,
                longest.as_millis()
            );
            Ok(())
        }
        Err(error) => {
            if let Some(kept) = churn.cluster.keep() {
                eprintln!("churn: data and logs are in {}; seed {seed}", kept.display());
            }
            Err(error)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Churn {
    async fn play(&mut self) -> Result<()> {
        self.cluster.start(0)?;
        self.cluster.agreement().await.context("the first member did not start")?;
        self.publish()?;
        lock(&self.shared.gaps).last = Instant::now();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write_for_ever(writer, self.random.random(), Arc::clone(&self.shared)))
            })
            .collect();
        let outcome = self.cycles().await;
        writers.iter().for_each(tokio::task::JoinHandle::abort);
        outcome
    }

    /// Grows, replaces and shrinks again and again until the time is over, but once at least.
    async fn cycles(&mut self) -> Result<()> {
        for cycle in 1.. {
            self.grow_to(3).await?;
            self.report(cycle, "grew to 3").await?;
            self.with_witness(cycle).await?;
            self.grow_to(5).await?;
            self.report(cycle, "grew to 5").await?;
            let mut old = self.members.clone();
            old.shuffle(&mut self.random);
            for member in old {
                self.add().await?;
                self.remove(member).await?;
            }
            self.report(cycle, "replaced all five").await?;
            self.shrink_to(3).await?;
            self.report(cycle, "shrank to 3").await?;
            let leader = self.cluster.leader(&self.members.clone()).await?;
            self.remove(leader).await?;
            self.add().await?;
            self.report(cycle, "removed the leader and added another").await?;
            if Instant::now() >= self.until {
                return Ok(());
            }
            self.shrink_to(1).await?;
            self.report(cycle, "shrank to 1").await?;
        }
        Ok(())
    }

    /// Adds a witness to three, replaces one of them beside it, lets it die and come back, and removes it.
    async fn with_witness(&mut self, cycle: u32) -> Result<()> {
        let witness = self.add_witness().await?;
        self.report(cycle, "added a witness").await?;
        let old = self.members[self.random.random_range(0..self.members.len())];
        self.add().await?;
        self.remove(old).await?;
        self.cluster.kill(witness)?;
        self.kills += 1;
        sleep(Duration::from_millis(self.random.random_range(100..900))).await;
        self.cluster.start(witness)?;
        self.starts(witness).await?;
        self.report(cycle, "replaced one beside the witness, which died and came back").await?;
        self.remove_witness(witness).await?;
        self.report(cycle, "removed the witness").await
    }

    /// Adds a witness as an operator would, and waits until it is known by its name: lists of members are made of names.
    async fn add_witness(&mut self) -> Result<usize> {
        let new = self.cluster.make_member()?;
        self.cluster.let_witness(new);
        let (url, own) = (self.cluster.peer_url(new), self.cluster.name(new).to_owned());
        let what = format!("adding the witness {own}");
        let call = {
            let url = url.clone();
            move |client: Client, _: Vec<Member>| {
                let url = url.clone();
                async move { client.add_witness(url).await }
            }
        };
        let is_added = |members: &[Member]| {
            members.iter().any(|member| member.peer_ur_ls.contains(&url) && member.is_witness)
        };
        // It votes from the first moment, before anybody has started it: of four voters three are up, and none can be spared.
        self.sparing = true;
        let members = self.change(call, is_added, &what).await?;
        let pair = |member: &Member| {
            let name = if member.peer_ur_ls.contains(&url) { &own } else { &member.name };
            member.peer_ur_ls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",")
        };
        let list: Vec<_> = members.iter().map(pair).collect();
        self.cluster.let_join(new, list.join(","));
        self.cluster.start(new)?;
        self.starts(new).await.with_context(|| what.clone())?;
        self.sparing = false;
        let begun = Instant::now();
        loop {
            let known = self.cluster.client(self.voters[0], CALL_LIMIT)?.members().await.unwrap_or_default();
            if known.iter().any(|member| member.is_witness && member.name == own) {
                return Ok(new);
            }
            ensure!(begun.elapsed() < CHANGE_LIMIT, "{what}: it is not known by its name");
            sleep(PAUSE).await;
        }
    }

    async fn remove_witness(&mut self, witness: usize) -> Result<()> {
        let url = self.cluster.peer_url(witness);
        let what = format!("removing the witness {}", self.cluster.name(witness));
        let is_gone = |members: &[Member]| !members.iter().any(|member| member.peer_ur_ls.contains(&url));
        let remove = {
            let url = url.clone();
            move |client: Client, members: Vec<Member>| {
                let found = members.iter().find(|member| member.peer_ur_ls.contains(&url));
                let id = found.map_or(0, |member| member.id);
                async move { client.remove_member(id).await }
            }
        };
        self.cluster.let_leave(witness);
        self.change(remove, is_gone, &what).await?;
        self.cluster.ends_as_removed(witness).await
    }

    async fn grow_to(&mut self, size: usize) -> Result<()> {
        while self.members.len() < size {
            self.add().await?;
        }
        Ok(())
    }

    async fn shrink_to(&mut self, size: usize) -> Result<()> {
        while self.members.len() > size {
            let member = self.members[self.random.random_range(0..self.members.len())];
            self.remove(member).await?;
        }
        Ok(())
    }

    /// Adds a member as an operator would, as a voter or as a learner that is promoted, and waits until it votes.
    async fn add(&mut self) -> Result<()> {
        let new = self.cluster.make_member()?;
        let (url, learner) = (self.cluster.peer_url(new), self.random.random_bool(0.5));
        let is_added = |members: &[Member]| members.iter().any(|member| member.peer_ur_ls.contains(&url));
        let what = format!("adding {}", self.cluster.name(new));
        let call = {
            let url = url.clone();
            move |client: Client, _: Vec<Member>| {
                let url = url.clone();
                async move { client.add_member(url, learner).await }
            }
        };
        let members = self.change(call, is_added, &what).await?;
        let mut list = Vec::new();
        for member in &members {
            let name = if member.peer_ur_ls.contains(&url) { self.cluster.name(new) } else { &member.name };
            list.extend(member.peer_ur_ls.iter().map(|url| format!("{name}={url}")));
        }
        self.cluster.let_join(new, list.join(","));
        self.cluster.start(new)?;
        self.members.push(new);
        // Of two voters none can be spared, and one that is added as a voter may vote at once.
        if (learner || self.voters.len() >= 3) && self.random.random_bool(0.3) {
            // It may die at any moment of its first start.
            sleep(Duration::from_millis(self.random.random_range(1..400))).await;
            self.cluster.kill(new)?;
            self.kills += 1;
            self.cluster.start(new)?;
        }
        self.publish()?;
        self.starts(new).await.with_context(|| what.clone())?;
        let position = |members: &[Member]| {
            members
                .iter()
                .find(|member| member.peer_ur_ls.contains(&url))
                .map(|member| (member.id, member.is_learner))
        };
        if learner {
            let is_promoted = |members: &[Member]| position(members).is_some_and(|(_, learner)| !learner);
            let url = url.clone();
            let promote = move |client: Client, members: Vec<Member>| {
                let new = members.iter().find(|member| member.peer_ur_ls.contains(&url));
                let id = new.map_or(0, |member| member.id);
                async move { client.promote_member(id).await }
            };
            self.change(promote, is_promoted, &format!("promoting {}", self.cluster.name(new))).await?;
        }
        let (id, _) = position(&members).context("a member that was added has an id")?;
        self.votes(id).await.with_context(|| what.clone())?;
        self.voters.push(new);
        self.caught_up().await.with_context(|| what)?;
        Ok(())
    }

    /// Waits until a member votes: one that was added as a voter does so when it has caught up, and is listed as a voter
    /// before.
    async fn votes(&self, id: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let at = self.voters[0];
            let outcome = self.cluster.client(at, CALL_LIMIT)?.promote_member(id).await;
            if outcome.is_err_and(|status| status.message() == IS_VOTER) {
                return Ok(());
            }
            ensure!(begun.elapsed() < CHANGE_LIMIT, "member {id:x} does not become a voter");
            sleep(PAUSE).await;
        }
    }

    async fn remove(&mut self, old: usize) -> Result<()> {
        let url = self.cluster.peer_url(old);
        let what = format!("removing {}", self.cluster.name(old));
        let is_gone = |members: &[Member]| !members.iter().any(|member| member.peer_ur_ls.contains(&url));
        let remove = {
            let url = url.clone();
            move |client: Client, members: Vec<Member>| {
                let id = members
                    .iter()
                    .find(|member| member.peer_ur_ls.contains(&url))
                    .map_or(0, |member| member.id);
                async move { client.remove_member(id).await }
            }
        };
        self.cluster.let_leave(old);
        // One that is removed while it is dead is told by nobody, and has to find out.
        let is_dead = self.voters.len() >= 3 && self.random.random_bool(0.25) && self.all_voters_up().await?;
        self.voters.retain(|&member| member != old);
        self.members.retain(|&member| member != old);
        if is_dead {
            self.cluster.kill(old)?;
            self.kills += 1;
            self.sparing = true;
        }
        self.change(remove, is_gone, &what).await?;
        self.publish()?;
        if is_dead {
            self.sparing = false;
            self.cluster.start(old)?;
        }
        self.cluster.ends_as_removed(old).await
    }

    /// Asks for a change until the cluster says that it is made, and kills somebody in the middle of it, often. Returns
    /// the members.
    async fn change<F>(
        &mut self,
        call: impl Fn(Client, Vec<Member>) -> F,
        is_done: impl Fn(&[Member]) -> bool,
        what: &str,
    ) -> Result<Vec<Member>>
    where
        F: Future<Output = Result<(), tonic::Status>> + Send + 'static,
    {
        let begun = Instant::now();
        let mut refused = None;
        loop {
            let at = self.members[self.random.random_range(0..self.members.len())];
            // A learner answers nothing of this, and a member that is just starting nothing at all.
            if let Ok(members) = self.cluster.client(at, CALL_LIMIT)?.members().await {
                if is_done(&members) {
                    self.changes += 1;
                    return Ok(members);
                }
                let change = tokio::spawn(call(self.cluster.client(at, CALL_LIMIT)?, members));
                let victim = self.victim().await?;
                if let Some(victim) = victim {
                    sleep(Duration::from_millis(self.random.random_range(0..60))).await;
                    self.cluster.kill(victim)?;
                    self.kills += 1;
                }
                // What was answered counts for nothing: the list of members tells whether it happened.
                if let Ok(Err(status)) = change.await {
                    refused = Some(status);
                }
                if let Some(victim) = victim {
                    sleep(Duration::from_millis(self.random.random_range(100..900))).await;
                    self.cluster.start(victim)?;
                    self.starts(victim).await?;
                }
            }
            if begun.elapsed() > CHANGE_LIMIT {
                bail!("{what} takes longer than {CHANGE_LIMIT:?}; the last refusal was {refused:?}");
            }
            sleep(PAUSE).await;
        }
    }

    /// Whom to kill now, if anybody: with fewer than three voters, or one that is away, nobody could be spared. The
    /// leader often.
    async fn victim(&mut self) -> Result<Option<usize>> {
        let may_kill = self.voters.len() >= 3 && !self.sparing;
        if !may_kill || !self.random.random_bool(0.5) || !self.all_voters_up().await? {
            return Ok(None);
        }
        let victim = self.voters[self.random.random_range(0..self.voters.len())];
        if self.random.random_bool(0.4) {
            let leader = self.cluster.leader(&self.members.clone()).await?;
            // One that is about to leave may lead.
            return Ok(Some(leader).filter(|leader| self.voters.contains(leader)));
        }
        Ok(Some(victim))
    }

    /// Whether every voter answers what is confirmed with a majority.
    async fn all_voters_up(&self) -> Result<bool> {
        for &member in &self.voters {
            let client = self.cluster.client(member, CALL_LIMIT)?;
            if client.read(Bytes::from_static(b"health"), false).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until a member that was started answers.
    async fn starts(&mut self, member: usize) -> Result<()> {
        let begun = Instant::now();
        let client = self.cluster.client(member, CALL_LIMIT)?;
        loop {
            self.cluster.all_run()?;
            if client.status().await.is_ok_and(|status| status.leader != 0) {
                return Ok(());
            }
            ensure!(begun.elapsed() < CHANGE_LIMIT, "{} does not come up", self.cluster.name(member));
            sleep(PAUSE).await;
        }
    }

    /// Waits until every member is a voter and has what was committed.
    async fn caught_up(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !self.all_voters_up().await? {
            self.cluster.all_run()?;
            ensure!(begun.elapsed() < CHANGE_LIMIT, "not every member has caught up");
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Tells the writers whom to write to.
    fn publish(&mut self) -> Result<()> {
        let clients: Result<Vec<Client>> =
            self.members.iter().map(|&member| self.cluster.client(member, WRITE_LIMIT)).collect();
        *lock(&self.shared.clients) = clients?;
        Ok(())
    }

    /// Ends a stage: compares all members with the ledger and each other, and looks at the gaps.
    async fn report(&mut self, cycle: u32, stage: &str) -> Result<()> {
        self.caught_up().await?;
        let recent = std::mem::take(&mut lock(&self.shared.gaps).recent);
        let stall = self.bystander.take_longest();
        let shared = Arc::clone(&self.shared);
        let waiting = shared.gate.write().await;
        let agreement = self.cluster.agreement().await.with_context(|| stage.to_owned())?;
        for &member in &self.members {
            let content = self.cluster.client(member, READ_LIMIT)?.content(true).await?;
            let faults = lock(&self.shared.ledger).check(&content.keys);
            let shown: Vec<String> = faults.iter().take(FAULTS_SHOWN).map(ToString::to_string).collect();
            ensure!(
                faults.is_empty(),
                "{} faults on {} after it {stage}:\n  {}",
                faults.len(),
                self.cluster.name(member),
                shown.join("\n  ")
            );
        }
        // The writers waited for this.
        lock(&self.shared.gaps).last = Instant::now();
        drop(waiting);
        let (acknowledged, unknown) = lock(&self.shared.ledger).counts();
        println!(
            "churn: cycle {cycle}: {stage}; {} changes, {} kills; {acknowledged} acknowledged, {unknown} unknown; revision {} \
             with hash {:08x} on all {} members; longest gap {} ms, until {}; of a bystander's pass {} ms",
            self.changes,
            self.kills,
            agreement.revision,
            agreement.hash.hash,
            self.members.len(),
            recent.length.as_millis(),
            recent.ended,
            stall.as_millis()
        );
        // While nobody's disk does anything there is no majority with a disk.
        ensure!(
            recent.length <= self.gap_limit + stall,
            "no write succeeded for {} ms, until {}, while it {stage}; a bystander's pass took {} ms at most",
            recent.length.as_millis(),
            recent.ended,
            stall.as_millis()
        );
        Ok(())
    }
}

/// Writes one new key after another. After an error it goes on with another member, as a client would.
async fn write_for_ever(writer: u64, seed: u64, shared: Arc<Shared>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = random.random_range(0..64_usize);
    loop {
        let writing = shared.gate.read().await;
        let client = {
            let clients = lock(&shared.clients);
            clients[at % clients.len()].clone()
        };
        let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
        let key = Bytes::from(format!("writer-{writer}/{sequence:010}"));
        let value = Bytes::from(format!(
            "{sequence}:{:0width$x}",
            random.random::<u64>(),
            width = random.random_range(16..200)
        ));
        lock(&shared.ledger).sent(key.clone(), value.clone());
        match client.put(key.clone(), value).await {
            Ok(revision) => {
                lock(&shared.ledger).acknowledged(&key, revision);
                lock(&shared.gaps).acknowledged();
            }
            // Whatever the error says, the ledger keeps the write as one that may have happened.
            Err(_) => {
                at += 1;
                sleep(PAUSE_AFTER_ERROR).await;
            }
        }
        drop(writing);
        // A rest, so that five processes on two cores are not all busy with writes: this is about changes.
        sleep(Duration::from_millis(2)).await;
    }
}
