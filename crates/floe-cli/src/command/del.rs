//! `floe del`: delete one key or a range.

use std::ffi::OsString;

use clap::Args;
use floe_etcd::proto::etcdserverpb::DeleteRangeRequest;
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;

use crate::bytes_of::{Reach, Selection};
use crate::client::{Connection, Failure};
use crate::print::Printer;

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe del greeting
  floe del --prefix users/ --prev-kv")]
pub(crate) struct Arguments {
    /// The key, or the first key of a range
    key: OsString,
    /// The key after the last of the range
    range_end: Option<OsString>,
    /// Every key that begins with KEY
    #[arg(long, conflicts_with_all = ["from_key", "range_end"])]
    prefix: bool,
    /// Every key from KEY on
    #[arg(long, conflicts_with = "range_end")]
    from_key: bool,
    /// Print what was deleted
    #[arg(long)]
    prev_kv: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { key, range_end, prefix, from_key, prev_kv, connection } = arguments;
    let Selection { key, range_end } = Selection::new(key, range_end, Reach::of(prefix, from_key));
    let request = DeleteRangeRequest { key, range_end, prev_kv };
    let reply = connection
        .write_once(async |channel, name| {
            let mut client = KvClient::new(channel).max_decoding_message_size(usize::MAX);
            client.delete_range(name.on(request.clone())).await
        })
        .await?;
    Printer::new(connection.write_out).del(&reply.into_inner())?;
    Ok(())
}
