//! A trace from a file, as the page opens it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The page reads no more than this.
const BYTES_MAX: u64 = 256 << 20;
/// No line of a trace is longer; a file without line ends is none.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Why a file is no trace that can be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceFileError {
    #[error("cannot read {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is no trace: its first line {reason}", path.display())]
    NoTrace { path: PathBuf, reason: String },
    #[error("{} has {bytes} bytes; the page shows traces of at most {BYTES_MAX}", path.display())]
    TooLong { path: PathBuf, bytes: u64 },
}

/// The file. It is read anew whenever the page asks, so that a trace that grows is seen as it is.
#[derive(Debug)]
pub(crate) struct TraceFile {
    path: PathBuf,
    /// What the page calls it.
    pub(crate) name: String,
}

impl TraceFile {
    /// Looks at the first line. The page checks the others, and names the one that is wrong.
    pub(crate) fn open(path: &Path) -> Result<Self, TraceFileError> {
        let failed = |error| TraceFileError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > BYTES_MAX {
            return Err(TraceFileError::TooLong { path: path.to_owned(), bytes });
        }
        let mut first = Vec::new();
        BufReader::new(file.take(LINE_BYTES_MAX)).read_until(b'\n', &mut first).map_err(failed)?;
        let no_trace = |reason: String| TraceFileError::NoTrace { path: path.to_owned(), reason };
        let world: Value =
            serde_json::from_slice(&first).map_err(|error| no_trace(format!("is not JSON ({error})")))?;
        if world["kind"] != "world" {
            return Err(no_trace("is not a `world`".to_owned()));
        }
        if world["version"] != floe_sim::TRACE_VERSION {
            let version = &world["version"];
            let known = floe_sim::TRACE_VERSION;
            return Err(no_trace(format!("says version {version}, and this floe knows version {known}")));
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { path: path.to_owned(), name })
    }

    /// All of it, up to the last line that is whole: a server may be writing it.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_told_from_other_files_and_half_a_line_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ndjson");
        let open = |text: &str| {
            std::fs::write(&path, text).unwrap();
            TraceFile::open(&path)
        };
        for (text, reason) in [
            ("", "is not JSON"),
            ("hello\n", "is not JSON"),
            ("{\"kind\":\"timer\"}\n", "is not a `world`"),
            ("{\"kind\":\"world\",\"version\":9}\n", "says version 9"),
        ] {
            let error = open(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let file = open("{\"kind\":\"world\",\"version\":1}\n{\"id\":2}\n{\"id\"").unwrap();
        assert_eq!(file.name, "t.ndjson");
        assert_eq!(file.read().unwrap(), b"{\"kind\":\"world\",\"version\":1}\n{\"id\":2}\n");
        let missing = TraceFile::open(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, TraceFileError::Io { .. }), "{missing}");
    }
}
