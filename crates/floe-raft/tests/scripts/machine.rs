//! A tiny replicated state machine: named values, and a digest of everything that ever went into them.

use std::collections::BTreeMap;

use floe_raft::{Entry, EntryKind, LogId, Membership};

/// The state machine at one moment. A copy of it is a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// The last entry applied.
    pub(crate) last: LogId,
    /// The membership at that entry.
    pub(crate) membership: Membership,
    /// The values.
    pub(crate) values: BTreeMap<String, String>,
    /// Differs as soon as two machines applied anything different, in order, kind or content.
    pub(crate) digest: u64,
}

impl Machine {
    /// An empty machine of a new group.
    pub(crate) fn new(membership: Membership) -> Self {
        Self { membership, ..Self::default() }
    }

    /// Whether it can be sent as a snapshot. The machine of a node that joined knows no membership until it has
    /// applied the entry that added it.
    pub(crate) fn knows_its_group(&self) -> bool {
        !self.membership.voters.is_empty()
    }

    /// Applies one entry: `x=1` sets, `add x=2` adds; anything else only changes the digest.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        self.last = entry.id;
        self.digest = mix(mix(self.digest, &entry.id.term.0.to_le_bytes()), &entry.id.index.0.to_le_bytes());
        self.digest = mix(mix(self.digest, &[entry.kind as u8]), &entry.payload);
        match entry.kind {
            EntryKind::Noop | EntryKind::Witnessed => {}
            EntryKind::Command => self.command(&text(&entry.payload)),
            EntryKind::Membership => {
                if let Ok(membership) = floe_raft::codec::decode_membership(entry.payload.clone()) {
                    self.membership = membership;
                }
            }
        }
    }

    fn command(&mut self, text: &str) {
        let (adds, assignment) = match text.strip_prefix("add ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let Some((name, value)) = assignment.split_once('=') else { return };
        let value = if adds {
            let number = |text: &str| text.parse::<i64>().unwrap_or(0);
            let old = self.values.get(name).map_or(0, |old| number(old));
            (old + number(value)).to_string()
        } else {
            value.to_owned()
        };
        self.values.insert(name.to_owned(), value);
    }

    /// The values as `{x=1 y=2}`.
    pub(crate) fn describe(&self) -> String {
        let values: Vec<String> = self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("applied={} {{{}}}", self.last, values.join(" "))
    }
}

/// A command as the scripts wrote it. After a `#` comes a serial number that makes every proposal unique, so that
/// the checker can tell a refused command from another with the same words.
pub(crate) fn text(payload: &[u8]) -> String {
    let words = payload.split(|byte| *byte == b'#').next().unwrap_or_default();
    String::from_utf8_lossy(words).into_owned()
}

/// FNV-1a, continued.
fn mix(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest ^ 0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
