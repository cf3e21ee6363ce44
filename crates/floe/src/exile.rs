//! Finds out whether this member was removed while it was away. Those who stayed do not talk to it any more, so it
//! would wait for a leader for ever.

use std::sync::Arc;
use std::time::Duration;

use floe_raft::{LogId, NodeId};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::contacts::to_dial;
use crate::discovery::{self, ClusterView};
use crate::inbox::Input;
use crate::net::Net;
use crate::status::Leadership;

/// How long without a leader before somebody is asked: longer than any election takes.
const ELECTION_TIMEOUTS: u32 = 5;

/// How a member knows that it is alone.
pub(crate) struct Alone {
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) election_timeout: Duration,
    /// What was committed when it joined; zero for a member of the beginning.
    pub(crate) joined: LogId,
}

/// Asks around whenever there has been no leader for long. Reports a removal, and ends then.
pub(crate) async fn watch_for_removal<R: Send + 'static>(net: Arc<Net<R>>, alone: Alone) {
    let Alone { mut leadership, election_timeout, joined } = alone;
    loop {
        // The sender is gone when the node has ended, and this task with it.
        if leadership.wait_for(|now| now.leader.is_none()).await.is_err() {
            return std::future::pending().await;
        }
        sleep(election_timeout * ELECTION_TIMEOUTS).await;
        if leadership.borrow().leader.is_some() {
            continue;
        }
        let last = net.live.standing().last.max(joined);
        let addresses = {
            let guests = net.guests.borrow().clone();
            to_dial(&net.contacts.borrow(), &guests, net.member)
        };
        for address in addresses.into_values().flatten() {
            if let Ok(view) = discovery::ask(&address, net.cluster).await
                && proves_removal(&view, net.member, last)
            {
                tracing::warn!(member = %view.member, "a member says that this one was removed");
                net.inbox.report(Input::Removed);
                return std::future::pending().await;
            }
        }
    }
}

/// Whether this member, whose log ends with `last`, is removed for good.
///
/// Its log contains the entry that added it, or `last` is one at which it was a member. A committed entry that is not
/// older than `last` lies in a log that has what this one has committed, the addition too; so a membership without it
/// is a later one. Were the addition not committed, it was overwritten, and never comes back: a member that is added
/// again gets another id.
fn proves_removal(view: &ClusterView, member: NodeId, last: LogId) -> bool {
    let knows_members = !view.membership.voters.is_empty();
    knows_members && view.commit >= last && !view.membership.contains(member)
}

#[cfg(test)]
mod tests {
    use floe_raft::{Index, Membership, Term};

    use super::*;

    fn view(term: u64, index: u64, voters: &[u64]) -> ClusterView {
        ClusterView {
            cluster: 1,
            member: NodeId(1),
            commit: LogId::new(Term(term), Index(index)),
            membership: Membership::of_voters(voters.iter().copied().map(NodeId)),
        }
    }

    #[test]
    fn only_somebody_who_knows_at_least_as_much_can_say_so() {
        let last = LogId::new(Term(3), Index(50));
        let proves = |view: &ClusterView| proves_removal(view, NodeId(9), last);
        assert!(proves(&view(3, 50, &[1, 2])));
        // A later term is later, whatever the index: what the old leader had not committed does not count.
        assert!(proves(&view(4, 20, &[1, 2])));
        assert!(!proves(&view(3, 49, &[1, 2])));
        assert!(!proves(&view(2, 900, &[1, 2])));
        assert!(!proves(&view(4, 90, &[1, 9])));
        assert!(!proves(&view(4, 90, &[])));
    }
}
