//! `floe serve`: one member, or with `--cluster` a whole cluster in this process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use floe_etcd::Config;

use super::flags::Flags;
use super::{local, logging, run};

/// Where data goes unless a flag says otherwise.
pub(crate) const DATA: &str = "floe-data";

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe serve                        one member, for trying out
  floe serve --cluster 3            three members on this machine

  floe serve --name n1 --data-dir /var/lib/floe \\
    --listen-client-urls http://10.0.0.1:2379 --listen-peer-urls http://10.0.0.1:2380 \\
    --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380

  floe serve --cluster 3 --witnesses 1
                                    the same with two copies of the data

Every flag may come from a variable: --data-dir from FLOE_DATA_DIR or ETCD_DATA_DIR.
FLOE_LOG or RUST_LOG set the log in detail. Ctrl-C or SIGTERM hands the leadership over and
stops; a second one stops at once. Called through a link named `etcd`, the binary takes etcd's
own command line.")]
pub(crate) struct Arguments {
    /// Run this many members (1, 3 or 5) in this process, with data in floe-data/n1, n2, ...
    #[arg(long, value_name = "N", value_parser = local::size, help_heading = "Cluster on this machine")]
    cluster: Option<u16>,
    /// Its first client port; the peers' is the next one, and the next member's ten further
    #[arg(long, value_name = "PORT", requires = "cluster", help_heading = "Cluster on this machine")]
    base_port: Option<u16>,
    /// So many of its members, the last ones, are witnesses [default: 0]
    #[arg(long, value_name = "N", requires = "cluster", help_heading = "Cluster on this machine")]
    witnesses: Option<u16>,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    logging::init(arguments.flags.log_level.as_deref());
    let Some(size) = arguments.cluster else {
        return match arguments.flags.config(Config::default(), |name| Path::new(DATA).join(name)) {
            Ok(config) => run::main(vec![config], |_| {}),
            Err(error) => wrong(&error),
        };
    };
    match local::configs(size, arguments.witnesses.unwrap_or(0), arguments.base_port, &arguments.flags) {
        Ok(configs) => {
            let data = arguments.flags.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA));
            run::main(configs, move |members| local::announce(members, &data))
        }
        Err(error) => wrong(&error),
    }
}

fn wrong(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}
