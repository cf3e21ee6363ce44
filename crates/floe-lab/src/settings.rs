//! The settings of a world as the page writes them: a script, or a seed of a sweep.

use std::collections::{BTreeMap, BTreeSet};

use floe_sim::{Act, Feature, Graph, Moment, Mutant, NodeId, Options, Reads, Restrictions, Script, Stage};
use serde::Deserialize;
use serde_json::Value;

use crate::action;
use crate::call::Seed;
use crate::error::Refused;

/// The version of the settings.
const VERSION: u64 = 1;

/// What `open` is given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    version: u64,
    seed: Option<Seed>,
    voters: Option<u64>,
    learners: Option<u64>,
    joiners: Option<u64>,
    witnesses: Option<BTreeSet<u64>>,
    groups: Option<u64>,
    heartbeat_ms: Option<u64>,
    election_timeout_ms: Option<u64>,
    delay_ms: Option<[u64; 2]>,
    sync_ms: Option<u64>,
    apply_ms: Option<u64>,
    loss_percent: Option<u32>,
    pre_vote: Option<bool>,
    check_quorum: Option<bool>,
    reads: Option<ReadsName>,
    snapshot_after: Option<u64>,
    trailing: Option<u64>,
    clients: Option<u64>,
    mutant: Option<String>,
    timeouts_ms: Option<BTreeMap<u64, Vec<u64>>>,
    world: Option<Sweep>,
    actions: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadsName {
    Index,
    Lease,
    Stale,
}

/// A world of the sweep: what `floe sim` is told, by the same names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    seed: Seed,
    voters: Option<u64>,
    graph: Option<String>,
    clients: Option<u64>,
    groups: Option<u64>,
    seconds: Option<u64>,
    #[serde(default)]
    with: Vec<String>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    skip: BTreeSet<u32>,
    mutant: Option<String>,
}

/// A world that is open, and its actions as the page wrote them.
pub(crate) struct Opened {
    pub(crate) stage: Stage,
    /// The settings, without the actions.
    pub(crate) settings: Value,
    /// The actions, by their time.
    pub(crate) actions: Vec<(u64, Value)>,
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused::Settings(reason.into())
}

/// Opens the world of these settings.
pub(crate) fn open(value: Value) -> Result<Opened, Refused> {
    let mut kept = value.clone();
    let settings: Settings = serde_json::from_value(value).map_err(|error| refused(error.to_string()))?;
    if settings.version != VERSION {
        let version = settings.version;
        return Err(refused(format!(
            "these settings have version {version}, and this engine knows {VERSION}"
        )));
    }
    let actions = in_order(settings.actions.as_deref().unwrap_or_default())?;
    let acts = actions.iter().map(|(at, _, act)| (Moment(*at), act.clone())).collect();
    let stage = match &settings.world {
        Some(sweep) => {
            only_the_world(&settings)?;
            let (seed, options) = sweep.options()?;
            Stage::drawn(seed, &options, acts)?
        }
        None => Stage::scripted(&settings.script()?, acts)?,
    };
    if let Some(kept) = kept.as_object_mut() {
        kept.remove("actions");
    }
    let actions = actions.into_iter().map(|(at, action, _)| (at, action)).collect();
    Ok(Opened { stage, settings: kept, actions })
}

/// The actions by their time; of those of one moment each stays where it was.
fn in_order(actions: &[Value]) -> Result<Vec<(u64, Value, Act)>, Refused> {
    if actions.len() > floe_sim::MOST_ACTS {
        return Err(Refused::TooLong(format!("a world sees {} actions at most", floe_sim::MOST_ACTS)));
    }
    let mut known = Vec::new();
    for (number, action) in actions.iter().enumerate() {
        let named = |reason: String| Refused::Action(format!("action {}: {reason}", number + 1));
        let mut action = action.clone();
        let at = action.as_object_mut().and_then(|fields| fields.remove("at"));
        let Some(at) = at.as_ref().and_then(Value::as_u64) else {
            return Err(named("it has no time: `at`, in nanoseconds".to_owned()));
        };
        let act = action::parse(&action).map_err(|error| named(error.to_string()))?;
        known.push((at, action, act));
    }
    known.sort_by_key(|(at, _, _)| *at);
    Ok(known)
}

/// A seed decides all by itself.
fn only_the_world(settings: &Settings) -> Result<(), Refused> {
    let Settings { version, world, actions, .. } = settings.clone();
    let alone = Settings { version, world, actions, ..Settings::nothing() };
    if &alone == settings {
        return Ok(());
    }
    Err(refused(
        "settings with a `world` have nothing else but `version` and `actions`: its seed decides the rest",
    ))
}

fn mutant(name: Option<&String>) -> Result<Option<Mutant>, Refused> {
    let Some(name) = name else { return Ok(None) };
    match Mutant::of_name(name) {
        Some(mutant) => Ok(Some(mutant)),
        None => Err(refused(format!(
            "this engine does not have the bug {name:?}; `mutants` lists those that it has"
        ))),
    }
}

impl Settings {
    fn nothing() -> Self {
        Self {
            version: VERSION,
            seed: None,
            voters: None,
            learners: None,
            joiners: None,
            witnesses: None,
            groups: None,
            heartbeat_ms: None,
            election_timeout_ms: None,
            delay_ms: None,
            sync_ms: None,
            apply_ms: None,
            loss_percent: None,
            pre_vote: None,
            check_quorum: None,
            reads: None,
            snapshot_after: None,
            trailing: None,
            clients: None,
            mutant: None,
            timeouts_ms: None,
            world: None,
            actions: None,
        }
    }

    fn script(&self) -> Result<Script, Refused> {
        let usual = Script::default();
        let seed = match &self.seed {
            Some(seed) => seed.number().ok_or_else(|| refused("the seed is no number of 64 bits"))?,
            None => usual.seed,
        };
        if self.groups.unwrap_or(1) != 1 {
            return Err(refused("a scripted world has one group"));
        }
        let witnesses = self.witnesses.iter().flatten().copied().map(NodeId).collect();
        let timeouts = self.timeouts_ms.iter().flatten();
        Ok(Script {
            seed,
            voters: self.voters.unwrap_or(usual.voters),
            learners: self.learners.unwrap_or(usual.learners),
            joiners: self.joiners.unwrap_or(usual.joiners),
            witnesses,
            heartbeat_ms: self.heartbeat_ms.unwrap_or(usual.heartbeat_ms),
            election_timeout_ms: self.election_timeout_ms.unwrap_or(usual.election_timeout_ms),
            delay_ms: self.delay_ms.unwrap_or(usual.delay_ms),
            sync_ms: self.sync_ms.unwrap_or(usual.sync_ms),
            apply_ms: self.apply_ms.unwrap_or(usual.apply_ms),
            loss_percent: self.loss_percent.unwrap_or(usual.loss_percent),
            pre_vote: self.pre_vote.unwrap_or(usual.pre_vote),
            check_quorum: self.check_quorum.unwrap_or(usual.check_quorum),
            reads: match self.reads {
                None | Some(ReadsName::Index) => Reads::Index,
                Some(ReadsName::Lease) => Reads::Lease,
                Some(ReadsName::Stale) => Reads::Stale,
            },
            snapshot_after: self.snapshot_after.unwrap_or(usual.snapshot_after),
            trailing: self.trailing.unwrap_or(usual.trailing),
            clients: self.clients.unwrap_or(usual.clients),
            mutant: mutant(self.mutant.as_ref())?,
            timeouts_ms: timeouts.map(|(node, timeouts)| (NodeId(*node), timeouts.clone())).collect(),
        })
    }
}

impl Sweep {
    fn options(&self) -> Result<(u64, Options), Refused> {
        let seed = self.seed.number().ok_or_else(|| refused("the seed is no number of 64 bits"))?;
        let graph = match &self.graph {
            Some(name) => {
                Some(Graph::of_name(name).ok_or_else(|| refused(format!("there is no graph {name:?}")))?)
            }
            None => None,
        };
        if self.voters.is_some_and(|voters| !(1..=9).contains(&voters)) {
            return Err(Refused::TooLong("a world has one to nine voters".to_owned()));
        }
        if self.clients.is_some_and(|clients| clients > 16) {
            return Err(Refused::TooLong("a world has 16 clients at most, besides the viewer".to_owned()));
        }
        if self.seconds.is_some_and(|seconds| seconds > 600) {
            return Err(Refused::TooLong("a world lasts ten minutes at most".to_owned()));
        }
        let restrictions = Restrictions {
            voters: self.voters,
            graph,
            clients: self.clients,
            groups: Some(self.groups.unwrap_or(1)),
            with: features(&self.with)?,
            without: features(&self.without)?,
            skip: self.skip.clone(),
            seconds: self.seconds,
        };
        Ok((seed, Options { restrictions, mutant: mutant(self.mutant.as_ref())? }))
    }
}

fn features(names: &[String]) -> Result<BTreeSet<Feature>, Refused> {
    let known = |name: &String| {
        Feature::of_name(name).ok_or_else(|| refused(format!("there is no feature {name:?} of worlds")))
    };
    names.iter().map(known).collect()
}
