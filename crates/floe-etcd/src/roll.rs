//! The cluster's members as etcd speaks of them, and etcd's rules of changing them.
//!
//! floe adds a voter as a learner that the leader promotes once it has caught up: it can never hold up a commit while it is
//! not there yet, and one member becomes two without standing still in between. Whoever asks for a voter is told of a
//! voter, from the beginning; a learner is one that was added as such.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use floe::{Membership, MembershipOperation, NodeId, NodeStatus};
use floe_mvcc::MemberInfo;

use crate::errors::EtcdError;
use crate::proto::etcdserverpb as pb;
use crate::url::Url;

/// The members at one moment, with what a leader knows of each.
pub(crate) struct Roll {
    own: NodeId,
    membership: Membership,
    published: BTreeMap<u64, MemberInfo>,
    /// Those that answered the leader within the last election timeout. Empty elsewhere.
    active: BTreeSet<NodeId>,
}

/// What may be changed and what not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Refuse what endangers the cluster.
    pub(crate) strict: bool,
    /// Learners that may be there at one time.
    pub(crate) learners_max: usize,
}

impl Roll {
    pub(crate) fn new(status: &NodeStatus, published: Vec<MemberInfo>) -> Self {
        let recent = status.progress.iter().filter(|(_, progress)| progress.recent && !progress.leaving);
        let mut active: BTreeSet<_> = recent.map(|(id, _)| *id).collect();
        active.insert(status.id);
        Self {
            own: status.id,
            membership: status.membership.as_ref().clone(),
            published: published.into_iter().map(|info| (info.id, info)).collect(),
            active,
        }
    }

    /// The same members in another membership.
    pub(crate) fn with(self, membership: Membership) -> Self {
        Self { membership, ..self }
    }

    /// All members, as clients see them.
    pub(crate) fn list(&self) -> Vec<pb::Member> {
        self.membership.members().into_iter().map(|id| self.member(id)).collect()
    }

    /// One member, as clients see it. Without a name and client URLs until it has started.
    pub(crate) fn member(&self, id: NodeId) -> pb::Member {
        let info = self.published.get(&id.0);
        pb::Member {
            id: id.0,
            name: info.map(|info| info.name.clone()).unwrap_or_default(),
            peer_ur_ls: self.membership.addresses.get(&id).map(urls_of).unwrap_or_default(),
            client_ur_ls: info.map(|info| info.client_urls.clone()).unwrap_or_default(),
            is_learner: is_learner(&self.membership, id),
            is_witness: self.membership.is_witness(id),
        }
    }

    /// Whether a new member may be added.
    pub(crate) fn check_add(&self, urls: &[Url], learner: bool, limits: Limits) -> Result<(), EtcdError> {
        let voters = self.voters();
        if limits.strict && !learner {
            let (count, started) = (voters.len() + 1, self.started(&voters));
            // Two of which one has started: how a cluster of one is given a second member.
            let is_second = count == 2 && started == 1;
            if !is_second && started < majority(count) {
                return Err(EtcdError::MemberNotEnoughStarted);
            }
        }
        let connected = voters.iter().filter(|id| self.active.contains(id)).count();
        if limits.strict && voters.len() > 1 && connected < majority(voters.len() + 1) {
            return Err(EtcdError::Unhealthy);
        }
        self.check_free(urls, None)?;
        let learners = self.membership.learners.len() - self.membership.auto_promote.len();
        if learner && learners >= limits.learners_max {
            return Err(EtcdError::TooManyLearners);
        }
        Ok(())
    }

    /// Whether a member is a witness.
    pub(crate) fn has_witnesses(&self) -> bool {
        !self.membership.witnesses.is_empty()
    }

    /// Why a witness may not be added although another voter may, if so.
    pub(crate) fn check_witness(&self) -> Result<(), &'static str> {
        // The core allows it, but counts the newcomer: nothing could be committed before it runs, and afterwards, two who
        // need each other are no safer than one alone.
        if self.voters().len() < 2 {
            return Err(
                "a witness beside a single member makes nothing safer: add a second member with data first",
            );
        }
        Ok(())
    }

    /// Whether a member may be removed.
    pub(crate) fn check_remove(&self, id: NodeId, limits: Limits) -> Result<(), EtcdError> {
        if !self.membership.contains(id) {
            return Err(EtcdError::MemberNotFound);
        }
        if !limits.strict || is_learner(&self.membership, id) {
            return Ok(());
        }
        let voters = self.voters();
        let others: BTreeSet<_> = voters.iter().copied().filter(|other| *other != id).collect();
        if self.started(&others) < majority(others.len()) {
            return Err(EtcdError::MemberNotEnoughStarted);
        }
        let active = voters.iter().filter(|id| self.active.contains(id)).count();
        // One that is down is no part of the quorum that lives.
        if self.active.contains(&id) && active - 1 < majority(voters.len() - 1) {
            return Err(EtcdError::Unhealthy);
        }
        Ok(())
    }

    /// Whether a member may be reached at other URLs from now on. Says whether that is a change at all.
    pub(crate) fn check_update(&self, id: NodeId, urls: &[Url]) -> Result<bool, EtcdError> {
        if !self.membership.contains(id) {
            return Err(EtcdError::MemberNotFound);
        }
        self.check_free(urls, Some(id))?;
        Ok(self.membership.addresses.get(&id) != Some(&address(urls)))
    }

    /// Whether a member may be promoted; that it has caught up is for the leader's log to say.
    pub(crate) fn check_promote(&self, id: NodeId, limits: Limits) -> Result<(), EtcdError> {
        if !self.membership.contains(id) {
            return Err(EtcdError::MemberNotFound);
        }
        if !is_learner(&self.membership, id) {
            let ready = self.active.contains(&id) && self.membership.is_voter(id);
            return Err(if ready { EtcdError::MemberNotLearner } else { EtcdError::LearnerNotReady });
        }
        let mut voters = self.voters();
        voters.insert(id);
        if limits.strict && self.active.contains(&id) && self.started(&voters) < majority(voters.len()) {
            return Err(EtcdError::MemberNotEnoughStarted);
        }
        Ok(())
    }

    /// Those that vote, and those that will once they have caught up.
    fn voters(&self) -> BTreeSet<NodeId> {
        self.membership.voters.union(&self.membership.auto_promote).copied().collect()
    }

    /// How many have ever started: only then is a member's name known. The leader that asks has.
    fn started(&self, among: &BTreeSet<NodeId>) -> usize {
        among.iter().filter(|id| **id == self.own || self.published.contains_key(&id.0)).count()
    }

    fn check_free(&self, urls: &[Url], except: Option<NodeId>) -> Result<(), EtcdError> {
        let others = self.membership.addresses.iter().filter(|(id, _)| Some(**id) != except);
        let taken: BTreeSet<String> = others.flat_map(|(_, address)| urls_of(address)).collect();
        let is_taken = urls.iter().any(|url| taken.contains(&url.to_string()));
        if is_taken { Err(EtcdError::PeerUrlExists) } else { Ok(()) }
    }
}

/// Whether clients are told that the member is a learner.
pub(crate) fn is_learner(membership: &Membership, id: NodeId) -> bool {
    membership.learners.contains(&id) && !membership.auto_promote.contains(&id)
}

/// What a new member is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With data and, once it has caught up, with a vote.
    Voter,
    /// With data, and without a vote until it is promoted.
    Learner,
    /// With a vote, and without data.
    Witness,
}

/// The operation that adds a member.
pub(crate) fn addition(node: NodeId, urls: &[Url], kind: Kind) -> MembershipOperation {
    let address = address(urls);
    match kind {
        Kind::Voter => MembershipOperation::AddLearner { node, address, auto_promote: true },
        Kind::Learner => MembershipOperation::AddLearner { node, address, auto_promote: false },
        Kind::Witness => MembershipOperation::AddWitness { node, address },
    }
}

/// The URLs of a member as the membership holds them: `host:port,host:port`.
pub(crate) fn address(urls: &[Url]) -> Bytes {
    urls.iter().map(Url::authority).collect::<Vec<_>>().join(",").into()
}

/// The URLs that an address of the membership stands for.
pub(crate) fn urls_of(address: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(address);
    text.split(',').filter(|part| !part.is_empty()).map(|part| format!("http://{part}")).collect()
}

fn majority(count: usize) -> usize {
    count / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Limits = Limits { strict: true, learners_max: 1 };
    const LAX: Limits = Limits { strict: false, learners_max: 1 };

    /// Voters with whether they have started and are connected; the first asks.
    fn roll(voters: &[(bool, bool)]) -> Roll {
        let ids = || (1..).map(NodeId).zip(voters);
        let mut membership = Membership::of_voters(ids().map(|(id, _)| id));
        membership.addresses = ids().map(|(id, _)| (id, address(&[url(id.0 as u16)]))).collect();
        let info = |id: NodeId| MemberInfo { id: id.0, name: format!("n{id}"), client_urls: Vec::new() };
        Roll {
            own: NodeId(1),
            membership,
            published: ids().filter(|(_, (started, _))| *started).map(|(id, _)| (id.0, info(id))).collect(),
            active: ids().filter(|(_, (_, active))| *active).map(|(id, _)| id).collect(),
        }
    }

    fn url(port: u16) -> Url {
        Url::loopback(port)
    }

    const UP: (bool, bool) = (true, true);
    const DOWN: (bool, bool) = (true, false);
    const NEW: (bool, bool) = (false, false);

    /// What etcd 3.7.3 answers in the same places.
    #[test]
    fn additions_are_refused_as_etcd_does() {
        let add = |voters: &[(bool, bool)], learner| roll(voters).check_add(&[url(99)], learner, STRICT);
        assert_eq!(add(&[UP], false), Ok(()));
        assert_eq!(add(&[UP], true), Ok(()));
        assert_eq!(add(&[UP, UP, UP], false), Ok(()));
        assert_eq!(add(&[UP, UP, UP, NEW], false), Ok(()));
        assert_eq!(add(&[UP, UP, UP, NEW, NEW], true), Err(EtcdError::Unhealthy));
        assert_eq!(add(&[UP, UP, UP, NEW, NEW], false), Err(EtcdError::MemberNotEnoughStarted));
        assert_eq!(add(&[UP, NEW], false), Err(EtcdError::MemberNotEnoughStarted));
        assert_eq!(add(&[UP, UP, DOWN], false), Err(EtcdError::Unhealthy));
        assert_eq!(add(&[UP, UP, DOWN], true), Err(EtcdError::Unhealthy));
        assert_eq!(roll(&[UP, UP, DOWN]).check_add(&[url(99)], false, LAX), Ok(()));
        assert_eq!(roll(&[UP]).check_add(&[url(99), url(1)], false, LAX), Err(EtcdError::PeerUrlExists));
    }

    #[test]
    fn one_learner_is_allowed_and_those_that_become_voters_are_none() {
        let mut members = roll(&[UP, UP, UP]);
        members.membership.learners.insert(NodeId(7));
        assert_eq!(members.check_add(&[url(99)], true, STRICT), Err(EtcdError::TooManyLearners));
        assert_eq!(members.check_add(&[url(99)], false, STRICT), Ok(()));
        members.membership.auto_promote.insert(NodeId(7));
        assert_eq!(members.check_add(&[url(99)], true, STRICT), Ok(()));
        assert!(!members.member(NodeId(7)).is_learner);
    }

    #[test]
    fn a_witness_is_listed_as_one_and_needs_two_beside_it() {
        let mut members = roll(&[UP, UP, UP]);
        members.membership.witnesses.insert(NodeId(3));
        let kinds: Vec<_> = members.list().iter().map(|member| member.is_witness).collect();
        assert_eq!(kinds, [false, false, true]);
        assert_eq!(members.check_promote(NodeId(3), STRICT), Err(EtcdError::MemberNotLearner));
        assert!(roll(&[UP]).check_witness().is_err());
        assert_eq!(roll(&[UP, UP]).check_witness(), Ok(()));
    }

    #[test]
    fn removals_are_refused_as_etcd_does() {
        let remove = |voters: &[(bool, bool)], id| roll(voters).check_remove(NodeId(id), STRICT);
        assert_eq!(remove(&[UP, UP, UP], 9), Err(EtcdError::MemberNotFound));
        assert_eq!(remove(&[UP], 1), Err(EtcdError::MemberNotEnoughStarted));
        assert_eq!(remove(&[UP, UP], 1), Ok(()));
        assert_eq!(remove(&[UP, UP, UP], 1), Ok(()));
        assert_eq!(remove(&[UP, UP, DOWN], 2), Err(EtcdError::Unhealthy));
        assert_eq!(remove(&[UP, UP, DOWN], 3), Ok(()));
        assert_eq!(remove(&[UP, NEW], 1), Err(EtcdError::MemberNotEnoughStarted));
        let mut members = roll(&[UP, UP, DOWN]);
        members.membership.learners.insert(NodeId(7));
        assert_eq!(members.check_remove(NodeId(7), STRICT), Ok(()));
    }

    #[test]
    fn promotions_and_updates_are_refused_as_etcd_does() {
        let mut members = roll(&[UP, UP, UP]);
        members.membership.learners.extend([NodeId(7), NodeId(8)]);
        members.membership.auto_promote.insert(NodeId(8));
        let promote = |id| members.check_promote(NodeId(id), STRICT);
        assert_eq!(promote(9), Err(EtcdError::MemberNotFound));
        assert_eq!(promote(2), Err(EtcdError::MemberNotLearner));
        assert_eq!(promote(7), Ok(()));
        // A voter that has not started, as far as its owner knows.
        assert_eq!(promote(8), Err(EtcdError::LearnerNotReady));
        let update = |id, ports: &[u16]| {
            members.check_update(NodeId(id), &ports.iter().map(|port| url(*port)).collect::<Vec<_>>())
        };
        assert_eq!(update(9, &[99]), Err(EtcdError::MemberNotFound));
        assert_eq!(update(2, &[99, 3]), Err(EtcdError::PeerUrlExists));
        assert_eq!(update(2, &[99, 2]), Ok(true));
        assert_eq!(update(2, &[2]), Ok(false));
    }

    #[test]
    fn a_member_has_all_its_urls() {
        let mut members = roll(&[UP]);
        let both = address(&[url(5), url(6)]);
        members.membership.addresses.insert(NodeId(1), both);
        assert_eq!(members.list()[0].peer_ur_ls, ["http://localhost:5", "http://localhost:6"]);
    }
}
