//! The commands of the scripts, one file each; each file documents its syntax.
//!
//! Nodes are named by their number. Parcels are named by `from=`, `to=` and `kind=`, each optional. Commands print
//! what the nodes did, a line an effect; after each block come the state lines that changed.

mod advance;
mod append;
mod beats;
mod campaign;
mod change;
mod checkpoint;
mod cluster;
mod compact;
mod crash;
mod cut;
mod delay;
mod deliver;
mod drop;
mod duplicate;
mod fail_fetch;
mod forward;
mod gone;
mod heal;
mod hold;
mod lease;
mod log;
mod partition;
mod preset;
mod progress;
mod propose;
mod queue;
mod quiet;
mod read;
mod release;
mod restart;
mod resume;
mod run;
mod sleep;
mod stabilize;
mod state;
mod status;
mod timers;
mod transfer;

use std::str::FromStr;

use floe_raft::NodeId;
use goldenscript::{ArgumentConsumer, Command};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::network::Filter;

/// Runs one command. Before the first `cluster` there is no cluster.
pub(crate) fn run(cluster: &mut Option<Cluster>, command: &Command) -> Result<(), Failure> {
    let mut args = Args(command.consume_args());
    if command.name == "cluster" {
        *cluster = Some(cluster::run(&mut args)?);
        return args.finish();
    }
    let Some(cluster) = cluster else { return Err(Failure::new("there is no cluster yet")) };
    match command.name.as_str() {
        "append" => append::run(cluster, &mut args)?,
        "advance" => advance::run(cluster, &mut args)?,
        "beats" => beats::run(cluster, &mut args)?,
        "campaign" => campaign::run(cluster, &mut args)?,
        "change" => change::run(cluster, &mut args)?,
        "checkpoint" => checkpoint::run(cluster, &mut args)?,
        "compact" => compact::run(cluster, &mut args)?,
        "crash" => crash::run(cluster, &mut args)?,
        "cut" => cut::run(cluster, &mut args)?,
        "delay" => delay::run(cluster, &mut args)?,
        "deliver" => deliver::run(cluster, &mut args)?,
        "drop" => drop::run(cluster, &mut args)?,
        "duplicate" => duplicate::run(cluster, &mut args)?,
        "fail-fetch" => fail_fetch::run(cluster, &mut args)?,
        "forward" => forward::run(cluster, &mut args)?,
        "gone" => gone::run(cluster, &mut args)?,
        "hasten" => beats::hasten(cluster, &mut args)?,
        "heal" => heal::run(cluster, &mut args)?,
        "hold-disk" => hold::disk(cluster, &mut args)?,
        "hold-apply" => hold::apply(cluster, &mut args)?,
        "hold-fetch" => hold::fetch(cluster, &mut args)?,
        "lease" => lease::run(cluster, &mut args)?,
        "log" => log::run(cluster, &mut args)?,
        "partition" => partition::run(cluster, &mut args)?,
        "preset" => preset::run(cluster, &mut args)?,
        "progress" => progress::run(cluster, &mut args)?,
        "propose" => propose::run(cluster, &mut args)?,
        "queue" => queue::run(cluster, &mut args)?,
        "quiet" => quiet::run(cluster, &mut args)?,
        "read" => read::run(cluster, &mut args)?,
        "release-disk" => release::disk(cluster, &mut args)?,
        "release-apply" => release::apply(cluster, &mut args)?,
        "release-fetch" => release::fetch(cluster, &mut args)?,
        "restart" => restart::run(cluster, &mut args)?,
        "resume" => resume::run(cluster, &mut args)?,
        "run" => run::run(cluster, &mut args)?,
        "sleep" => sleep::run(cluster, &mut args)?,
        "stabilize" => stabilize::run(cluster, &mut args)?,
        "state" => state::run(cluster, &mut args)?,
        "status" => status::run(cluster, &mut args)?,
        "timers" => timers::run(cluster, &mut args)?,
        "transfer" => transfer::run(cluster, &mut args)?,
        name => return Err(Failure::new(format!("there is no command {name}"))),
    }
    args.finish()
}

/// The arguments of a command.
struct Args<'a>(ArgumentConsumer<'a>);

impl<'a> Args<'a> {
    /// The next node, which must be there.
    fn node(&mut self) -> Result<NodeId, Failure> {
        self.optional_node()?.ok_or_else(|| Failure::new("which node?"))
    }

    /// The next node, if any.
    fn optional_node(&mut self) -> Result<Option<NodeId>, Failure> {
        let Some(text) = self.0.next_pos() else { return Ok(None) };
        Ok(Some(NodeId(text.parse()?)))
    }

    /// The nodes named by the remaining arguments; all of the cluster when there are none.
    fn nodes_or_all(&mut self, cluster: &Cluster) -> Result<Vec<NodeId>, Failure> {
        let named = self.nodes()?;
        Ok(if named.is_empty() { cluster.ids() } else { named })
    }

    /// The nodes named by the remaining arguments.
    fn nodes(&mut self) -> Result<Vec<NodeId>, Failure> {
        std::iter::from_fn(|| self.optional_node().transpose()).collect()
    }

    /// The value of a key.
    fn key<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure>
    where
        Failure: From<T::Err>,
    {
        Ok(self.0.take_key(name).map(str::parse).transpose()?)
    }

    /// Which parcels are meant.
    fn filter(&mut self) -> Result<Filter<'a>, Failure> {
        let kind = self.0.take_key("kind");
        Ok(Filter { from: self.key("from")?.map(NodeId), to: self.key("to")?.map(NodeId), kind })
    }

    /// The remaining arguments as the text of a command of the state machine: `x=1`, `add x=1`.
    fn text(&mut self) -> Result<String, Failure> {
        let words: Vec<String> = self.0.by_ref().map(ToString::to_string).collect();
        if words.is_empty() { Err(Failure::new("which command?")) } else { Ok(words.join(" ")) }
    }

    /// Nothing may be left.
    fn finish(&self) -> Result<(), Failure> {
        Ok(self.0.reject_next()?)
    }
}
