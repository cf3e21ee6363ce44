//! Strangers and garbage on the port for other members. The bytes are written out here as
//! `docs/design/peer-protocol.md` specifies them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;

use crate::support::{CLUSTER, Cluster, PATIENCE, propose};

/// A hello of version `version` from member `from` of `cluster` to member `to`.
fn hello(version: u16, cluster: u64, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = b"FLOEPEER".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend([0; 2]);
    for number in [cluster, from, to, 42] {
        bytes.extend(number.to_le_bytes());
    }
    // For messages, from a disk with number 77 that holds nothing.
    bytes.extend([0; 4]);
    for number in [77_u64, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// A hello for something that only a later version knows.
fn for_purpose(purpose: u16) -> Vec<u8> {
    let mut bytes = hello(1, CLUSTER, 2, 1);
    bytes[44..46].copy_from_slice(&purpose.to_le_bytes());
    let sealed = crc32c::crc32c(&bytes[..72]).to_le_bytes();
    bytes[72..].copy_from_slice(&sealed);
    bytes
}

/// Says `bytes` to the first member; returns everything that it answers before it closes.
fn say(cluster: &Cluster, bytes: &[u8]) -> Vec<u8> {
    let mut stream = dial(cluster);
    stream.write_all(bytes).expect("written");
    read_to_close(&mut stream)
}

fn dial(cluster: &Cluster) -> TcpStream {
    let stream = TcpStream::connect(cluster.members[0].address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // Closed with bytes of ours unread.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it does not close: {error}"),
    }
    answer
}

/// The verdict of a welcome: 0 is accepted.
fn verdict(welcome: &[u8]) -> u16 {
    assert_eq!(&welcome[..8], b"FLOEPEER");
    let body = &welcome[..64];
    assert_eq!(welcome[64..68], crc32c::crc32c(body).to_le_bytes());
    u16::from_le_bytes([welcome[10], welcome[11]])
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason_and_the_cluster_goes_on() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    let cases = [
        (hello(2, CLUSTER, 2, 1), 1, "version"),
        (hello(1, CLUSTER + 1, 2, 1), 2, "another cluster"),
        (hello(1, CLUSTER, 2, 3), 3, "another member"),
        (for_purpose(2), 1, "version"),
        (hello(1, CLUSTER, 1, 1), 4, "the id of this member"),
    ];
    for (bytes, code, reason) in cases {
        let answer = say(&cluster, &bytes);
        assert_eq!(verdict(&answer), code, "{reason}");
        let text = std::str::from_utf8(&answer[68..]).expect("text");
        assert_eq!(text.len(), usize::from(u16::from_le_bytes([answer[36], answer[37]])));
        assert!(text.contains(reason), "{text}");
    }
    propose(cluster.members[0].handle(), Bytes::from_static(b"on it goes")).await.expect("applied");
    cluster.agreed(1).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn garbage_closes_its_connection_and_nothing_else() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    assert!(
        say(&cluster, b"GET / HTTP/1.1\r\nHost: here\r\nAccept: everything that there is\r\n\r\n").is_empty()
    );
    assert!(say(&cluster, &[0xFF; 100]).is_empty());
    let mut too_long = u32::MAX.to_le_bytes().to_vec();
    too_long.extend([0; 16]);
    let mut wrong_checksum = 9_u32.to_le_bytes().to_vec();
    wrong_checksum.extend([1; 4 + 9]);
    let frame = |kind: u8, body: &[u8]| {
        let mut content = vec![kind];
        content.extend(1_u64.to_le_bytes());
        content.extend(body);
        let mut frame = (content.len() as u32).to_le_bytes().to_vec();
        frame.extend(crc32c::crc32c(&content).to_le_bytes());
        frame.extend(content);
        frame
    };
    // After a handshake in the name of a member that does not run here, so that no real connection is replaced.
    for garbage in [too_long, wrong_checksum, frame(99, b""), frame(1, b"not a message"), frame(3, b"")] {
        let mut stream = dial(&cluster);
        stream.write_all(&hello(1, CLUSTER, 77, 1)).expect("written");
        let mut welcome = [0; 68];
        stream.read_exact(&mut welcome).expect("a welcome");
        assert_eq!(verdict(&welcome), 0);
        stream.write_all(&garbage).expect("written");
        assert!(read_to_close(&mut stream).is_empty());
    }
    propose(cluster.members[0].handle(), Bytes::from_static(b"on it goes")).await.expect("applied");
    cluster.agreed(1).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_stranger_that_says_nothing_keeps_nobody_waiting() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    let silent: Vec<_> = (0..100).map(|_| dial(&cluster)).collect();
    let started = std::time::Instant::now();
    propose(cluster.members[0].handle(), Bytes::from_static(b"on it goes")).await.expect("applied");
    cluster.agreed(1).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(silent);
    cluster.shutdown().await;
}

#[tokio::test]
async fn anybody_may_ask_who_is_in_the_cluster() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().await;
    let placed = propose(cluster.members[leader].handle(), Bytes::from_static(b"a")).await.expect("written");
    cluster.agreed(1).await;
    let answer = say(&cluster, &hello(1, 0, 0, 0));
    assert_eq!(verdict(&answer), 0);
    let body = &answer[76..];
    assert_eq!(answer[68..72], (body.len() as u32).to_le_bytes());
    assert_eq!(answer[72..76], crc32c::crc32c(body).to_le_bytes());
    assert_eq!(body[..8], placed.id.term.0.to_le_bytes());
    assert_eq!(body[8..16], placed.id.index.0.to_le_bytes());
    let view = floe::discover(&cluster.members[0].address.to_string()).await.expect("it answers");
    assert_eq!((view.cluster, view.commit, view.membership.voters.len()), (CLUSTER, placed.id, 3));
    // Not for those who believe to ask another cluster; nor for nonsense after a hello.
    assert_eq!(verdict(&say(&cluster, &hello(1, 99, 0, 0))), 2);
    let mut wrong = hello(1, CLUSTER, 9, 1);
    wrong[10..12].copy_from_slice(&9_u16.to_le_bytes());
    let sealed = crc32c::crc32c(&wrong[..72]).to_le_bytes();
    wrong[72..76].copy_from_slice(&sealed);
    wrong.extend(b"host:1234");
    wrong.extend([0; 4]);
    assert!(say(&cluster, &wrong).is_empty(), "an address with a wrong checksum is no hello");
    cluster.shutdown().await;
}
