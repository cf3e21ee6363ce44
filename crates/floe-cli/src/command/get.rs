//! `floe get`: read one key or a range, now or at an older revision.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use floe_etcd::proto::etcdserverpb::RangeRequest;
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;
use floe_etcd::proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::bytes_of::{Reach, Selection};
use crate::client::{Connection, Failure};
use crate::print::{Parts, Printer};

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe get greeting
  floe get --prefix users/ --keys-only
  floe get --prefix '' --sort-by modify --order descend --limit 10
  floe get greeting --rev 7 -w json")]
pub(crate) struct Arguments {
    /// The key, or the first key of a range
    key: OsString,
    /// The key after the last of the range
    range_end: Option<OsString>,
    #[command(flatten)]
    selection: SelectionFlags,
    #[command(flatten)]
    output: OutputFlags,
    /// How fresh the answer must be: linearizable asks a majority, serializable only the member
    #[arg(long, value_name = "HOW", default_value = "linearizable", help_heading = "Reading")]
    consistency: Consistency,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[command(next_help_heading = "What to read")]
struct SelectionFlags {
    /// Every key that begins with KEY
    #[arg(long, conflicts_with_all = ["from_key", "range_end"])]
    prefix: bool,
    /// Every key from KEY on
    #[arg(long, conflicts_with = "range_end")]
    from_key: bool,
    /// Read as of this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    rev: i64,
    /// At most this many keys
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: i64,
    /// The order of the result
    #[arg(long, value_name = "ORDER")]
    order: Option<Order>,
    /// What the order goes by
    #[arg(long, value_name = "FIELD")]
    sort_by: Option<SortBy>,
}

#[derive(Args)]
#[command(next_help_heading = "What to print")]
struct OutputFlags {
    /// Keys without values
    #[arg(long, conflicts_with = "print_value_only")]
    keys_only: bool,
    /// The number of keys
    #[arg(long, conflicts_with_all = ["keys_only", "print_value_only"])]
    count_only: bool,
    /// Values without keys
    #[arg(long)]
    print_value_only: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    #[value(alias = "ASCEND")]
    Ascend,
    #[value(alias = "DESCEND")]
    Descend,
}

#[derive(Clone, Copy, ValueEnum)]
enum SortBy {
    #[value(alias = "KEY")]
    Key,
    #[value(alias = "VERSION")]
    Version,
    #[value(alias = "CREATE")]
    Create,
    #[value(alias = "MODIFY")]
    Modify,
    #[value(alias = "VALUE")]
    Value,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Consistency {
    #[value(alias = "l")]
    Linearizable,
    #[value(alias = "s")]
    Serializable,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { key, range_end, selection, output, consistency, connection } = arguments;
    let range = Selection::new(key, range_end, Reach::of(selection.prefix, selection.from_key));
    let sort_order = match (selection.order, selection.sort_by) {
        (Some(Order::Descend), _) => SortOrder::Descend,
        (Some(Order::Ascend), _) | (None, Some(_)) => SortOrder::Ascend,
        (None, None) => SortOrder::None,
    };
    let sort_target = match selection.sort_by {
        None | Some(SortBy::Key) => SortTarget::Key,
        Some(SortBy::Version) => SortTarget::Version,
        Some(SortBy::Create) => SortTarget::Create,
        Some(SortBy::Modify) => SortTarget::Mod,
        Some(SortBy::Value) => SortTarget::Value,
    };
    let request = RangeRequest {
        key: range.key,
        range_end: range.range_end,
        limit: selection.limit,
        revision: selection.rev,
        sort_order: sort_order.into(),
        sort_target: sort_target.into(),
        serializable: consistency == Consistency::Serializable,
        keys_only: output.keys_only,
        count_only: output.count_only,
        ..RangeRequest::default()
    };
    let reply = connection
        .read(async |channel| {
            let mut client = KvClient::new(channel).max_decoding_message_size(usize::MAX);
            client.range(request.clone()).await
        })
        .await?;
    let parts = match (output.count_only, output.keys_only, output.print_value_only) {
        (true, _, _) => Parts::Count,
        (_, true, _) => Parts::Keys,
        (_, _, true) => Parts::Values,
        (false, false, false) => Parts::KeysAndValues,
    };
    Printer::new(connection.write_out).get(&reply.into_inner(), parts)?;
    Ok(())
}
