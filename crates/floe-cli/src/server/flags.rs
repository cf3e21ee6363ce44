//! The flags of a member, with etcd's names, and the configuration that they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use floe_etcd::{ClusterState, Config, Url, UrlError};

use super::duration;

/// What a member is told. What is absent follows from the rest, or from the defaults of whoever asks.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct Flags {
    /// What people call this member [default: default]
    #[arg(long, value_name = "NAME", help_heading = "Member")]
    pub(crate) name: Option<String>,
    /// Where everything durable lives [default: floe-data/NAME]
    #[arg(long, value_name = "DIR", help_heading = "Member")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Vote and hold no data: two members and a witness bear the loss of any one. For ever: given at each start
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "Member")]
    pub(crate) witness: Option<bool>,
    /// Where to listen for clients [default: http://localhost:2379]
    #[arg(long, value_name = "URLS", value_delimiter = ',', help_heading = "Member")]
    pub(crate) listen_client_urls: Option<Vec<String>>,
    /// Where clients are told to come [default: where it listens]
    #[arg(long, value_name = "URLS", value_delimiter = ',', help_heading = "Member")]
    pub(crate) advertise_client_urls: Option<Vec<String>>,
    /// Where to listen for other members [default: http://localhost:2380]
    #[arg(long, value_name = "URLS", value_delimiter = ',', help_heading = "Member")]
    pub(crate) listen_peer_urls: Option<Vec<String>>,
    /// Where other members are told to come [default: where it listens]
    #[arg(long, value_name = "URLS", value_delimiter = ',', help_heading = "Member")]
    pub(crate) initial_advertise_peer_urls: Option<Vec<String>>,

    /// Every member, as NAME=PEER-URL,NAME=PEER-URL; the same list on each [default: this member alone]
    #[arg(long, value_name = "LIST", help_heading = "Cluster")]
    pub(crate) initial_cluster: Option<String>,
    /// Whether this start makes the cluster, or it runs already and this member was added to it
    #[arg(long, value_name = "STATE", help_heading = "Cluster")]
    pub(crate) initial_cluster_state: Option<State>,
    /// Names of the witnesses in --initial-cluster; the same on each member of a new cluster
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Cluster")]
    pub(crate) initial_witnesses: Option<Vec<String>>,
    /// A text that keeps clusters with equal addresses apart [default: etcd-cluster]
    #[arg(long, value_name = "TEXT", help_heading = "Cluster")]
    pub(crate) initial_cluster_token: Option<String>,
    /// Refuse changes of the members that could leave too few that answer [default: true]
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "Cluster")]
    pub(crate) strict_reconfig_check: Option<bool>,
    /// How many learners may be there at one time [default: 1]
    #[arg(long, value_name = "N", help_heading = "Cluster")]
    pub(crate) max_learners: Option<usize>,

    /// How often a leader shows that it is there, in ms [default: 30]
    #[arg(long, value_name = "MS", value_parser = duration::parse_ms, help_heading = "Timing")]
    pub(crate) heartbeat_interval: Option<u64>,
    /// How long without a leader before an election, in ms; at least 5 heartbeats [default: 300]
    #[arg(long, value_name = "MS", value_parser = duration::parse_ms, help_heading = "Timing")]
    pub(crate) election_timeout: Option<u64>,
    /// How a linearizable read is confirmed; the same on every member [default: index]
    #[arg(long, value_name = "MODE", help_heading = "Timing")]
    pub(crate) read_mode: Option<ReadMode>,
    /// With --read-mode lease: how much earlier a lease ends than voters keep it, for clocks that run at different rates
    /// [default: a tenth of the election timeout]
    #[arg(long, value_name = "MS", value_parser = duration::parse_ms, help_heading = "Timing")]
    pub(crate) lease_drift: Option<u64>,
    /// How often an idle watch that asked for it is told the revision [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Timing")]
    pub(crate) watch_progress_notify_interval: Option<Duration>,
    /// Ask a silent client connection whether it is alive after this long [default: 2h]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Timing")]
    pub(crate) grpc_keepalive_interval: Option<Duration>,
    /// And close it without an answer after this long [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Timing")]
    pub(crate) grpc_keepalive_timeout: Option<Duration>,

    /// The largest request taken from a client [default: 1572864]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) max_request_bytes: Option<usize>,
    /// The most operations in a branch of a transaction [default: 128]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_txn_ops: Option<usize>,
    /// The most requests under way on one connection [default: 1048576]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_concurrent_streams: Option<u32>,
    /// How large the store may grow; 0 for 2 GiB, negative for no limit [default: 0]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, help_heading = "Limits")]
    pub(crate) quota_backend_bytes: Option<i64>,

    /// Cut the log when it holds more than this many bytes of applied entries, whoever is down [default: 256 MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) snapshot_log_bytes: Option<u64>,
    /// So many of them stay for members that are a little slow [default: 64 MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) snapshot_trailing_bytes: Option<u64>,
    /// Send a snapshot no faster than so many bytes a second [default: 128 MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) snapshot_bytes_per_second: Option<u64>,

    /// Write the member's history to this file, one line of JSON an event; with --cluster one file a member
    #[arg(long, value_name = "FILE", help_heading = "Watching it")]
    pub(crate) trace: Option<PathBuf>,
    /// One in so many requests and entries is in it, 1 for all; what changes roles always is [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Watching it")]
    pub(crate) trace_sample: Option<u64>,
    /// Show how the member stands at /floe/state and /floe/trace, as `floe lab --attach` wants it [default: true]
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "Watching it")]
    pub(crate) live_state: Option<bool>,

    /// What to log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Logging")]
    pub(crate) log_level: Option<String>,
}

/// Whether a start makes the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    // All members start for the first time.
    New,
    // The cluster runs and this member was added to it.
    Existing,
}

/// How a linearizable read is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadMode {
    /// By a round of messages; depends on no clock
    Index,
    /// At once while the leader holds a lease; right while the members' clocks run alike, and a dead leader is waited for
    Lease,
}

/// Why flags do not make a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagsError {
    #[error("--lease-drift means nothing without --read-mode lease")]
    DriftWithoutLease,
    #[error("--{flag}: {source}")]
    Url { flag: &'static str, source: UrlError },
    #[error("--initial-cluster: `{0}` is not like n1=http://10.0.0.1:2380")]
    Pair(String),
    #[error("--{needed} is needed: other machines cannot come to {url}, where --{listen} listens")]
    AdvertiseNeeded { needed: &'static str, listen: &'static str, url: Url },
}

impl Flags {
    /// Makes the configuration, with `defaults` for what no flag says and nothing follows from. `defaults` names the
    /// data directory of a member by its name.
    pub(crate) fn config(
        &self,
        defaults: Config,
        data_dir: fn(&str) -> PathBuf,
    ) -> Result<Config, FlagsError> {
        let name = self.name.clone().unwrap_or(defaults.name);
        let rate = self.snapshot_bytes_per_second;
        let listen_clients = urls("listen-client-urls", &self.listen_client_urls)?;
        let advertise_clients = advertised(
            ("advertise-client-urls", urls("advertise-client-urls", &self.advertise_client_urls)?),
            ("listen-client-urls", listen_clients.as_deref()),
            defaults.advertise_client_urls,
        )?;
        let listen_peers = urls("listen-peer-urls", &self.listen_peer_urls)?;
        let advertise_peers = advertised(
            (
                "initial-advertise-peer-urls",
                urls("initial-advertise-peer-urls", &self.initial_advertise_peer_urls)?,
            ),
            ("listen-peer-urls", listen_peers.as_deref()),
            defaults.initial_advertise_peer_urls,
        )?;
        let initial_cluster = match self.initial_cluster.as_deref() {
            Some(list) if !list.is_empty() => cluster(list)?,
            Some(_) | None => vec![(name.clone(), advertise_peers.clone())],
        };
        let election_timeout_ms = self.election_timeout.unwrap_or(defaults.election_timeout_ms);
        Ok(Config {
            lease_drift_ms: self.lease_drift_ms(election_timeout_ms)?,
            data_dir: self.data_dir.clone().unwrap_or_else(|| data_dir(&name)),
            name,
            listen_client_urls: listen_clients.unwrap_or(defaults.listen_client_urls),
            advertise_client_urls: advertise_clients,
            listen_peer_urls: listen_peers.unwrap_or(defaults.listen_peer_urls),
            initial_advertise_peer_urls: advertise_peers,
            initial_cluster,
            initial_cluster_state: match self.initial_cluster_state {
                None | Some(State::New) => ClusterState::New,
                Some(State::Existing) => ClusterState::Existing,
            },
            witness: self.witness.unwrap_or(defaults.witness),
            initial_witnesses: self.initial_witnesses.clone().unwrap_or(defaults.initial_witnesses),
            initial_cluster_token: self
                .initial_cluster_token
                .clone()
                .unwrap_or(defaults.initial_cluster_token),
            strict_reconfig_check: self.strict_reconfig_check.unwrap_or(defaults.strict_reconfig_check),
            max_learners: self.max_learners.unwrap_or(defaults.max_learners),
            heartbeat_interval_ms: self.heartbeat_interval.unwrap_or(defaults.heartbeat_interval_ms),
            election_timeout_ms,
            max_request_bytes: self.max_request_bytes.unwrap_or(defaults.max_request_bytes),
            max_txn_ops: self.max_txn_ops.unwrap_or(defaults.max_txn_ops),
            max_concurrent_streams: self.max_concurrent_streams.unwrap_or(defaults.max_concurrent_streams),
            quota_backend_bytes: self.quota_backend_bytes.unwrap_or(defaults.quota_backend_bytes),
            watch_progress_notify_interval: self
                .watch_progress_notify_interval
                .unwrap_or(defaults.watch_progress_notify_interval),
            grpc_keepalive_interval: self.grpc_keepalive_interval.unwrap_or(defaults.grpc_keepalive_interval),
            grpc_keepalive_timeout: self.grpc_keepalive_timeout.unwrap_or(defaults.grpc_keepalive_timeout),
            snapshot_log_bytes: self.snapshot_log_bytes.unwrap_or(defaults.snapshot_log_bytes),
            snapshot_trailing_bytes: self.snapshot_trailing_bytes.unwrap_or(defaults.snapshot_trailing_bytes),
            snapshot_bytes_per_second: rate.unwrap_or(defaults.snapshot_bytes_per_second),
            trace_file: self.trace.clone().or(defaults.trace_file),
            trace_sample: self.trace_sample.unwrap_or(defaults.trace_sample),
            live_state: self.live_state.unwrap_or(defaults.live_state),
            max_apply_lag: defaults.max_apply_lag,
            client_threads: defaults.client_threads,
            shutdown_grace: defaults.shutdown_grace,
        })
    }

    /// The margin of leases, if reads are confirmed by them.
    fn lease_drift_ms(&self, election_timeout_ms: u64) -> Result<Option<u64>, FlagsError> {
        match (self.read_mode, self.lease_drift) {
            (Some(ReadMode::Lease), drift) => Ok(Some(drift.unwrap_or(election_timeout_ms / 10))),
            (None | Some(ReadMode::Index), Some(_)) => Err(FlagsError::DriftWithoutLease),
            (None | Some(ReadMode::Index), None) => Ok(None),
        }
    }
}

fn urls(flag: &'static str, given: &Option<Vec<String>>) -> Result<Option<Vec<Url>>, FlagsError> {
    let Some(given) = given else { return Ok(None) };
    let parsed = given.iter().map(|url| url.parse()).collect::<Result<_, _>>();
    parsed.map(Some).map_err(|source| FlagsError::Url { flag, source })
}

/// What to tell others. Without a word, it is where the member listens, unless that is every interface: an address
/// that stands for "any" leads nobody here.
fn advertised(
    (needed, given): (&'static str, Option<Vec<Url>>),
    (listen, listening): (&'static str, Option<&[Url]>),
    default: Vec<Url>,
) -> Result<Vec<Url>, FlagsError> {
    match (given, listening) {
        (Some(urls), _) => Ok(urls),
        (None, None) => Ok(default),
        (None, Some(urls)) => match urls.iter().find(|url| matches!(url.host(), "0.0.0.0" | "[::]")) {
            Some(any) => Err(FlagsError::AdvertiseNeeded { needed, listen, url: any.clone() }),
            None => Ok(urls.to_vec()),
        },
    }
}

/// Reads `n1=http://a:1,n2=http://b:2`. A name may come several times, once for each of its URLs.
fn cluster(list: &str) -> Result<Vec<(String, Vec<Url>)>, FlagsError> {
    let pair = |text: &str| {
        let (name, url) = text.split_once('=').ok_or_else(|| FlagsError::Pair(text.to_owned()))?;
        let url = url.parse().map_err(|source| FlagsError::Url { flag: "initial-cluster", source })?;
        Ok((name.trim().to_owned(), vec![url]))
    };
    list.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &Flags) -> Result<Config, FlagsError> {
        flags.config(Config::default(), |name| format!("data/{name}").into())
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_said_makes_one_member_on_this_machine() {
        let config = config(&Flags::default()).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("data/default"));
        assert_eq!(
            config.initial_cluster,
            vec![("default".to_owned(), config.initial_advertise_peer_urls.clone())]
        );
        assert!(config.identity().is_ok());
    }

    #[test]
    fn a_member_tells_others_where_it_listens() {
        let flags = Flags {
            name: Some("n2".into()),
            listen_client_urls: Some(vec!["http://10.0.0.2:2379".into()]),
            listen_peer_urls: Some(vec!["http://10.0.0.2:2380".into()]),
            initial_cluster: Some("n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380".into()),
            ..Flags::default()
        };
        let config = config(&flags).unwrap();
        assert_eq!(config.advertise_client_urls, [url("http://10.0.0.2:2379")]);
        assert_eq!(config.initial_advertise_peer_urls, [url("http://10.0.0.2:2380")]);
        assert_eq!(config.identity().unwrap().members.len(), 2);
    }

    #[test]
    fn every_interface_is_nowhere_to_come_to() {
        let flags =
            Flags { listen_client_urls: Some(vec!["http://0.0.0.0:2379".into()]), ..Flags::default() };
        let error = config(&flags).unwrap_err();
        assert!(
            matches!(error, FlagsError::AdvertiseNeeded { needed: "advertise-client-urls", .. }),
            "{error}"
        );
    }

    #[test]
    fn leases_are_asked_for_and_have_a_margin() {
        let drift = |read_mode, lease_drift| {
            let flags = Flags { read_mode, lease_drift, election_timeout: Some(500), ..Flags::default() };
            config(&flags).map(|config| config.lease_drift_ms)
        };
        assert_eq!(drift(None, None), Ok(None));
        assert_eq!(drift(Some(ReadMode::Lease), None), Ok(Some(50)));
        assert_eq!(drift(Some(ReadMode::Lease), Some(20)), Ok(Some(20)));
        assert_eq!(drift(Some(ReadMode::Index), Some(20)), Err(FlagsError::DriftWithoutLease));
    }

    #[test]
    fn wrong_addresses_name_their_flag() {
        let flags = Flags { listen_peer_urls: Some(vec!["https://a:1".into()]), ..Flags::default() };
        assert!(config(&flags).unwrap_err().to_string().starts_with("--listen-peer-urls: "));
        let flags = Flags { initial_cluster: Some("n1".into()), ..Flags::default() };
        assert_eq!(config(&flags).unwrap_err(), FlagsError::Pair("n1".into()));
    }
}
