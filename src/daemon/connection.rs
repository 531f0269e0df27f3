//! One client connection, from its first frame to its last.
//!
//! A client of a newer build makes this daemon exit; any other client does so when this daemon's
//! executable is gone. A client of an older build does its work itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::build::Build;
use super::frames::Frames;
use super::link_request;
use super::prefetch_request;
use super::protocol::{ClientHello, Purpose, Request, ServerHello};
use super::server::Daemon;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves one caller.
///
/// # Errors
/// The client is gone or sent something invalid; there is no recipient for an error.
pub(super) async fn hold(daemon: &Arc<Daemon>, stream: UnixStream) -> io::Result<()> {
    let Some(mut frames) = Frames::with_peer_of_this_user(stream)? else {
        return Ok(());
    };
    let hello: ClientHello = timeout(PATIENCE, frames.receive_first()).await??;
    let work = hello.purpose == Purpose::Work;
    let same = hello.build == daemon.build;
    let outdated = !same && (hello.build.is_newer_than(&daemon.build) || Build::is_gone());
    let leaves = hello.purpose == Purpose::Stop || work && outdated;
    let answer = ServerHello {
        build: daemon.build.clone(),
        welcome: work && same,
        status: (hello.purpose == Purpose::Status).then(|| daemon.status()),
    };
    if leaves {
        daemon.shut_down(hello.purpose == Purpose::Stop).await;
    }
    frames.send_first(&answer).await?;
    if !answer.welcome {
        return Ok(());
    }
    let request: Request = timeout(PATIENCE, frames.receive()).await??;
    match request {
        Request::Link(link) => link_request::serve(daemon, *link, &mut frames).await,
        Request::Prefetch(wanted, link) => {
            prefetch_request::serve(daemon, wanted, *link, &mut frames).await
        }
    }
}
