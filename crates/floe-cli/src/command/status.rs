//! `floe status`: each member's own view of itself, side by side.

use clap::Args;
use floe_etcd::proto::etcdserverpb::StatusRequest;
use floe_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;

use crate::client::{Connection, Failure};
use crate::print::{MemberStatus, Printer};

#[derive(Args)]
#[command(after_help = "\
Example:
  floe status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379")]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection;
    let mut members = Vec::new();
    for endpoint in &connection.endpoints {
        let status = match connection.connect(endpoint).await {
            Err(reason) => Err(reason),
            Ok(channel) => {
                let mut client = MaintenanceClient::new(channel);
                let call = connection.limited(client.status(StatusRequest {})).await;
                call.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
            }
        };
        members.push(MemberStatus { endpoint: endpoint.clone(), status });
    }
    Printer::new(connection.write_out).status(&members)?;
    // The table shows who answers; a script wants to know that somebody did not.
    let silent: Vec<(String, String)> =
        members.into_iter().filter_map(|member| Some((member.endpoint, member.status.err()?))).collect();
    match silent.len() {
        0 => Ok(()),
        all if all == connection.endpoints.len() => Err(Failure::NobodyAnswers(silent)),
        _ => Err(Failure::SomeSilent(silent)),
    }
}
