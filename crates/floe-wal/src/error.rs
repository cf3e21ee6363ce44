//! What can go wrong, one enum an operation, each variant with what a person or the host can do about it.

use std::io;

use floe_raft::{GroupId, Index};
use thiserror::Error;

/// The log was not opened; nothing on the disk was changed, unless the error is `Io` with a file that was
/// being mended, which opening again completes.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// The disk's answer.
        source: io::Error,
    },
    /// The disk is full: there is no room for a segment.
    #[error("no space for a segment of {bytes} bytes")]
    NoSpace {
        /// The length of the segment.
        bytes: u64,
        /// The disk's answer.
        source: io::Error,
    },
    /// The options cannot work.
    #[error("bad log options: {0}")]
    Options(&'static str),
    /// The directory is the log of somebody else.
    #[error(
        "{file} belongs to member {found_member:x} of cluster {found_cluster:x}, \
         and this is member {member:x} of cluster {cluster:x}: point it at its own data directory"
    )]
    WrongOwner {
        /// The segment.
        file: String,
        /// The cluster in its header.
        found_cluster: u64,
        /// The member in its header.
        found_member: u64,
        /// The cluster that was expected.
        cluster: u64,
        /// The member that was expected.
        member: u64,
    },
    /// The segment was written by another version of this program.
    #[error("{file} has format version {found}, and this program reads version {known}")]
    Version {
        /// The segment.
        file: String,
        /// The version in its header.
        found: u32,
        /// The version that is understood.
        known: u32,
    },
    /// The segment lies under another's name: files were renamed or copied over each other.
    #[error("{file} holds segment {found}: files of the log were renamed or copied over each other")]
    Misplaced {
        /// The file.
        file: String,
        /// The sequence in its header.
        found: u64,
    },
    /// A segment that holds needed entries is not there.
    #[error("segment {file} is missing, and the log needs it")]
    Missing {
        /// The name that it should have.
        file: String,
    },
    /// Data that were (or, if `undecided`, may have been) acknowledged are damaged. Nothing was dropped.
    #[error(
        "{file} is damaged at byte {offset}{}: {reason}{}",
        entry_of(*.group, *.index),
        if *.undecided {
            "; it is the last write of the log: either power failed before all of it was on disk, or an \
             acknowledged write was damaged"
        } else {
            "; the damage is in acknowledged data, and nothing was dropped"
        }
    )]
    Corrupt {
        /// The segment.
        file: String,
        /// Where the damage begins, in bytes from its start.
        offset: u64,
        /// The group of the damaged record, if that is still readable.
        group: Option<GroupId>,
        /// The index of the damaged entry, if that is still readable.
        index: Option<Index>,
        /// What does not fit.
        reason: &'static str,
        /// The damage is in the last write, and nothing tells a power failure from damage done later.
        undecided: bool,
    },
    /// Both copies of a group's term and vote are bad.
    #[error(
        "both copies of the vote in {file} (bytes {offset} and {copy}) are damaged{}: this member must never vote again \
         under its id; remove it from the cluster and add it under a new one",
        entry_of(*.group, None)
    )]
    HardStateLost {
        /// The segment.
        file: String,
        /// Where the first copy lies.
        offset: u64,
        /// Where the second copy lies.
        copy: u64,
        /// The group, if that is still readable.
        group: Option<GroupId>,
    },
}

fn entry_of(group: Option<GroupId>, index: Option<Index>) -> String {
    match (group, index) {
        (Some(group), Some(index)) => format!(" (group {group}, index {index})"),
        (Some(group), None) => format!(" (group {group})"),
        (None, Some(_) | None) => String::new(),
    }
}

/// The batch is not durable.
#[derive(Debug, Error)]
pub enum AppendError {
    /// An earlier write failed, and what is on the disk since is not known. Stop, and open the log again.
    #[error("the log failed earlier and takes no more writes")]
    Poisoned,
    /// The disk failed. The log takes no more writes.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// The disk's answer.
        source: io::Error,
    },
    /// There is no room for the next segment. Nothing was written, the log is as it was: free some space and
    /// try again.
    #[error("no space for the next segment of the log ({bytes} bytes)")]
    NoSpace {
        /// The length of the segment.
        bytes: u64,
        /// The disk's answer.
        source: io::Error,
    },
    /// The batch is larger than any segment can be. Nothing was written.
    #[error("a batch of {bytes} bytes is more than the {most} that a segment can hold")]
    TooLarge {
        /// What the batch takes.
        bytes: u64,
        /// What is possible.
        most: u64,
    },
    /// The host asked for what would break the group's log. Nothing was written.
    #[error("group {group}: {reason} (at index {index})")]
    Refused {
        /// The group.
        group: GroupId,
        /// The index that does not fit.
        index: Index,
        /// What does not fit.
        reason: &'static str,
    },
}

impl AppendError {
    /// Whether the log takes no more writes until it is opened again.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Poisoned | Self::Io { .. } => true,
            Self::NoSpace { .. } | Self::TooLarge { .. } | Self::Refused { .. } => false,
        }
    }
}

/// The entries were not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The first entry is compacted, or was replaced by a snapshot.
    #[error("the first entry is compacted")]
    Compacted,
    /// The log has no such entry.
    #[error("the log ends at {last}")]
    Absent {
        /// The last entry.
        last: Index,
    },
    /// What is on the disk is not what was written.
    #[error("{file} is damaged at byte {offset} (group {group}, index {index}): {reason}")]
    Corrupt {
        /// The segment.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// The group that was asked for.
        group: GroupId,
        /// The entry that was asked for.
        index: Index,
        /// What does not fit.
        reason: &'static str,
    },
    /// The disk failed.
    #[error("cannot read {file}")]
    Io {
        /// On which file.
        file: String,
        /// The disk's answer.
        source: io::Error,
    },
}

/// No spare segment was made; asking again is allowed.
#[derive(Debug, Error)]
#[error("cannot {action} {file}")]
pub struct SpareError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub file: String,
    /// The disk's answer.
    pub source: io::Error,
}

impl SpareError {
    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        is_no_space(&self.source)
    }
}

/// Whether the disk is full, for this user at least.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
