//! Networks that can be cut: each member in a network namespace of its own, with one interface for its peers and one
//! for its clients, so that a member without peers can still be asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where members find each other.
pub(crate) enum Network {
    /// All on loopback, on ports that were free a moment ago.
    Loopback,
    /// Each in its own namespace.
    Namespaces(Namespaces),
}

/// Namespaces, cables and switches of one cluster; all of them are taken down when this is dropped.
pub(crate) struct Namespaces {
    /// The prefix of every name, unique among running processes.
    prefix: String,
    /// The third byte of both networks' addresses.
    net: u32,
    members: usize,
}

/// The two switches of the peer network. A partition is a choice of switch for every member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Namespaces {
    /// Whether this process may build namespaces here.
    pub(crate) fn possible() -> bool {
        let probe = format!("floe-probe-{}", std::process::id());
        let made = ip(&["netns", "add", &probe]).is_ok();
        made && ip(&["netns", "del", &probe]).is_ok()
    }

    /// Builds namespaces for `members` members, all on one side.
    pub(crate) fn build(members: usize) -> Result<Self> {
        let id = std::process::id();
        let network = Self { prefix: format!("fl{}", id % 100_000), net: id % 250, members };
        for bridge in [network.client_bridge(), network.peer_bridge(Side::A), network.peer_bridge(Side::B)] {
            ip(&["link", "add", &bridge, "type", "bridge"])?;
            ip(&["link", "set", &bridge, "up"])?;
        }
        ip(&["addr", "add", &format!("198.18.{}.254/24", network.net), "dev", &network.client_bridge()])?;
        for member in 0..members {
            let namespace = network.namespace(member);
            ip(&["netns", "add", &namespace])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            network.cable(member, 'c', &network.client_host(member), &network.client_bridge())?;
            network.cable(member, 'p', &network.peer_host(member), &network.peer_bridge(Side::A))?;
        }
        Ok(network)
    }

    /// Lays a cable from a member to a switch: `kind` is c for clients and p for peers.
    fn cable(&self, member: usize, kind: char, host: &str, bridge: &str) -> Result<()> {
        let (outer, inner) = (self.plug(member, kind), format!("{kind}0"));
        let namespace = self.namespace(member);
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", &namespace])?;
        ip(&["-n", &namespace, "addr", "add", &format!("{host}/24"), "dev", &inner])?;
        ip(&["-n", &namespace, "link", "set", &inner, "up"])?;
        ip(&["link", "set", &outer, "master", bridge])?;
        ip(&["link", "set", &outer, "up"])
    }

    /// Plugs each member's peer cable into the switch of its side.
    pub(crate) fn partition(&self, sides: &[Side]) -> Result<()> {
        for (member, side) in sides.iter().enumerate() {
            ip(&["link", "set", &self.plug(member, 'p'), "master", &self.peer_bridge(*side)])?;
        }
        Ok(())
    }

    pub(crate) fn client_host(&self, member: usize) -> String {
        format!("198.18.{}.{}", self.net, member + 1)
    }

    pub(crate) fn peer_host(&self, member: usize) -> String {
        format!("198.19.{}.{}", self.net, member + 1)
    }

    /// The command that runs `binary` inside a member's namespace. `ip` replaces itself by the binary, so the
    /// process that is started is the member itself.
    pub(crate) fn command(&self, member: usize, binary: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(member)]).arg(binary);
        command
    }

    fn namespace(&self, member: usize) -> String {
        format!("{}-n{}", self.prefix, member + 1)
    }

    fn client_bridge(&self) -> String {
        format!("{}bc", self.prefix)
    }

    fn peer_bridge(&self, side: Side) -> String {
        let side = match side {
            Side::A => 'a',
            Side::B => 'b',
        };
        format!("{}bp{side}", self.prefix)
    }

    fn plug(&self, member: usize, kind: char) -> String {
        format!("{}{kind}{}", self.prefix, member + 1)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // What was never built fails to come down, and that is fine.
        for member in 0..self.members {
            // A namespace outlives its name while a dead member's sockets wait for answers, and its cables with it.
            let _ = ip(&["link", "del", &self.plug(member, 'c')]);
            let _ = ip(&["link", "del", &self.plug(member, 'p')]);
            let _ = ip(&["netns", "del", &self.namespace(member)]);
        }
        for bridge in [self.client_bridge(), self.peer_bridge(Side::A), self.peer_bridge(Side::B)] {
            let _ = ip(&["link", "del", &bridge]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new(PathBuf::from("ip")).args(arguments).output().context("`ip` cannot be run")?;
    if !output.status.success() {
        bail!("`ip {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
