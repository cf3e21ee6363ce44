//! The set of groups that one machine vouches for to another: a versioned set, told by its changes.
//!
//! The hearer either has exactly the set of a beat's version, or knows that it has not. So that a withdrawal cannot be
//! lost: whatever comes after it contains it, or cannot be followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use floe_raft::{GroupId, Term, Time};

use crate::beat::Vouch;

/// Changes remembered beyond the size of the set; more of them cost more than to tell the whole set.
const MORE_CHANGES: usize = 64;
/// Vouched pairs remembered of groups that this machine does not have.
const UNKNOWN: usize = 1024;

/// What this machine vouches for to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vouching {
    version: u64,
    /// The version that the other has.
    acked: u64,
    /// Each with the version that it came in with.
    set: BTreeMap<GroupId, (Term, u64)>,
    /// All changes after version `floor`, with their versions.
    changes: VecDeque<(u64, GroupId, Option<Term>)>,
    floor: u64,
}

impl Vouching {
    /// Vouches for a group; whether that is new.
    pub(crate) fn insert(&mut self, group: GroupId, term: Term) -> bool {
        if self.set.get(&group).is_some_and(|(known, _)| *known == term) {
            return false;
        }
        self.note(group, Some(term));
        self.set.insert(group, (term, self.version));
        true
    }

    /// Withdraws a group; whether it was vouched for.
    pub(crate) fn remove(&mut self, group: GroupId) -> bool {
        let was_in = self.set.remove(&group).is_some();
        if was_in {
            self.note(group, None);
        }
        was_in
    }

    fn note(&mut self, group: GroupId, term: Option<Term>) {
        self.version += 1;
        self.changes.push_back((self.version, group, term));
        if self.changes.len() > self.set.len() + MORE_CHANGES {
            self.changes.clear();
            self.floor = self.version;
        }
    }

    /// Withdraws everything; the groups that were vouched for.
    pub(crate) fn clear(&mut self) -> Vec<GroupId> {
        let groups = self.set.keys().copied().collect::<Vec<_>>();
        for group in &groups {
            self.remove(*group);
        }
        groups
    }

    /// Whether the other has heard that this group is vouched for in this term.
    pub(crate) fn is_agreed(&self, group: GroupId, term: Term) -> bool {
        self.set.get(&group).is_some_and(|(known, since)| *known == term && *since <= self.acked)
    }

    /// Whether this is vouched for.
    pub(crate) fn contains(&self, group: GroupId, term: Term) -> bool {
        self.set.get(&group).is_some_and(|(known, _)| *known == term)
    }

    /// The other has this version; the groups for which that makes a difference.
    pub(crate) fn acknowledge(&mut self, version: u64) -> Vec<GroupId> {
        // A later version than there ever was is no acknowledgement of this life.
        if version > self.version || version == self.acked {
            return Vec::new();
        }
        let (from, to) = (self.acked.min(version), self.acked.max(version));
        let affected = self.set.iter().filter(|(_, (_, since))| from < *since && *since <= to);
        let affected = affected.map(|(group, _)| *group).collect();
        self.acked = version;
        while self.changes.pop_front_if(|(changed, _, _)| *changed <= version).is_some() {
            self.floor = self.floor.max(version);
        }
        affected
    }

    /// What to tell the other so that it has the present version.
    pub(crate) fn news(&self) -> Vouch {
        if self.acked < self.floor {
            let all = self.set.iter().map(|(group, (term, _))| (*group, Some(*term)));
            return Vouch { version: self.version, since: 0, changes: all.collect() };
        }
        let changes = self.changes.iter().filter(|(version, _, _)| *version > self.acked);
        let changes = changes.map(|(_, group, term)| (*group, *term)).collect();
        Vouch { version: self.version, since: self.acked, changes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether the other lacks a change.
    pub(crate) fn is_behind(&self) -> bool {
        self.acked != self.version
    }
}

/// What another machine vouches for to this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vouched {
    /// The version that this machine has; zero if it has none.
    version: u64,
    set: BTreeMap<GroupId, Term>,
    /// When the last beat came that vouched for this set.
    pub(crate) at: Option<Time>,
    /// Those of the set that this machine does not agree to.
    refusing: BTreeSet<GroupId>,
}

impl Vouched {
    /// Takes in what a beat says. The groups for which that makes a difference; `None` if the beat cannot be followed.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        vouch: &Vouch,
        is_here: impl Fn(GroupId) -> bool,
    ) -> Option<Vec<GroupId>> {
        let Vouch { version, since, ref changes } = *vouch;
        if since > self.version || version < self.version {
            return None;
        }
        let mut affected = Vec::new();
        if version > self.version {
            if since == 0 {
                affected.extend(self.set.keys());
                self.set.clear();
            }
            // Those that this machine has already are among them; the last one of each group decides.
            for &(group, term) in changes {
                self.change(group, term, &is_here);
                affected.push(group);
            }
            affected.sort_unstable();
            affected.dedup();
        }
        self.version = version;
        self.at = Some(now);
        Some(affected)
    }

    fn change(&mut self, group: GroupId, term: Option<Term>, is_here: impl Fn(GroupId) -> bool) {
        match term {
            Some(term) if is_here(group) => {
                self.set.insert(group, term);
            }
            Some(term) => {
                if self.refusing.len() < UNKNOWN {
                    self.set.insert(group, term);
                    self.refusing.insert(group);
                }
            }
            None => {
                self.set.remove(&group);
            }
        }
        if !self.set.contains_key(&group) {
            self.refusing.remove(&group);
        }
    }

    /// The other is silent or gone: nothing is vouched for any more. The groups that were.
    pub(crate) fn forget(&mut self) -> Vec<GroupId> {
        self.version = 0;
        self.refusing.clear();
        std::mem::take(&mut self.set).into_keys().collect()
    }

    /// The term in which this group is vouched for.
    pub(crate) fn term(&self, group: GroupId) -> Option<Term> {
        self.set.get(&group).copied()
    }

    /// Notes whether this machine agrees; whether that is a new refusal.
    pub(crate) fn set_refused(&mut self, group: GroupId, refused: bool) -> bool {
        if refused && self.set.contains_key(&group) {
            self.refusing.insert(group)
        } else {
            self.refusing.remove(&group);
            false
        }
    }

    pub(crate) fn refusals(&self) -> Vec<(GroupId, Term)> {
        self.refusing.iter().filter_map(|group| Some((*group, *self.set.get(group)?))).collect()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agree(vouching: &Vouching, vouched: &Vouched) -> bool {
        vouching.set.iter().map(|(group, (term, _))| (*group, *term)).eq(vouched.set.clone())
    }

    proptest! {
        /// Whatever is lost or repeated, who could follow a beat has exactly the set that it speaks of.
        #[test]
        fn who_follows_a_beat_has_the_set_of_its_version(
            steps in proptest::collection::vec((0..8u8, 0..6u64, 1..4u64), 1..200)
        ) {
            let (mut vouching, mut vouched) = (Vouching::default(), Vouched::default());
            for (action, group, term) in steps {
                match action {
                    0..3 => {
                        vouching.insert(GroupId(group), Term(term));
                    }
                    3 => {
                        vouching.remove(GroupId(group));
                    }
                    4 => {
                        vouched.forget();
                    }
                    5 => {
                        vouching.acknowledge(vouched.version());
                    }
                    _ => {
                        if vouched.hear(Time(1), &vouching.news(), |_| true).is_some() {
                            prop_assert!(agree(&vouching, &vouched));
                            vouching.acknowledge(vouched.version());
                            prop_assert!(!vouching.is_behind());
                        } else {
                            // It says that it has nothing, and is told everything.
                            vouching.acknowledge(vouched.version());
                            let followed = vouched.hear(Time(1), &vouching.news(), |_| true);
                            prop_assert!(followed.is_some() && agree(&vouching, &vouched));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_that_fell_far_behind_is_told_the_whole_set() {
        let (mut vouching, mut vouched) = (Vouching::default(), Vouched::default());
        for round in 0..1000 {
            vouching.insert(GroupId(round % 3), Term(round));
        }
        let news = vouching.news();
        assert!(news.since == 0 && news.changes.len() == 3, "{news:?}");
        assert_eq!(vouched.hear(Time(1), &news, |_| true).map(|affected| affected.len()), Some(3));
        assert!(vouching.acknowledge(vouched.version()).len() == 3 && vouching.news().changes.is_empty());
    }

    #[test]
    fn what_this_machine_does_not_have_is_refused_and_bounded() {
        let mut vouched = Vouched::default();
        let changes = (0..5000).map(|group| (GroupId(group), Some(Term(1)))).collect();
        vouched.hear(Time(1), &Vouch { version: 9, since: 0, changes }, |group| group == GroupId(4999));
        assert_eq!((vouched.refusals().len(), vouched.set.len()), (UNKNOWN, UNKNOWN + 1));
        assert_eq!(vouched.term(GroupId(4999)), Some(Term(1)));
    }
}
