//! From a failing seed to the smallest variant of it that still breaks the same rule: fewer seconds, fewer kinds of
//! faults, fewer nodes and clients, fewer single interventions.

use std::collections::BTreeSet;

use crate::check::Invariant;
use crate::clock::SECOND;
use crate::plan::{Feature, Plan, Restrictions};
use crate::run::{Options, Outcome, run};

/// A shrunk failure.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest failing variant that was found.
    pub outcome: Outcome,
    /// How many variants were run.
    pub runs: u32,
}

/// Shrinks a failure, running no more than `limit` variants. An outcome without a violation comes back as it is.
pub fn shrink(failure: &Outcome, limit: u32) -> Shrunk {
    let mut search = Search { best: failure.clone(), runs: 0, limit };
    let Some(invariant) = failure.violation.as_ref().map(|violation| violation.invariant) else {
        return Shrunk { outcome: search.best, runs: 0 };
    };
    loop {
        let before = search.best.restrictions.clone();
        search.shorten(invariant);
        search.drop_features(invariant);
        search.drop_sizes(invariant);
        search.drop_interventions(invariant);
        if search.best.restrictions == before || search.is_exhausted() {
            return Shrunk { outcome: search.best, runs: search.runs };
        }
    }
}

struct Search {
    best: Outcome,
    runs: u32,
    limit: u32,
}

impl Search {
    fn is_exhausted(&self) -> bool {
        self.runs >= self.limit
    }

    /// Runs a variant, and takes it if it breaks the same rule.
    fn takes(&mut self, invariant: Invariant, restrictions: Restrictions) -> bool {
        if self.is_exhausted() || restrictions == self.best.restrictions {
            return false;
        }
        self.runs += 1;
        let options = Options { restrictions, mutant: self.best.mutant };
        let outcome = run(self.best.seed, &options);
        let same = outcome.violation.as_ref().is_some_and(|violation| violation.invariant == invariant);
        if same {
            self.best = outcome;
        }
        same
    }

    fn restrictions(&self) -> Restrictions {
        self.best.restrictions.clone()
    }

    fn plan(&self) -> Plan {
        Plan::draw(self.best.seed, &self.best.restrictions)
    }

    /// Ends the chaos where the rule broke, or earlier.
    fn shorten(&mut self, invariant: Invariant) {
        let broke = self.best.violation.as_ref().map_or(0, |violation| violation.at.0);
        let current = self.best.restrictions.seconds.unwrap_or(60);
        let needed = (broke / SECOND + 1).min(current);
        for seconds in [1, needed / 4, needed / 2, needed] {
            let shorter = seconds > 0 && seconds < current;
            if shorter
                && self.takes(invariant, Restrictions { seconds: Some(seconds), ..self.restrictions() })
            {
                return;
            }
        }
    }

    fn drop_features(&mut self, invariant: Invariant) {
        let on: Vec<Feature> = self.plan().features.into_iter().collect();
        let mut all = self.restrictions();
        all.without.extend(&on);
        if self.takes(invariant, all) {
            return;
        }
        for feature in on {
            let mut fewer = self.restrictions();
            fewer.without.insert(feature);
            self.takes(invariant, fewer);
        }
    }

    fn drop_sizes(&mut self, invariant: Invariant) {
        for voters in 1..self.plan().voters.len() as u64 {
            if self.takes(invariant, Restrictions { voters: Some(voters), ..self.restrictions() }) {
                break;
            }
        }
        for groups in 1..self.plan().groups {
            if self.takes(invariant, Restrictions { groups: Some(groups), ..self.restrictions() }) {
                break;
            }
        }
        for clients in 1..self.plan().workload.clients {
            if self.takes(invariant, Restrictions { clients: Some(clients), ..self.restrictions() }) {
                break;
            }
        }
    }

    /// Drops halves, then quarters, ... of the interventions that are left.
    fn drop_interventions(&mut self, invariant: Invariant) {
        let mut chunk = self.plan().schedule.len();
        while chunk > 0 {
            let left: Vec<u32> = self.plan().schedule.iter().map(|(number, _, _)| *number).collect();
            for numbers in left.chunks(chunk) {
                let numbers: BTreeSet<u32> = numbers.iter().copied().collect();
                let mut fewer = self.restrictions();
                fewer.skip.extend(numbers);
                self.takes(invariant, fewer);
            }
            chunk /= 2;
        }
    }
}
