//! The thread that writes the file of a trace.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::inbox::Inbox;
use crate::threads::Threads;

/// Lines that may wait for the disk. With some 200 bytes a line it bounds what a stalled disk makes a member hold.
const WAITING_MAX: usize = 16_384;

/// Starts the thread. It ends when the sender is dropped, and everything is in the file then.
pub(crate) fn start<R: Send + 'static>(
    threads: &mut Threads,
    inbox: &Arc<Inbox<R>>,
    path: &Path,
) -> io::Result<SyncSender<String>> {
    let file = create(path)?;
    let (sender, lines) = sync_channel(WAITING_MAX);
    let path = path.to_owned();
    threads.spawn("trace", inbox, move || {
        if let Err(error) = write(&lines, file) {
            // A member does not stop for want of its trace; the tracer sees that nobody takes its lines.
            tracing::warn!(path = %path.display(), %error, "cannot write the trace; it ends here");
        }
    })?;
    Ok(sender)
}

/// A new file. What an earlier life wrote is what somebody wants to read after a crash, so it is kept once.
fn create(path: &Path) -> io::Result<File> {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    match std::fs::rename(path, old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::create_new(path)
}

/// Writes what comes, and flushes whenever nothing waits, so that the file is never far behind.
fn write(lines: &Receiver<String>, file: File) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    while let Ok(line) = lines.recv() {
        writeln!(file, "{line}")?;
        while let Ok(line) = lines.try_recv() {
            writeln!(file, "{line}")?;
        }
        file.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_sent_is_in_the_file_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("t.ndjson");
        for life in ["first", "second"] {
            let (sender, lines) = sync_channel(4);
            let file = create(&path).expect("a new file");
            let writer = std::thread::spawn(move || write(&lines, file));
            for number in 0..100 {
                sender.send(format!("{life} {number}")).expect("it is taken");
            }
            drop(sender);
            writer.join().expect("no panic").expect("written");
        }
        let read = |path: &Path| std::fs::read_to_string(path).expect("it is there");
        assert!(read(&path).starts_with("second 0\n") && read(&path).ends_with("second 99\n"));
        assert!(read(&dir.path().join("t.ndjson.old")).ends_with("first 99\n"));
    }
}
