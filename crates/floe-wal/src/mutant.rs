//! Bugs that other systems' logs had, kept to be put back: what checks the log must find each of them. Without the
//! feature `mutants` every one of these lines compiles to nothing. `docs/design/ledger.md` says how each is found.
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
    /// Frames are written and never synced.
    NoSync = "log-no-sync", "valkey #3887";
    /// A sync that failed is taken for one that succeeded.
    SyncFailureIgnored = "log-sync-failure-ignored", "PostgreSQL's fsyncgate (2018); Rebello et al., ATC'20";
    /// The name of a new segment is not synced.
    NameNotSynced = "log-name-not-synced", "Pillai et al., OSDI'14: LevelDB, ZooKeeper";
    /// A frame that was torn counts as whole.
    TornFrameTaken = "log-torn-frame-taken", "etcd #5230, #6515";
    /// Damage in the middle of the log is cut off like a torn end.
    MiddleCut = "log-middle-cut", "etcd #14098; Alagappan et al., FAST'18: LogCabin, ZooKeeper";
    /// The second copies of terms and votes are not written.
    OneCopy = "log-one-copy", "Alagappan et al., FAST'18";
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

/// The bug that a part of the log has. Takes no room without the feature.
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
        }
    }
}
