//! Whose data directory this is, and whether it may be without a log: a small file beside the log.
//!
//! It holds the cluster, the member, and the membership that the cluster began with, which is in force at the
//! beginning of the log. A directory of another member must never be opened under a wrong id: its votes would be
//! cast twice (openraft's "node ids must not be reused").
//!
//! The file is written before the log and once more when the log is durable, before the member says its first word.
//! From then on a directory without a log has lost it, and with it the votes that were cast: taken for a new one, the
//! member would vote a second time in a term (reliability W16).
//!
//! ```text
//! magic "FLOE-ID\n" | version u16 | cluster u64 | member u64 | has log u8 | count u32
//! | count x (id u64, length u16, address) | crc32c u32 of all before
//! ```
//! Numbers are little endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use floe_raft::{Membership, NodeId};

use crate::config::NodeConfig;
use crate::error::StartError;

const FILE: &str = "identity";
const TEMPORARY: &str = "identity.tmp";
const MAGIC: &[u8; 8] = b"FLOE-ID\n";
const VERSION: u16 = 1;
/// Thousands of members would fit; a longer file is not ours.
const BYTES_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    /// The log was durable once, so that it must be there.
    pub(crate) has_log: bool,
    /// The members that the cluster began with, and where each is reached.
    pub(crate) members: BTreeMap<NodeId, String>,
}

impl Identity {
    /// Reads the identity of the data directory, or writes it if the directory is new. Refuses a directory of
    /// another member or cluster.
    pub(crate) fn establish(config: &NodeConfig, has_log: bool) -> Result<Self, StartError> {
        let path = config.data_dir.join(FILE);
        match read_bounded(&path) {
            Ok(bytes) => {
                let identity = Self::decode(bytes)
                    .map_err(|reason| StartError::Identity { path: path.clone(), reason })?;
                identity.check_owner(config)?;
                if identity.has_log && !has_log {
                    return Err(StartError::LogMissing {
                        path: config.data_dir.clone(),
                        member: config.id.0,
                    });
                }
                Ok(identity)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_log => {
                Err(StartError::IdentityMissing { path: config.data_dir.clone() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self::of_new_cluster(config)?;
                identity.write(&config.data_dir)?;
                Ok(identity)
            }
            Err(error) => Err(StartError::Io { doing: "cannot read", path, error }),
        }
    }

    /// The log is durable: from now on it must be there. Done before the member takes part in anything.
    pub(crate) fn note_log(&mut self, dir: &Path) -> Result<(), StartError> {
        if !self.has_log {
            self.has_log = true;
            self.write(dir)?;
        }
        Ok(())
    }

    fn check_owner(&self, config: &NodeConfig) -> Result<(), StartError> {
        if self.cluster == config.cluster && self.member == config.id {
            return Ok(());
        }
        Err(StartError::WrongOwner {
            path: config.data_dir.clone(),
            found_member: self.member.0,
            found_cluster: self.cluster,
            member: config.id.0,
            cluster: config.cluster,
        })
    }

    fn of_new_cluster(config: &NodeConfig) -> Result<Self, StartError> {
        let invalid = |reason: String| Err(StartError::Config(reason));
        if !config.members.contains_key(&config.id) {
            return invalid(format!("member {} is not among the members of the new cluster", config.id));
        }
        for (id, address) in &config.members {
            if id.0 == 0 {
                return invalid("a member id is zero".into());
            }
            if address.is_empty() || address.len() > usize::from(u16::MAX) {
                return invalid(format!("the address of member {id} is empty or too long"));
            }
        }
        let members = config.members.clone();
        Ok(Self { cluster: config.cluster, member: config.id, has_log: false, members })
    }

    /// The membership in force before the first entry of the log.
    pub(crate) fn membership(&self) -> Membership {
        let mut membership = Membership::of_voters(self.members.keys().copied());
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
        bytes.push(u8::from(self.has_log));
        bytes.extend((self.members.len() as u32).to_le_bytes());
        for (id, address) in &self.members {
            bytes.extend(id.0.to_le_bytes());
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
        if bytes.try_get_u16_le().map_err(short)? != VERSION {
            return Err("it was written by a newer version");
        }
        let cluster = bytes.try_get_u64_le().map_err(short)?;
        let member = NodeId(bytes.try_get_u64_le().map_err(short)?);
        let has_log = match bytes.try_get_u8().map_err(short)? {
            0 => false,
            1 => true,
            _ => return Err("it says neither that there is a log nor that there is none"),
        };
        let count = bytes.try_get_u32_le().map_err(short)?;
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let id = NodeId(bytes.try_get_u64_le().map_err(short)?);
            let length = usize::from(bytes.try_get_u16_le().map_err(short)?);
            if length > bytes.len() {
                return Err("it is too short");
            }
            let address = bytes.split_to(length);
            let address = std::str::from_utf8(&address).map_err(|_| "an address is not text")?;
            members.insert(id, address.to_owned());
        }
        if bytes.is_empty() { Ok(Self { cluster, member, has_log, members }) } else { Err("it is too long") }
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
        assert!(Identity::establish(&config, true).expect("the same identity").has_log);
        let error = Identity::establish(&config, false).expect_err("refused");
        assert!(matches!(error, StartError::LogMissing { member: 1, .. }), "{error}");
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
