//! `floe put`: write one key, with the value from the command line or from standard input.

use std::ffi::OsString;
use std::io::{self, Read};

use bytes::Bytes;
use clap::Args;
use floe_etcd::proto::etcdserverpb::PutRequest;
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;

use crate::bytes_of::argument;
use crate::client::{Connection, Failure};
use crate::print::Printer;

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe put greeting hello
  floe put config < config.json
  floe put --lease 694d77aa9e38260f session me")]
pub(crate) struct Arguments {
    /// The key
    key: OsString,
    /// The value; read from standard input when absent
    #[arg(allow_hyphen_values = true)]
    value: Option<OsString>,
    /// The lease that the key shall end with, in hexadecimal
    #[arg(long, value_name = "ID", value_parser = lease, default_value = "0", hide_default_value = true)]
    lease: i64,
    /// Print what the key held before
    #[arg(long)]
    prev_kv: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { key, value, lease, prev_kv, connection } = arguments;
    let value = match value {
        Some(value) => argument(value),
        None => from_standard_input()?,
    };
    let request = PutRequest { key: argument(key), value, lease, prev_kv, ..PutRequest::default() };
    let reply = connection
        .write_once(async |channel, name| {
            let mut client = KvClient::new(channel).max_decoding_message_size(usize::MAX);
            client.put(name.on(request.clone())).await
        })
        .await?;
    Printer::new(connection.write_out).put(&reply.into_inner())?;
    Ok(())
}

fn from_standard_input() -> io::Result<Bytes> {
    let mut value = Vec::new();
    io::stdin().lock().read_to_end(&mut value)?;
    Ok(value.into())
}

/// Lease ids are written in hexadecimal wherever people see them, as in etcdctl.
fn lease(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text, 16).map_err(|_| format!("`{text}` is no lease id; it is a hexadecimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_is_printed() {
        assert_eq!(lease("694d77aa9e38260f"), Ok(0x694d_77aa_9e38_260f));
        assert!(lease("one").is_err());
    }
}
