//! etcd's configuration file: YAML whose keys are the names of flags. When there is one, every other flag and every
//! variable is ignored, as in etcd, so that what a member was started with is in one place.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::go_flags::{FLAGS, GoFlag};

/// The largest file read; a configuration is some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Keys whose values are numbers of nanoseconds, since etcd's are Go durations. (Its heartbeat and election are
/// milliseconds in the file, too.)
const NANOSECONDS: [&str; 3] =
    ["watch-progress-notify-interval", "grpc-keepalive-interval", "grpc-keepalive-timeout"];

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigFile {
    /// Flags and their values, as a command line would give them.
    pub(super) given: BTreeMap<&'static str, String>,
    /// Keys that are no flags; etcd skips them, and somebody may have meant something by them.
    pub(super) unknown: Vec<String>,
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigFileError {
    #[error("--config-file {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("--config-file {path}: it has {bytes} bytes, more than the {MAX_BYTES} of any configuration")]
    TooLarge { path: String, bytes: u64 },
    #[error("--config-file {path}: {reason}")]
    Yaml { path: String, reason: String },
    #[error(
        "--config-file {path}: the value of {key} is neither a text, a number, a boolean nor a list of them"
    )]
    Value { path: String, key: String },
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<ConfigFile, ConfigFileError> {
    let name = || path.display().to_string();
    let failed = |source| ConfigFileError::Read { path: name(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(ConfigFileError::TooLarge { path: name(), bytes });
    }
    parse(&name(), &std::fs::read_to_string(path).map_err(failed)?)
}

fn parse(path: &str, text: &str) -> Result<ConfigFile, ConfigFileError> {
    let wrong = |reason| ConfigFileError::Yaml { path: path.to_owned(), reason };
    let content: Option<BTreeMap<String, Value>> =
        serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut file = ConfigFile { given: BTreeMap::new(), unknown: Vec::new() };
    for (key, value) in content.unwrap_or_default() {
        // A section, such as `client-transport-security`, holds settings that are flags of their own on the command
        // line; none of them has a meaning yet.
        if value.is_object() {
            file.unknown.push(key);
            continue;
        }
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == key) else {
            file.unknown.push(key);
            continue;
        };
        let Some(value) = text_of(flag, &value) else {
            return Err(ConfigFileError::Value { path: path.to_owned(), key });
        };
        file.given.insert(flag.name, value);
    }
    Ok(file)
}

fn text_of(flag: &GoFlag, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) if NANOSECONDS.contains(&flag.name) => Some(format!("{number}ns")),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| text_of(flag, item)).collect();
            Some(texts?.join(","))
        }
        Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_flags_and_durations_are_nanoseconds() {
        let file = parse(
            "c.yaml",
            "# etcd.conf.yml.sample\nname: 'n1'\ndata-dir:\nheartbeat-interval: 100\npre-vote: true\n\
             log-outputs: [stderr, stdout]\nwatch-progress-notify-interval: 5000000000\n\
             client-transport-security:\n  cert-file: a.pem\nno-such-key: 1\n",
        )
        .unwrap();
        let expected = [
            ("data-dir", ""),
            ("heartbeat-interval", "100"),
            ("log-outputs", "stderr,stdout"),
            ("name", "n1"),
            ("pre-vote", "true"),
            ("watch-progress-notify-interval", "5000000000ns"),
        ];
        assert_eq!(file.given, expected.map(|(key, value)| (key, value.to_owned())).into());
        assert_eq!(file.unknown, ["client-transport-security", "no-such-key"]);
    }

    #[test]
    fn an_empty_file_says_nothing_and_a_wrong_one_is_named() {
        assert_eq!(parse("c.yaml", "# nothing\n").unwrap().given, BTreeMap::new());
        for wrong in ["- a\n- b\n", "name: [a", "just text"] {
            let error = parse("c.yaml", wrong).unwrap_err().to_string();
            assert!(error.starts_with("--config-file c.yaml: "), "{error}");
        }
        let error = parse("c.yaml", "log-outputs: [{a: 1}]\n").unwrap_err().to_string();
        assert!(error.contains("log-outputs"), "{error}");
        assert!(read(Path::new("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
    }
}
