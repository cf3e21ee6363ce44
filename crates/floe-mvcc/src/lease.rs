//! Leases: which exist, which keys are attached, and - on the leader only - when they end.
//!
//! What exists and what is attached follows from the log and is equal on every replica. When a lease ends is the leader's
//! business alone: it counts on its own clock, proposes a revocation when one is over, and a new leader starts every
//! count again. Nothing here reads a clock: the time is an argument, in milliseconds on any clock that never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::shared::lock;

/// How many revocations a second etcd lets a leader propose; leases that would end together are spread to below it.
const REVOKES_PER_SECOND: usize = 1000;

/// How long a lease that is over waits before it is named again, when its revocation does not arrive.
const RETRY_MS: u64 = 3000;

/// A lease as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Seconds to live, as granted.
    pub ttl: i64,
    /// The keys attached, in order.
    pub keys: Vec<Bytes>,
}

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease lives for so many seconds from now.
    Renewed {
        /// Seconds to live.
        ttl: i64,
    },
    /// There is no such lease.
    NotFound,
    /// The lease is over and waits for its revocation, so nothing was renewed. It stays over: a key that one client saw
    /// expire must not come back to life for another.
    Expired,
    /// This member does not count leases. Ask the leader.
    NotPrimary,
}

/// The leases of a store. The apply thread grants and revokes; the leader's other threads renew and look for ends.
#[derive(Debug, Default)]
pub struct Lessor {
    leases: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    by_id: BTreeMap<i64, Lease>,
    /// The lease of each key that has one.
    by_key: BTreeMap<Bytes, i64>,
    /// Whether this member counts.
    primary: bool,
    /// Granted while counting, but without a clock at hand; the next caller with one starts their count.
    unstarted: Vec<i64>,
    /// When to name each lease as over, soonest first.
    due: BTreeSet<(u64, i64)>,
}

#[derive(Debug)]
struct Lease {
    ttl: i64,
    keys: BTreeSet<Bytes>,
    count: Option<Count>,
}

/// A count that runs.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// When the lease is over.
    deadline_ms: u64,
    /// When it is named as over, first or again: its place in `due`.
    due_ms: u64,
}

impl Lessor {
    /// Starts to count: this member leads now. Every lease gets its full time again and `extend_ms` (one election
    /// timeout) on top, because renewals of the last moments may have been lost with the old leader. Leases that would
    /// then end together are spread, so that revoking them does not starve everything else.
    pub fn promote(&self, now_ms: u64, extend_ms: u64) {
        let mut leases = lock(&self.leases);
        leases.primary = true;
        leases.unstarted.clear();
        let ids: Vec<i64> = leases.by_id.keys().copied().collect();
        for &id in &ids {
            leases.restart(id, now_ms, extend_ms);
        }
        if ids.len() >= REVOKES_PER_SECOND {
            leases.spread(now_ms, extend_ms);
        }
    }

    /// Stops to count: this member leads no longer. Its leases never end until it leads again, so a member that was
    /// paused or cut off cannot revoke what another leader has renewed (etcd #15247).
    pub fn demote(&self) {
        let mut leases = lock(&self.leases);
        leases.primary = false;
        leases.unstarted.clear();
        leases.due.clear();
        for lease in leases.by_id.values_mut() {
            lease.count = None;
        }
    }

    /// Starts a lease's count again.
    pub fn renew(&self, now_ms: u64, id: i64) -> Renewed {
        let mut leases = lock(&self.leases);
        if !leases.primary {
            return Renewed::NotPrimary;
        }
        leases.start_counts(now_ms);
        let Some(lease) = leases.by_id.get(&id) else {
            return Renewed::NotFound;
        };
        let ttl = lease.ttl;
        if lease.count.is_some_and(|count| count.deadline_ms <= now_ms) {
            return Renewed::Expired;
        }
        leases.restart(id, now_ms, 0);
        Renewed::Renewed { ttl }
    }

    /// At most `max` leases that are over, longest over first, to be revoked through the log. One whose revocation does
    /// not come is named again three seconds later. None on a member that does not count.
    pub fn expired(&self, now_ms: u64, max: usize) -> Vec<i64> {
        let mut leases = lock(&self.leases);
        leases.start_counts(now_ms);
        let over: Vec<(u64, i64)> =
            leases.due.iter().take_while(|&&(due_ms, _)| due_ms <= now_ms).take(max).copied().collect();
        for &(due_ms, id) in &over {
            leases.due.remove(&(due_ms, id));
            let due_ms = now_ms.saturating_add(RETRY_MS);
            if let Some(count) = leases.by_id.get_mut(&id).and_then(|lease| lease.count.as_mut()) {
                count.due_ms = due_ms;
                leases.due.insert((due_ms, id));
            }
        }
        over.into_iter().map(|(_, id)| id).collect()
    }

    /// How long a lease has to live; negative when it is over and waits for its revocation, its whole time on a member
    /// that does not count, none when there is no such lease.
    pub fn remaining_ms(&self, now_ms: u64, id: i64) -> Option<i64> {
        let mut leases = lock(&self.leases);
        leases.start_counts(now_ms);
        let lease = leases.by_id.get(&id)?;
        Some(match lease.count {
            Some(count) => signed(count.deadline_ms) - signed(now_ms),
            None => lease.ttl.saturating_mul(1000),
        })
    }

    /// A lease and its keys.
    pub fn lease(&self, id: i64) -> Option<LeaseInfo> {
        let leases = lock(&self.leases);
        let lease = leases.by_id.get(&id)?;
        Some(LeaseInfo { ttl: lease.ttl, keys: lease.keys.iter().cloned().collect() })
    }

    /// The ids of all leases, the first to end first; by id on a member that does not count.
    pub fn ids(&self) -> Vec<i64> {
        let leases = lock(&self.leases);
        let mut ids: Vec<(Option<u64>, i64)> = leases
            .by_id
            .iter()
            .map(|(&id, lease)| (lease.count.map(|count| count.deadline_ms), id))
            .collect();
        ids.sort_unstable_by_key(|&(deadline_ms, id)| (deadline_ms.unwrap_or(u64::MAX), id));
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes over the leases of a snapshot. Those that were here begin their counts again, for what happened to them
    /// meanwhile is not known.
    pub(crate) fn replace(&self, with: Self) {
        let Leases { by_id, by_key, .. } = with.leases.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut leases = lock(&self.leases);
        leases.due.clear();
        leases.unstarted = if leases.primary { by_id.keys().copied().collect() } else { Vec::new() };
        leases.by_id = by_id;
        leases.by_key = by_key;
    }

    /// Whether the lease exists.
    pub(crate) fn contains(&self, id: i64) -> bool {
        lock(&self.leases).by_id.contains_key(&id)
    }

    /// Adds a lease. False if there is one with that id.
    pub(crate) fn grant(&self, id: i64, ttl: i64) -> bool {
        let mut leases = lock(&self.leases);
        if leases.by_id.contains_key(&id) {
            return false;
        }
        leases.by_id.insert(id, Lease { ttl, keys: BTreeSet::new(), count: None });
        if leases.primary {
            leases.unstarted.push(id);
        }
        true
    }

    /// Removes a lease and names the keys that were attached, in order. None if there is no such lease.
    pub(crate) fn revoke(&self, id: i64) -> Option<Vec<Bytes>> {
        let mut leases = lock(&self.leases);
        let lease = leases.by_id.remove(&id)?;
        if let Some(count) = lease.count {
            leases.due.remove(&(count.due_ms, id));
        }
        for key in &lease.keys {
            leases.by_key.remove(key);
        }
        Some(lease.keys.into_iter().collect())
    }

    /// Attaches a key to a lease, or to none with 0, and detaches it from the one it had.
    pub(crate) fn attach(&self, key: &[u8], id: i64) {
        let mut leases = lock(&self.leases);
        if let Some((key, old)) = leases.by_key.remove_entry(key)
            && let Some(lease) = leases.by_id.get_mut(&old)
        {
            lease.keys.remove(&key);
        }
        if let Some(lease) = leases.by_id.get_mut(&id) {
            // A copy of its own: the key that came with the command would keep the whole command in memory.
            let key = Bytes::copy_from_slice(key);
            lease.keys.insert(key.clone());
            leases.by_key.insert(key, id);
        }
    }
}

impl Leases {
    fn start_counts(&mut self, now_ms: u64) {
        for id in std::mem::take(&mut self.unstarted) {
            self.restart(id, now_ms, 0);
        }
    }

    fn restart(&mut self, id: i64, now_ms: u64, extend_ms: u64) {
        let Some(lease) = self.by_id.get_mut(&id) else {
            return;
        };
        let ttl_ms = u64::try_from(lease.ttl).unwrap_or(0).saturating_mul(1000);
        let deadline_ms = now_ms.saturating_add(ttl_ms).saturating_add(extend_ms);
        if let Some(old) = lease.count.replace(Count { deadline_ms, due_ms: deadline_ms }) {
            self.due.remove(&(old.due_ms, id));
        }
        self.due.insert((deadline_ms, id));
    }

    /// etcd's spreading: within each second at most three quarters of what may be revoked in it; the rest moves on.
    fn spread(&mut self, now_ms: u64, extend_ms: u64) {
        let per_second = 3 * REVOKES_PER_SECOND / 4;
        let order: Vec<(u64, i64)> = self.due.iter().copied().collect();
        let mut base_ms = order.first().map_or(0, |&(due_ms, _)| due_ms);
        let mut window_ms = base_ms + 1000;
        let mut ends = 0;
        for (due_ms, id) in order {
            if due_ms > window_ms {
                base_ms = due_ms;
                window_ms = base_ms.saturating_add(1000);
                ends = 1;
                continue;
            }
            ends += 1;
            if ends <= per_second {
                continue;
            }
            // A lease that ends n seconds after the first of its window has n seconds less to wait.
            let delay_ms = (1000 * ends / per_second) as u64;
            let delay_ms = delay_ms.saturating_sub(due_ms - base_ms);
            window_ms = base_ms.saturating_add(delay_ms);
            self.restart(id, now_ms, delay_ms.saturating_add(extend_ms));
        }
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
