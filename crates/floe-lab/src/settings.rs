//! The settings of a world as the page writes them: a script, or a seed of a sweep.

use std::collections::BTreeSet;

use floe_sim::{
    Act, Feature, Graph, MOST_ACTS, Moment, Mutant, NodeId, Options, Reads, Restrictions, Script, Stage,
};

use crate::action;
use crate::error::Refused;
use crate::fields::{Fields, Wrong, numbers_of};
use crate::json::Json;

/// The version of the settings.
const VERSION: u64 = 1;

/// A world that is open, and its actions as the page wrote them.
pub(crate) struct Opened {
    pub(crate) stage: Stage,
    /// The settings, without the actions.
    pub(crate) settings: Vec<(String, Json)>,
    /// The actions, by their time.
    pub(crate) actions: Vec<(u64, Json)>,
}

/// Opens the world of these settings.
pub(crate) fn open(value: Json) -> Result<Opened, Refused> {
    let mut settings = match &value {
        Json::Object(settings) => settings.clone(),
        _ => Vec::new(),
    };
    settings.retain(|(name, _)| name != "actions");
    let wrong = Refused::Settings;
    let mut fields = Fields::of(value, "`settings`").map_err(wrong)?;
    match fields.number("version").map_err(wrong)? {
        Some(VERSION) => {}
        Some(version) => {
            let reason = format!("these settings have version {version}, and this engine knows {VERSION}");
            return Err(Refused::Settings(reason));
        }
        None => return Err(Refused::Settings("these settings have no `version`; it is 1".to_owned())),
    }
    let actions = in_order(fields.list("actions").map_err(wrong)?.unwrap_or_default())?;
    let acts = actions.iter().map(|(at, _, act)| (Moment(*at), act.clone())).collect();
    let stage = match fields.take("world") {
        Some(world) => {
            let mut world = Fields::of(world, "`world`").map_err(wrong)?;
            let (seed, options) = drawn(&mut world).map_err(wrong)?;
            world.end("`world`").map_err(wrong)?;
            // A seed decides all by itself.
            fields.end("a world of a seed (`world`)").map_err(wrong)?;
            limits(&options.restrictions)?;
            Stage::drawn(seed, &options, acts)?
        }
        None => {
            let script = script(&mut fields).map_err(wrong)?;
            fields.end("`settings`").map_err(wrong)?;
            Stage::scripted(&script, acts)?
        }
    };
    let actions = actions.into_iter().map(|(at, action, _)| (at, action)).collect();
    Ok(Opened { stage, settings, actions })
}

/// The actions by their time; of those of one moment each stays where it was.
fn in_order(actions: Vec<Json>) -> Result<Vec<(u64, Json, Act)>, Refused> {
    if actions.len() > MOST_ACTS {
        return Err(Refused::TooLong(format!("a world sees {MOST_ACTS} actions at most")));
    }
    let mut known = Vec::new();
    for (number, mut action) in actions.into_iter().enumerate() {
        let at = action.get("at").and_then(Json::as_number);
        let Some(at) = at else {
            let reason = format!("action {}: it has no time, `at`, in nanoseconds", number + 1);
            return Err(Refused::Action(reason));
        };
        if let Json::Object(fields) = &mut action {
            fields.retain(|(name, _)| name != "at");
        }
        let act = action::parse(action.clone()).map_err(|refused| match refused {
            Refused::Action(reason) => Refused::Action(format!("action {}: {reason}", number + 1)),
            other => other,
        })?;
        known.push((at, action, act));
    }
    known.sort_by_key(|(at, _, _)| *at);
    Ok(known)
}

fn mutant(fields: &mut Fields) -> Result<Option<Mutant>, Wrong> {
    let Some(name) = fields.text("mutant")? else { return Ok(None) };
    let missing = || format!("this engine does not have the bug `{name}`; `mutants` lists those that it has");
    Mutant::of_name(&name).map(Some).ok_or_else(missing)
}

fn script(fields: &mut Fields) -> Result<Script, Wrong> {
    let usual = Script::default();
    Ok(Script {
        seed: fields.seed("seed")?.unwrap_or(usual.seed),
        voters: fields.number("voters")?.unwrap_or(usual.voters),
        learners: fields.number("learners")?.unwrap_or(usual.learners),
        joiners: fields.number("joiners")?.unwrap_or(usual.joiners),
        groups: fields.number("groups")?.unwrap_or(usual.groups),
        witnesses: fields.numbers("witnesses")?.unwrap_or_default().into_iter().map(NodeId).collect(),
        heartbeat_ms: fields.number("heartbeat_ms")?.unwrap_or(usual.heartbeat_ms),
        election_timeout_ms: fields.number("election_timeout_ms")?.unwrap_or(usual.election_timeout_ms),
        delay_ms: fields.pair("delay_ms")?.unwrap_or(usual.delay_ms),
        sync_ms: fields.number("sync_ms")?.unwrap_or(usual.sync_ms),
        apply_ms: fields.number("apply_ms")?.unwrap_or(usual.apply_ms),
        loss_percent: fields.percent("loss_percent")?.unwrap_or(usual.loss_percent),
        pre_vote: fields.flag("pre_vote")?.unwrap_or(usual.pre_vote),
        check_quorum: fields.flag("check_quorum")?.unwrap_or(usual.check_quorum),
        reads: match fields.text("reads")?.as_deref() {
            None | Some("index") => Reads::Index,
            Some("lease") => Reads::Lease,
            Some("stale") => Reads::Stale,
            Some(_) => return Err("`reads` is `index`, `lease` or `stale`".to_owned()),
        },
        snapshot_after: fields.number("snapshot_after")?.unwrap_or(usual.snapshot_after),
        trailing: fields.number("trailing")?.unwrap_or(usual.trailing),
        clients: fields.number("clients")?.unwrap_or(usual.clients),
        mutant: mutant(fields)?,
        timeouts_ms: timeouts(fields)?,
    })
}

fn timeouts(fields: &mut Fields) -> Result<std::collections::BTreeMap<NodeId, Vec<u64>>, Wrong> {
    let wrong =
        || "`timeouts_ms` is not an object of lists of milliseconds, by the number of the node".to_owned();
    let by_node = match fields.take("timeouts_ms") {
        None => return Ok(std::collections::BTreeMap::new()),
        Some(Json::Object(by_node)) => by_node,
        Some(_) => return Err(wrong()),
    };
    let read = |(node, timeouts): (String, Json)| Some((NodeId(node.parse().ok()?), numbers_of(timeouts)?));
    by_node.into_iter().map(read).collect::<Option<_>>().ok_or_else(wrong)
}

/// A world of the sweep: what `floe sim` is told, by the same names.
fn drawn(fields: &mut Fields) -> Result<(u64, Options), Wrong> {
    let seed = fields.seed("seed")?.ok_or("`world` has no `seed`")?;
    let graph = match fields.text("graph")? {
        Some(name) => Some(Graph::of_name(&name).ok_or_else(|| format!("there is no graph `{name}`"))?),
        None => None,
    };
    let skip: Option<BTreeSet<u32>> = fields
        .numbers("skip")?
        .unwrap_or_default()
        .into_iter()
        .map(|number| number.try_into().ok())
        .collect();
    let restrictions = Restrictions {
        voters: fields.number("voters")?,
        graph,
        clients: fields.number("clients")?,
        groups: fields.number("groups")?,
        with: features(&fields.texts("with")?)?,
        without: features(&fields.texts("without")?)?,
        skip: skip.ok_or("`skip` has a number that is too large")?,
        seconds: fields.number("seconds")?,
        store: false,
    };
    Ok((seed, Options { restrictions, mutant: mutant(fields)? }))
}

fn limits(restrictions: &Restrictions) -> Result<(), Refused> {
    let limit = |is_kept: bool, reason: &str| {
        if is_kept { Ok(()) } else { Err(Refused::TooLong(reason.to_owned())) }
    };
    limit(
        restrictions.voters.is_none_or(|voters| (1..=9).contains(&voters)),
        "a world has one to nine voters",
    )?;
    limit(
        restrictions.clients.is_none_or(|clients| clients <= 16),
        "a world has 16 clients at most, besides the viewer",
    )?;
    limit(
        restrictions.groups.is_none_or(|groups| (1..=50).contains(&groups)),
        "a world has one to 50 groups",
    )?;
    limit(restrictions.seconds.is_none_or(|seconds| seconds <= 600), "a world lasts ten minutes at most")
}

fn features(names: &[String]) -> Result<BTreeSet<Feature>, Wrong> {
    let known = |name: &String| {
        Feature::of_name(name).ok_or_else(|| format!("there is no feature `{name}` of worlds"))
    };
    names.iter().map(known).collect()
}
