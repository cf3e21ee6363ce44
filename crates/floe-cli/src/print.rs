//! Replies on standard output, in three formats: as text for people, as etcdctl's JSON, and field by field.

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use floe_etcd::proto::etcdserverpb::{
    DeleteRangeResponse, Member, MemberAddResponse, MemberListResponse, PutResponse, RangeResponse,
    ResponseHeader, StatusResponse, WatchResponse,
};
use floe_etcd::proto::mvccpb::event::EventType;
use floe_etcd::proto::mvccpb::{Event, KeyValue};
use serde_json::{Map, Value, json};

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // Comments, not documentation: clap would turn that into a paragraph for each in every command's help.
    // Keys and values line by line, and tables.
    Simple,
    // One JSON object a reply, with etcdctl's names; keys and values are base64.
    Json,
    // One field a line.
    Fields,
}

/// What of a key is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    KeysAndValues,
    Keys,
    Values,
    Count,
}

/// What one member said of itself, or why it said nothing.
pub(crate) struct MemberStatus {
    pub(crate) endpoint: String,
    pub(crate) status: Result<StatusResponse, String>,
}

/// Prints replies in one format. Each is written and flushed as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn put(self, reply: &PutResponse) -> io::Result<()> {
        let mut json = with_header(reply.header.as_ref());
        if let Some(kv) = &reply.prev_kv {
            json.insert("prev_kv".into(), key_value(kv));
        }
        self.print(json.into(), || {
            let mut text = b"OK\n".to_vec();
            reply.prev_kv.iter().for_each(|kv| lines(&mut text, kv, Parts::KeysAndValues));
            text
        })
    }

    pub(crate) fn get(self, reply: &RangeResponse, parts: Parts) -> io::Result<()> {
        let mut json = with_header(reply.header.as_ref());
        if !reply.kvs.is_empty() {
            json.insert("kvs".into(), reply.kvs.iter().map(key_value).collect());
        }
        if reply.more {
            json.insert("more".into(), true.into());
        }
        json.insert("count".into(), reply.count.into());
        self.print(json.into(), || match parts {
            Parts::Count => format!("{}\n", reply.count).into_bytes(),
            parts => {
                let mut text = Vec::new();
                reply.kvs.iter().for_each(|kv| lines(&mut text, kv, parts));
                text
            }
        })
    }

    pub(crate) fn del(self, reply: &DeleteRangeResponse) -> io::Result<()> {
        let mut json = with_header(reply.header.as_ref());
        json.insert("deleted".into(), reply.deleted.into());
        if !reply.prev_kvs.is_empty() {
            json.insert("prev_kvs".into(), reply.prev_kvs.iter().map(key_value).collect());
        }
        self.print(json.into(), || {
            let mut text = format!("{}\n", reply.deleted).into_bytes();
            reply.prev_kvs.iter().for_each(|kv| lines(&mut text, kv, Parts::KeysAndValues));
            text
        })
    }

    /// Prints the changes of one reply; a reply without any prints nothing.
    pub(crate) fn watch(self, reply: &WatchResponse) -> io::Result<()> {
        if reply.events.is_empty() {
            return Ok(());
        }
        let mut json = with_header(reply.header.as_ref());
        json.insert("events".into(), reply.events.iter().map(event).collect());
        self.print(json.into(), || {
            let mut text = Vec::new();
            for event in &reply.events {
                text.extend_from_slice(kind(event).as_bytes());
                text.push(b'\n');
                event.prev_kv.iter().for_each(|kv| lines(&mut text, kv, Parts::KeysAndValues));
                event.kv.iter().for_each(|kv| lines(&mut text, kv, Parts::KeysAndValues));
            }
            text
        })
    }

    pub(crate) fn status(self, members: &[MemberStatus]) -> io::Result<()> {
        let json =
            members.iter().map(|member| json!({ "Endpoint": member.endpoint, "Status": status(member) }));
        self.print(json.collect(), || {
            let mut rows = vec![
                ["ENDPOINT", "ID", "VERSION", "DB SIZE", "ROLE", "TERM", "INDEX", "APPLIED", "ERRORS"]
                    .map(str::to_owned),
            ];
            rows.extend(members.iter().map(status_row));
            table(&rows)
        })
    }

    pub(crate) fn members(self, reply: &MemberListResponse) -> io::Result<()> {
        let json = member_list(reply);
        self.print(json.into(), || {
            let mut rows = vec![["ID", "NAME", "PEER URLS", "CLIENT URLS", "ROLE"].map(str::to_owned)];
            rows.extend(reply.members.iter().map(|member| {
                let role = match (member.is_learner, member.is_witness) {
                    (true, _) => "learner",
                    (false, true) => "witness",
                    (false, false) => "voter",
                };
                // A member has no name here before it was started for the first time.
                let name = if member.name.is_empty() { "-" } else { &member.name };
                [
                    format!("{:x}", member.id),
                    name.to_owned(),
                    member.peer_ur_ls.join(","),
                    member.client_ur_ls.join(","),
                    role.to_owned(),
                ]
            }));
            table(&rows)
        })
    }

    /// Prints a new member: `text` for people.
    pub(crate) fn member_added(self, reply: &MemberAddResponse, text: &str) -> io::Result<()> {
        let mut json = with_header(reply.header.as_ref());
        if let Some(new) = &reply.member {
            json.insert("member".into(), member(new));
        }
        json.insert("members".into(), reply.members.iter().map(member).collect());
        self.print(json.into(), || text.as_bytes().to_vec())
    }

    /// Prints the members after a change: `text` for people.
    pub(crate) fn member_changed(self, reply: &MemberListResponse, text: &str) -> io::Result<()> {
        self.print(member_list(reply).into(), || text.as_bytes().to_vec())
    }

    fn print(self, json: Value, simple: impl FnOnce() -> Vec<u8>) -> io::Result<()> {
        let text = match self.format {
            Format::Simple => simple(),
            Format::Json => format!("{json}\n").into_bytes(),
            Format::Fields => {
                let mut text = String::new();
                fields(&mut text, "", &json);
                text.into_bytes()
            }
        };
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }
}

fn member_list(reply: &MemberListResponse) -> Map<String, Value> {
    let mut json = with_header(reply.header.as_ref());
    json.insert("members".into(), reply.members.iter().map(member).collect());
    json
}

fn member(member: &Member) -> Value {
    let mut json = Map::new();
    json.insert("ID".into(), member.id.into());
    json.insert("name".into(), member.name.clone().into());
    json.insert("peerURLs".into(), member.peer_ur_ls.clone().into());
    json.insert("clientURLs".into(), member.client_ur_ls.clone().into());
    if member.is_learner {
        json.insert("isLearner".into(), true.into());
    }
    if member.is_witness {
        json.insert("isWitness".into(), true.into());
    }
    Value::Object(json)
}

/// A key and a value on a line each, as they are: they may be any bytes.
fn lines(text: &mut Vec<u8>, kv: &KeyValue, parts: Parts) {
    if parts != Parts::Values {
        text.extend_from_slice(&kv.key);
        text.push(b'\n');
    }
    if parts != Parts::Keys {
        text.extend_from_slice(&kv.value);
        text.push(b'\n');
    }
}

fn with_header(header: Option<&ResponseHeader>) -> Map<String, Value> {
    let mut json = Map::new();
    if let Some(header) = header {
        json.insert(
            "header".into(),
            json!({
                "cluster_id": header.cluster_id,
                "member_id": header.member_id,
                "revision": header.revision,
                "raft_term": header.raft_term,
            }),
        );
    }
    json
}

fn key_value(kv: &KeyValue) -> Value {
    let mut json = Map::new();
    json.insert("key".into(), STANDARD.encode(&kv.key).into());
    json.insert("create_revision".into(), kv.create_revision.into());
    json.insert("mod_revision".into(), kv.mod_revision.into());
    json.insert("version".into(), kv.version.into());
    json.insert("value".into(), STANDARD.encode(&kv.value).into());
    if kv.lease != 0 {
        json.insert("lease".into(), kv.lease.into());
    }
    json.into()
}

fn kind(event: &Event) -> &'static str {
    match event.r#type() {
        EventType::Put => "PUT",
        EventType::Delete => "DELETE",
    }
}

fn event(event: &Event) -> Value {
    let mut json = Map::new();
    json.insert("type".into(), kind(event).into());
    if let Some(kv) = &event.kv {
        json.insert("kv".into(), key_value(kv));
    }
    if let Some(kv) = &event.prev_kv {
        json.insert("prev_kv".into(), key_value(kv));
    }
    json.into()
}

fn status(member: &MemberStatus) -> Value {
    let status = match &member.status {
        Ok(status) => status,
        Err(reason) => return json!({ "errors": [reason] }),
    };
    let mut json = with_header(status.header.as_ref());
    json.insert("version".into(), status.version.clone().into());
    json.insert("dbSize".into(), status.db_size.into());
    json.insert("leader".into(), status.leader.into());
    json.insert("raftIndex".into(), status.raft_index.into());
    json.insert("raftTerm".into(), status.raft_term.into());
    json.insert("raftAppliedIndex".into(), status.raft_applied_index.into());
    if !status.errors.is_empty() {
        json.insert("errors".into(), status.errors.clone().into());
    }
    json.insert("dbSizeInUse".into(), status.db_size_in_use.into());
    if status.is_learner {
        json.insert("isLearner".into(), true.into());
    }
    if status.is_witness {
        json.insert("isWitness".into(), true.into());
    }
    json.into()
}

fn status_row(member: &MemberStatus) -> [String; 9] {
    let status = match &member.status {
        Ok(status) => status,
        Err(reason) => {
            let mut row = ["-"; 9].map(str::to_owned);
            row[0].clone_from(&member.endpoint);
            row[8].clone_from(reason);
            return row;
        }
    };
    let id = status.header.map_or(0, |header| header.member_id);
    let role = match (status.leader == id, status.is_learner, status.is_witness) {
        (true, _, _) => "leader",
        (false, true, _) => "learner",
        (false, false, true) => "witness",
        (false, false, false) => "follower",
    };
    [
        member.endpoint.clone(),
        format!("{id:x}"),
        status.version.clone(),
        size(status.db_size),
        role.to_owned(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
    ]
}

/// A number of bytes in the largest unit that keeps it above one.
fn size(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is printed with two digits")]
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<u8> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.into_bytes()
}

/// Every leaf of a JSON value as `path : value`, one a line. Keys and values stay base64: a line holds no raw bytes.
fn fields(text: &mut String, path: &str, value: &Value) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| fields(text, &below(name), value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| fields(text, &below(&i.to_string()), value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = writeln!(text, "{path} : {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_space() {
        let rows = [["A".to_owned(), "B".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(String::from_utf8(table(&rows)).unwrap(), "A     B\nlong\n");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(20_480), "20.0 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }

    #[test]
    fn json_has_etcdctls_names() {
        let kv = KeyValue { key: "foo".into(), value: "bar".into(), mod_revision: 2, ..KeyValue::default() };
        let json = key_value(&kv).to_string();
        assert!(json.contains(r#""key":"Zm9v""#) && json.contains(r#""value":"YmFy""#), "{json}");
        assert!(!json.contains("lease"));
    }

    #[test]
    fn fields_are_paths() {
        let mut text = String::new();
        fields(&mut text, "", &json!({ "count": 1, "kvs": [{ "key": "YQ==" }] }));
        assert_eq!(text, "count : 1\nkvs.0.key : \"YQ==\"\n");
    }
}
