//! A viewer's actions as the page writes them, and what they mean to a stage.

use floe_sim::{Act, Change, DiskMode, Link, NodeId, Write};

use crate::error::Refused;
use crate::fields::{Fields, Wrong, numbers_of};
use crate::json::Json;

/// The act that the page means.
pub(crate) fn parse(action: Json) -> Result<Act, Refused> {
    act_of(action).map_err(Refused::Action)
}

fn act_of(action: Json) -> Result<Act, Wrong> {
    let mut fields = Fields::of(action, "the action")?;
    let Some(name) = fields.text("do")? else { return Err("the action has no `do`".to_owned()) };
    let act = match name.as_str() {
        "set" | "add" | "get" => client_act(&name, &mut fields)?,
        "crash" | "restart" | "pause" | "resume" | "wipe" | "disk" | "clock" | "campaign" | "snapshot" => {
            node_act(&name, &mut fields)?
        }
        "cut" | "partition" | "heal" | "lose" | "network" | "link" => network_act(&name, &mut fields)?,
        "transfer" => Act::Transfer { to: NodeId(fields.needed("to")?) },
        "member" => Act::Member { changes: changes(&mut fields)? },
        _ => return Err(format!("there is no action `{name}`")),
    };
    fields.end(&format!("`{name}`"))?;
    Ok(act)
}

fn client_act(name: &str, fields: &mut Fields) -> Result<Act, Wrong> {
    let key = fields.text("key")?.unwrap_or_else(|| "x".to_owned());
    let node = fields.number("node")?.map(NodeId);
    if name == "get" {
        return Ok(Act::Read { key, node });
    }
    let value = fields.signed("value")?;
    let write = if name == "set" { Write::Set(value) } else { Write::Add(value) };
    let request = match fields.pair("request")? {
        Some([_, 0]) => return Err("the sequence of a `request` counts from 1".to_owned()),
        request => request.map(|[client, sequence]| (client, sequence)),
    };
    Ok(Act::Write { key, write, node, request })
}

fn node_act(name: &str, fields: &mut Fields) -> Result<Act, Wrong> {
    let node = NodeId(fields.needed("node")?);
    Ok(match name {
        "crash" => Act::Crash { node, lasts: lasts(fields)? },
        "restart" => Act::Restart { node },
        "pause" => Act::Pause { node, lasts: lasts(fields)? },
        "resume" => Act::Resume { node },
        "wipe" => Act::Wipe { node },
        "disk" => {
            let mode = match fields.text("mode")?.as_deref() {
                Some("ok") => DiskMode::Works,
                Some("slow") => DiskMode::Slow,
                Some("stall") => DiskMode::Stalls,
                Some("fail") => DiskMode::Fails,
                _ => return Err("the `mode` of a disk is `ok`, `slow`, `stall` or `fail`".to_owned()),
            };
            Act::Disk { node, mode, lasts: lasts(fields)? }
        }
        "clock" => match (fields.percent("rate_percent")?, fields.number("ahead_ms")?) {
            (Some(percent), None) => Act::ClockRate { node, percent },
            (None, Some(ahead)) => Act::ClockAhead { node, ahead: nanos(ahead) },
            _ => return Err("a clock gets either `rate_percent` or `ahead_ms`".to_owned()),
        },
        "campaign" => Act::Campaign { node },
        _ => Act::Snapshot { node },
    })
}

fn network_act(name: &str, fields: &mut Fields) -> Result<Act, Wrong> {
    Ok(match name {
        "cut" => {
            let from = fields.numbers("from")?.ok_or("`cut` has no `from`")?;
            let to = fields.numbers("to")?.ok_or("`cut` has no `to`")?;
            let both = fields.flag("both")?.unwrap_or(true);
            Act::Cut { links: links(&from, &to, both), lasts: lasts(fields)? }
        }
        "partition" => {
            let sides = fields.list("sides")?.ok_or("`partition` has no `sides`")?;
            let sides: Option<Vec<Vec<u64>>> = sides.into_iter().map(numbers_of).collect();
            let sides = sides.ok_or("`sides` is not a list of lists of nodes")?;
            let nodes = |side: Vec<u64>| side.into_iter().map(NodeId).collect();
            Act::Partition { sides: sides.into_iter().map(nodes).collect(), lasts: lasts(fields)? }
        }
        "heal" => Act::Heal,
        "lose" => Act::Lose { packet: fields.needed("packet")? },
        "network" => Act::Network {
            delay: fields.pair("delay_ms")?.map(|delay| delay.map(nanos)),
            loss: millionths(fields.percent("loss_percent")?)?,
            duplicate: millionths(fields.percent("duplicate_percent")?)?,
            reorder: fields.flag("reorder")?,
        },
        _ => {
            let (from, to) = (NodeId(fields.needed("from")?), NodeId(fields.needed("to")?));
            Act::Delay { link: Link { from, to }, delay: nanos(fields.needed("delay_ms")?) }
        }
    })
}

/// Nanoseconds of a time that people gave in milliseconds.
fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

fn lasts(fields: &mut Fields) -> Result<Option<u64>, Wrong> {
    Ok(fields.number("for_ms")?.map(nanos))
}

fn millionths(percent: Option<u32>) -> Result<Option<u32>, Wrong> {
    match percent {
        Some(percent) if percent > 100 => Err("a share is 0 to 100 percent".to_owned()),
        percent => Ok(percent.map(|percent| percent * 10_000)),
    }
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

/// One change, or a list of them.
fn changes(fields: &mut Fields) -> Result<Vec<Change>, Wrong> {
    let mut changes = Vec::new();
    match fields.list("changes")? {
        None => change(fields, &mut changes)?,
        Some(list) => {
            for item in list {
                let mut fields = Fields::of(item, "a change")?;
                change(&mut fields, &mut changes)?;
                fields.end("a change")?;
            }
        }
    }
    Ok(changes)
}

fn change(fields: &mut Fields, changes: &mut Vec<Change>) -> Result<(), Wrong> {
    let name = fields.text("change")?.ok_or("a change of the membership has no `change`")?;
    let node = NodeId(fields.needed("node")?);
    changes.push(match name.as_str() {
        "add-voter" => Change::AddVoter(node),
        "add-learner" => Change::AddLearner(node),
        "promote" => Change::Promote(node),
        "demote" => Change::Demote(node),
        "remove" | "replace" => Change::Remove(node),
        _ => return Err(format!("there is no change `{name}` of a membership")),
    });
    if name == "replace" {
        changes.push(Change::AddVoter(NodeId(fields.needed("with")?)));
    }
    Ok(())
}
