//! The thread that writes frozen states to files, so that the one that applies goes on.

use std::sync::Arc;

use crate::inbox::{Inbox, Input};
use crate::queue::{Queue, Taken};
use crate::snapshot::Directory;
use crate::snapshot::file::{self, FileError, Header, Sealed};
use crate::state_machine::Snapshot;

/// A state to be written.
pub(crate) struct Frozen {
    pub(crate) header: Header,
    pub(crate) state: Box<dyn Snapshot>,
}

/// Works until the queue is closed.
pub(crate) fn run<R>(directory: &Directory, queue: &Queue<Frozen>, inbox: &Arc<Inbox<R>>) {
    let mut work = Vec::new();
    while queue.take(&mut work, None) != Taken::Closed {
        for frozen in work.drain(..) {
            let made = make(directory, frozen);
            inbox.report(Input::SnapshotMade(made.map_err(|error| error.to_string())));
        }
    }
}

fn make(directory: &Directory, frozen: Frozen) -> Result<Made, FileError> {
    let Frozen { header, state } = frozen;
    let path = directory.outgoing(header.last);
    match file::write(path.clone(), header, |out| state.write_to(out)) {
        Ok(sealed) => Ok(Made(sealed)),
        Err(error) => {
            // The disk may be full of it. Another error hides none of this one.
            let _ = std::fs::remove_file(path);
            Err(error)
        }
    }
}

/// A file that was made to be sent. It goes with the last who sends it.
#[derive(Debug)]
pub(crate) struct Made(pub(crate) Sealed);

impl Drop for Made {
    fn drop(&mut self) {
        // The next start removes what stays.
        let _ = std::fs::remove_file(&self.0.path);
    }
}
