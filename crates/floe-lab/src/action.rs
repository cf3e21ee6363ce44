//! A viewer's actions as the page writes them, and what they mean to a stage.

use floe_sim::{Act, Change, DiskMode, Link, NodeId, Write};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Refused;

/// An action, without its time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Action {
    Set {
        key: Option<String>,
        value: i64,
        node: Option<u64>,
        request: Option<(u64, u64)>,
    },
    Add {
        key: Option<String>,
        value: i64,
        node: Option<u64>,
        request: Option<(u64, u64)>,
    },
    Get {
        key: Option<String>,
        node: Option<u64>,
    },
    Crash {
        node: u64,
        for_ms: Option<u64>,
    },
    Restart {
        node: u64,
    },
    Pause {
        node: u64,
        for_ms: Option<u64>,
    },
    Resume {
        node: u64,
    },
    Wipe {
        node: u64,
    },
    Cut {
        from: Vec<u64>,
        to: Vec<u64>,
        both: Option<bool>,
        for_ms: Option<u64>,
    },
    Partition {
        sides: Vec<Vec<u64>>,
        for_ms: Option<u64>,
    },
    Heal {},
    Lose {
        packet: u64,
    },
    Network {
        delay_ms: Option<[u64; 2]>,
        loss_percent: Option<u32>,
        duplicate_percent: Option<u32>,
        reorder: Option<bool>,
    },
    Link {
        from: u64,
        to: u64,
        delay_ms: u64,
    },
    Disk {
        node: u64,
        mode: Mode,
        for_ms: Option<u64>,
    },
    Clock {
        node: u64,
        rate_percent: Option<u32>,
        ahead_ms: Option<u64>,
    },
    Campaign {
        node: u64,
    },
    Transfer {
        to: u64,
    },
    Member {
        change: Option<Kind>,
        node: Option<u64>,
        with: Option<u64>,
        changes: Option<Vec<OneChange>>,
    },
    Snapshot {
        node: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Ok,
    Slow,
    Stall,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    AddVoter,
    AddLearner,
    Promote,
    Demote,
    Remove,
    Replace,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneChange {
    change: Kind,
    node: u64,
    with: Option<u64>,
}

/// Nanoseconds of a time that people gave in milliseconds.
fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

fn nodes(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn millionths(percent: Option<u32>) -> Result<Option<u32>, Refused> {
    match percent {
        Some(percent) if percent > 100 => Err(refused("a share is 0 to 100 percent")),
        percent => Ok(percent.map(|percent| percent * 10_000)),
    }
}

fn named(request: Option<(u64, u64)>) -> Result<Option<(u64, u64)>, Refused> {
    match request {
        Some((_, 0)) => Err(refused("the sequence of a `request` counts from 1")),
        request => Ok(request),
    }
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused::Action(reason.into())
}

/// The act that the page means.
pub(crate) fn parse(action: &Value) -> Result<Act, Refused> {
    if !action.is_object() {
        return Err(refused("an action is a JSON object"));
    }
    if !action.get("do").is_some_and(Value::is_string) {
        return Err(refused("the action has no `do`"));
    }
    let action: Action =
        serde_json::from_value(action.clone()).map_err(|error| refused(error.to_string()))?;
    let key = |key: Option<String>| key.unwrap_or_else(|| "x".to_owned());
    let lasts = |for_ms: Option<u64>| for_ms.map(nanos);
    Ok(match action {
        Action::Set { key: name, value, node, request } => Act::Write {
            key: key(name),
            write: Write::Set(value),
            node: node.map(NodeId),
            request: named(request)?,
        },
        Action::Add { key: name, value, node, request } => Act::Write {
            key: key(name),
            write: Write::Add(value),
            node: node.map(NodeId),
            request: named(request)?,
        },
        Action::Get { key: name, node } => Act::Read { key: key(name), node: node.map(NodeId) },
        Action::Crash { node, for_ms } => Act::Crash { node: NodeId(node), lasts: lasts(for_ms) },
        Action::Restart { node } => Act::Restart { node: NodeId(node) },
        Action::Pause { node, for_ms } => Act::Pause { node: NodeId(node), lasts: lasts(for_ms) },
        Action::Resume { node } => Act::Resume { node: NodeId(node) },
        Action::Wipe { node } => Act::Wipe { node: NodeId(node) },
        Action::Cut { from, to, both, for_ms } => {
            Act::Cut { links: links(&from, &to, both.unwrap_or(true)), lasts: lasts(for_ms) }
        }
        Action::Partition { sides, for_ms } => {
            Act::Partition { sides: sides.iter().map(|side| nodes(side)).collect(), lasts: lasts(for_ms) }
        }
        Action::Heal {} => Act::Heal,
        Action::Lose { packet } => Act::Lose { packet },
        Action::Network { delay_ms, loss_percent, duplicate_percent, reorder } => Act::Network {
            delay: delay_ms.map(|delay| delay.map(nanos)),
            loss: millionths(loss_percent)?,
            duplicate: millionths(duplicate_percent)?,
            reorder,
        },
        Action::Link { from, to, delay_ms } => {
            Act::Delay { link: Link { from: NodeId(from), to: NodeId(to) }, delay: nanos(delay_ms) }
        }
        Action::Disk { node, mode, for_ms } => {
            let mode = match mode {
                Mode::Ok => DiskMode::Works,
                Mode::Slow => DiskMode::Slow,
                Mode::Stall => DiskMode::Stalls,
                Mode::Fail => DiskMode::Fails,
            };
            Act::Disk { node: NodeId(node), mode, lasts: lasts(for_ms) }
        }
        Action::Clock { node, rate_percent: Some(percent), ahead_ms: None } => {
            Act::ClockRate { node: NodeId(node), percent }
        }
        Action::Clock { node, rate_percent: None, ahead_ms: Some(ahead) } => {
            Act::ClockAhead { node: NodeId(node), ahead: nanos(ahead) }
        }
        Action::Clock { .. } => return Err(refused("a clock gets either `rate_percent` or `ahead_ms`")),
        Action::Campaign { node } => Act::Campaign { node: NodeId(node) },
        Action::Transfer { to } => Act::Transfer { to: NodeId(to) },
        Action::Member { change: Some(change), node: Some(node), with, changes: None } => {
            Act::Member { changes: meant(&[OneChange { change, node, with }])? }
        }
        Action::Member { change: None, node: None, with: None, changes: Some(changes) } => {
            Act::Member { changes: meant(&changes)? }
        }
        Action::Member { .. } => {
            return Err(refused("`member` has either `change` and `node`, or a list of them in `changes`"));
        }
        Action::Snapshot { node } => Act::Snapshot { node: NodeId(node) },
    })
}

/// The links from each of one group to each of the other, and back.
fn links(from: &[u64], to: &[u64], both: bool) -> Vec<Link> {
    let mut links = Vec::new();
    for &from in from {
        for &to in to {
            let (from, to) = (NodeId(from), NodeId(to));
            if from != to {
                links.push(Link { from, to });
                links.extend(both.then_some(Link { from: to, to: from }));
            }
        }
    }
    links.sort_unstable();
    links.dedup();
    links
}

fn meant(changes: &[OneChange]) -> Result<Vec<Change>, Refused> {
    let mut meant = Vec::new();
    for OneChange { change, node, with } in changes {
        let node = NodeId(*node);
        if with.is_some() != (*change == Kind::Replace) {
            return Err(refused("`with` belongs to `replace`, and to nothing else"));
        }
        match (change, with) {
            (Kind::AddVoter, _) => meant.push(Change::AddVoter(node)),
            (Kind::AddLearner, _) => meant.push(Change::AddLearner(node)),
            (Kind::Promote, _) => meant.push(Change::Promote(node)),
            (Kind::Demote, _) => meant.push(Change::Demote(node)),
            (Kind::Remove, _) => meant.push(Change::Remove(node)),
            (Kind::Replace, with) => {
                meant.push(Change::Remove(node));
                meant.extend(with.map(|with| Change::AddVoter(NodeId(with))));
            }
        }
    }
    Ok(meant)
}
