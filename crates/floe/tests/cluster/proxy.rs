//! A way to a member that breaks on demand.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes connections on to an address, and cuts the next one that carries more than so many bytes.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    limit: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (limit, cuts) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::default());
        let proxy = Self { address, limit: Arc::clone(&limit), cuts: Arc::clone(&cuts) };
        // Ends with the process; its connections end with those who made them.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(from) = stream else { continue };
                let Ok(to) = TcpStream::connect(target) else { continue };
                let (back, forth) = (to.try_clone().expect("a clone"), from.try_clone().expect("a clone"));
                let (limit, cuts) = (Arc::clone(&limit), Arc::clone(&cuts));
                std::thread::spawn(move || pass(from, to, Some((&limit, &cuts))));
                std::thread::spawn(move || pass(back, forth, None));
            }
        });
        proxy
    }

    /// The next connection that carries more than this is cut; later ones are not.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: Option<(&AtomicU64, &AtomicU64)>) {
    let (mut buffer, mut passed) = (vec![0; 1 << 16], 0);
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && to.write_all(&buffer[..count]).is_ok()
    {
        passed += count as u64;
        if let Some((limit, cuts)) = limit
            && passed > limit.load(Ordering::SeqCst)
        {
            limit.store(u64::MAX, Ordering::SeqCst);
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
