//! What was written, what was acknowledged, and what a member must therefore hold.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// Every write that was ever sent. Each key is written once, so a member must hold exactly what the ledger says.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    writes: BTreeMap<Bytes, Write>,
    /// Keys that are written again and again by requests with a name, and how many of these were answered. When none is
    /// under way, that is the key's version.
    counters: BTreeMap<Bytes, i64>,
    /// Requests with a name that nobody would answer, in words.
    unanswered: Vec<String>,
}

#[derive(Debug)]
struct Write {
    value: Bytes,
    /// The revision that the acknowledgement named. None: the outcome is unknown, the write may have happened.
    acknowledged: Option<i64>,
}

/// One key as a member answered it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
}

/// A promise that a member broke.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was acknowledged and is not there.
    Lost { key: Bytes, revision: i64 },
    /// It is there with a value that nobody wrote under this key.
    WrongValue { key: Bytes },
    /// It is there at another revision than the acknowledgement named.
    WrongRevision { key: Bytes, acknowledged: i64, found: i64 },
    /// It was sent once and applied several times.
    AppliedTwice { key: Bytes, version: i64 },
    /// Nobody ever wrote it.
    NeverWritten { key: Bytes },
    /// It was written by so many requests with a name, each tried until it was answered, and applied another number of
    /// times.
    Miscounted { key: Bytes, answered: i64, applied: i64 },
    /// A request with a name was refused, or tried in vain for longer than any member was down.
    Unanswered { what: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { key, revision } => {
                write!(formatter, "{key:?} was acknowledged at revision {revision} and is LOST")
            }
            Self::WrongValue { key } => {
                write!(formatter, "{key:?} holds a value that was never written to it")
            }
            Self::WrongRevision { key, acknowledged, found } => {
                write!(formatter, "{key:?} was acknowledged at revision {acknowledged} and lies at {found}")
            }
            Self::AppliedTwice { key, version } => {
                write!(formatter, "{key:?} was sent once and has version {version}")
            }
            Self::NeverWritten { key } => write!(formatter, "{key:?} was never written by anyone"),
            Self::Miscounted { key, answered, applied } => {
                write!(
                    formatter,
                    "{key:?} was written by {answered} named requests and applied {applied} times"
                )
            }
            Self::Unanswered { what } => formatter.write_str(what),
        }
    }
}

impl Ledger {
    /// Notes a write before it is sent: from now on it may happen.
    pub(crate) fn sent(&mut self, key: Bytes, value: Bytes) {
        self.writes.insert(key, Write { value, acknowledged: None });
    }

    /// Notes that a write was acknowledged: from now on it must never be missing.
    pub(crate) fn acknowledged(&mut self, key: &Bytes, revision: i64) {
        if let Some(write) = self.writes.get_mut(key) {
            write.acknowledged = Some(revision);
        }
    }

    /// Notes that a request with a name that writes this counter was answered.
    pub(crate) fn counted(&mut self, key: &Bytes) {
        *self.counters.entry(key.clone()).or_default() += 1;
    }

    /// Notes that a request with a name found no answer.
    pub(crate) fn unanswered(&mut self, what: String) {
        self.unanswered.push(what);
    }

    /// How many writes were acknowledged, and how many have an unknown outcome.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let acknowledged = self.writes.values().filter(|write| write.acknowledged.is_some()).count();
        (acknowledged, self.writes.len() - acknowledged)
    }

    /// Compares everything that a member holds with what was written.
    pub(crate) fn check(&self, found: &[Found]) -> Vec<Fault> {
        let unanswered = self.unanswered.iter().map(|what| Fault::Unanswered { what: what.clone() });
        let mut faults: Vec<Fault> = unanswered.collect();
        let mut uncounted = self.counters.clone();
        let mut missing: BTreeMap<&Bytes, i64> =
            self.writes.iter().filter_map(|(key, write)| Some((key, write.acknowledged?))).collect();
        for item in found {
            missing.remove(&item.key);
            let key = item.key.clone();
            if let Some(answered) = uncounted.remove(&key) {
                if answered != item.version {
                    faults.push(Fault::Miscounted { key, answered, applied: item.version });
                }
                continue;
            }
            let Some(write) = self.writes.get(&item.key) else {
                faults.push(Fault::NeverWritten { key });
                continue;
            };
            if item.value != write.value {
                faults.push(Fault::WrongValue { key });
            } else if item.version != 1 {
                faults.push(Fault::AppliedTwice { key, version: item.version });
            } else if let Some(acknowledged) = write.acknowledged
                && acknowledged != item.mod_revision
            {
                faults.push(Fault::WrongRevision { key, acknowledged, found: item.mod_revision });
            }
        }
        let uncounted = uncounted.into_iter();
        faults.extend(uncounted.map(|(key, answered)| Fault::Miscounted { key, answered, applied: 0 }));
        faults.extend(missing.into_iter().map(|(key, revision)| Fault::Lost { key: key.clone(), revision }));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.sent(Bytes::from("a"), Bytes::from("1"));
        ledger.acknowledged(&Bytes::from("a"), 2);
        ledger.sent(Bytes::from("maybe"), Bytes::from("2"));
        ledger
    }

    fn found(key: &'static str, value: &'static str, mod_revision: i64, version: i64) -> Found {
        Found { key: Bytes::from(key), value: Bytes::from(value), mod_revision, version }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_was_not_may_be() {
        let a = found("a", "1", 2, 1);
        assert_eq!(ledger().check(std::slice::from_ref(&a)), []);
        assert_eq!(ledger().check(&[a, found("maybe", "2", 3, 1)]), []);
        assert_eq!(ledger().counts(), (1, 1));
    }

    #[test]
    fn a_missing_acknowledged_write_is_lost() {
        let faults = ledger().check(&[found("maybe", "2", 3, 1)]);
        assert_eq!(faults, [Fault::Lost { key: Bytes::from("a"), revision: 2 }]);
    }

    #[test]
    fn another_value_revision_or_version_is_a_fault() {
        let key = Bytes::from("a");
        assert_eq!(ledger().check(&[found("a", "9", 2, 1)]), [Fault::WrongValue { key: key.clone() }]);
        assert_eq!(
            ledger().check(&[found("a", "1", 5, 1)]),
            [Fault::WrongRevision { key: key.clone(), acknowledged: 2, found: 5 }]
        );
        assert_eq!(ledger().check(&[found("a", "1", 2, 2)]), [Fault::AppliedTwice { key, version: 2 }]);
    }

    #[test]
    fn what_was_named_is_counted_exactly() {
        let mut ledger = Ledger::default();
        let key = Bytes::from("counter");
        ledger.counted(&key);
        ledger.counted(&key);
        assert_eq!(ledger.check(&[found("counter", "2", 9, 2)]), []);
        for applied in [1, 3] {
            let expected = Fault::Miscounted { key: key.clone(), answered: 2, applied };
            assert_eq!(ledger.check(&[found("counter", "2", 9, applied)]), [expected]);
        }
        assert_eq!(ledger.check(&[]), [Fault::Miscounted { key, answered: 2, applied: 0 }]);
        ledger.unanswered("refused".to_owned());
        assert_eq!(ledger.check(&[]).len(), 2);
    }

    #[test]
    fn a_key_out_of_nowhere_is_a_fault() {
        let faults = ledger().check(&[found("a", "1", 2, 1), found("ghost", "?", 3, 1)]);
        assert_eq!(faults, [Fault::NeverWritten { key: Bytes::from("ghost") }]);
    }
}
