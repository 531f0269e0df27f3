//! Looks up host names on threads that nobody waits for.
//!
//! The system's own lookup cannot be interrupted, and takes half a minute where no name server
//! answers, as without a VPN. On a thread of a runtime it would hold up the end of that runtime, and
//! with it a link that has its objects, or was told to stop.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use tokio::sync::oneshot;

/// The addresses of `host`, which is a name or an IP address without brackets.
///
/// # Errors
/// The system's own; it gives no thread.
pub(crate) async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (found, addresses) = oneshot::channel();
    let looking = move || {
        let addresses = (&*host, port).to_socket_addrs();
        // The caller may have given up.
        let _ = found.send(addresses.map(Iterator::collect));
    };
    std::thread::Builder::new()
        .name("host name".to_owned())
        .spawn(looking)?;
    let ended = addresses.await;
    ended.unwrap_or_else(|_| Err(io::Error::other("the lookup has panicked")))
}
