//! A whole cluster on this machine in one process, on loopback: for trying out, and for tests of programs that use it.

use std::path::{Path, PathBuf};

use floe_etcd::Config;

use super::flags::{Flags, FlagsError};
use super::serve::DATA;

/// Between the ports of two members, the second of which is for peers.
const STEP: u16 = 10;
const HOST: &str = "127.0.0.1";

/// Why a cluster on this machine cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    #[error("--cluster makes the members' names and addresses itself; leave out --{0}")]
    OfOneMember(&'static str),
    #[error("--base-port {0} leaves no room for the last member's ports")]
    NoRoom(u16),
    #[error(
        "of {members} members no more than {most} may be witnesses: a majority of them would hold no data"
    )]
    Witnesses { members: u16, most: u16 },
    #[error(transparent)]
    Flags(#[from] FlagsError),
}

/// Reads the number of members. An even number would stand no more failures than one less.
pub(crate) fn size(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a cluster on this machine has 1, 3 or 5 members".to_owned()),
    }
}

/// A member's ports for clients and for peers. Without a base they are those that etcd's examples use.
fn ports(member: u16, base_port: Option<u16>) -> Result<(u16, u16), LocalError> {
    let (base, offset) = match base_port {
        Some(base) => (base, member * STEP),
        None if member == 0 => (2379, 0),
        None => (2379, (member + 1) * 10_000),
    };
    let client = base.checked_add(offset).ok_or(LocalError::NoRoom(base))?;
    let peer = client.checked_add(1).ok_or(LocalError::NoRoom(base))?;
    Ok((client, peer))
}

/// The configurations of all members, the last ones of which are witnesses. Flags that are not about one member hold for
/// each.
pub(crate) fn configs(
    size: u16,
    witnesses: u16,
    base_port: Option<u16>,
    flags: &Flags,
) -> Result<Vec<Config>, LocalError> {
    if witnesses > size / 2 {
        return Err(LocalError::Witnesses { members: size, most: size / 2 });
    }
    if let Some(flag) = of_one_member(flags) {
        return Err(LocalError::OfOneMember(flag));
    }
    let data = flags.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA));
    let url = |port: u16| format!("http://{HOST}:{port}");
    let mut members = Vec::new();
    for member in 0..size {
        let (client, peer) = ports(member, base_port)?;
        members.push((format!("n{}", member + 1), url(client), url(peer)));
    }
    let cluster: Vec<String> = members.iter().map(|(name, _, peer)| format!("{name}={peer}")).collect();
    let with_data = usize::from(size - witnesses);
    let witnesses: Vec<String> = members[with_data..].iter().map(|(name, ..)| name.clone()).collect();
    let mut configs = Vec::new();
    for (name, client, peer) in &members {
        let own = Flags {
            name: Some(name.clone()),
            data_dir: Some(data.join(name)),
            listen_client_urls: Some(vec![client.clone()]),
            listen_peer_urls: Some(vec![peer.clone()]),
            initial_cluster: Some(cluster.join(",")),
            trace: flags.trace.as_deref().map(|file| of_member(file, name)),
            initial_witnesses: Some(witnesses.clone()),
            ..flags.clone()
        };
        let config = own.config(Config::default(), |name| Path::new(DATA).join(name))?;
        // The members share this machine's cores.
        configs.push(Config { client_threads: 1, ..config });
    }
    Ok(configs)
}

/// The file of a member's own: `history.ndjson` is `history.n1.ndjson` for n1.
fn of_member(file: &Path, name: &str) -> PathBuf {
    match file.extension() {
        Some(extension) => file.with_extension(format!("{name}.{}", extension.to_string_lossy())),
        None => file.with_extension(name),
    }
}

fn of_one_member(flags: &Flags) -> Option<&'static str> {
    let given = [
        ("name", flags.name.is_some()),
        ("listen-client-urls", flags.listen_client_urls.is_some()),
        ("advertise-client-urls", flags.advertise_client_urls.is_some()),
        ("listen-peer-urls", flags.listen_peer_urls.is_some()),
        ("initial-advertise-peer-urls", flags.initial_advertise_peer_urls.is_some()),
        ("initial-cluster", flags.initial_cluster.is_some()),
        ("initial-cluster-state", flags.initial_cluster_state.is_some()),
        ("witness", flags.witness.is_some()),
        ("initial-witnesses", flags.initial_witnesses.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
}

/// Tells a person where the members are and what to try next. `members` holds names and client URLs.
pub(crate) fn announce(members: &[(String, String)], data: &Path) {
    let program = std::env::args().next().unwrap_or_else(|| "floe".to_owned());
    print!("{}", announcement(members, data, &program));
}

fn announcement(members: &[(String, String)], data: &Path, program: &str) -> String {
    let count = members.len();
    let mut text =
        format!("\nfloe runs {count} members in this process, with their data in {}:\n", data.display());
    for (name, url) in members {
        text.push_str(&format!("  {name}  {url}\n"));
    }
    let addresses: Vec<&str> = members.iter().filter_map(|(_, url)| url.strip_prefix("http://")).collect();
    let first = addresses.first().copied().unwrap_or_default();
    // The default endpoint is the first member's usual one, so the flag is shown only where it is needed.
    let endpoint = if first == "127.0.0.1:2379" { String::new() } else { format!(" --endpoints {first}") };
    text.push_str(&format!(
        "\nTry, in another terminal:\n  \
         {program} put{endpoint} greeting hello\n  \
         {program} get{endpoint} greeting\n  \
         {program} status --endpoints {}\n\
         etcdctl and every etcd client work with the same addresses. Ctrl-C stops the cluster and keeps the data.\n\n",
        addresses.join(",")
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ports_and_moved_ones() {
        let usual: Vec<u16> = (0..3).map(|member| ports(member, None).unwrap().0).collect();
        assert_eq!(usual, [2379, 22379, 32379]);
        assert_eq!(ports(4, None).unwrap(), (52379, 52380));
        assert_eq!(ports(1, Some(5000)).unwrap(), (5010, 5011));
        assert!(matches!(ports(1, Some(65530)), Err(LocalError::NoRoom(65530))));
    }

    #[test]
    fn three_members_know_each_other_and_share_the_other_flags() {
        let flags = Flags { election_timeout: Some(500), ..Flags::default() };
        let configs = configs(3, 0, None, &flags).unwrap();
        let identities: Vec<_> = configs.iter().map(|config| config.identity().unwrap()).collect();
        assert!(identities.iter().all(|identity| identity.cluster == identities[0].cluster));
        assert_ne!(identities[0].member, identities[1].member);
        assert_eq!(configs[2].data_dir, Path::new("floe-data/n3"));
        assert!(configs.iter().all(|config| config.election_timeout_ms == 500));
    }

    #[test]
    fn each_member_has_a_history_of_its_own() {
        assert_eq!(of_member(Path::new("a/history.ndjson"), "n2"), Path::new("a/history.n2.ndjson"));
        assert_eq!(of_member(Path::new("history"), "n2"), Path::new("history.n2"));
    }

    #[test]
    fn the_last_members_are_the_witnesses() {
        let configs = |size, witnesses| configs(size, witnesses, None, &Flags::default());
        let kinds: Vec<_> = configs(3, 1).unwrap().iter().map(Config::is_witness).collect();
        assert_eq!(kinds, [false, false, true]);
        assert!(matches!(configs(3, 2), Err(LocalError::Witnesses { members: 3, most: 1 })));
        assert!(configs(1, 1).is_err() && configs(5, 2).is_ok());
    }

    #[test]
    fn flags_of_one_member_are_refused() {
        let flags = Flags { name: Some("x".into()), ..Flags::default() };
        assert!(matches!(configs(3, 0, None, &flags), Err(LocalError::OfOneMember("name"))));
        assert!(size("2").is_err() && size("3") == Ok(3));
    }

    #[test]
    fn the_next_command_can_be_typed_as_it_stands() {
        let members = [("n1".to_owned(), "http://127.0.0.1:5000".to_owned())];
        let text = announcement(&members, Path::new("floe-data"), "target/release/floe");
        assert!(text.contains("target/release/floe put --endpoints 127.0.0.1:5000 greeting hello"), "{text}");
    }
}
