//! Watches: creation, order, atomicity, progress, filters, fragments and how they end.

use std::time::Duration;

use floe_etcd::proto::etcdserverpb::watch_create_request::FilterType;
use floe_etcd::proto::etcdserverpb::watch_request::RequestUnion;
use floe_etcd::proto::etcdserverpb::{
    CompactionRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse,
};
use floe_etcd::proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use crate::harness::{Member, bytes, prefix, single, single_with, soon};

/// Both ends of a watch stream.
struct Client {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Client {
    async fn open(member: &Member) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let answers = member.watch().watch(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Self { requests, answers }
    }

    async fn send(&self, request: RequestUnion) {
        self.requests.send(WatchRequest { request_union: Some(request) }).await.unwrap();
    }

    async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request)).await;
        let created = self.next().await;
        assert!(created.created && created.events.is_empty());
        created
    }

    async fn progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    }

    async fn next(&mut self) -> WatchResponse {
        soon(self.answers.next()).await.expect("the stream goes on").unwrap()
    }
}

fn on(key: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: bytes(key), ..Default::default() }
}

fn on_prefix(text: &str) -> WatchCreateRequest {
    let range = prefix(text);
    WatchCreateRequest { key: range.key, range_end: range.range_end, ..Default::default() }
}

fn revisions(response: &WatchResponse) -> Vec<i64> {
    response.events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
}

#[tokio::test]
async fn a_watcher_is_created_before_its_events_and_gets_them_all() {
    let member = single().await;
    member.put("a", "1").await;
    let mut client = Client::open(&member).await;
    let created = client.create(WatchCreateRequest { start_revision: 2, prev_kv: true, ..on("a") }).await;
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, 2));
    let past = client.next().await;
    assert_eq!((past.watch_id, revisions(&past)), (0, vec![2]));
    member.put("a", "2").await;
    member.put("b", "other").await;
    member.delete("a", "").await;
    let update = client.next().await;
    assert_eq!((revisions(&update), update.header.unwrap().revision), (vec![3], 3));
    assert_eq!(update.events[0].prev_kv.as_ref().unwrap().value, "1");
    let deletion = client.next().await;
    let event = &deletion.events[0];
    assert_eq!((event.r#type(), revisions(&deletion)), (EventType::Delete, vec![5]));
    assert_eq!(event.prev_kv.as_ref().unwrap().value, "2");
    let kv = event.kv.as_ref().unwrap();
    assert_eq!((kv.key.as_ref(), kv.version, kv.create_revision), (b"a".as_ref(), 0, 0));
}

#[tokio::test]
async fn ids_are_given_upwards_and_may_be_chosen_once() {
    let member = single().await;
    let mut client = Client::open(&member).await;
    assert_eq!(client.create(on("a")).await.watch_id, 0);
    assert_eq!(client.create(WatchCreateRequest { watch_id: 1, ..on("a") }).await.watch_id, 1);
    assert_eq!(client.create(on("a")).await.watch_id, 2);
    let twice = client.create(WatchCreateRequest { watch_id: 1, ..on("a") }).await;
    assert!(twice.canceled);
    assert_eq!(
        (twice.watch_id, twice.cancel_reason.as_str()),
        (-1, "mvcc: duplicate watch ID provided on the WatchStream")
    );
    client.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 77 })).await;
    client.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 })).await;
    let canceled = client.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.cancel_reason.as_str()), (1, true, ""));
    // The one that was canceled hears nothing more; the others do.
    member.put("a", "1").await;
    let mut heard = vec![client.next().await.watch_id, client.next().await.watch_id];
    heard.sort_unstable();
    assert_eq!(heard, [0, 2]);
}

#[tokio::test]
async fn watchers_that_cannot_be_are_refused_and_the_stream_goes_on() {
    let member = single().await;
    let mut client = Client::open(&member).await;
    let empty = client.create(WatchCreateRequest { range_end: bytes("a"), ..on("b") }).await;
    assert_eq!((empty.watch_id, empty.cancel_reason.as_str()), (-1, "mvcc: watcher range is empty"));
    assert_eq!(empty.header.unwrap().revision, 1);
    let negative = client.create(WatchCreateRequest { start_revision: -1, ..on("b") }).await;
    let reason = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!((negative.watch_id, negative.cancel_reason.as_str()), (-1, reason));
    client.requests.send(WatchRequest { request_union: None }).await.unwrap();
    // An empty key with an open end is everything.
    let all = WatchCreateRequest { range_end: bytes("\0"), ..on("") };
    assert_eq!(client.create(all).await.watch_id, 0);
    member.put("z", "1").await;
    assert_eq!(revisions(&client.next().await), [2]);
}

#[tokio::test]
async fn a_compacted_start_is_told_after_the_creation() {
    let member = single().await;
    for value in ["1", "2", "3"] {
        member.put("a", value).await;
    }
    member.kv().compact(CompactionRequest { revision: 3, physical: false }).await.unwrap();
    let mut client = Client::open(&member).await;
    let created = client.create(WatchCreateRequest { start_revision: 2, ..on("a") }).await;
    assert!(!created.canceled);
    let canceled = client.next().await;
    assert!(canceled.canceled && canceled.cancel_reason.is_empty());
    assert_eq!((canceled.compact_revision, canceled.header.unwrap().revision, canceled.watch_id), (3, 0, 0));
    client.create(WatchCreateRequest { start_revision: 3, ..on("a") }).await;
    let mut heard = revisions(&client.next().await);
    while heard.len() < 2 {
        heard.extend(revisions(&client.next().await));
    }
    assert_eq!(heard, [3, 4]);
}

#[tokio::test]
async fn events_of_one_revision_come_together() {
    let member = single().await;
    for n in 0..50 {
        member.put(&format!("k/{n}"), "x").await;
    }
    let mut client = Client::open(&member).await;
    client.create(on_prefix("k/")).await;
    member.delete("k/", "k0").await;
    let deletion = client.next().await;
    assert_eq!(revisions(&deletion), vec![52; 50]);
    assert!(!deletion.fragment);
}

#[tokio::test]
async fn filters_leave_out_what_is_not_wanted() {
    let member = single().await;
    let mut client = Client::open(&member).await;
    let only = |filter: FilterType| WatchCreateRequest { filters: vec![filter.into()], ..on("a") };
    client.create(only(FilterType::Noput)).await;
    client.create(only(FilterType::Nodelete)).await;
    member.put("a", "1").await;
    member.delete("a", "").await;
    let mut heard: Vec<_> =
        [client.next().await, client.next().await].iter().map(|r| (r.watch_id, revisions(r))).collect();
    heard.sort();
    assert_eq!(heard, [(0, vec![3]), (1, vec![2])]);
}

#[tokio::test]
async fn progress_is_told_for_all_watchers_after_all_events() {
    let member = single().await;
    let mut client = Client::open(&member).await;
    // Without a watcher nothing is said; the next answer is that of the creation.
    client.progress().await;
    client.create(on("a")).await;
    client.create(on("b")).await;
    member.put("a", "1").await;
    member.put("c", "1").await;
    client.progress().await;
    let event = client.next().await;
    assert_eq!(revisions(&event), [2]);
    let progress = client.next().await;
    assert_eq!((progress.watch_id, progress.events.len(), progress.header.unwrap().revision), (-1, 0, 3));
    // Nothing may be said while a watcher waits for a revision that lies ahead.
    client.create(WatchCreateRequest { start_revision: 100, ..on("a") }).await;
    client.progress().await;
    member.put("b", "1").await;
    assert_eq!(revisions(&client.next().await), [4]);
}

#[tokio::test]
async fn idle_watchers_that_asked_for_it_are_told_the_revision() {
    let member =
        single_with(|config| config.watch_progress_notify_interval = Duration::from_millis(100)).await;
    let mut client = Client::open(&member).await;
    client.create(on("a")).await;
    client.create(WatchCreateRequest { progress_notify: true, ..on("b") }).await;
    member.put("c", "1").await;
    let mut revision = 0;
    while revision < 2 {
        let notice = client.next().await;
        assert_eq!((notice.watch_id, notice.events.len()), (1, 0));
        revision = notice.header.unwrap().revision;
    }
    assert_eq!(revision, 2);
}

#[tokio::test]
async fn a_large_revision_is_split_for_those_who_ask() {
    let member = single_with(|config| config.max_request_bytes = 10_000).await;
    let value = "x".repeat(4000);
    for n in 0..8 {
        member.put(&format!("k/{n}"), &value).await;
    }
    let mut client = Client::open(&member).await;
    client.create(WatchCreateRequest { start_revision: 2, fragment: true, ..on_prefix("k/") }).await;
    let mut heard = Vec::new();
    let mut parts = 0;
    while heard.len() < 8 {
        let part = client.next().await;
        parts += 1;
        heard.extend(revisions(&part));
        assert_eq!(part.fragment, heard.len() < 8, "all but the last part say that there is more");
    }
    assert_eq!(heard, (2..10).collect::<Vec<_>>());
    assert!(parts >= 4, "{parts}");
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let member = single().await;
    let mut client = Client::open(&member).await;
    client.create(on("a")).await;
    soon(member.server.shutdown()).await;
    let end = soon(client.answers.next()).await.unwrap().unwrap_err();
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "etcdserver: server stopped"));
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_hears() {
    let member = single().await;
    let once = WatchRequest { request_union: Some(RequestUnion::CreateRequest(on("a"))) };
    let request = Request::new(tokio_stream::once(once));
    let mut answers = member.watch().watch(request).await.unwrap().into_inner();
    assert!(soon(answers.next()).await.unwrap().unwrap().created);
    member.put("a", "1").await;
    assert_eq!(revisions(&soon(answers.next()).await.unwrap().unwrap()), [2]);
}
