//! `change N [forced] OPERATION M...`: the leader N starts a change of the membership. Operations: `learner M`,
//! `auto-learner M` (promoted once it is caught up), `voter M`, `witness M`, `promote M`, `demote M`, `remove M`, `address M`.

use bytes::Bytes;
use floe_raft::{MembershipChange, MembershipOperation};

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let mut change = MembershipChange::default();
    while let Some(word) = args.0.next_pos() {
        if word == "forced" {
            change.forced = true;
        } else {
            change.operations.push(operation(word, args)?);
        }
    }
    let id = cluster.change(node, &change)??;
    cluster.say(|| format!("n{node} appends {id} membership"));
    cluster.settle(node)
}

fn operation(word: &str, args: &mut Args<'_>) -> Result<MembershipOperation, Failure> {
    let node = args.node()?;
    let address = Bytes::from(format!("n{node}"));
    Ok(match word {
        "learner" => MembershipOperation::AddLearner { node, address, auto_promote: false },
        "auto-learner" => MembershipOperation::AddLearner { node, address, auto_promote: true },
        "voter" => MembershipOperation::AddVoter { node, address },
        "witness" => MembershipOperation::AddWitness { node, address },
        "promote" => MembershipOperation::Promote { node },
        "demote" => MembershipOperation::Demote { node },
        "remove" => MembershipOperation::Remove { node },
        "address" => MembershipOperation::UpdateAddress { node, address },
        other => return Err(Failure::new(format!("there is no operation {other}"))),
    })
}
