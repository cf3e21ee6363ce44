//! What a server is told when it starts, and what follows from it: who it is, and who its cluster is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use floe::NodeId;
use sha1::{Digest, Sha1};

use crate::roll;
use crate::url::Url;

/// The configuration of one member. The fields are etcd's flags of the same names.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call this member; unique in the cluster.
    pub name: String,
    /// Where everything durable lives. Made if it is not there.
    pub data_dir: PathBuf,
    /// Where clients are listened for. Port 0 takes a free one.
    pub listen_client_urls: Vec<Url>,
    /// Where clients are told to come. Port 0 stands for the port that was taken.
    pub advertise_client_urls: Vec<Url>,
    /// Where other members are listened for.
    pub listen_peer_urls: Vec<Url>,
    /// Where other members are told to come, at the first start. Must be what `initial_cluster` says of this member.
    pub initial_advertise_peer_urls: Vec<Url>,
    /// Every member by name, with its peer URLs. A name may stand in several pairs. Decides who is in the cluster when
    /// the data directory is new; afterwards the log does.
    pub initial_cluster: Vec<(String, Vec<Url>)>,
    /// Whether the cluster is made by this start or was there before.
    pub initial_cluster_state: ClusterState,
    /// This member is a witness: it votes, and holds no data.
    pub witness: bool,
    /// The names of the witnesses among `initial_cluster`, the same on each member of a new cluster.
    pub initial_witnesses: Vec<String>,
    /// Keeps clusters with the same addresses apart.
    pub initial_cluster_token: String,
    /// Refuse changes of the membership that could leave too few members that answer.
    pub strict_reconfig_check: bool,
    /// How many learners may be there at one time; those that become voters by themselves do not count.
    pub max_learners: usize,
    /// How often a leader shows that it is there, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// A follower that hears no leader for a random time in `[1, 2)` times this starts an election; in milliseconds.
    pub election_timeout_ms: u64,
    /// Read by lease, with this margin for the difference of the members' clocks, in milliseconds; the same on every
    /// member. Without it every linearizable read is confirmed by a round of messages.
    pub lease_drift_ms: Option<u64>,
    /// The largest request accepted, in bytes.
    pub max_request_bytes: usize,
    /// The most comparisons, or operations of a branch, in a txn.
    pub max_txn_ops: usize,
    /// How large the store may grow, in bytes: 0 for 2 GiB, negative for no limit.
    pub quota_backend_bytes: i64,
    /// How often an idle watcher that asked for it is told the revision. At least 100 ms.
    pub watch_progress_notify_interval: Duration,
    /// The log is cut when it holds more than this many bytes of applied entries, whoever is down.
    pub snapshot_log_bytes: u64,
    /// So many of them stay, for members that are a little slow.
    pub snapshot_trailing_bytes: u64,
    /// The most that is sent of one snapshot in a second, in bytes.
    pub snapshot_bytes_per_second: u64,
    /// Write this member's history to this file, one line an event.
    pub trace_file: Option<PathBuf>,
    /// One in so many requests and entries is in the history; 1 is everything.
    pub trace_sample: u64,
    /// Show people and tools how the member stands: `/floe/state` and `/floe/trace` on the client port.
    pub live_state: bool,
    /// Committed entries that may wait to be applied; beyond it clients hear "too many requests".
    pub max_apply_lag: u64,
    /// The most requests under way on one connection.
    pub max_concurrent_streams: u32,
    /// A connection that says nothing for this long is asked whether it is still there.
    pub grpc_keepalive_interval: Duration,
    /// And is closed when it does not answer within this.
    pub grpc_keepalive_timeout: Duration,
    /// Threads that serve clients; 0 for one a core.
    pub client_threads: usize,
    /// How long requests under way may still take when the server stops.
    pub shutdown_grace: Duration,
}

/// Whether a cluster is made or joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterState {
    /// All members start for the first time.
    #[default]
    New,
    /// The cluster runs, and this member was added to it.
    Existing,
}

/// What a gRPC message may have on top of the request that it carries, as in etcd.
const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;
/// etcd's quota when none is configured.
const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

impl Default for Config {
    /// One member on the local host, with etcd's limits and floe's timings.
    fn default() -> Self {
        let local = |port| Url::loopback(port);
        Self {
            name: "default".into(),
            data_dir: "default.floe".into(),
            listen_client_urls: vec![local(2379)],
            advertise_client_urls: vec![local(2379)],
            listen_peer_urls: vec![local(2380)],
            initial_advertise_peer_urls: vec![local(2380)],
            initial_cluster: vec![("default".into(), vec![local(2380)])],
            initial_cluster_state: ClusterState::New,
            witness: false,
            initial_witnesses: Vec::new(),
            initial_cluster_token: "etcd-cluster".into(),
            strict_reconfig_check: true,
            max_learners: 1,
            heartbeat_interval_ms: 30,
            election_timeout_ms: 300,
            lease_drift_ms: None,
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            quota_backend_bytes: 0,
            watch_progress_notify_interval: Duration::from_secs(600),
            snapshot_log_bytes: 256 << 20,
            snapshot_trailing_bytes: 64 << 20,
            snapshot_bytes_per_second: 128 << 20,
            trace_file: None,
            trace_sample: 100,
            live_state: true,
            max_apply_lag: 5000,
            max_concurrent_streams: 1 << 20,
            grpc_keepalive_interval: Duration::from_secs(7200),
            grpc_keepalive_timeout: Duration::from_secs(20),
            client_threads: 0,
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

/// Why a configuration cannot be started with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The member is not in its own cluster.
    #[error("couldn't find local name {name:?} in the initial cluster configuration; it has {}", names.join(", "))]
    NotInCluster {
        /// The member.
        name: String,
        /// Who is there.
        names: Vec<String>,
    },
    /// The member says two things about where it is reached.
    #[error("--initial-cluster has {name}={listed} but --initial-advertise-peer-urls is {advertised}")]
    AdvertisedElsewhere {
        /// The member.
        name: String,
        /// What the cluster list says.
        listed: String,
        /// What the member says.
        advertised: String,
    },
    /// Two members would be one.
    #[error("--initial-cluster has {url} twice; each member needs peer URLs of its own")]
    DuplicatePeerUrl {
        /// The address.
        url: Url,
    },
    /// A witness is not in the cluster.
    #[error("--initial-witnesses has {0:?}, which --initial-cluster has not")]
    UnknownWitness(String),
    /// The member is a witness of a new cluster that does not know it.
    #[error(
        "--witness, but --initial-witnesses does not name {0:?}: each member of a new cluster is told of its witnesses. For a \
         cluster that runs, add the member with `floe member add --witness`, and give --initial-cluster-state existing"
    )]
    UnlistedWitness(String),
    /// There is nothing in a list that must not be empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The timings do not work together.
    #[error(
        "the election timeout ({election_timeout_ms} ms) must be at least 5 heartbeat intervals ({heartbeat_interval_ms} ms)"
    )]
    Timings {
        /// The heartbeat interval.
        heartbeat_interval_ms: u64,
        /// The election timeout.
        election_timeout_ms: u64,
    },
    /// The margin for the clocks leaves no time for a lease.
    #[error(
        "--lease-drift ({drift_ms} ms) must be less than the election timeout ({election_timeout_ms} ms)"
    )]
    LeaseDrift {
        /// The margin.
        drift_ms: u64,
        /// The election timeout.
        election_timeout_ms: u64,
    },
    /// Notifications this often would do nothing else.
    #[error("--watch-progress-notify-interval must be at least 100ms")]
    ProgressNotifyInterval,
}

/// Who a member is, and who its cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member's id, as etcd computes it.
    pub member: u64,
    /// The cluster's id, as etcd computes it.
    pub cluster: u64,
    /// Every member's peer URLs, as far as the first start says; afterwards the log does, and nothing is here.
    pub members: BTreeMap<u64, Vec<Url>>,
    /// Those of them that are witnesses; and this member, if it is one.
    pub witnesses: BTreeSet<u64>,
}

impl Identity {
    /// The members with the addresses that the others dial.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, String> {
        let address = |urls: &[Url]| String::from_utf8_lossy(&roll::address(urls)).into_owned();
        self.members.iter().map(|(id, urls)| (NodeId(*id), address(urls))).collect()
    }
}

impl Config {
    /// Refuses what cannot work, and says who the member is.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        let by_name = self.by_name();
        let mut all: Vec<&Url> = by_name.values().flatten().collect();
        all.sort();
        if let Some(twice) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicatePeerUrl { url: twice[0].clone() });
        }
        let Some(own) = by_name.get(self.name.as_str()) else {
            let names = by_name.keys().map(ToString::to_string).collect();
            return Err(ConfigError::NotInCluster { name: self.name.clone(), names });
        };
        if sorted(own) != sorted(&self.initial_advertise_peer_urls) {
            return Err(ConfigError::AdvertisedElsewhere {
                name: self.name.clone(),
                listed: joined(own),
                advertised: joined(&self.initial_advertise_peer_urls),
            });
        }
        self.check()?;
        let member = member_id(own, &self.initial_cluster_token);
        let members: BTreeMap<u64, Vec<Url>> = by_name
            .values()
            .map(|urls| (member_id(urls, &self.initial_cluster_token), sorted(urls)))
            .collect();
        let mut witnesses = BTreeSet::new();
        for name in &self.initial_witnesses {
            let Some(urls) = by_name.get(name.as_str()) else {
                return Err(ConfigError::UnknownWitness(name.clone()));
            };
            witnesses.insert(member_id(urls, &self.initial_cluster_token));
        }
        let is_made = self.initial_cluster_state == ClusterState::New;
        if is_made && self.is_witness() && !witnesses.contains(&member) {
            return Err(ConfigError::UnlistedWitness(self.name.clone()));
        }
        Ok(Identity { member, cluster: cluster_id(members.keys()), members, witnesses })
    }

    /// Whether this member is a witness.
    pub fn is_witness(&self) -> bool {
        self.witness || self.initial_witnesses.contains(&self.name)
    }

    /// The peer URLs of each member of the list.
    pub(crate) fn by_name(&self) -> BTreeMap<&str, Vec<Url>> {
        let mut by_name: BTreeMap<&str, Vec<Url>> = BTreeMap::new();
        for (name, urls) in &self.initial_cluster {
            by_name.entry(name).or_default().extend(urls.iter().cloned());
        }
        by_name
    }

    /// What holds of every change of the membership.
    pub(crate) fn membership_limits(&self) -> roll::Limits {
        roll::Limits { strict: self.strict_reconfig_check, learners_max: self.max_learners }
    }

    /// Refuses what cannot work, whoever the member is.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.listen_client_urls.is_empty() {
            return Err(ConfigError::Empty("--listen-client-urls"));
        }
        if self.listen_peer_urls.is_empty() {
            return Err(ConfigError::Empty("--listen-peer-urls"));
        }
        if self.heartbeat_interval_ms == 0 || self.election_timeout_ms < 5 * self.heartbeat_interval_ms {
            return Err(ConfigError::Timings {
                heartbeat_interval_ms: self.heartbeat_interval_ms,
                election_timeout_ms: self.election_timeout_ms,
            });
        }
        if let Some(drift_ms) = self.lease_drift_ms.filter(|drift_ms| *drift_ms >= self.election_timeout_ms) {
            return Err(ConfigError::LeaseDrift { drift_ms, election_timeout_ms: self.election_timeout_ms });
        }
        if self.watch_progress_notify_interval < Duration::from_millis(100) {
            return Err(ConfigError::ProgressNotifyInterval);
        }
        Ok(())
    }

    /// How long a request may take: what etcd allows for queues and disks, and for an election on the way.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(5000 + 2 * self.election_timeout_ms)
    }

    /// The largest gRPC message taken from a client.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_request_bytes.saturating_add(GRPC_OVERHEAD_BYTES)
    }

    /// The shortest lease, in seconds: one and a half election timeouts, so that a lease outlives a failover.
    pub(crate) fn min_lease_ttl(&self) -> i64 {
        i64::try_from((3 * self.election_timeout_ms).div_ceil(2).div_ceil(1000)).unwrap_or(i64::MAX)
    }

    /// The size limit of the store; none if it is switched off.
    pub(crate) fn quota(&self) -> Option<u64> {
        match self.quota_backend_bytes {
            0 => Some(DEFAULT_QUOTA_BYTES),
            // Negative: no limit.
            quota => u64::try_from(quota).ok(),
        }
    }
}

fn sorted(urls: &[Url]) -> Vec<Url> {
    let mut urls = urls.to_vec();
    urls.sort_by_key(ToString::to_string);
    urls
}

fn joined(urls: &[Url]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The first eight bytes of a SHA-1 over the sorted peer URLs and the token, as in etcd, so that a member keeps its
/// id when etcd is replaced by floe.
fn member_id(urls: &[Url], token: &str) -> u64 {
    let mut hash = Sha1::new();
    for url in sorted(urls) {
        hash.update(url.to_string());
    }
    hash.update(token);
    first_eight_bytes(hash)
}

fn cluster_id<'a>(members: impl Iterator<Item = &'a u64>) -> u64 {
    let mut hash = Sha1::new();
    for member in members {
        hash.update(member.to_be_bytes());
    }
    first_eight_bytes(hash)
}

fn first_eight_bytes(hash: Sha1) -> u64 {
    hash.finalize().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Config {
        let url = |port: u16| Url::loopback(port);
        Config {
            name: "n1".into(),
            initial_cluster: vec![
                ("n1".into(), vec![url(2380)]),
                ("n2".into(), vec![url(22380)]),
                ("n3".into(), vec![url(32380)]),
            ],
            ..Config::default()
        }
    }

    /// The figures that etcd 3.7.3 prints for the same flags.
    #[test]
    fn ids_are_those_of_etcd() {
        let identity = Config::default().identity().unwrap();
        assert_eq!((identity.member, identity.cluster), (0x8e9e05c52164694d, 0xcdf818194e3a8c32));
    }

    #[test]
    fn a_member_must_be_where_its_cluster_says() {
        assert_eq!(three().identity().unwrap().members.len(), 3);
        let error = Config { name: "n4".into(), ..three() }.identity().unwrap_err();
        assert!(matches!(error, ConfigError::NotInCluster { .. }), "{error}");
        let error = Config { name: "n2".into(), ..three() }.identity().unwrap_err();
        assert!(matches!(error, ConfigError::AdvertisedElsewhere { .. }), "{error}");
        let mut twice = three();
        twice.initial_cluster[2].1 = vec![Url::loopback(2380)];
        assert_eq!(twice.identity(), Err(ConfigError::DuplicatePeerUrl { url: Url::loopback(2380) }));
        let timings = Config { election_timeout_ms: 100, ..three() }.identity().unwrap_err();
        assert!(matches!(timings, ConfigError::Timings { .. }), "{timings}");
    }

    #[test]
    fn witnesses_are_members_that_all_know() {
        let with = |witness: bool, names: &[&str]| {
            let initial_witnesses = names.iter().map(ToString::to_string).collect();
            Config { witness, initial_witnesses, ..three() }
        };
        let members = three().identity().unwrap().members;
        let third = *members.iter().find(|(_, urls)| urls[0] == Url::loopback(32380)).unwrap().0;
        let identity = with(false, &["n3"]).identity().unwrap();
        assert_eq!(identity.witnesses, [third].into());
        assert!(!with(false, &["n3"]).is_witness() && with(false, &["n1"]).is_witness());
        assert_eq!(with(false, &["n9"]).identity(), Err(ConfigError::UnknownWitness("n9".into())));
        assert_eq!(with(true, &["n3"]).identity(), Err(ConfigError::UnlistedWitness("n1".into())));
        let joins = Config { initial_cluster_state: ClusterState::Existing, ..with(true, &[]) };
        assert!(joins.identity().is_ok());
    }

    #[test]
    fn the_shortest_lease_outlives_an_election() {
        let of = |election_timeout_ms| Config { election_timeout_ms, ..three() }.min_lease_ttl();
        assert_eq!((of(1000), of(300), of(2000)), (2, 1, 3));
    }
}
