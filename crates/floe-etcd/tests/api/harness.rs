//! Members in this process, and clients of them.

use std::future::Future;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use floe_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;
use floe_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use floe_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use floe_etcd::proto::etcdserverpb::watch_client::WatchClient;
use floe_etcd::proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use floe_etcd::{ClusterState, Config, Server, Url};
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running member.
pub(crate) struct Member {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    config: Config,
    dir: TempDir,
}

/// `http://127.0.0.1` at a port.
pub(crate) fn local(port: u16) -> Url {
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

/// A single member with settings of its own.
pub(crate) async fn single_with(change: impl FnOnce(&mut Config)) -> Member {
    let port = free_port();
    let mut config = config("n1", &[("n1", port)]);
    config.listen_peer_urls = vec![local(port)];
    change(&mut config);
    let member = Member::start(config, TempDir::new().unwrap()).await;
    member.ready().await;
    member
}

/// A single member, ready.
pub(crate) async fn single() -> Member {
    single_with(|_| {}).await
}

/// Three members, ready.
pub(crate) async fn three() -> Vec<Member> {
    three_with(|_| {}).await
}

/// Three members with settings of their own.
pub(crate) async fn three_with(change: impl Fn(&mut Config)) -> Vec<Member> {
    let peers: Vec<(&str, u16)> = ["n1", "n2", "n3"].into_iter().map(|name| (name, free_port())).collect();
    let mut members = Vec::new();
    for (name, port) in &peers {
        let mut config = config(name, &peers);
        config.listen_peer_urls = vec![local(*port)];
        change(&mut config);
        members.push(Member::start(config, TempDir::new().unwrap()).await);
    }
    for member in &members {
        member.ready().await;
    }
    members
}

/// A port that nothing listens on, and that nobody else here is given. It is below those that the system gives to
/// connections: one of them could take it before the member does.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Another run of these tests at the same time begins elsewhere.
        let begin = std::process::id() as u16 % 200 * 100;
        let port = 10_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The configuration of a member that joins those that run, under a name, at a peer port.
pub(crate) fn joining(name: &str, port: u16, running: &[&Member]) -> Config {
    let others: Vec<(&str, u16)> = running
        .iter()
        .map(|member| (member.config.name.as_str(), member.config.initial_advertise_peer_urls[0].port()))
        .collect();
    let peers: Vec<_> = others.iter().copied().chain([(name, port)]).collect();
    let mut config = config(name, &peers);
    config.listen_peer_urls = vec![local(port)];
    config.initial_cluster_state = ClusterState::Existing;
    config
}

fn config(name: &str, peers: &[(&str, u16)]) -> Config {
    let own = peers.iter().find(|(peer, _)| *peer == name).unwrap().1;
    Config {
        name: name.into(),
        listen_client_urls: vec![local(0)],
        advertise_client_urls: vec![local(0)],
        initial_advertise_peer_urls: vec![local(own)],
        initial_cluster: peers.iter().map(|(name, port)| ((*name).into(), vec![local(*port)])).collect(),
        client_threads: 2,
        ..Config::default()
    }
}

impl Member {
    pub(crate) async fn start(mut config: Config, dir: TempDir) -> Self {
        config.data_dir = dir.path().to_owned();
        let server = Server::start(config.clone()).await.unwrap();
        let url = server.client_urls()[0].to_string();
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        Self { server, channel, config, dir }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn data_dir(&self) -> &std::path::Path {
        &self.config.data_dir
    }

    pub(crate) async fn ready(&self) {
        soon(self.server.wait_ready()).await;
    }

    /// Stops the member and starts it again on its data.
    pub(crate) async fn restart(self) -> Self {
        let (config, dir) = self.stop().await;
        Self::start(config, dir).await
    }

    /// Stops the member. What it could be started with again is left.
    pub(crate) async fn stop(self) -> (Config, TempDir) {
        let Self { server, config, dir, .. } = self;
        soon(server.shutdown()).await;
        (config, dir)
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> PutResponse {
        self.kv().put(put(key, value)).await.unwrap().into_inner()
    }

    pub(crate) async fn get(&self, key: &str) -> RangeResponse {
        self.kv().range(get(key)).await.unwrap().into_inner()
    }

    pub(crate) async fn delete(&self, key: &str, end: &str) -> DeleteRangeResponse {
        self.kv().delete_range(delete(key, end)).await.unwrap().into_inner()
    }
}

pub(crate) fn bytes(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

pub(crate) fn get(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..Default::default() }
}

/// All keys that begin with `prefix`, which must not end with the highest byte.
pub(crate) fn prefix(prefix: &str) -> RangeRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    RangeRequest { key: bytes(prefix), range_end: end.into(), ..Default::default() }
}

pub(crate) fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), ..Default::default() }
}

pub(crate) fn keys(response: &RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

/// Asserts that a call failed with a code and a text, to the byte.
#[track_caller]
pub(crate) fn fails<T: std::fmt::Debug>(result: Result<Response<T>, Status>, code: Code, message: &str) {
    let status = result.expect_err("the call must fail");
    assert_eq!((status.code(), status.message()), (code, message));
}

/// The future's value, or a failed test instead of a hanging one.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("this must not take so long")
}

/// Repeats a question until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
