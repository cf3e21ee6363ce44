//! Variables behind flags: `--data-dir` may come from `FLOE_DATA_DIR`, or from etcd's `ETCD_DATA_DIR`.

use std::ffi::OsString;

use clap::Command;

/// Prefixes of the server's variables, the first of which wins.
const SERVER: [&str; 2] = ["FLOE_", "ETCD_"];
/// Prefixes of the client's variables.
const CLIENT: [&str; 2] = ["FLOE_", "ETCDCTL_"];

/// Gives every flag of every command the variable that is set for it. A flag wins over a variable, a variable of floe
/// over one of etcd, and an empty variable counts as none, as in etcd.
pub(crate) fn behind_flags(command: Command) -> Command {
    behind_flags_of(command, &|name| std::env::var_os(name))
}

fn behind_flags_of(command: Command, lookup: &impl Fn(&str) -> Option<OsString>) -> Command {
    command.mut_subcommands(|subcommand| {
        let prefixes = if subcommand.get_name() == "serve" { SERVER } else { CLIENT };
        subcommand.mut_args(|argument| {
            // Positional arguments are what a command is about and do not come from the environment.
            let Some(long) = argument.get_long() else { return argument };
            match variable(long, prefixes, lookup) {
                Some((name, _)) => argument.env(name).hide_env(true),
                None => argument,
            }
        })
    })
}

/// The name and content of the variable that stands behind a flag, if one is set.
pub(crate) fn variable(
    long: &str,
    prefixes: [&str; 2],
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> Option<(String, OsString)> {
    let suffix = long.to_uppercase().replace('-', "_");
    prefixes.iter().find_map(|prefix| {
        let name = format!("{prefix}{suffix}");
        lookup(&name).filter(|content| !content.is_empty()).map(|content| (name, content))
    })
}

/// The variable behind a flag of the server.
pub(crate) fn server_variable(long: &str) -> Option<(String, OsString)> {
    variable(long, SERVER, &|name| std::env::var_os(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(long: &str, set: &[(&str, &str)]) -> Option<String> {
        let lookup =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        variable(long, SERVER, &lookup).and_then(|(_, content)| content.into_string().ok())
    }

    #[test]
    fn floes_variable_wins_over_etcds_and_an_empty_one_is_none() {
        let both = [("ETCD_DATA_DIR", "etcd"), ("FLOE_DATA_DIR", "floe")];
        assert_eq!(found("data-dir", &both).as_deref(), Some("floe"));
        assert_eq!(found("data-dir", &both[..1]).as_deref(), Some("etcd"));
        assert_eq!(
            found("data-dir", &[("FLOE_DATA_DIR", ""), ("ETCD_DATA_DIR", "etcd")]).as_deref(),
            Some("etcd")
        );
        assert_eq!(found("data-dir", &[]), None);
    }
}
