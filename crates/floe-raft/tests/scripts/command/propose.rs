//! `propose N COMMAND [, COMMAND]... [bytes=SIZE] [term=T]`: clients ask the leader N to append commands such as `x=1` or
//! `add x=2`. Several, separated by `and`, are proposed before the node acts, as under load. With `bytes` the command
//! is padded to that size. With `term` they are to be appended in that term only.

use floe_raft::Term;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let bytes: usize = args.key("bytes")?.unwrap_or(0);
    let in_term = args.key("term")?.map(Term);
    let text = args.text()?;
    for command in text.split(" and ") {
        let padded = format!("{command:<bytes$}");
        let outcome = cluster.propose(node, &padded, in_term)?;
        let at = outcome?;
        cluster.say(|| format!("n{node} appends {at} {command}"));
    }
    cluster.settle(node)
}
