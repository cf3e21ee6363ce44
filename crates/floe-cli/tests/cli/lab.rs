//! `floe lab`: its page and engines, a trace from a file, and a cluster of real processes that is looked at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{FLOE, Server, clear_environment, free_ports, says};

/// No condition of these tests takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lab, ended if a test ends early.
struct Lab {
    process: Child,
    port: u16,
    /// The address that it printed.
    link: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lab_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(FLOE);
    command.arg("lab").args(arguments).stdin(Stdio::null());
    clear_environment(&mut command);
    command
}

impl Lab {
    fn start(arguments: &[&str]) -> Self {
        let port = free_ports();
        let listen = format!("127.0.0.1:{port}");
        let mut command = lab_command(&[&["--listen", &listen], arguments].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let link = line
            .trim()
            .strip_prefix("The lab is at ")
            .unwrap_or_else(|| panic!("it said {line:?}"))
            .to_owned();
        Self { process, port, link }
    }

    fn exchange(&self, head: &str, body: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(stream, "{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), answer[end + 4..].to_vec())
    }

    fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: localhost"), "")
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn call(&self, engine: &str, kind: &str, body: &str) -> (u16, String) {
        let head = format!("POST /engine/{engine} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}");
        let (status, _, body) = self.exchange(&head, body);
        (status, String::from_utf8(body).unwrap())
    }

    /// Asks for the cluster's state until it is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.json("/live");
            if wanted(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "{what}: {state:#}");
            std::thread::yield_now();
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_page_its_engines_and_nothing_else_are_served() {
    let mut lab = Lab::start(&[]);
    assert_eq!(lab.link, format!("http://127.0.0.1:{}/", lab.port));
    let (status, head, body) = lab.get("/");
    assert_eq!(status, 200);
    assert!(String::from_utf8(body).unwrap().contains("<title>floe lab</title>"));
    assert!(head.contains("content-type: text/html"), "{head}");
    let policy = "content-security-policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval';";
    assert!(head.contains(policy), "{head}");
    assert!(lab.get("/main.js").1.contains("content-type: text/javascript"));
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../floe-lab/web");
    for file in files(&web) {
        let path = file.strip_prefix(&web).unwrap().display().to_string();
        let (status, _, body) = lab.get(&format!("/{path}"));
        assert!(status == 200 && body == std::fs::read(&file).unwrap(), "{path}: {status}");
    }
    assert_eq!(lab.get("/no-such-file").0, 404);
    assert_eq!(lab.get("/live").0, 404, "no cluster is attached");

    let open = r#"{"call":"open","settings":{"version":1,"seed":7}}"#;
    let (status, opened) = lab.call("a", "application/json", open);
    assert!(status == 200 && opened.starts_with(r#"{"ok":"#), "{opened}");
    assert!(lab.call("a", "application/json", "{").1.contains("bad-json"));
    assert_eq!(lab.call("a", "text/plain", open).0, 415, "a form of another page's");
    assert_eq!(lab.call("a%2Fb", "application/json", open).0, 404);
    let long = format!(r#"{{"call":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(lab.call("a", "application/json", &long).0, 413);
    let elsewhere = lab.exchange("GET / HTTP/1.1\r\nhost: lab.example.com", "");
    assert_eq!(elsewhere.0, 403);

    let listen = format!("127.0.0.1:{}", lab.port);
    let second = lab_command(&["--listen", &listen]).output().unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(
        second.status.code() == Some(1) && error.contains(&format!("something listens on {listen} already")),
        "{error}"
    );

    let id = lab.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(lab.process.wait().unwrap().success());
}

#[test]
fn a_trace_of_the_simulator_is_opened_and_another_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("history.ndjson");
    let mut sim = Command::new(FLOE);
    sim.args(["sim", "--seed", "5", "--seconds", "2", "--voters", "3", "--trace"]).arg(&path);
    clear_environment(&mut sim);
    assert!(sim.output().unwrap().status.success());
    let lab = Lab::start(&[path.to_str().unwrap()]);
    assert!(lab.link.ends_with("/#trace=trace%2Fhistory.ndjson"), "{}", lab.link);
    assert_eq!(lab.get("/trace/history.ndjson").2, std::fs::read(&path).unwrap());
    assert_eq!(lab.get("/trace/other.ndjson").0, 404);

    let refused = |arguments: &[&str]| {
        let output = lab_command(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let other = directory.path().join("other");
    std::fs::write(&other, "no trace\n").unwrap();
    let (code, error) = refused(&[other.to_str().unwrap()]);
    assert!(code == 1 && error.contains("is no trace"), "{error}");
    let (code, error) = refused(&["--attach", "http://127.0.0.1"]);
    assert!(code == 2 && error.contains("--attach http://127.0.0.1: it has no port"), "{error}");
    let (code, error) = refused(&["--attach", "https://127.0.0.1:1"]);
    assert!(code == 2 && error.contains("TLS"), "{error}");
}

#[test]
fn a_member_that_shows_nothing_is_seen_by_what_etcds_api_says() {
    let (directory, base) = (TempDir::new().unwrap(), free_ports());
    let text = base.to_string();
    let arguments = ["serve", "--cluster", "1", "--base-port", &text, "--live-state=false"];
    let _server = Server::start(Path::new(FLOE), directory.path(), &arguments, "ready to serve");
    says(&["put", "a", "1"], base);
    let lab = Lab::start(&["--attach", &format!("127.0.0.1:{base}")]);
    let state = lab.until("it is up", |state| nodes(state).iter().any(|node| node["status"] == "up"));
    let node = &nodes(&state)[0];
    assert_eq!(
        (&node["role"], &node["name"], &node["log"]),
        (&"leader".into(), &"n1".into(), &Value::Array(vec![]))
    );
    assert!(node["term"].as_u64().unwrap() > 0 && node["commit"].as_u64().unwrap() > 0, "{node:#}");
}

/// Three members, each a process of its own, and the client ports.
struct Processes {
    directory: TempDir,
    base: u16,
    members: Vec<Option<Server>>,
}

impl Processes {
    fn start() -> Self {
        let (directory, base) = (TempDir::new().unwrap(), free_ports());
        let mut processes = Self { directory, base, members: Vec::new() };
        let start = |member| processes.start_one(member);
        // None of them is ready before there is a majority.
        let members = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..3).map(|member| scope.spawn(move || start(member))).collect();
            starting.into_iter().map(|starting| Some(starting.join().unwrap())).collect()
        });
        processes.members = members;
        processes
    }

    fn client(&self, member: u16) -> u16 {
        self.base + 2 * member
    }

    fn start_one(&self, member: u16) -> Server {
        let name = |member: u16| format!("n{}", member + 1);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<String> =
            (0..3).map(|member| format!("{}={}", name(member), url(self.client(member) + 1))).collect();
        let trace = format!("{}.ndjson", name(member));
        let arguments = [
            "serve",
            "--name",
            &name(member),
            "--data-dir",
            &name(member),
            "--trace",
            &trace,
            "--trace-sample",
            "10",
            "--listen-client-urls",
            &url(self.client(member)),
            "--listen-peer-urls",
            &url(self.client(member) + 1),
            "--initial-cluster",
            &cluster.join(","),
        ];
        Server::start(Path::new(FLOE), self.directory.path(), &arguments, "ready to serve client requests")
    }

    /// As kill -9 does it.
    fn kill(&mut self, member: u16) {
        let mut server = self.members[usize::from(member)].take().unwrap();
        server.process.kill().unwrap();
        server.process.wait().unwrap();
    }
}

fn nodes(state: &Value) -> &Vec<Value> {
    state["nodes"].as_array().unwrap()
}

/// The position of the node that leads, if all that answer follow it.
fn leader(state: &Value) -> Option<usize> {
    let up = || nodes(state).iter().filter(|node| node["status"] == "up");
    let position = nodes(state).iter().position(|node| node["role"] == "leader")?;
    let id = &nodes(state)[position]["id"];
    up().all(|node| node["leader"] == *id && node["term"] == nodes(state)[position]["term"])
        .then_some(position)
}

#[test]
fn a_cluster_is_looked_at_while_its_leader_is_killed_and_comes_back() {
    let mut cluster = Processes::start();
    // One endpoint leads to the others.
    let lab = Lab::start(&["--attach", &format!("127.0.0.1:{}", cluster.client(1))]);
    assert!(lab.link.ends_with("/?live=1"), "{}", lab.link);
    for number in 0..12 {
        says(&["put", "a-secret-key", &format!("a-secret-value-{number}")], cluster.client(0));
    }
    let whole = |state: &Value| {
        nodes(state).len() == 3
            && nodes(state).iter().all(|node| node["status"] == "up")
            && leader(state).is_some()
    };
    let state = lab.until("three members and a leader", whole);
    assert_eq!(state["live"], true);
    assert!(!state.to_string().contains("secret"));
    let names: Vec<&str> = nodes(&state).iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let old = leader(&state).unwrap();
    let led = &nodes(&state)[old];
    assert!(led["peers"].as_array().unwrap().len() == 2 && led["latency_ms"].is_number(), "{led:#}");
    assert_eq!(state["members"]["voters"], serde_json::json!([1, 2, 3]));
    let caught_up = |state: &Value| nodes(state).iter().all(|node| node["lag"] == 0);
    lab.until("nobody lags", caught_up);

    let (old_number, old_term) = (led["id"].clone(), led["term"].as_u64().unwrap());
    cluster.kill(u16::try_from(old).unwrap());
    let killed = Instant::now();
    let down = lab.until("the killed one is down", |state| nodes(state)[old]["status"] == "down");
    // Each endpoint is asked every half second: two polls, and what a busy machine takes.
    assert!(killed.elapsed() < Duration::from_secs(5), "it took {:?}", killed.elapsed());
    let reason = nodes(&down)[old]["reason"].as_str().unwrap();
    assert!(
        reason.contains("connection refused") || reason.contains("clos") || reason.contains("reset"),
        "{reason}"
    );
    let state = lab.until("another leads", |state| {
        leader(state).is_some_and(|position| position != old) && nodes(state)[old]["status"] == "down"
    });
    let new = &nodes(&state)[leader(&state).unwrap()];
    assert!(new["term"].as_u64().unwrap() > old_term);

    cluster.members[old] = Some(cluster.start_one(u16::try_from(old).unwrap()));
    lab.until("all three again", whole);
    says(&["put", "a-secret-key", "at last"], cluster.client(0));
    let events = events_until_back(&lab, &old_number);
    assert!(!Value::from(events.clone()).to_string().contains("secret"));
    assert!(
        events.windows(2).all(|pair| pair[0]["id"].as_u64().unwrap() + 1 == pair[1]["id"].as_u64().unwrap())
    );
    assert!(events.windows(2).all(|pair| pair[0]["at"].as_u64() <= pair[1]["at"].as_u64()));
    let elected = events.iter().find(|event| {
        event["kind"] == "role" && event["role"] == "leader" && event["term"].as_u64().unwrap() > old_term
    });
    assert_eq!(elected.expect("the election is in the trace")["node"], new["id"]);
    // The vote that made it leader, on both sides of the wire.
    let arrived = |event: &&Value| {
        event["kind"] == "arrived" && event["message"] == "vote" && event["term"] == new["term"]
    };
    let vote = events.iter().find(arrived).expect("a vote was asked for");
    let cause = events.iter().find(|event| event["id"] == vote["cause"]).expect("it was sent");
    assert_eq!((&cause["kind"], &cause["from"]), (&Value::from("sent"), &new["id"]));
    old_history_is_kept(&cluster, old);
}

/// The events once the member is back and a request was answered.
fn events_until_back(lab: &Lab, member: &Value) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let events = lab.json("/live/events")["events"].as_array().unwrap().clone();
        let back = events.iter().any(|event| event["kind"] == "reachable" && event["node"] == *member);
        if back && events.iter().any(|event| event["kind"] == "answered") {
            return events;
        }
        assert!(Instant::now() < deadline, "{} events", events.len());
    }
}

/// What a killed process wrote stands beside what the next one writes, and is shown.
fn old_history_is_kept(cluster: &Processes, killed: usize) {
    let file = cluster.directory.path().join(format!("n{}.ndjson", killed + 1));
    let old_file = file.with_extension("ndjson.old");
    for path in [&file, &old_file] {
        let first = std::fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned();
        assert!(first.contains(r#""kind":"world","version":1,"source":"server""#), "{first}");
    }
    let shown = Lab::start(&[old_file.to_str().unwrap()]);
    assert_eq!(shown.get(&format!("/trace/n{}.ndjson.old", killed + 1)).0, 200);
}
