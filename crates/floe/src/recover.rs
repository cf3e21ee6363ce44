//! Recovery by hand, on the data directory of a member that does not run: going on without a majority that is lost for
//! good, and giving up a last write that nothing can decide about. `docs/design/recovery.md`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use floe_raft::codec::{decode_membership, encode_membership};
use floe_raft::{Entry, EntryKind, GroupId, HardState, LogId, Membership, NodeId, Term, Write, WriteId};
use floe_wal::{OpenError, Options, RecoveredGroup, Wal};

use crate::disk::FileDisk;
use crate::error::StartError;
use crate::fences::Fences;
use crate::identity::{Identity, Owner};
use crate::members::MembersFile;

const GROUP: GroupId = GroupId(1);

/// What the data directory of a stopped member holds.
#[derive(Clone, Debug)]
pub struct Survivor {
    /// Whose it is.
    pub owner: Owner,
    /// The latest term that it has seen.
    pub term: Term,
    /// What the first entry of its log follows: everything up to there is committed and in the state machine.
    pub base: LogId,
    /// The last entry in its log. Which of the entries after the state machine's are committed, nothing on this disk
    /// tells.
    pub last: LogId,
    /// The members, as far as this log knows.
    pub membership: Membership,
}

/// Why a data directory is not recovered. Nothing on it was changed, unless the error is one of input and output.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log ends with a damaged write, and nothing tells whether it was acknowledged.
    #[error(
        "the last write of the log is damaged, and nothing on this disk tells whether it was acknowledged; if another \
         member holds what it may contain, or you give that up, discard it with --discard-undecided: {0}"
    )]
    Undecided(OpenError),
    /// It cannot be opened for another reason.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no member in it.
    #[error("{} holds no member", .0.display())]
    Empty(PathBuf),
    /// A snapshot is being put in place of the state machine, which the next start does.
    #[error("a snapshot is being put in place; start the member once, stop it, and recover it then")]
    Installing,
    /// The member has no vote, so that nothing in its log need be complete.
    #[error("member {0} is no voter: its log may lack what was committed long ago; recover a voter")]
    NotAVoter(NodeId),
    /// The member is a witness.
    #[error("member {0} is a witness, without any data to go on with; recover a member that has some")]
    Witness(NodeId),
}

impl Survivor {
    /// Reads a data directory that no process uses.
    pub fn read(data_dir: &Path) -> Result<Self, RecoverError> {
        Ok(Opened::open(data_dir, false)?.survivor)
    }

    /// The other members: those that would be given up.
    pub fn others(&self) -> BTreeSet<NodeId> {
        self.membership.members().into_iter().filter(|&member| member != self.owner.member).collect()
    }

    /// Makes this member the only one of its cluster. Its log stays as it is, whether its last entries were committed or
    /// not; a new entry behind it says that nobody else belongs to the cluster. The other members are refused for ever.
    ///
    /// What they had acknowledged and this member never received is lost.
    pub fn recover(data_dir: &Path) -> Result<Self, RecoverError> {
        let mut opened = Opened::open(data_dir, false)?;
        let member = opened.survivor.owner.member;
        // It restarts the log after the snapshot, and what is appended here would be gone.
        if data_dir.join("snapshots").join("installing").exists() {
            return Err(RecoverError::Installing);
        }
        if opened.survivor.owner.witness {
            return Err(RecoverError::Witness(member));
        }
        if !opened.survivor.membership.is_voter(member) {
            return Err(RecoverError::NotAVoter(member));
        }
        if opened.survivor.others().is_empty() {
            return Ok(opened.survivor);
        }
        let io = |doing| move |error| StartError::Io { doing, path: data_dir.to_owned(), error };
        // First who is refused, then that nobody needs them: after a crash between the two the old majority is still
        // needed and refused, and the same command does the rest.
        let fences = Fences::open(data_dir).map_err(io("cannot read the fences in"))?;
        fences.note_lost(opened.survivor.others()).map_err(io("cannot write the fences in"))?;
        opened.make_sole()?;
        Ok(opened.survivor)
    }

    /// Drops the last write of the log if it is damaged and nothing tells whether it was acknowledged. A log that is
    /// whole stays as it is. Gives what is left.
    pub fn discard_undecided(data_dir: &Path) -> Result<Self, RecoverError> {
        Ok(Opened::open(data_dir, true)?.survivor)
    }
}

struct Opened {
    wal: Wal<FileDisk>,
    group: RecoveredGroup,
    survivor: Survivor,
}

impl Opened {
    fn open(data_dir: &Path, discard: bool) -> Result<Self, RecoverError> {
        let io = |doing| move |error| StartError::Io { doing, path: data_dir.to_owned(), error };
        let Some(identity) = Identity::read(data_dir)? else {
            return Err(RecoverError::Empty(data_dir.to_owned()));
        };
        let log_dir = data_dir.join("log");
        if !log_dir.is_dir() {
            let (path, member) = (data_dir.to_owned(), identity.member.0);
            return Err(StartError::LogMissing { path, member }.into());
        }
        let disk = FileDisk::open(&log_dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StartError::InUse { path: data_dir.to_owned() },
            _ => io("cannot open")(error),
        })?;
        let options = Options::new(identity.cluster, identity.member.0);
        let opened =
            if discard { Wal::open_discarding_undecided(disk, options) } else { Wal::open(disk, options) };
        let (wal, mut groups) = opened.map_err(|error| match error {
            OpenError::Corrupt { undecided: true, .. } => RecoverError::Undecided(error),
            error => RecoverError::Start(error.into()),
        })?;
        let group = groups.remove(&GROUP).unwrap_or_default();
        let members = MembersFile::open(data_dir).map_err(io("cannot read the members in"))?;
        let membership = match group.memberships.last() {
            Some(entry) => decode_membership(entry.payload.clone()).map_err(|_| {
                StartError::Config(format!("the membership at {} of the log cannot be read", entry.id))
            })?,
            None => members.at(group.base.index).cloned().unwrap_or_else(|| identity.membership()),
        };
        let owner = identity.owner();
        let (term, base, last) = (group.hard_state.term, group.base, group.last);
        Ok(Self { wal, group, survivor: Survivor { owner, term, base, last, membership } })
    }

    /// Appends the membership of this member alone, in a term of its own.
    fn make_sole(&mut self) -> Result<(), StartError> {
        let member = self.survivor.owner.member;
        let mut membership = Membership::of_voters([member]);
        if let Some(address) = self.survivor.membership.addresses.get(&member) {
            membership.addresses.insert(member, address.clone());
        }
        let term = self.group.hard_state.term.next();
        let id = LogId::new(term, self.group.last.index.next());
        let mut payload = Vec::new();
        encode_membership(&membership, &mut payload);
        let entry = Entry { id, kind: EntryKind::Membership, payload: payload.into() };
        let write = Write {
            id: WriteId(0),
            hard_state: Some(HardState { term, vote: Some(member) }),
            restart_after: None,
            truncate_from: None,
            entries: vec![entry],
        };
        self.wal.append(&[(GROUP, write)])?;
        (self.survivor.term, self.survivor.last, self.survivor.membership) = (term, id, membership);
        Ok(())
    }
}
