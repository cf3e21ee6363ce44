//! A cluster of real floe processes, each with its own data directory, that can be killed, paused and started again.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tempfile::TempDir;

use crate::client::{Client, Hash};
use crate::network::{Namespaces, Network};

/// How long a cluster may take to elect a leader and to bring every running member up to date.
const HEALTH_LIMIT: Duration = Duration::from_secs(40);
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// How `floe serve` ends when its member was removed.
const EXIT_CODE_REMOVED: i32 = 4;

/// Three or more floe processes. Dropping it kills those that still run, each by its own id.
pub(crate) struct Cluster {
    binary: PathBuf,
    pub(crate) network: Network,
    members: Vec<Member>,
    election_timeout_ms: u32,
    /// More flags for every member.
    flags: Vec<String>,
    /// Holds data and logs; kept when a check failed, so that one can look.
    directory: Option<TempDir>,
}

struct Member {
    name: String,
    client: String,
    peer: String,
    process: Option<Child>,
    /// The list of all members for one that joins a cluster that runs; none for those of the beginning.
    joins: Option<String>,
    /// It is being removed, and ends by itself when it knows.
    leaves: bool,
    /// It votes and holds no data, so that it is not asked for any.
    witness: bool,
}

/// What all running members agree on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreement {
    pub(crate) revision: i64,
    pub(crate) hash: Hash,
}

impl Cluster {
    /// Makes a cluster of `size` members that are not started yet.
    pub(crate) fn new(
        binary: PathBuf,
        size: usize,
        network: Network,
        election_timeout_ms: u32,
    ) -> Result<Self> {
        if !binary.is_file() {
            bail!("{} is no file", binary.display());
        }
        let binary = fs::canonicalize(&binary).with_context(|| format!("finding {}", binary.display()))?;
        let directory = tempfile::Builder::new().prefix("floe-processes-").tempdir()?;
        let addresses = match &network {
            Network::Loopback => free_addresses(size)?,
            Network::Namespaces(namespaces) => (0..size)
                .map(|i| {
                    (
                        format!("{}:2379", namespaces.client_host(i)),
                        format!("{}:2380", namespaces.peer_host(i)),
                    )
                })
                .collect(),
        };
        let members = addresses
            .into_iter()
            .enumerate()
            .map(|(i, (client, peer))| Member {
                name: format!("n{}", i + 1),
                client,
                peer,
                process: None,
                joins: None,
                leaves: false,
                witness: false,
            })
            .collect();
        let flags = Vec::new();
        Ok(Self { binary, network, members, election_timeout_ms, flags, directory: Some(directory) })
    }

    /// Gives every member that is started from now on more flags.
    pub(crate) fn add_flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        self.flags.extend(flags.into_iter().map(ToOwned::to_owned));
    }

    /// Builds the namespaces that a cluster of `size` members needs.
    pub(crate) fn namespaces(size: usize) -> Result<Network> {
        Ok(Network::Namespaces(Namespaces::build(size)?))
    }

    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn name(&self, member: usize) -> &str {
        &self.members[member].name
    }

    /// A client of one member whose calls end after `limit`.
    pub(crate) fn client(&self, member: usize, limit: Duration) -> Result<Client> {
        Client::new(&self.members[member].client, limit)
    }

    /// Makes one more member, which is not started yet. Returns its position.
    pub(crate) fn make_member(&mut self) -> Result<usize> {
        let position = self.size();
        // The ports of members that are gone stay theirs: somebody may still dial them.
        let taken: Vec<&str> =
            self.members.iter().flat_map(|member| [member.client.as_str(), member.peer.as_str()]).collect();
        let (client, peer) = loop {
            let (client, peer) = free_addresses(1)?.remove(0);
            if !taken.contains(&client.as_str()) && !taken.contains(&peer.as_str()) {
                break (client, peer);
            }
        };
        let name = format!("n{}", position + 1);
        self.members.push(Member {
            name,
            client,
            peer,
            process: None,
            joins: None,
            leaves: false,
            witness: false,
        });
        Ok(position)
    }

    /// Where the other members reach a member.
    pub(crate) fn peer_url(&self, member: usize) -> String {
        format!("http://{}", self.members[member].peer)
    }

    /// Says that a member joins those who run, and what it is told of them: `NAME=PEER-URL,...`.
    pub(crate) fn let_join(&mut self, member: usize, initial_cluster: String) {
        self.members[member].joins = Some(initial_cluster);
    }

    /// Says, before its first start, that a member is a witness.
    pub(crate) fn let_witness(&mut self, member: usize) {
        self.members[member].witness = true;
    }

    /// Says that a member is about to be removed, so that its end is none of a failure.
    pub(crate) fn let_leave(&mut self, member: usize) {
        self.members[member].leaves = true;
    }

    /// Waits until a member that was removed has stopped by itself, and said so by its exit code.
    pub(crate) async fn ends_as_removed(&mut self, member: usize) -> Result<()> {
        let begun = Instant::now();
        let name = self.name(member).to_owned();
        let Some(process) = &mut self.members[member].process else { bail!("{name} does not run") };
        loop {
            if let Some(status) = process.try_wait()? {
                self.members[member].process = None;
                ensure!(
                    status.code() == Some(EXIT_CODE_REMOVED),
                    "{name} was removed and ended with {status}"
                );
                return Ok(());
            }
            ensure!(begun.elapsed() < HEALTH_LIMIT, "{name} was removed and goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn path(&self) -> Result<&Path> {
        self.directory.as_ref().map(TempDir::path).context("the cluster's directory is there until its end")
    }

    /// Starts a member that does not run. Its log is appended to `NAME.log`.
    pub(crate) fn start(&mut self, member: usize) -> Result<()> {
        let log_path = self.path()?.join(format!("{}.log", self.name(member)));
        let log = File::options().create(true).append(true).open(&log_path)?;
        let mut command = match &self.network {
            Network::Loopback => Command::new(&self.binary),
            Network::Namespaces(namespaces) => namespaces.command(member, &self.binary),
        };
        command
            .arg("serve")
            .args(self.flags(member)?)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // A variable of the caller's shell must not change what is tested.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy().into_owned();
            if name.starts_with("ETCD_") || name.starts_with("FLOE_") {
                command.env_remove(variable);
            }
        }
        let process =
            command.spawn().with_context(|| format!("{} cannot be started", self.binary.display()))?;
        self.members[member].process = Some(process);
        Ok(())
    }

    /// Starts every member that does not run.
    pub(crate) fn start_all(&mut self) -> Result<()> {
        for member in 0..self.size() {
            if self.members[member].process.is_none() {
                self.start(member)?;
            }
        }
        Ok(())
    }

    fn flags(&self, member: usize) -> Result<Vec<String>> {
        let Member { name, client, peer, joins, witness, .. } = &self.members[member];
        let founders = self.members.iter().filter(|member| member.joins.is_none());
        let founders: Vec<String> =
            founders.map(|member| format!("{}=http://{}", member.name, member.peer)).collect();
        let (list, state) = match joins {
            Some(list) => (list.clone(), "existing"),
            None => (founders.join(","), "new"),
        };
        let data = self.path()?.join(name);
        let founding = |member: &&Member| member.joins.is_none() && member.witness;
        let witnesses: Vec<&str> =
            self.members.iter().filter(founding).map(|member| member.name.as_str()).collect();
        let mut flags = Vec::new();
        if joins.is_none() && !witnesses.is_empty() {
            flags.push(format!("--initial-witnesses={}", witnesses.join(",")));
        }
        if *witness {
            flags.push("--witness".to_owned());
        }
        flags.extend([
            format!("--name={name}"),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster={list}"),
            format!("--initial-cluster-state={state}"),
            format!("--heartbeat-interval={}", self.election_timeout_ms / 10),
            format!("--election-timeout={}", self.election_timeout_ms),
        ]);
        Ok(flags)
    }

    /// Ends a member with SIGKILL and waits until it is gone. One that does not run stays as it is.
    pub(crate) fn kill(&mut self, member: usize) -> Result<()> {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Stops a member in its tracks, with SIGSTOP: its sockets stay, nobody reads them. Returns when each of its threads
    /// has stopped: on a busy machine one may go on for a while after the signal.
    pub(crate) async fn pause(&self, member: usize) -> Result<()> {
        self.signal(member, "-STOP")?;
        let process = self.members[member].process.as_ref().context("the member does not run")?;
        let threads = PathBuf::from(format!("/proc/{}/task", process.id()));
        let begun = Instant::now();
        while !all_stopped(&threads)? {
            if begun.elapsed() > CALL_LIMIT {
                bail!("{} does not stop", self.name(member));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Lets a paused member go on.
    pub(crate) fn resume(&self, member: usize) -> Result<()> {
        self.signal(member, "-CONT")
    }

    fn signal(&self, member: usize, signal: &str) -> Result<()> {
        let process = self.members[member].process.as_ref().context("the member does not run")?;
        let status = Command::new("kill").arg(signal).arg(process.id().to_string()).status()?;
        if !status.success() {
            bail!("kill {signal} failed for {}", self.name(member));
        }
        Ok(())
    }

    /// Asks a member to stop, and waits until it has, without an error.
    pub(crate) async fn terminate(&mut self, member: usize) -> Result<()> {
        let name = self.name(member).to_owned();
        let Some(mut process) = self.members[member].process.take() else { bail!("{name} does not run") };
        let id = process.id().to_string();
        ensure!(
            Command::new("kill").args(["-TERM", &id]).status()?.success(),
            "{name} cannot be asked to stop"
        );
        let begun = Instant::now();
        loop {
            if let Some(status) = process.try_wait()? {
                ensure!(status.success(), "{name} was asked to stop and ended with {status}");
                return Ok(());
            }
            if begun.elapsed() > HEALTH_LIMIT {
                process.kill()?;
                bail!("{name} was asked to stop and goes on");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where a member keeps what is durable.
    pub(crate) fn data_dir(&self, member: usize) -> Result<PathBuf> {
        Ok(self.path()?.join(self.name(member)))
    }

    /// Ends several members at the same moment: all signals first, then the waiting.
    pub(crate) fn kill_together(&mut self, members: &[usize]) -> Result<()> {
        for &member in members {
            if let Some(process) = &mut self.members[member].process {
                process.kill()?;
            }
        }
        members.iter().try_for_each(|&member| self.kill(member))
    }

    /// The member that says of itself that it leads in the highest term, waiting for one if there is none yet.
    pub(crate) async fn leader(&mut self, among: &[usize]) -> Result<usize> {
        let begun = Instant::now();
        loop {
            self.all_run()?;
            let mut best: Option<(u64, usize)> = None;
            for &member in among {
                if let Ok(status) = self.client(member, CALL_LIMIT)?.status().await
                    && status.leader != 0
                    && status.header.is_some_and(|header| header.member_id == status.leader)
                {
                    best = best.max(Some((status.raft_term, member)));
                }
            }
            match best {
                Some((_, member)) => return Ok(member),
                None if begun.elapsed() > HEALTH_LIMIT => bail!("no leader within {HEALTH_LIMIT:?}"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Fails if a member that was started has ended by itself.
    pub(crate) fn all_run(&mut self) -> Result<()> {
        let directory = self.path()?.to_path_buf();
        for member in self.members.iter_mut().filter(|member| !member.leaves) {
            if let Some(process) = &mut member.process
                && let Some(status) = process.try_wait()?
            {
                let log =
                    fs::read_to_string(directory.join(format!("{}.log", member.name))).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(10)..].join("\n  ");
                bail!("{} ended by itself ({status}):\n  {tail}", member.name);
            }
        }
        Ok(())
    }

    /// Whether a member that was started has ended by itself.
    pub(crate) fn has_ended(&mut self, member: usize) -> Result<bool> {
        let Some(process) = &mut self.members[member].process else { return Ok(true) };
        let ended = process.try_wait()?.is_some();
        if ended {
            self.members[member].process = None;
        }
        Ok(ended)
    }

    /// What a member has logged so far.
    pub(crate) fn log_of(&self, member: usize) -> Result<String> {
        Ok(fs::read_to_string(self.path()?.join(format!("{}.log", self.name(member))))?)
    }

    /// How long the files of a member's directory are together whose names begin so.
    pub(crate) fn bytes_of(&self, member: usize, directory: &str, beginning: &str) -> Result<u64> {
        let directory = self.path()?.join(self.name(member)).join(directory);
        let Ok(entries) = fs::read_dir(directory) else { return Ok(0) };
        let named =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        // One that is renamed meanwhile counts as none.
        Ok(named.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum())
    }

    /// Runs `floe recover` on the directory of a member that does not run. Gives what it prints.
    pub(crate) fn recover(&self, member: usize, flags: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("recover").arg("--data-dir").arg(self.path()?.join(self.name(member))).args(flags);
        let output = command.output()?;
        if !output.status.success() {
            bail!("floe recover failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The members that were started and not killed.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.size()).filter(|&i| self.members[i].process.is_some()).collect()
    }

    /// Waits until every running member with data answers linearizable reads and holds the same revision, then compares their
    /// hashes at it. Nobody may write meanwhile.
    pub(crate) async fn agreement(&mut self) -> Result<Agreement> {
        let begun = Instant::now();
        loop {
            self.all_run()?;
            match self.try_agreement().await {
                Ok(Some(agreement)) => return Ok(agreement),
                Ok(None) if begun.elapsed() > HEALTH_LIMIT => {
                    bail!("the members' revisions differ after {HEALTH_LIMIT:?}")
                }
                Err(error) if error.is::<Diverged>() => return Err(error),
                Err(error) if begun.elapsed() > HEALTH_LIMIT => {
                    return Err(error).context(format!("not healthy within {HEALTH_LIMIT:?}"));
                }
                Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
    }

    async fn try_agreement(&self) -> Result<Option<Agreement>> {
        let mut clients = Vec::new();
        for member in self.running().into_iter().filter(|&member| !self.members[member].witness) {
            clients.push((member, self.client(member, CALL_LIMIT)?));
        }
        for (_, client) in &clients {
            client.read(Bytes::from_static(b"health"), false).await?;
        }
        let mut revisions = Vec::new();
        for (_, client) in &clients {
            let status = client.status().await?;
            revisions.push(status.header.map_or(0, |header| header.revision));
        }
        let revision = revisions[0];
        if revisions.iter().any(|&other| other != revision) {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        for (member, client) in &clients {
            hashes.push((self.name(*member), client.hash_kv(revision).await?));
        }
        let hash = hashes[0].1;
        if hashes.iter().any(|(_, other)| *other != hash) {
            // Equal revisions and different contents never heal, so there is nothing to wait for.
            return Err(Diverged(format!("HashKV at revision {revision} differs: {hashes:?}")).into());
        }
        Ok(Some(Agreement { revision, hash }))
    }

    /// Whether any file of a member holds these bytes.
    pub(crate) fn holds_on_disk(&self, member: usize, bytes: &[u8]) -> Result<bool> {
        let mut waiting = vec![self.path()?.join(self.name(member))];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                for entry in fs::read_dir(&path)? {
                    waiting.push(entry?.path());
                }
            } else if contains(&fs::read(&path)?, bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps data and logs for somebody to look at, and says where they are.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.directory.take().map(TempDir::keep)
    }
}

/// Whether `wanted` is somewhere in `bytes`. Log files are mostly zeros, so it looks for the first byte first.
fn contains(mut bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return true;
    };
    while let Some(at) = bytes.iter().position(|byte| byte == first) {
        if bytes[at..].starts_with(wanted) {
            return true;
        }
        bytes = &bytes[at + 1..];
    }
    false
}

/// Whether every thread of a process is stopped, by the third field of its `stat`, which follows the name in brackets.
fn all_stopped(threads: &Path) -> Result<bool> {
    for thread in fs::read_dir(threads)? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().next());
        if state != Some("T") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Members that hold the same revision and different contents.
#[derive(Debug)]
struct Diverged(String);

impl std::fmt::Display for Diverged {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Diverged {}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.size() {
            let _ = self.kill(member);
        }
    }
}

/// Client and peer addresses whose ports are free now, from below the range that the system gives to outgoing
/// connections: a port must stay free while its member is dead.
fn free_addresses(size: usize) -> Result<Vec<(String, String)>> {
    let start = rand::random_range(12_000..28_000_u16);
    let mut free = (start..32_000)
        .map(|port| format!("127.0.0.1:{port}"))
        .filter(|address| TcpListener::bind(address).is_ok());
    let mut next = || free.next().context("no free port between 12000 and 32000");
    (0..size).map(|_| Ok((next()?, next()?))).collect()
}
