//! etcd's flags, all of them, and Go's way of writing flags: `-name x`, `--name=x`, `--pre-vote`, the last one wins.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What floe does with a flag of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It means the same here.
    Same,
    /// It has no meaning here yet, but starting without it does what its user can live with. The value, if there is
    /// one, is what floe does anyway.
    Ignored(&'static str),
}

use Meaning::{Ignored, Same};

/// A flag of etcd 3.7.
pub(crate) struct GoFlag {
    pub(crate) name: &'static str,
    /// A boolean flag takes its value only after an equals sign.
    boolean: bool,
    pub(crate) meaning: Meaning,
}

const fn value(name: &'static str, meaning: Meaning) -> GoFlag {
    GoFlag { name, boolean: false, meaning }
}

const fn boolean(name: &'static str, meaning: Meaning) -> GoFlag {
    GoFlag { name, boolean: true, meaning }
}

/// Every flag in the order of `etcd --help`.
pub(crate) const FLAGS: &[GoFlag] = &[
    value("name", Same),
    value("data-dir", Same),
    value("wal-dir", Ignored("")),
    value("snapshot-count", Ignored("10000")),
    value("heartbeat-interval", Same),
    value("election-timeout", Same),
    boolean("initial-election-tick-advance", Ignored("true")),
    value("listen-peer-urls", Same),
    value("listen-client-urls", Same),
    value("listen-client-http-urls", Ignored("")),
    value("max-snapshots", Ignored("5")),
    value("max-wals", Ignored("5")),
    boolean("memory-mlock", Ignored("false")),
    value("quota-backend-bytes", Same),
    value("backend-bbolt-freelist-type", Ignored("map")),
    value("backend-batch-interval", Ignored("")),
    value("backend-batch-limit", Ignored("0")),
    value("max-txn-ops", Same),
    value("max-request-bytes", Same),
    value("max-concurrent-streams", Same),
    value("grpc-keepalive-min-time", Ignored("5s")),
    value("grpc-keepalive-interval", Same),
    value("grpc-keepalive-timeout", Same),
    boolean("socket-reuse-port", Ignored("false")),
    boolean("socket-reuse-address", Ignored("false")),
    boolean("enable-grpc-gateway", Ignored("false")),
    value("raft-read-timeout", Ignored("5s")),
    value("raft-write-timeout", Ignored("5s")),
    value("feature-gates", Ignored("")),
    value("initial-advertise-peer-urls", Same),
    value("initial-cluster", Same),
    value("initial-cluster-state", Same),
    value("initial-cluster-token", Same),
    value("advertise-client-urls", Same),
    value("discovery", Ignored("")),
    value("discovery-token", Ignored("")),
    value("discovery-endpoints", Ignored("")),
    value("discovery-dial-timeout", Ignored("2s")),
    value("discovery-request-timeout", Ignored("5s")),
    value("discovery-keepalive-time", Ignored("2s")),
    value("discovery-keepalive-timeout", Ignored("6s")),
    boolean("discovery-insecure-transport", Ignored("true")),
    boolean("discovery-insecure-skip-tls-verify", Ignored("false")),
    value("discovery-cert", Ignored("")),
    value("discovery-key", Ignored("")),
    value("discovery-cacert", Ignored("")),
    value("discovery-user", Ignored("")),
    value("discovery-password", Ignored("")),
    value("discovery-fallback", Ignored("exit")),
    value("discovery-proxy", Ignored("")),
    value("discovery-srv", Ignored("")),
    value("discovery-srv-name", Ignored("")),
    boolean("strict-reconfig-check", Same),
    boolean("pre-vote", Ignored("true")),
    value("auto-compaction-retention", Ignored("0")),
    value("auto-compaction-mode", Ignored("periodic")),
    value("v2-deprecation", Ignored("write-only")),
    value("cert-file", Ignored("")),
    value("key-file", Ignored("")),
    boolean("client-cert-auth", Ignored("false")),
    value("client-cert-file", Ignored("")),
    value("client-key-file", Ignored("")),
    value("client-crl-file", Ignored("")),
    value("client-cert-allowed-hostname", Ignored("")),
    value("trusted-ca-file", Ignored("")),
    boolean("auto-tls", Ignored("false")),
    value("peer-cert-file", Ignored("")),
    value("peer-key-file", Ignored("")),
    boolean("peer-client-cert-auth", Ignored("false")),
    value("peer-client-cert-file", Ignored("")),
    value("peer-client-key-file", Ignored("")),
    value("peer-trusted-ca-file", Ignored("")),
    value("peer-cert-allowed-cn", Ignored("")),
    value("peer-cert-allowed-hostname", Ignored("")),
    boolean("peer-auto-tls", Ignored("false")),
    value("self-signed-cert-validity", Ignored("1")),
    value("peer-crl-file", Ignored("")),
    value("cipher-suites", Ignored("")),
    value("cors", Ignored("*")),
    value("host-whitelist", Ignored("*")),
    value("tls-min-version", Ignored("TLS1.2")),
    value("tls-max-version", Ignored("")),
    value("auth-token", Ignored("simple")),
    value("bcrypt-cost", Ignored("10")),
    value("auth-token-ttl", Ignored("300")),
    boolean("enable-pprof", Ignored("false")),
    value("metrics", Ignored("basic")),
    value("listen-metrics-urls", Ignored("")),
    value("logger", Ignored("zap")),
    value("log-outputs", Ignored("stderr")),
    value("log-level", Same),
    value("log-format", Ignored("console")),
    boolean("enable-log-rotation", Ignored("false")),
    value("log-rotation-config-json", Ignored("")),
    value("warning-unary-request-duration", Ignored("")),
    boolean("enable-distributed-tracing", Ignored("false")),
    value("distributed-tracing-address", Ignored("")),
    value("distributed-tracing-service-name", Ignored("")),
    value("distributed-tracing-instance-id", Ignored("")),
    value("distributed-tracing-sampling-rate", Ignored("0")),
    value("corrupt-check-time", Ignored("0s")),
    value("compact-hash-check-time", Ignored("1m")),
    value("compaction-batch-limit", Ignored("1000")),
    boolean("peer-skip-client-san-verification", Ignored("false")),
    value("watch-progress-notify-interval", Same),
    value("warning-apply-duration", Ignored("")),
    value("bootstrap-defrag-threshold-megabytes", Ignored("0")),
    value("max-learners", Same),
    value("compaction-sleep-interval", Ignored("")),
    value("downgrade-check-time", Ignored("")),
    value("snapshot-catchup-entries", Ignored("")),
    boolean("force-new-cluster", Same),
    boolean("unsafe-no-fsync", Ignored("false")),
    value("config-file", Same),
    boolean("version", Same),
    boolean("help", Same),
    boolean("h", Same),
];

/// Why a command line is none of etcd's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GoFlagError {
    #[error("flag provided but not defined: -{name}{}", suggestion(.name))]
    Unknown { name: String },
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value \"{value}\" for -{name}")]
    NotBoolean { name: String, value: String },
    #[error("\"{0}\" is not a valid flag")]
    NotAFlag(String),
    #[error("a flag's value is not UTF-8: {0}")]
    NotText(String),
}

/// Reads a command line as Go's `flag` package does. The value of each flag is the last one given.
pub(crate) fn parse(words: &[OsString]) -> Result<BTreeMap<&'static str, String>, GoFlagError> {
    let mut given = BTreeMap::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = text(word)?;
        let name = match text.strip_prefix("--").or_else(|| text.strip_prefix('-')) {
            Some(name) if !name.is_empty() && !name.starts_with(['-', '=']) => name,
            Some(_) | None => return Err(GoFlagError::NotAFlag(text)),
        };
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
            return Err(GoFlagError::Unknown { name: name.to_owned() });
        };
        let value = match (flag.boolean, attached) {
            (true, value) => truth(name, value.as_deref().unwrap_or("true"))?,
            (false, Some(value)) => value,
            (false, None) => self::text(words.next().ok_or_else(|| GoFlagError::NoValue(name.to_owned()))?)?,
        };
        given.insert(flag.name, value);
    }
    Ok(given)
}

fn text(word: &OsString) -> Result<String, GoFlagError> {
    word.clone().into_string().map_err(|word| GoFlagError::NotText(word.to_string_lossy().into_owned()))
}

/// A boolean as Go reads one, in one spelling.
fn truth(name: &str, value: &str) -> Result<String, GoFlagError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
        _ => Err(GoFlagError::NotBoolean { name: name.to_owned(), value: value.to_owned() }),
    }
}

/// Takes out what has no meaning here and returns its names: those whose values ask for something that floe does not
/// do. Those who start servers pass such flags out of habit, so none of them is worth refusing a start for.
pub(crate) fn take_ignored(given: &mut BTreeMap<&'static str, String>) -> Vec<&'static str> {
    let mut ignored = Vec::new();
    for flag in FLAGS {
        let Ignored(done_anyway) = flag.meaning else { continue };
        if let Some(value) = given.remove(flag.name)
            && value != done_anyway
            && !value.is_empty()
        {
            ignored.push(flag.name);
        }
    }
    ignored
}

fn suggestion(name: &str) -> String {
    let similarity = |flag: &&GoFlag| strsim::jaro_winkler(flag.name, name);
    let best = FLAGS.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match best {
        Some(flag) if similarity(&flag) > 0.8 => format!("; did you mean --{}?", flag.name),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<BTreeMap<&'static str, String>, GoFlagError> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn all_of_gos_spellings_are_read_and_the_last_one_wins() {
        for words in [vec!["-name", "x"], vec!["--name", "x"], vec!["-name=x"], vec!["--name=y", "--name=x"]]
        {
            assert_eq!(parsed(&words).unwrap().get("name").map(String::as_str), Some("x"), "{words:?}");
        }
        // A boolean flag leaves the next word alone.
        let given = parsed(&["--pre-vote", "--unsafe-no-fsync=0", "--name", "-x"]).unwrap();
        assert_eq!(given["pre-vote"], "true");
        assert_eq!(given["unsafe-no-fsync"], "false");
        assert_eq!(given["name"], "-x");
    }

    #[test]
    fn a_wrong_command_line_says_what_is_wrong() {
        let text = |words: &[&str]| parsed(words).unwrap_err().to_string();
        assert_eq!(
            text(&["--dta-dir=x"]),
            "flag provided but not defined: -dta-dir; did you mean --data-dir?"
        );
        assert_eq!(text(&["--zzz"]), "flag provided but not defined: -zzz");
        assert_eq!(text(&["--name"]), "flag needs an argument: -name");
        assert_eq!(text(&["extra"]), "\"extra\" is not a valid flag");
        assert_eq!(text(&["--pre-vote=maybe"]), "invalid boolean value \"maybe\" for -pre-vote");
    }

    #[test]
    fn what_has_no_meaning_is_named_unless_it_asks_for_what_is_done_anyway() {
        let mut given =
            parsed(&["--name=x", "--logger=zap", "--snapshot-count=100", "--pre-vote", "--wal-dir="])
                .unwrap();
        assert_eq!(take_ignored(&mut given), ["snapshot-count"]);
        assert_eq!(given.keys().copied().collect::<Vec<_>>(), ["name"]);
    }

    #[test]
    fn discovery_is_named_and_does_not_refuse_the_start() {
        let mut given = parsed(&["--discovery=x", "--discovery-srv", "y", "--unsafe-no-fsync"]).unwrap();
        assert_eq!(take_ignored(&mut given), ["discovery", "discovery-srv", "unsafe-no-fsync"]);
        let mut given = parsed(&["--unsafe-no-fsync=false", "--discovery="]).unwrap();
        assert!(take_ignored(&mut given).is_empty());
    }
}
