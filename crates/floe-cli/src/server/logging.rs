//! The log: one line an event that a person cares about, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts the log. The level comes from the flag, else from FLOE_LOG, else from RUST_LOG; both variables may also hold
/// a list of modules and levels.
pub(crate) fn init(level: Option<&str>) {
    let variable = |name| std::env::var(name).ok().filter(|content| !content.is_empty());
    let directives =
        level.map(str::to_owned).or_else(|| variable("FLOE_LOG")).or_else(|| variable("RUST_LOG"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(directives.as_deref().unwrap_or("info")))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // A second start in the same process, as in a test, keeps the first log.
    let _ = subscriber.try_init();
}

/// A bare level is for floe's own lines; the libraries below it speak up from a warning on.
fn filter(directives: &str) -> EnvFilter {
    let own = |level: &str| format!("warn,floe={level}");
    let directives = match directives.to_lowercase().as_str() {
        // The last three are etcd's: levels for what ends the process, which floe logs as errors.
        "error" | "dpanic" | "panic" | "fatal" => "error".to_owned(),
        "warn" => "warn".to_owned(),
        level @ ("info" | "debug" | "trace") => own(level),
        _ => directives.to_owned(),
    };
    EnvFilter::try_new(&directives).unwrap_or_else(|error| {
        eprintln!("the log level `{directives}` is not understood ({error}); logging at info");
        EnvFilter::new(own("info"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_understood() {
        let directives = |text| {
            let mut parts: Vec<String> = filter(text).to_string().split(',').map(str::to_owned).collect();
            parts.sort();
            parts.join(",")
        };
        assert_eq!(directives("INFO"), "floe=info,warn");
        assert_eq!(directives("panic"), "error");
        assert_eq!(directives("floe_raft=trace,warn"), "floe_raft=trace,warn");
        assert_eq!(directives("=="), "floe=info,warn");
    }
}
