//! Which crate may depend on which. The layout is the architecture: a new edge is a decision, made here.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Offence;

struct Rule {
    package: &'static str,
    /// The crates of this workspace that it may depend on.
    may_use: &'static [&'static str],
    /// A pure crate reads no clock, no random source, no socket and no environment, so it has no use for the crates
    /// that give it one.
    pure: bool,
    /// Only these crates know the protobufs of etcd; the others see the store's own types.
    speaks_grpc: bool,
}

const RULES: &[Rule] = &[
    Rule { package: "floe-raft", may_use: &[], pure: true, speaks_grpc: false },
    Rule { package: "floe-multi", may_use: &["floe-raft", "floe-session"], pure: true, speaks_grpc: false },
    Rule { package: "floe-session", may_use: &[], pure: true, speaks_grpc: false },
    Rule { package: "floe-trace", may_use: &["floe-raft"], pure: true, speaks_grpc: false },
    Rule { package: "floe-wal", may_use: &["floe-raft"], pure: true, speaks_grpc: false },
    Rule { package: "floe-mvcc", may_use: &["floe-session"], pure: true, speaks_grpc: false },
    Rule {
        package: "floe-sim",
        may_use: &["floe-raft", "floe-multi", "floe-session", "floe-trace", "floe-wal", "floe-mvcc"],
        pure: true,
        speaks_grpc: false,
    },
    Rule { package: "floe-lab", may_use: &["floe-sim"], pure: true, speaks_grpc: false },
    Rule { package: "floe-lab-wasm", may_use: &["floe-lab"], pure: true, speaks_grpc: false },
    Rule {
        package: "floe",
        may_use: &["floe-raft", "floe-multi", "floe-session", "floe-trace", "floe-wal"],
        pure: false,
        speaks_grpc: false,
    },
    Rule { package: "floe-etcd", may_use: &["floe", "floe-mvcc"], pure: false, speaks_grpc: true },
    Rule {
        package: "floe-cli",
        may_use: &[
            "floe",
            "floe-etcd",
            "floe-lab",
            "floe-multi",
            "floe-mvcc",
            "floe-raft",
            "floe-session",
            "floe-sim",
            "floe-wal",
        ],
        pure: false,
        speaks_grpc: true,
    },
    // The tasks work even where the product does not compile; what needs a client of it is a program of its own.
    Rule { package: "xtask", may_use: &[], pure: false, speaks_grpc: false },
    Rule {
        package: "xtask-ledger",
        may_use: &["floe-raft", "floe-sim", "floe-wal", "xtask-exhaustive"],
        pure: false,
        speaks_grpc: false,
    },
    Rule {
        package: "xtask-processes",
        may_use: &["floe-etcd", "floe-session"],
        pure: false,
        speaks_grpc: true,
    },
    Rule { package: "xtask-exhaustive", may_use: &["floe-raft"], pure: false, speaks_grpc: false },
    Rule { package: "xtask-wasm", may_use: &["floe-lab", "floe-sim"], pure: false, speaks_grpc: false },
    Rule { package: "xtask-sim", may_use: &["floe-sim"], pure: false, speaks_grpc: false },
];

/// Crates through which a pure crate would reach the outside world.
const IMPURE: &[&str] = &[
    "async-io",
    "chrono",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "nix",
    "rand",
    "rustix",
    "socket2",
    "time",
    "tokio",
];
const GRPC: &[&str] = &["axum", "hyper-util", "prost", "tonic", "tonic-prost"];

/// Checks the dependencies of every package in the output of `cargo metadata --no-deps`. Development dependencies
/// count only between crates of the workspace: a test may well use a random source.
pub(super) fn check(metadata: &Value) -> Result<Vec<Offence>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut offences = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has a name")?;
        let Some(rule) = RULES.iter().find(|rule| rule.package == name) else {
            offences.push(offence(
                name,
                "no rule names this crate: give it one in xtask/src/tidy/edges.rs".into(),
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("a package lists its dependencies")? {
            let used = dependency["name"].as_str().context("a dependency has a name")?;
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if names.contains(&used) {
                if !rule.may_use.contains(&used) {
                    offences.push(offence(name, format!("{name} must not depend on {used}")));
                }
            } else if !for_tests && rule.pure && IMPURE.contains(&used) {
                offences.push(offence(
                    name,
                    format!("{name} is pure and has no use for {used}: pass the fact in"),
                ));
            } else if !for_tests && !rule.speaks_grpc && GRPC.contains(&used) {
                offences
                    .push(offence(name, format!("{name} must not know gRPC ({used}): convert in floe-etcd")));
            }
        }
    }
    Ok(offences)
}

fn offence(package: &str, text: String) -> Offence {
    Offence { rule: "crate-edge", place: package.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(metadata: &Value) -> Vec<String> {
        check(metadata).expect("the sample is well formed").into_iter().map(|offence| offence.text).collect()
    }

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn an_edge_of_the_design_passes() {
        let metadata = json!({ "packages": [
            package("floe-raft", &[("bytes", None), ("rand", Some("dev"))]),
            package("floe-wal", &[("floe-raft", None)]),
        ]});
        assert!(texts(&metadata).is_empty());
    }

    #[test]
    fn an_edge_that_the_design_does_not_draw_fails_even_for_tests() {
        let metadata = json!({ "packages": [
            package("floe-raft", &[("floe-wal", Some("dev"))]),
            package("floe-wal", &[]),
        ]});
        assert_eq!(texts(&metadata), ["floe-raft must not depend on floe-wal"]);
    }

    #[test]
    fn a_pure_crate_with_a_runtime_fails() {
        let metadata = json!({ "packages": [package("floe-raft", &[("tokio", None)])] });
        assert_eq!(texts(&metadata), ["floe-raft is pure and has no use for tokio: pass the fact in"]);
    }

    #[test]
    fn protobufs_outside_the_edge_fail() {
        let metadata = json!({ "packages": [package("floe", &[("prost", None)])] });
        assert_eq!(texts(&metadata), ["floe must not know gRPC (prost): convert in floe-etcd"]);
    }

    #[test]
    fn a_crate_without_a_rule_fails() {
        let metadata = json!({ "packages": [package("floe-helpers", &[])] });
        assert_eq!(texts(&metadata).len(), 1);
    }
}
