//! Plain HTTP on the client port.

use floe_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
use floe_etcd::proto::etcdserverpb::{AlarmRequest, AlarmType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Member, single};

/// Status and body of one request.
pub(crate) async fn request(member: &Member, method: &str, path: &str) -> (u16, String) {
    let (head, body) = exchange(member, method, path).await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// The status line and the headers of the answer to a GET.
pub(crate) async fn head_of(member: &Member, path: &str) -> String {
    exchange(member, "GET", path).await.0
}

async fn exchange(member: &Member, method: &str, path: &str) -> (String, String) {
    let url = &member.server.client_urls()[0];
    let mut stream = TcpStream::connect(url.authority()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: floe\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn versions_and_health_are_json() {
    let member = single().await;
    let (status, body) = request(&member, "GET", "/version").await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"etcdserver":"3.7.0","etcdcluster":"3.7.0","storage":"3.7.0"}"#)
    );
    let healthy = (200, r#"{"health":"true","reason":""}"#.to_owned());
    assert_eq!(request(&member, "GET", "/health").await, healthy);
    assert_eq!(request(&member, "GET", "/health?serializable=true").await, healthy);
    assert_eq!(request(&member, "POST", "/health").await, (405, "Method Not Allowed\n".into()));
    assert_eq!(request(&member, "GET", "/nothing").await, (404, "404 page not found\n".into()));
}

#[tokio::test]
async fn an_alarm_makes_a_member_unhealthy_unless_it_is_excluded() {
    let member = single().await;
    let mut alarm = AlarmRequest { member_id: 1, ..Default::default() };
    alarm.set_action(AlarmAction::Activate);
    alarm.set_alarm(AlarmType::Nospace);
    member.maintenance().alarm(alarm).await.unwrap();
    let sick = r#"{"health":"false","reason":"ALARM NOSPACE"}"#.to_owned() + "\n";
    assert_eq!(request(&member, "GET", "/health").await, (503, sick));
    assert_eq!(request(&member, "GET", "/health?exclude=NOSPACE").await.0, 200);
    assert_eq!(request(&member, "GET", "/readyz").await, (200, "ok\n".into()));
}

#[tokio::test]
async fn probes_tell_their_checks_when_asked() {
    let member = single().await;
    assert_eq!(request(&member, "GET", "/livez").await, (200, "ok\n".into()));
    assert_eq!(
        request(&member, "GET", "/livez?verbose").await,
        (200, "[+]serializable_read ok\nok\n".into())
    );
    assert_eq!(request(&member, "GET", "/readyz/linearizable_read").await, (200, "ok\n".into()));
    assert_eq!(request(&member, "GET", "/readyz/nothing").await.0, 404);
    let all = request(&member, "GET", "/readyz?verbose&exclude=data_corruption").await.1;
    let expected = "[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
    assert_eq!(all, expected);
}
