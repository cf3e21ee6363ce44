//! How a range request becomes an answer, wherever the keys come from: etcd's limits, filters and orders, quirks included.
//!
//! The work has two steps. First the index is walked: [`Collector`] takes what each key has to say and decides which rows
//! must be read. Then [`answer`] reads those rows, filters, sorts and cuts.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::command::{Range, RangeReply, SortOrder, SortTarget};
use crate::error::StorageError;
use crate::key_index::{Change, Head, Place, Visit};
use crate::kv::KeyValue;

/// A key found in the index.
pub(crate) enum Found {
    /// Its row must be read.
    Row(Place),
    /// The index knows all that was asked for.
    Pair(KeyValue),
}

/// What the walk over the index has found.
pub(crate) struct Collector {
    /// All keys of the range at the revision.
    pub(crate) count: i64,
    pub(crate) found: Vec<Found>,
    /// How many to find at most; all of them are counted.
    wanted: usize,
    keys_only: bool,
}

impl Collector {
    pub(crate) fn new(request: &Range) -> Self {
        let wanted = if request.count_only { 0 } else { fetch_limit(request) };
        // etcd 3.7 answers a request for keys from its index, which knows no leases, unless values order the answer.
        let keys_only = request.keys_only && request.target != SortTarget::Value;
        Self { count: 0, found: Vec::new(), wanted, keys_only }
    }
}

impl Visit for Collector {
    type Break = Infallible;

    fn visit(&mut self, key: &[u8], change: Change, newest: &Head) -> ControlFlow<Infallible> {
        if change.tombstone {
            return ControlFlow::Continue(());
        }
        self.count += 1;
        if self.only_counts() {
            return ControlFlow::Continue(());
        }
        let found = if self.keys_only && newest.change.place == change.place {
            Found::Pair(KeyValue {
                key: Bytes::copy_from_slice(key),
                create_revision: newest.create_revision,
                mod_revision: change.place.revision,
                version: newest.version,
                ..KeyValue::default()
            })
        } else {
            Found::Row(change.place)
        };
        self.found.push(found);
        ControlFlow::Continue(())
    }

    fn only_counts(&self) -> bool {
        self.found.len() >= self.wanted
    }

    fn count(&mut self, keys: usize) {
        self.count += keys as i64;
    }
}

/// How many keys to find before filters, order and limit: one more than the limit, to know whether there are more.
///
/// A sort target other than the key with no order given counts as the default order here, although the answer is sorted
/// by that target in the end. etcd does so, and clients may have come to depend on which keys they get.
fn fetch_limit(request: &Range) -> usize {
    if request.limit <= 0 || !is_default_order(request.order, request.target) || has_filters(request) {
        return usize::MAX;
    }
    usize::try_from(request.limit).map_or(usize::MAX, |limit| limit.saturating_add(1))
}

fn is_default_order(order: SortOrder, target: SortTarget) -> bool {
    match order {
        SortOrder::None => true,
        SortOrder::Ascend => target == SortTarget::Key,
        SortOrder::Descend => false,
    }
}

fn has_filters(request: &Range) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// Whether the pair passes the request's bounds. A bound of 0 is none.
fn passes(request: &Range, kv: &KeyValue) -> bool {
    let within = |min: i64, figure: i64, max: i64| (min == 0 || figure >= min) && (max == 0 || figure <= max);
    within(request.min_mod_revision, kv.mod_revision, request.max_mod_revision)
        && within(request.min_create_revision, kv.create_revision, request.max_create_revision)
}

/// Reads the rows that were found, and filters, sorts and cuts them as the request says.
///
/// `revision` is the store's: the header's, also for a request at an older one.
pub(crate) fn answer(
    request: &Range,
    revision: i64,
    collected: Collector,
    mut read: impl FnMut(Place) -> Result<KeyValue, StorageError>,
) -> Result<RangeReply, StorageError> {
    let mut kvs = Vec::with_capacity(collected.found.len());
    for found in collected.found {
        let mut kv = match found {
            Found::Pair(kv) => kv,
            Found::Row(place) => read(place)?,
        };
        if collected.keys_only {
            kv.value = Bytes::new();
            kv.lease = 0;
        }
        if passes(request, &kv) {
            kvs.push(kv);
        }
    }
    sort(request, &mut kvs);
    let mut more = false;
    if let Ok(limit) = usize::try_from(request.limit)
        && limit > 0
        && kvs.len() > limit
    {
        kvs.truncate(limit);
        more = true;
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value = Bytes::new();
        }
    }
    Ok(RangeReply { revision, kvs, more, count: collected.count })
}

/// Sorts pairs that are in key order. Ties stay in it, also when the largest comes first.
fn sort(request: &Range, kvs: &mut [KeyValue]) {
    let descend = request.order == SortOrder::Descend;
    if request.target == SortTarget::Key {
        if descend {
            kvs.reverse();
        }
        return;
    }
    let compare = |a: &KeyValue, b: &KeyValue| match request.target {
        SortTarget::Key => Ordering::Equal,
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    if descend {
        kvs.sort_by(|a, b| compare(b, a));
    } else {
        kvs.sort_by(compare);
    }
}
