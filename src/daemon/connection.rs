//! One client connection, from its first frame to its last.
//!
//! A caller of a newer build shuts this daemon down, and so does any other build once this daemon's
//! executable is gone; a caller of an older build does its work itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::build::Build;
use super::frames::Frames;
use super::link_request;
use super::prefetch_request;
use super::protocol::{ClientHello, DaemonRequest, Purpose, ServerHello};
use super::publish_request;
use super::state::Daemon;

/// How long a caller may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one caller.
///
/// # Errors
/// The caller has disconnected, or its frames cannot be decoded.
pub(super) async fn serve(daemon: &Arc<Daemon>, stream: UnixStream) -> io::Result<()> {
    let Some(mut frames) = Frames::with_peer_of_this_user(stream)? else {
        return Ok(());
    };
    let hello: ClientHello = timeout(REQUEST_TIMEOUT, frames.receive_first()).await??;
    if hello.key != daemon.key {
        let text = "the caller does not know this daemon's key";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
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
    let request: DaemonRequest = timeout(REQUEST_TIMEOUT, frames.receive()).await??;
    match request {
        DaemonRequest::Link(link) => link_request::serve(daemon, *link, &mut frames).await,
        DaemonRequest::Prefetch(wanted, link) => {
            prefetch_request::serve(daemon, wanted, *link, &mut frames).await
        }
        DaemonRequest::Publish(publication, link) => {
            let serving = publish_request::serve(daemon, *publication, *link, frames);
            Box::pin(serving).await
        }
    }
}
