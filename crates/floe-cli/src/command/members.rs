//! `floe members`: who is in the cluster and where each member is reached.

use clap::Args;
use floe_etcd::proto::etcdserverpb::MemberListRequest;
use floe_etcd::proto::etcdserverpb::cluster_client::ClusterClient;

use crate::client::{Connection, Failure};
use crate::print::Printer;

#[derive(Args)]
#[command(after_help = "\
Example:
  floe members -w json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection;
    let request = MemberListRequest { linearizable: true };
    let reply =
        connection.read(async |channel| ClusterClient::new(channel).member_list(request).await).await?;
    Printer::new(connection.write_out).members(&reply.into_inner())?;
    Ok(())
}
