//! Who a member is when it starts: what its data directory says; the first time, what follows from its flags, or, when
//! the cluster runs already, what that says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use floe::{ClusterView, LogId, NodeId, Owner};
use floe_mvcc::MemberInfo;
use tokio::time::{Instant, sleep};

use crate::config::{ClusterState, Config, ConfigError, Identity};
use crate::roll;
use crate::server::StartError;
use crate::url::Url;

/// How long those who run are asked before a new member gives up. A member that lags behind may not know of the addition
/// for a moment, and one that is asked may be starting itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a member does not join the cluster that runs.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is nobody to ask.
    #[error("--initial-cluster-state is existing, but --initial-cluster names no other member")]
    Alone,
    /// Nobody answers.
    #[error("none of the members in --initial-cluster answers{}", listed(.0))]
    Unreachable(Vec<(String, String)>),
    /// The addresses lead to different clusters.
    #[error("the members in --initial-cluster are of different clusters: {0:x} and {1:x}")]
    SeveralClusters(u64, u64),
    /// The member was not added.
    #[error(
        "cluster {cluster:x} has no member with peer URLs {urls}: add it first, with `floe member add {name} --peer-urls \
         {urls}`"
    )]
    NotAdded {
        /// The cluster that runs.
        cluster: u64,
        /// This member's name.
        name: String,
        /// Its peer URLs.
        urls: String,
    },
    /// The member is started as a witness and was not added as one, or the other way round.
    #[error("{}", other_kind(.name, *.cluster, *.witness))]
    OtherKind {
        /// The cluster that runs.
        cluster: u64,
        /// This member's name.
        name: String,
        /// Whether it was added as a witness.
        witness: bool,
    },
    /// The list is not that of the cluster.
    #[error("--initial-cluster does not match the members of cluster {cluster:x}:{}{}", difference("it lacks", .lacks), difference("it has what the cluster has not:", .extra))]
    ListDiffers {
        /// The cluster that runs.
        cluster: u64,
        /// Members that are not in the list.
        lacks: Vec<String>,
        /// Members that are only in the list.
        extra: Vec<String>,
    },
}

fn other_kind(name: &str, cluster: u64, witness: bool) -> String {
    if witness {
        return format!("{name} was added to cluster {cluster:x} as a witness: start it with --witness");
    }
    format!(
        "{name} was added to cluster {cluster:x} as a member with data: start it without --witness, or remove it and add \
         it with `floe member add --witness`"
    )
}

fn listed(tried: &[(String, String)]) -> String {
    tried.iter().map(|(address, reason)| format!("; {address}: {reason}")).collect()
}

fn difference(words: &str, urls: &[String]) -> String {
    if urls.is_empty() { String::new() } else { format!(" {words} {};", urls.join(" and ")) }
}

/// Who this member is.
pub(crate) async fn identity(config: &Config) -> Result<(Identity, Option<LogId>), StartError> {
    if let Some(owner) = Owner::of(&config.data_dir)? {
        config.check()?;
        owner.check_kind(&config.data_dir, config.is_witness())?;
        check_flags(config, owner)?;
        let (member, cluster) = (owner.member.0, owner.cluster);
        let witnesses = owner.witness.then_some(member).into_iter().collect();
        return Ok((Identity { member, cluster, members: BTreeMap::new(), witnesses }, None));
    }
    // Says what is wrong with the flags alone, too.
    let alone = config.identity()?;
    match config.initial_cluster_state {
        ClusterState::New => Ok((alone, None)),
        ClusterState::Existing => {
            let wanted = Wanted::of(config)?;
            let view = wanted.ask_around().await?;
            let identity = wanted.identity(&view)?;
            Ok((identity, Some(view.commit)))
        }
    }
}

/// Refuses a data directory that is not the one which the flags speak of. Flags are not needed for a second start, and
/// what a cluster began with may have changed since. So they count only if they describe a new cluster of several members
/// or with a token, which is how this directory would have been made.
fn check_flags(config: &Config, owner: Owner) -> Result<(), StartError> {
    let says_nothing =
        config.by_name().len() < 2 && config.initial_cluster_token == Config::default().initial_cluster_token;
    if config.initial_cluster_state == ClusterState::Existing || says_nothing {
        return Ok(());
    }
    let told = config.identity()?;
    if told.member == owner.member.0 {
        return Ok(());
    }
    Err(floe::StartError::WrongOwner {
        path: config.data_dir.clone(),
        found_member: owner.member.0,
        found_cluster: owner.cluster,
        member: told.member,
        cluster: told.cluster,
    }
    .into())
}

/// Refuses a data directory whose store knows its member under another name: most likely it is another one's.
pub(crate) fn check_name(
    config: &Config,
    identity: &Identity,
    known: &[MemberInfo],
) -> Result<(), StartError> {
    let Some(found) = known.iter().find(|info| info.id == identity.member && !info.name.is_empty()) else {
        return Ok(());
    };
    if found.name == config.name {
        return Ok(());
    }
    Err(StartError::OtherName {
        path: config.data_dir.clone(),
        found: found.name.clone(),
        member: identity.member,
        cluster: identity.cluster,
        name: config.name.clone(),
    })
}

/// What the flags say of the cluster that runs.
struct Wanted {
    name: String,
    witness: bool,
    /// The peer URLs of this member.
    own: Vec<Url>,
    /// Those of the others, member by member.
    others: Vec<Vec<Url>>,
}

impl Wanted {
    fn of(config: &Config) -> Result<Self, StartError> {
        let mut by_name = config.by_name();
        let Some(own) = by_name.remove(config.name.as_str()) else {
            let names = by_name.keys().map(ToString::to_string).collect();
            return Err(ConfigError::NotInCluster { name: config.name.clone(), names }.into());
        };
        let others: Vec<_> = by_name.into_values().collect();
        if others.is_empty() {
            return Err(JoinError::Alone.into());
        }
        Ok(Self { name: config.name.clone(), witness: config.is_witness(), own, others })
    }

    /// Asks the others until one says that this member belongs to them. Gives up with what was said last.
    async fn ask_around(&self) -> Result<ClusterView, JoinError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (best, tried) = self.ask_once().await?;
            match best {
                Some(view) if self.own_id(&view).is_some() || Instant::now() >= deadline => return Ok(view),
                None if Instant::now() >= deadline => return Err(JoinError::Unreachable(tried)),
                Some(_) | None => sleep(PAUSE).await,
            }
        }
    }

    /// The latest of all answers; and who did not answer why.
    async fn ask_once(&self) -> Result<(Option<ClusterView>, Vec<(String, String)>), JoinError> {
        let mut best: Option<ClusterView> = None;
        let mut tried = Vec::new();
        for url in self.others.iter().flatten() {
            let view = match floe::discover(&url.authority()).await {
                Ok(view) if view.membership.voters.is_empty() => {
                    tried.push((url.to_string(), "it does not know who is in the cluster yet".to_owned()));
                    continue;
                }
                Ok(view) => view,
                Err(error) => {
                    tried.push((url.to_string(), error.to_string()));
                    continue;
                }
            };
            if let Some(other) = best.as_ref().filter(|best| best.cluster != view.cluster) {
                return Err(JoinError::SeveralClusters(other.cluster, view.cluster));
            }
            if best.as_ref().is_none_or(|best| best.commit < view.commit) {
                best = Some(view);
            }
        }
        Ok((best, tried))
    }

    fn own_id(&self, view: &ClusterView) -> Option<NodeId> {
        let own = set(&self.own);
        members(view).into_iter().find(|(_, urls)| *urls == own).map(|(id, _)| id)
    }

    /// Who this member is, if the list is that of the cluster. A list that is not is most likely of another cluster, or
    /// an old one; whoever started this member should look.
    fn identity(&self, view: &ClusterView) -> Result<Identity, JoinError> {
        let cluster = view.cluster;
        let there: BTreeSet<_> = members(view).into_values().collect();
        let listed: BTreeSet<_> = self.others.iter().chain([&self.own]).map(|urls| set(urls)).collect();
        let own = set(&self.own);
        let Some(member) = self.own_id(view) else {
            return Err(JoinError::NotAdded { cluster, name: self.name.clone(), urls: joined(&own) });
        };
        let witness = view.membership.is_witness(member);
        if witness != self.witness {
            return Err(JoinError::OtherKind { cluster, name: self.name.clone(), witness });
        }
        if there != listed {
            let only = |a: &BTreeSet<_>, b| a.difference(b).map(joined).collect();
            let (lacks, extra) = (only(&there, &listed), only(&listed, &there));
            return Err(JoinError::ListDiffers { cluster, lacks, extra });
        }
        let urls = |texts: &BTreeSet<String>| texts.iter().filter_map(|text| text.parse().ok()).collect();
        let members = members(view).iter().map(|(id, texts)| (id.0, urls(texts))).collect();
        let witnesses = view.membership.witnesses.iter().map(|id| id.0).collect();
        Ok(Identity { member: member.0, cluster, members, witnesses })
    }
}

/// Each member's URLs.
fn members(view: &ClusterView) -> BTreeMap<NodeId, BTreeSet<String>> {
    let addresses = view.membership.addresses.iter();
    addresses.map(|(id, address)| (*id, roll::urls_of(address).into_iter().collect())).collect()
}

fn set(urls: &[Url]) -> BTreeSet<String> {
    urls.iter().map(ToString::to_string).collect()
}

fn joined(urls: &BTreeSet<String>) -> String {
    urls.iter().cloned().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use floe::{Index, Membership, Term};

    use super::*;

    fn view(members: &[(u64, &[u16])]) -> ClusterView {
        let mut membership = Membership::of_voters(members.iter().map(|(id, _)| NodeId(*id)));
        for (id, ports) in members {
            let urls: Vec<_> = ports.iter().map(|port| Url::loopback(*port)).collect();
            membership.addresses.insert(NodeId(*id), roll::address(&urls));
        }
        let commit = LogId::new(Term(2), Index(9));
        ClusterView { cluster: 5, member: NodeId(1), commit, membership }
    }

    fn wanted(others: &[&[u16]]) -> Wanted {
        let urls = |ports: &[u16]| ports.iter().map(|port| Url::loopback(*port)).collect::<Vec<_>>();
        Wanted {
            name: "n3".into(),
            witness: false,
            own: urls(&[30]),
            others: others.iter().map(|ports| urls(ports)).collect(),
        }
    }

    #[test]
    fn ids_come_from_the_cluster_that_runs() {
        let view = view(&[(11, &[10, 12]), (22, &[20]), (33, &[30])]);
        let identity = wanted(&[&[12, 10], &[20]]).identity(&view).unwrap();
        assert_eq!((identity.cluster, identity.member, identity.members.len()), (5, 33, 3));
    }

    #[test]
    fn a_list_that_is_not_that_of_the_cluster_is_refused_with_the_difference() {
        let view = view(&[(11, &[10]), (22, &[20]), (33, &[30])]);
        let error = wanted(&[&[10], &[25]]).identity(&view).unwrap_err().to_string();
        assert!(error.contains("it lacks http://localhost:20;"), "{error}");
        assert!(error.contains("has not: http://localhost:25;"), "{error}");
        let error = wanted(&[&[10]]).identity(&view).unwrap_err().to_string();
        assert!(error.ends_with("it lacks http://localhost:20;"), "{error}");
    }

    #[test]
    fn a_witness_joins_as_one_and_nobody_else_does() {
        let mut view = view(&[(11, &[10]), (22, &[20]), (33, &[30])]);
        let mut wanted = wanted(&[&[10], &[20]]);
        wanted.witness = true;
        let error = wanted.identity(&view).unwrap_err().to_string();
        assert!(error.contains("as a member with data: start it without --witness"), "{error}");
        view.membership.witnesses.insert(NodeId(33));
        assert_eq!(wanted.identity(&view).unwrap().witnesses, [33].into());
        wanted.witness = false;
        let error = wanted.identity(&view).unwrap_err().to_string();
        assert!(error.ends_with("as a witness: start it with --witness"), "{error}");
    }

    #[test]
    fn one_that_was_not_added_is_told_how() {
        let error = wanted(&[&[10]]).identity(&view(&[(11, &[10])])).unwrap_err();
        assert!(error.to_string().contains("floe member add n3 --peer-urls http://localhost:30"), "{error}");
    }
}
