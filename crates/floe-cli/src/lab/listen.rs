//! Where the lab listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Below etcd's ports, which it must not take from anybody: 2379 and 2380.
const FIRST_PORT: u16 = 2370;
const LAST_PORT: u16 = 2378;

/// Why the lab cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("something listens on {0} already; give another address with --listen, or leave it out")]
    Taken(SocketAddr),
    #[error("the ports {FIRST_PORT} to {LAST_PORT} are all taken; give an address with --listen")]
    AllTaken,
    #[error("cannot listen on {address}: {error}")]
    Io { address: SocketAddr, error: io::Error },
}

/// Listens on the address that was asked for; without one, on the first free port of the lab's.
pub(crate) fn listen(asked: Option<SocketAddr>) -> Result<TcpListener, ListenError> {
    if let Some(address) = asked {
        return bind(address);
    }
    for port in FIRST_PORT..=LAST_PORT {
        match bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)) {
            Err(ListenError::Taken(_)) => {}
            outcome => return outcome,
        }
    }
    Err(ListenError::AllTaken)
}

fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        _ => ListenError::Io { address, error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_named_and_without_one_the_next_port_is_taken() {
        let taken = listen(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(Some(address)).unwrap_err();
        assert!(matches!(error, ListenError::Taken(_)), "{error}");
        assert!(error.to_string().contains(&address.to_string()));
        // Others may hold some of the lab's ports, so only the order counts.
        let ports: Vec<u16> =
            (0..2).filter_map(|_| Some(listen(None).ok()?.local_addr().ok()?.port())).collect();
        assert!(ports.iter().all(|port| (FIRST_PORT..=LAST_PORT).contains(port)), "{ports:?}");
    }
}
