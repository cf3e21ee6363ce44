//! The real binary as a person uses it: serve, put, get, watch, stop, start again; and the same binary called `etcd`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed and why")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

#[cfg(feature = "lab")]
mod lab;
mod sim;

const FLOE: &str = env!("CARGO_BIN_EXE_floe");

/// A server process, killed if a test ends early.
struct Server {
    process: Child,
}

impl Server {
    /// Starts a program in a directory and waits until a line of its output holds `ready`.
    fn start(program: &Path, directory: &Path, arguments: &[&str], ready: &str) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).stdout(Stdio::null()).stderr(Stdio::piped());
        clear_environment(&mut command);
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains(ready) {
            assert_ne!(log.read_line(&mut seen).unwrap(), 0, "it ended before it was ready:\n{seen}");
        }
        // Whoever writes to a pipe that nobody reads stops when it is full.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { process }
    }

    /// Sends SIGTERM and waits for the end.
    fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "it did not stop cleanly: {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Variables of the shell that runs the tests must not change what they see.
fn clear_environment(command: &mut Command) {
    for (variable, _) in std::env::vars() {
        if ["ETCD", "FLOE", "RUST_LOG"].iter().any(|prefix| variable.starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
}

/// A port such that it and the 29 that follow are free, below the range that the system gives to outgoing connections.
fn free_ports() -> u16 {
    const COUNT: u16 = 30;
    // Tests run side by side, in threads and in processes: each looks at another place.
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 100).unwrap() * 150;
    let start = 10_000 + own + TAKEN.fetch_add(COUNT, Ordering::Relaxed);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (start..32_000)
        .step_by(COUNT.into())
        .find(|&port| (port..port + COUNT).all(free))
        .expect("the machine has free ports")
}

fn run(arguments: &[&str], endpoints: &str) -> Output {
    let mut command = Command::new(FLOE);
    command.args(arguments).args(["--endpoints", endpoints]).stdin(Stdio::null());
    clear_environment(&mut command);
    command.output().unwrap()
}

/// What a command prints at the member of a port, which must succeed.
fn says(arguments: &[&str], port: u16) -> String {
    says_at(arguments, &format!("127.0.0.1:{port}"))
}

fn says_at(arguments: &[&str], endpoints: &str) -> String {
    let output = run(arguments, endpoints);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and error text of a command that must fail.
fn fails(arguments: &[&str], port: u16) -> (i32, String) {
    let output = run(arguments, &format!("127.0.0.1:{port}"));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_person_uses_a_cluster_and_finds_the_data_after_a_second_start() {
    let directory = TempDir::new().unwrap();
    let base = free_ports();
    let text = base.to_string();
    let arguments = ["serve", "--cluster", "3", "--base-port", &text];
    let last = format!("ready to serve client requests at http://127.0.0.1:{}", base + 20);
    let server = Server::start(Path::new(FLOE), directory.path(), &arguments, &last);

    assert_eq!(says(&["put", "a", "1"], base), "OK\n");
    assert_eq!(says(&["put", "b", "2"], base + 10), "OK\n");
    assert_eq!(says(&["put", "a", "3", "--prev-kv"], base + 20), "OK\na\n1\n");
    assert_eq!(says(&["get", "a"], base + 10), "a\n3\n");
    assert_eq!(says(&["get", "a", "--rev", "2"], base), "a\n1\n");
    assert_eq!(says(&["get", "", "--prefix", "--keys-only", "--order", "descend"], base), "b\na\n");
    assert_eq!(says(&["get", "", "--prefix", "--count-only"], base), "2\n");
    assert!(says(&["get", "b", "-w", "json"], base).contains(r#""value":"Mg==""#));
    assert_eq!(says(&["del", "b", "--prev-kv"], base), "1\nb\n2\n");
    assert_eq!(says(&["get", "b"], base), "");

    let (code, error) = fails(&["get", "a", "--rev", "99"], base);
    assert_eq!(code, 1);
    assert!(error.contains("required revision is a future revision"), "{error}");
    assert_eq!(fails(&["get"], base).0, 2);

    let endpoints: Vec<String> = [0, 10, 20].map(|offset| format!("127.0.0.1:{}", base + offset)).into();
    let status = says_at(&["status"], &endpoints.join(","));
    assert_eq!(status.lines().count(), 4, "{status}");
    assert_eq!(status.matches("leader").count(), 1, "{status}");
    assert_eq!(says(&["members"], base).lines().count(), 4);
    server.stop();

    assert_eq!(fails(&["get", "a"], base).0, 1);
    assert!(directory.path().join("floe-data/n3").is_dir());
    let server = Server::start(Path::new(FLOE), directory.path(), &arguments, &last);
    assert_eq!(says(&["get", "a"], base), "a\n3\n");
    server.stop();
}

#[test]
fn a_local_cluster_has_a_witness_and_goes_on_when_a_member_is_removed() {
    let directory = TempDir::new().unwrap();
    let base = free_ports();
    let text = base.to_string();
    let arguments = ["serve", "--cluster", "3", "--witnesses", "1", "--base-port", &text];
    let ready = |member: u16| {
        format!("ready to serve client requests at http://127.0.0.1:{}", base + 10 * (member - 1))
    };
    let server = Server::start(Path::new(FLOE), directory.path(), &arguments, &ready(3));
    // The witness is passed over by whoever writes, and by `floe member`.
    let (first, witness) = (format!("127.0.0.1:{base}"), format!("127.0.0.1:{}", base + 20));
    let witness_first = format!("{witness},{first}");
    assert_eq!(says_at(&["put", "a", "1"], &witness_first), "OK\n");
    assert_eq!(says_at(&["get", "a"], &witness_first), "a\n1\n");
    let list = says_at(&["member", "list"], &witness);
    assert!(list.lines().any(|line| line.contains(" n3 ") && line.ends_with("witness")), "{list}");
    assert_eq!(list.matches("voter").count(), 2, "{list}");
    assert!(says_at(&["status"], &witness).contains(" witness "));
    let (code, error) = fails(&["get", "a"], base + 20);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("this member is a witness") && error.contains("the leader is n"), "{error}");

    says_at(&["member", "remove", "n3"], &witness_first);
    let listens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let begun = std::time::Instant::now();
    while listens(base + 20) || listens(base + 21) {
        assert!(begun.elapsed().as_secs() < 30, "the removed member still listens");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(says(&["put", "a", "3"], base + 10), "OK\n");
    server.stop();
    let server = Server::start(Path::new(FLOE), directory.path(), &arguments, &ready(2));
    assert_eq!(says(&["get", "a"], base + 10), "a\n3\n");
    assert_eq!(says(&["member", "list"], base).lines().count(), 3);
    assert!(!listens(base + 20));
    server.stop();
}

#[test]
fn a_watch_prints_each_change_as_it_happens() {
    let directory = TempDir::new().unwrap();
    let base = free_ports();
    let text = base.to_string();
    let arguments = ["serve", "--cluster", "1", "--base-port", &text];
    let server = Server::start(Path::new(FLOE), directory.path(), &arguments, "ready to serve");
    says(&["put", "k/1", "before"], base);

    let mut command = Command::new(FLOE);
    command.args([
        "watch",
        "--prefix",
        "k/",
        "--rev",
        "1",
        "--prev-kv",
        "--endpoints",
        &format!("127.0.0.1:{base}"),
    ]);
    clear_environment(&mut command);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |count: usize| lines.by_ref().take(count).collect::<Vec<_>>();
    assert_eq!(next(3), ["PUT", "k/1", "before"]);

    let mut put = Command::new(FLOE);
    put.args(["put", "k/1", "--endpoints", &format!("127.0.0.1:{base}")]).stdin(Stdio::piped());
    clear_environment(&mut put);
    let mut put = put.stdout(Stdio::null()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(b"from standard input").unwrap();
    assert!(put.wait().unwrap().success());
    assert_eq!(next(5), ["PUT", "k/1", "before", "k/1", "from standard input"]);

    says(&["del", "k/1"], base);
    assert_eq!(next(5), ["DELETE", "k/1", "from standard input", "k/1", ""]);
    watch.kill().unwrap();
    watch.wait().unwrap();
    server.stop();
}

/// The binary under a name of etcd's, beside the data of one test.
fn etcd(directory: &Path) -> PathBuf {
    let link = directory.join("etcd");
    std::os::unix::fs::symlink(FLOE, &link).unwrap();
    link
}

#[test]
fn called_etcd_it_takes_etcds_command_line() {
    let directory = TempDir::new().unwrap();
    let etcd = etcd(directory.path());
    let port = free_ports();
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
    let cluster = format!("-initial-cluster=x={peer}");
    let arguments = [
        "-name",
        "x",
        "--data-dir=x.etcd",
        "--logger=zap",
        "--snapshot-count",
        "100",
        "--discovery-srv=example.com",
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        &cluster,
    ];
    let server = Server::start(&etcd, directory.path(), &arguments, "ready to serve client requests");
    assert_eq!(says(&["put", "a", "1"], port), "OK\n");
    assert!(directory.path().join("x.etcd").is_dir());
    server.stop();

    // The same member from a configuration file; what stands beside it does not count, as in etcd.
    let file = format!(
        "name: x\ndata-dir: x.etcd\nlisten-client-urls: {client}\nadvertise-client-urls: {client}\n\
         listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: x={peer}\n\
         snapshot-count: 100\nwatch-progress-notify-interval: 60000000000\nno-such-key: 1\n"
    );
    std::fs::write(directory.path().join("etcd.yaml"), file).unwrap();
    let arguments = ["--config-file", "etcd.yaml", "--name=y", "--data-dir=y.etcd"];
    let server = Server::start(&etcd, directory.path(), &arguments, "ready to serve client requests");
    assert_eq!(says(&["get", "a", "--print-value-only"], port), "1\n");
    assert!(!directory.path().join("y.etcd").exists());
    server.stop();
    let output = Command::new(&etcd).args(["--config-file", "none.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config-file none.yaml: "));

    let output = Command::new(&etcd).arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    assert_eq!(version.lines().count(), 4);
    assert!(version.starts_with("etcd Version: 3.7.0\n"), "{version}");

    let output = Command::new(&etcd).arg("--dta-dir=x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean --data-dir?"));
}

#[test]
fn a_data_directory_of_another_member_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let base = free_ports();
    let text = base.to_string();
    let arguments = ["serve", "--cluster", "1", "--base-port", &text, "--data-dir", "d"];
    Server::start(Path::new(FLOE), directory.path(), &arguments, "ready to serve").stop();

    // A member of another name, and a member of the same name of another cluster.
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    for flags in [vec!["--name", "other"], vec!["--name", "n1", "--initial-cluster-token", "another"]] {
        let mut command = Command::new(FLOE);
        command.current_dir(directory.path()).args(["serve", "--data-dir", "d/n1"]).args(&flags);
        command.args(["--listen-client-urls", &url(base + 5), "--listen-peer-urls", &url(base + 6)]);
        clear_environment(&mut command);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("data directory d/n1 belongs to member"), "{error}");
    }
}
