//! Bugs that other systems had, kept to be put back: a simulator that does not find them proves nothing.
//!
//! Each is one visible line where the rule stands that it breaks, `if config.mutated(Mutant::...)`. Without the feature
//! `mutants` the answer is the constant `false`, and the line compiles to nothing. `docs/design/ledger.md` says how
//! each is found.
#![cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "seen only by those who ask for the feature")
)]

/// Declares the enum and, with the feature, the table of names and origins.
macro_rules! mutants {
    ($($(#[$doc:meta])+ $mutant:ident = $name:literal, $origin:literal;)+) => {
        /// One old bug. The origin names who had it, with the number of the issue in that project.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[$doc])+ $mutant,)+
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// Every mutant, with its name and its origin.
            pub const ALL: &[(Self, &'static str, &'static str)] =
                &[$((Self::$mutant, $name, $origin),)+];
        }
    };
}

mutants! {
    /// A leader commits entries of older terms by counting (raft paper, figure 8).
    CommitOldTerms = "commit-old-terms", "logcabin #44, goraft #27, CCF #4485";
    /// A leader counts its own log, not its own disk.
    CountBeforeDisk = "count-before-disk", "goraft #150, dragonboat #224";
    /// Votes and requests for votes leave before term and vote are durable.
    VoteBeforeDisk = "vote-before-disk", "sofa-jraft #1245";
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// The mutant of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(mutant, _, _)| *mutant)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, name, _)| name)
    }

    /// Who had it.
    pub fn origin(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, _, origin)| origin)
    }
}

/// The bug that a part of a node has, for those parts that do not see its configuration. Takes no room without the
/// feature.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mutation(#[cfg(feature = "mutants")] pub(crate) Option<Mutant>);

impl Mutation {
    /// Whether it is that bug.
    #[cfg(feature = "mutants")]
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        self.0 == Some(mutant)
    }

    /// Never, without the feature.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn is(self, _mutant: Mutant) -> bool {
        false
    }
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (mutant, name, origin) in Mutant::ALL {
            assert_eq!(Mutant::of_name(name), Some(*mutant));
            assert_eq!((mutant.name(), mutant.origin()), (*name, *origin));
            assert!(!origin.is_empty());
        }
    }
}
