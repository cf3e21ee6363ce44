//! Whose data directory this is, and whether it may be without a log: a small file beside the log.
//!
//! It holds the cluster, the member, and for a member that was there at the beginning the membership that the cluster
//! began with, which is in force at the beginning of the log. A member that joined later knows no such membership, and
//! keeps there whom to talk to until the log tells. A directory of another member must never be opened under a wrong id: its votes would be
//! cast twice (openraft's "node ids must not be reused").
//!
//! It says, too, whether the member is a witness: what the log of one holds is of no use to a member with data, and to count
//! a log with gaps for a whole one would lose writes.
//!
//! The file is written before the log and once more when the log is durable, before the member says its first word.
//! From then on a directory without a log has lost it, and with it the votes that were cast: taken for a new one, the
//! member would vote a second time in a term (reliability W16).
//!
//! ```text
//! magic "FLOE-ID\n" | version u16 | cluster u64 | member u64 | stage u8 | joined: term u64, index u64 | count u32
//! | count x (id u64, witness u8, length u16, address) | crc32c u32 of all before
//! ```
//! Numbers are little endian.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use floe_raft::{Index, LogId, Membership, NodeId, Term};

use crate::config::NodeConfig;
use crate::error::StartError;

const FILE: &str = "identity";
const TEMPORARY: &str = "identity.tmp";
const MAGIC: &[u8; 8] = b"FLOE-ID\n";
const VERSION: u16 = 3;
/// The one before, which knew no witnesses.
const VERSION_WITHOUT_WITNESSES: u16 = 2;
/// Thousands of members would fit; a longer file is not ours.
const BYTES_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    pub(crate) stage: Stage,
    /// For a member that was added to a cluster that ran already, what was committed when that was known. Memberships
    /// up to there may be without it.
    pub(crate) joined: Option<LogId>,
    /// The members that the cluster began with, or for one that joined, those to talk to; and where each is reached.
    pub(crate) members: BTreeMap<NodeId, String>,
    /// Those of them that are witnesses.
    pub(crate) witnesses: BTreeSet<NodeId>,
}

/// How far the life of a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no log yet; nothing was said to anybody.
    New,
    /// The log was durable once, so that it must be there.
    Log,
    /// The member was removed from the cluster, for good.
    Removed,
}

/// Whose a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub member: NodeId,
    /// Whether the member is a witness.
    pub witness: bool,
}

impl Owner {
    /// Reads whose the data directory is; `None` if it belongs to nobody yet.
    pub fn of(data_dir: &Path) -> Result<Option<Self>, StartError> {
        let identity = Identity::read(data_dir)?;
        Ok(identity.map(|identity| identity.owner()))
    }
}

impl Owner {
    /// Refuses a start of the other kind of member: a witness, or one with data.
    pub fn check_kind(&self, data_dir: &Path, witness: bool) -> Result<(), StartError> {
        if self.witness == witness {
            return Ok(());
        }
        let (path, member, cluster) = (data_dir.to_owned(), self.member.0, self.cluster);
        Err(StartError::OtherKind { path, member, cluster, witness: self.witness })
    }
}

impl Identity {
    /// Reads the identity of the data directory, or writes it if the directory is new. Refuses a directory of
    /// another member or cluster, and one of a member that was removed.
    pub(crate) fn establish(config: &NodeConfig, has_log: bool) -> Result<Self, StartError> {
        let Some(identity) = Self::read(&config.data_dir)? else {
            if has_log {
                return Err(StartError::IdentityMissing { path: config.data_dir.clone() });
            }
            let identity = Self::of_new_directory(config)?;
            identity.write(&config.data_dir)?;
            return Ok(identity);
        };
        identity.check_owner(config)?;
        let (path, member) = (config.data_dir.clone(), config.id.0);
        match identity.stage {
            Stage::Removed => Err(StartError::Removed { path, member, cluster: config.cluster }),
            Stage::Log if !has_log => Err(StartError::LogMissing { path, member }),
            Stage::New | Stage::Log => Ok(identity),
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        let witness = self.witnesses.contains(&self.member);
        Owner { cluster: self.cluster, member: self.member, witness }
    }

    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, StartError> {
        let path = dir.join(FILE);
        match read_bounded(&path) {
            Ok(bytes) => {
                Self::decode(bytes).map(Some).map_err(|reason| StartError::Identity { path, reason })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StartError::Io { doing: "cannot read", path, error }),
        }
    }

    /// The log is durable: from now on it must be there. Done before the member takes part in anything.
    pub(crate) fn note_log(&mut self, dir: &Path) -> Result<(), StartError> {
        if self.stage == Stage::New {
            self.stage = Stage::Log;
            self.write(dir)?;
        }
        Ok(())
    }

    /// The member was removed: it must never start again, since nobody would tell it any more.
    pub(crate) fn note_removed(&mut self, dir: &Path) -> Result<(), StartError> {
        self.stage = Stage::Removed;
        self.write(dir)
    }

    fn check_owner(&self, config: &NodeConfig) -> Result<(), StartError> {
        if self.cluster == config.cluster && self.member == config.id {
            return self.owner().check_kind(&config.data_dir, config.is_witness());
        }
        Err(StartError::WrongOwner {
            path: config.data_dir.clone(),
            found_member: self.member.0,
            found_cluster: self.cluster,
            member: config.id.0,
            cluster: config.cluster,
        })
    }

    fn of_new_directory(config: &NodeConfig) -> Result<Self, StartError> {
        let invalid = |reason: String| Err(StartError::Config(reason));
        if !config.members.contains_key(&config.id) {
            return invalid(format!("member {} is not among the members of the cluster", config.id));
        }
        if config.joined == Some(LogId::ZERO) {
            return invalid("a running cluster has committed something".into());
        }
        for (id, address) in &config.members {
            if id.0 == 0 {
                return invalid("a member id is zero".into());
            }
            if address.is_empty() || address.len() > usize::from(u16::MAX) {
                return invalid(format!("the address of member {id} is empty or too long"));
            }
        }
        if let Some(stranger) = config.witnesses.iter().find(|id| !config.members.contains_key(id)) {
            return invalid(format!("witness {stranger} is not among the members of the cluster"));
        }
        let (members, witnesses) = (config.members.clone(), config.witnesses.clone());
        let (cluster, member, joined) = (config.cluster, config.id, config.joined);
        let identity = Self { cluster, member, stage: Stage::New, joined, members, witnesses };
        match identity.membership().fault() {
            Some(reason) if joined.is_none() => {
                invalid(format!("no cluster may have these members: {reason}"))
            }
            Some(_) | None => Ok(identity),
        }
    }

    /// The membership in force before the first entry of the log: none for a member that joined.
    pub(crate) fn membership(&self) -> Membership {
        if self.joined.is_some() {
            return Membership::default();
        }
        let mut membership = Membership::of_voters(self.members.keys().copied());
        membership.witnesses.clone_from(&self.witnesses);
        membership.addresses =
            self.members.iter().map(|(&id, address)| (id, Bytes::from(address.clone()))).collect();
        membership
    }

    /// Writes the file so that it is either there and whole, or not there.
    fn write(&self, dir: &Path) -> Result<(), StartError> {
        let (temporary, path) = (dir.join(TEMPORARY), dir.join(FILE));
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error| StartError::Io { doing: "cannot write", path, error }
        };
        let mut file = File::create(&temporary).map_err(failed(&temporary))?;
        file.write_all(&self.encode()).map_err(failed(&temporary))?;
        file.sync_all().map_err(failed(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(failed(&path))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(&path))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.cluster.to_le_bytes());
        bytes.extend(self.member.0.to_le_bytes());
        bytes.push(match self.stage {
            Stage::New => 0,
            Stage::Log => 1,
            Stage::Removed => 2,
        });
        // No entry has the term zero, so that zeros mean a member that was there from the beginning.
        let joined = self.joined.unwrap_or(LogId::ZERO);
        bytes.extend(joined.term.0.to_le_bytes());
        bytes.extend(joined.index.0.to_le_bytes());
        bytes.extend((self.members.len() as u32).to_le_bytes());
        for (id, address) in &self.members {
            bytes.extend(id.0.to_le_bytes());
            bytes.push(u8::from(self.witnesses.contains(id)));
            bytes.extend((address.len() as u16).to_le_bytes());
            bytes.extend(address.as_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn decode(mut bytes: Bytes) -> Result<Self, &'static str> {
        let short = |_| "it is too short";
        if bytes.len() < MAGIC.len() + 6 || bytes[..MAGIC.len()] != *MAGIC {
            return Err("it is not an identity file");
        }
        let mut crc = bytes.split_off(bytes.len() - 4);
        if crc.try_get_u32_le().map_err(short)? != crc32c::crc32c(&bytes) {
            return Err("its checksum does not match");
        }
        bytes.advance(MAGIC.len());
        let version = bytes.try_get_u16_le().map_err(short)?;
        if !matches!(version, VERSION | VERSION_WITHOUT_WITNESSES) {
            return Err("it was written by another version");
        }
        let cluster = bytes.try_get_u64_le().map_err(short)?;
        let member = NodeId(bytes.try_get_u64_le().map_err(short)?);
        let stage = match bytes.try_get_u8().map_err(short)? {
            0 => Stage::New,
            1 => Stage::Log,
            2 => Stage::Removed,
            _ => return Err("it names a stage that does not exist"),
        };
        let term = Term(bytes.try_get_u64_le().map_err(short)?);
        let joined = LogId::new(term, Index(bytes.try_get_u64_le().map_err(short)?));
        let joined = (joined != LogId::ZERO).then_some(joined);
        let count = bytes.try_get_u32_le().map_err(short)?;
        let (mut members, mut witnesses) = (BTreeMap::new(), BTreeSet::new());
        for _ in 0..count {
            let id = NodeId(bytes.try_get_u64_le().map_err(short)?);
            let kind = if version == VERSION { bytes.try_get_u8().map_err(short)? } else { 0 };
            match kind {
                0 => {}
                1 => drop(witnesses.insert(id)),
                _ => return Err("it names a kind of member that does not exist"),
            }
            let length = usize::from(bytes.try_get_u16_le().map_err(short)?);
            if length > bytes.len() {
                return Err("it is too short");
            }
            let address = bytes.split_to(length);
            let address = std::str::from_utf8(&address).map_err(|_| "an address is not text")?;
            members.insert(id, address.to_owned());
        }
        let identity = Self { cluster, member, stage, joined, members, witnesses };
        if bytes.is_empty() { Ok(identity) } else { Err("it is too long") }
    }
}

fn read_bounded(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, id: u64, cluster: u64) -> NodeConfig {
        let mut config = NodeConfig::new(NodeId(id), cluster, dir);
        config.members =
            (1..=3).map(|id| (NodeId(id), format!("host-{id}.example:7{id:03}"))).collect::<BTreeMap<_, _>>();
        config
    }

    #[test]
    fn it_is_written_once_and_then_wins_over_the_configuration() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Identity::establish(&config(dir.path(), 2, 9), false).expect("a new identity");
        let mut changed = config(dir.path(), 2, 9);
        changed.members.clear();
        assert_eq!(Identity::establish(&changed, true).expect("the same identity"), first);
        assert_eq!(first.membership().voters.len(), 3);
        assert_eq!(first.membership().addresses[&NodeId(3)], "host-3.example:7003");
    }

    #[test]
    fn a_directory_of_another_member_or_cluster_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        Identity::establish(&config(dir.path(), 2, 9), false).expect("a new identity");
        for (id, cluster) in [(3, 9), (2, 8)] {
            let error = Identity::establish(&config(dir.path(), id, cluster), true).expect_err("refused");
            let text = error.to_string();
            assert!(matches!(error, StartError::WrongOwner { .. }), "{text}");
            assert!(text.contains("member 2 of cluster 9"), "{text}");
            assert!(text.contains(&format!("member {id} of cluster {cluster}")), "{text}");
        }
    }

    #[test]
    fn a_log_that_was_durable_once_must_be_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = config(dir.path(), 1, 7);
        let mut identity = Identity::establish(&config, false).expect("a new identity");
        // A crash before the log was made: nothing was said yet.
        assert_eq!(Identity::establish(&config, false).expect("still new"), identity);
        identity.note_log(dir.path()).expect("written");
        assert_eq!(Identity::establish(&config, true).expect("the same identity").stage, Stage::Log);
        let error = Identity::establish(&config, false).expect_err("refused");
        assert!(matches!(error, StartError::LogMissing { member: 1, .. }), "{error}");
    }

    #[test]
    fn a_member_that_joined_begins_without_a_membership_and_remembers_since_when() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path(), 3, 7);
        config.joined = Some(LogId::new(Term(4), Index(90)));
        Identity::establish(&config, false).expect("a new identity");
        config.joined = None;
        let identity = Identity::establish(&config, true).expect("the same identity");
        assert_eq!(identity.joined, Some(LogId::new(Term(4), Index(90))));
        assert_eq!(identity.membership(), Membership::default());
        assert_eq!(identity.members.len(), 3);
        let owner = Owner::of(dir.path()).expect("readable");
        assert_eq!(owner, Some(Owner { cluster: 7, member: NodeId(3), witness: false }));
    }

    #[test]
    fn a_witness_is_one_for_ever_and_a_member_with_data_never() {
        for founded_as_witness in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            let mut config = config(dir.path(), 3, 7);
            config.witnesses.extend(founded_as_witness.then_some(config.id));
            let identity = Identity::establish(&config, false).expect("a new identity");
            assert_eq!(identity.membership().witnesses, config.witnesses);
            assert_eq!(Identity::establish(&config, true).expect("the same"), identity);
            let mut other = config.clone();
            other.witnesses = [config.id].into_iter().filter(|_| !founded_as_witness).collect();
            let error = Identity::establish(&other, true).expect_err("refused");
            assert!(
                matches!(error, StartError::OtherKind { member: 3, cluster: 7, witness, .. } if witness == founded_as_witness),
                "{error}"
            );
        }
    }

    #[test]
    fn a_cluster_whose_witnesses_would_decide_alone_is_not_begun() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path(), 1, 7);
        config.witnesses = [NodeId(2), NodeId(3)].into();
        let error = Identity::establish(&config, false).expect_err("refused");
        assert!(error.to_string().contains("a majority could be witnesses"), "{error}");
        config.witnesses = [NodeId(9)].into();
        let error = Identity::establish(&config, false).expect_err("refused");
        assert!(error.to_string().contains("witness 9 is not among the members"), "{error}");
        // One that joins need not know all the others.
        config.witnesses = [config.id].into();
        config.members = [(config.id, "host:1".to_owned())].into();
        config.joined = Some(LogId::new(Term(4), Index(90)));
        assert!(Identity::establish(&config, false).expect("a new identity").owner().witness);
    }

    #[test]
    fn a_file_of_the_time_before_witnesses_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let identity = Identity::establish(&config(dir.path(), 1, 7), false).expect("a new identity");
        let mut old = MAGIC.to_vec();
        old.extend(VERSION_WITHOUT_WITNESSES.to_le_bytes());
        old.extend(7_u64.to_le_bytes());
        old.extend(1_u64.to_le_bytes());
        old.extend([0; 17]);
        old.extend(3_u32.to_le_bytes());
        for (id, address) in &identity.members {
            old.extend(id.0.to_le_bytes());
            old.extend((address.len() as u16).to_le_bytes());
            old.extend(address.as_bytes());
        }
        old.extend(crc32c::crc32c(&old).to_le_bytes());
        assert_eq!(Identity::decode(old.into()), Ok(identity));
    }

    #[test]
    fn a_removed_member_does_not_start_again() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Owner::of(dir.path()).expect("readable"), None);
        let config = config(dir.path(), 1, 7);
        let mut identity = Identity::establish(&config, false).expect("a new identity");
        identity.note_removed(dir.path()).expect("written");
        for has_log in [false, true] {
            let error = Identity::establish(&config, has_log).expect_err("refused");
            assert!(matches!(error, StartError::Removed { member: 1, cluster: 7, .. }), "{error}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let whole = Identity::establish(&config(dir.path(), 1, 7), false).expect("a new identity").encode();
        assert!(Identity::decode(whole.clone().into()).is_ok());
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(flipped.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Identity::decode(whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_log_without_identity_and_a_cluster_without_this_member_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Identity::establish(&config(dir.path(), 1, 7), true).expect_err("refused");
        assert!(matches!(error, StartError::IdentityMissing { .. }));
        let error = Identity::establish(&config(dir.path(), 4, 7), false).expect_err("refused");
        assert!(matches!(error, StartError::Config(_)));
    }
}
