//! What a caller's compiler leaves, sent when it has ended.
//!
//! Enters: a request, the connection that it came on. The caller becomes its compiler and keeps the
//! connection open by that; its end is the compiler's. Leaves: the modules at the farm, by the
//! connections of the caller's site. Nobody hears how it went: the link sends what is missing.

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
