//! Reading entries back, beside the writer.

use std::sync::Arc;

use bytes::Bytes;
use floe_raft::{Entry, GroupId, Index};

use crate::disk::{Disk, DiskFile};
use crate::error::ReadError;
use crate::index::{Location, Shared};
use crate::record::{Kind, RECORD_HEADER_BYTES, RecordHeader};
use crate::segment::{Binding, name_of};

/// Records that lie closer than this are read in one go, with what is between them.
const GAP_BYTES: u64 = 4 << 10;
/// One read is no longer than this, but for a single longer entry.
const SPAN_BYTES: u64 = 4 << 20;

/// Reads entries from the disk on any thread. Its clones read the same log.
#[derive(Debug)]
pub struct Reader<D: Disk> {
    shared: Shared<D::File>,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

/// Entries of one segment that are read in one go.
struct Span<F> {
    segment: u64,
    file: Arc<F>,
    binding: Binding,
    start: u64,
    end: u64,
    locations: Vec<Location>,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(shared: Shared<D::File>) -> Self {
        Self { shared }
    }

    /// The entries `first..=last`, without a gap: at least one, and no more than `max_bytes` of
    /// [`Entry::cost`] beyond it. Every entry is checked against its checksums and its place; what does not
    /// verify is never returned.
    pub fn read(
        &self,
        group: GroupId,
        first: Index,
        last: Index,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        loop {
            let spans = self.plan(group, first, last, max_bytes)?;
            let mut entries = Vec::with_capacity(spans.iter().map(|span| span.locations.len()).sum());
            match read_spans(group, first, &spans, &mut entries) {
                Ok(()) => return Ok(entries),
                // While this read was under way the log may have dropped the entry and recycled its segment.
                // Then the bytes are somebody else's, and that is no damage.
                Err((index, location, _)) if !self.is_at(group, index, location) => {
                    if !entries.is_empty() {
                        return Ok(entries);
                    }
                }
                Err((_, _, error)) => return Err(error),
            }
        }
    }

    fn is_at(&self, group: GroupId, index: Index, location: Location) -> bool {
        let catalog = self.shared.lock();
        catalog.groups.get(&group).and_then(|log| log.location(index)) == Some(location)
    }

    fn plan(
        &self,
        group: GroupId,
        first: Index,
        last: Index,
        max_bytes: u64,
    ) -> Result<Vec<Span<D::File>>, ReadError> {
        let catalog = self.shared.lock();
        let Some(log) = catalog.groups.get(&group) else {
            return Err(ReadError::Absent { last: Index::ZERO });
        };
        if first <= log.base.index {
            return Err(ReadError::Compacted);
        }
        if first > log.last_index() {
            return Err(ReadError::Absent { last: log.last_index() });
        }
        let mut spans: Vec<Span<D::File>> = Vec::new();
        let mut bytes = 0u64;
        for index in first.0..=last.0.clamp(first.0, log.last_index().0) {
            let Some(location) = log.location(Index(index)) else { break };
            bytes += u64::from(location.length) + Entry::OVERHEAD;
            if bytes > max_bytes && index > first.0 {
                break;
            }
            let start = u64::from(location.offset);
            let end = start + RECORD_HEADER_BYTES + u64::from(location.length);
            match spans.last_mut() {
                Some(span)
                    if span.segment == location.segment
                        && start >= span.end
                        && start - span.end <= GAP_BYTES
                        && end - span.start <= SPAN_BYTES =>
                {
                    span.end = end;
                    span.locations.push(location);
                }
                _ => {
                    let Some(segment) = catalog.segments.get(&location.segment) else { break };
                    spans.push(Span {
                        segment: location.segment,
                        file: Arc::clone(&segment.file),
                        binding: segment.binding,
                        start,
                        end,
                        locations: vec![location],
                    });
                }
            }
        }
        Ok(spans)
    }
}

type Failure = (Index, Location, ReadError);

/// Appends to `entries` what the spans hold; on a failure, what they hold before it.
fn read_spans<F: DiskFile>(
    group: GroupId,
    first: Index,
    spans: &[Span<F>],
    entries: &mut Vec<Entry>,
) -> Result<(), Failure> {
    for span in spans {
        let index_of = |entries: &Vec<Entry>| first.plus(entries.len() as u64);
        let mut buffer = vec![0; (span.end - span.start) as usize];
        if let Err(source) = span.file.read_at(span.start, &mut buffer) {
            let error = ReadError::Io { file: name_of(span.segment), source };
            return Err((index_of(entries), span.locations[0], error));
        }
        let buffer = Bytes::from(buffer);
        for &location in &span.locations {
            let index = index_of(entries);
            let entry = decode(group, index, span, location, &buffer).map_err(|reason| {
                let offset = u64::from(location.offset);
                let file = name_of(span.segment);
                (index, location, ReadError::Corrupt { file, offset, group, index, reason })
            })?;
            entries.push(entry);
        }
    }
    Ok(())
}

fn decode<F>(
    group: GroupId,
    index: Index,
    span: &Span<F>,
    location: Location,
    buffer: &Bytes,
) -> Result<Entry, &'static str> {
    let offset = u64::from(location.offset);
    let start = (offset - span.start) as usize;
    let header = RecordHeader::decode(&buffer[start..], span.binding, offset)
        .ok_or("the header of a record does not verify")?;
    let Kind::Entry(kind) = header.kind else {
        return Err("a record is not an entry");
    };
    if header.group != group || header.id.index != index || header.length != location.length {
        return Err("a record is not the entry that was written here");
    }
    let payload_start = start + RECORD_HEADER_BYTES as usize;
    let payload = buffer.slice(payload_start..payload_start + location.length as usize);
    if crc32c::crc32c(&payload) != header.payload_checksum {
        return Err("the payload of a record does not verify");
    }
    Ok(Entry { id: header.id, kind, payload })
}
