//! Uploads what a client's compiler wrote, after the compiler has ended.
//!
//! The client becomes its compiler by `exec` and so keeps the connection open; the connection ends
//! with the compiler. Nothing is reported: the link uploads what is missing.

use std::io;
use std::sync::Arc;

use super::frames::Frames;
use super::link_request;
use super::protocol::{ClientMessage, LinkRequest, ServerMessage};
use super::server::Daemon;
use crate::prefetch::{self, PrefetchRequest};

/// Waits for the compiler at the other end of `frames`, then sends `wanted`. `link` says whose it
/// is.
///
/// # Errors
/// The caller is gone before it knew that it is served.
pub(super) async fn serve(
    daemon: &Arc<Daemon>,
    wanted: PrefetchRequest,
    link: LinkRequest,
    frames: &mut Frames,
) -> io::Result<()> {
    if let Some(reason) = daemon.reject_reason(&link) {
        return frames.send(&ServerMessage::Declined(reason)).await;
    }
    frames.send(&ServerMessage::Alive).await?;
    let options = link_request::options(&link);
    let work = async {
        // A compiler says nothing here; what comes is the end.
        let _ = frames.receive::<ClientMessage>().await;
        let engine = daemon.engines.of(&options);
        match prefetch::follow(&engine, wanted, &options).await {
            Ok(modules) => daemon.stats.sent_ahead(modules),
            Err(error) => tracing::debug!("nothing is sent ahead: {error}"),
        }
    };
    tokio::select! {
        () = work => {}
        () = daemon.leaving.cancelled() => {}
    }
    Ok(())
}
