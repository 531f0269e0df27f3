//! One caller, from its first frame to its last.
//!
//! Enters: a connection. Leaves: an answer, and if the caller is welcome, what it asked for. A
//! caller of a newer build makes this daemon leave, any other does so when this daemon's executable
//! is gone; one of an older build does its work itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::build::Build;
use super::frames::Frames;
use super::linking;
use super::prefetching;
use super::protocol::{Answer, Hello, Request, Want};
use super::server::Daemon;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves one caller.
///
/// # Errors
/// The caller is gone, or says what nobody understands; there is nobody to tell.
pub(super) async fn hold(daemon: &Arc<Daemon>, stream: UnixStream) -> io::Result<()> {
    let Some(mut frames) = Frames::with_peer_of_this_user(stream)? else {
        return Ok(());
    };
    let hello: Hello = timeout(PATIENCE, frames.receive_first()).await??;
    let work = hello.want == Want::Work;
    let same = hello.build == daemon.build;
    let outdated = !same && (hello.build.is_newer_than(&daemon.build) || Build::is_gone());
    let leaves = hello.want == Want::Stop || work && outdated;
    let answer = Answer {
        build: daemon.build.clone(),
        welcome: work && same,
        status: (hello.want == Want::Status).then(|| daemon.status()),
    };
    if leaves {
        daemon.retire(hello.want == Want::Stop).await;
    }
    frames.send_first(&answer).await?;
    if !answer.welcome {
        return Ok(());
    }
    let request: Request = timeout(PATIENCE, frames.receive()).await??;
    match request {
        Request::Link(link) => linking::serve(daemon, *link, &mut frames).await,
        Request::Prefetch(wanted, link) => {
            prefetching::serve(daemon, wanted, *link, &mut frames).await
        }
    }
}
