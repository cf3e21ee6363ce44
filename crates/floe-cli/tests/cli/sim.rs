//! `floe sim` as somebody uses it who was handed a failing seed.

use std::process::{Command, Output};

use tempfile::TempDir;

use super::{FLOE, clear_environment};

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(FLOE);
    command.arg("sim").args(arguments);
    clear_environment(&mut command);
    command.output().unwrap()
}

fn line<'a>(output: &'a str, name: &str) -> &'a str {
    output.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{output}"))
}

#[test]
fn a_seed_repeats_and_its_trace_is_written() {
    let directory = TempDir::new().unwrap();
    let trace = directory.path().join("trace.ndjson");
    let arguments = ["--seed", "5", "--seconds", "5", "--voters", "3", "--without", "loss,crash"];
    let plain = sim(&arguments);
    let traced = sim(&[&arguments[..], &["--trace", trace.to_str().unwrap()]].concat());
    let said = String::from_utf8(plain.stdout).unwrap();
    assert!(said.starts_with("seed 5 holds\n"), "{said}");
    assert!(plain.status.success() && traced.status.success());
    assert_eq!(said, String::from_utf8(traced.stdout).unwrap());

    let trace = std::fs::read_to_string(trace).unwrap();
    let events: usize = line(&said, "events").rsplit(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(trace.lines().count(), events);
    assert!(trace.starts_with("{\"id\":1,\"at\":0,\"cause\":0,\"kind\":\"world\",\"version\":1,\"seed\":5,"));
}

#[test]
fn a_broken_host_is_found_made_smaller_and_the_printed_command_repeats_it() {
    // Which seed finds it depends on everything that worlds are made of.
    let finds = |seed: u32| {
        let arguments = ["--mutant", "host-ack-before-commit", "--shrink", "40"];
        let output = sim(&[&["--seed", &seed.to_string()][..], &arguments].concat());
        (output.status.code() == Some(1)).then_some((seed, output))
    };
    let (seed, output) = (1..=50).find_map(finds).expect("a seed of fifty finds it");
    let said = String::from_utf8(output.stdout).unwrap();
    // The last one is that of the smallest variant.
    let command = said.lines().rev().find_map(|line| line.trim().strip_prefix("replay: floe sim ")).unwrap();
    let again = sim(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(again.status.code(), Some(1));
    let rule = |text: &str| text.split(" at ").next().unwrap().to_string();
    let replayed = String::from_utf8(again.stdout).unwrap();
    let breaks = format!("seed {seed} breaks");
    assert_eq!(rule(line(&replayed, &breaks)), rule(line(&said, &breaks)));
}

#[test]
fn an_unknown_feature_is_refused_with_those_that_are_known() {
    let output = sim(&["--seed", "1", "--without", "weather"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("there is no feature `weather`; there are loss, duplicate"), "{error}");
}
