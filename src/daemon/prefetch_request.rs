//! Uploads what a caller's compiler has written, once the compiler has ended.
//!
//! The caller becomes its compiler by `exec` and keeps the connection open that way, so the end of
//! the connection is the end of the compiler. The outcome is not reported: the link sends what is
//! missing.

use std::io;
use std::sync::Arc;

use super::frames::Frames;
use super::protocol::{ClientMessage, LinkRequest, ServerMessage};
use super::state::Daemon;
use crate::prefetch::{self, PrefetchRequest};

/// Waits for the compiler at the other end of `frames`, then uploads what is `wanted` in the
/// context of `link`.
///
/// # Errors
/// The caller has disconnected before the request was accepted.
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
    let options = link.options();
    let work = async {
        // A compiler sends nothing; the result is the end of the connection.
        let _ = frames.receive::<ClientMessage>().await;
        let engine = daemon.engines.of(&options);
        match prefetch::follow(&engine, wanted, &options).await {
            Ok(modules) => daemon.stats.sent_ahead(modules),
            Err(error) => tracing::debug!("nothing is uploaded ahead: {error}"),
        }
    };
    tokio::select! {
        () = work => {}
        () = daemon.leaving.cancelled() => {}
    }
    Ok(())
}
