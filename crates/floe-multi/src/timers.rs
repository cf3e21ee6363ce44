//! One timer heap for all groups that are awake.

use std::collections::BTreeSet;

use floe_raft::{GroupId, Time};

/// When each group is to be called, in order. A tree instead of a binary heap: every heartbeat moves a deadline, and here
/// the old one goes instead of staying behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, GroupId)>,
}

impl Timers {
    /// Moves a group's deadline; `armed` is where it stands, and is kept up to date.
    pub(crate) fn arm(&mut self, group: GroupId, armed: &mut Option<Time>, at: Option<Time>) {
        if *armed == at {
            return;
        }
        if let Some(old) = *armed {
            self.due.remove(&(old, group));
        }
        if let Some(new) = at {
            self.due.insert((new, group));
        }
        *armed = at;
    }

    /// The first deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The groups whose deadline has come, in order.
    pub(crate) fn due(&self, now: Time) -> Vec<GroupId> {
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, group)| *group).collect()
    }

    /// How many groups have a deadline.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_deadline_and_the_first_comes_first() {
        let mut timers = Timers::default();
        let (mut a, mut b) = (None, None);
        timers.arm(GroupId(1), &mut a, Some(Time(30)));
        timers.arm(GroupId(2), &mut b, Some(Time(20)));
        timers.arm(GroupId(1), &mut a, Some(Time(10)));
        assert_eq!((timers.next(), timers.len()), (Some(Time(10)), 2));
        assert_eq!(timers.due(Time(20)), [GroupId(1), GroupId(2)]);
        timers.arm(GroupId(1), &mut a, None);
        assert_eq!((timers.due(Time(9)).len(), timers.next()), (0, Some(Time(20))));
    }
}
