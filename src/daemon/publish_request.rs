//! Sends the rest of a link's build events, once the link has ended: nothing waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::frames::Frames;
use super::protocol::{LinkRequest, ServerMessage};
use super::state::Daemon;
use crate::bes::{Publication, UploadMode};

/// How long a server may take.
const LONGEST_PUBLICATION: Duration = Duration::from_mins(10);
/// How long the events of a link wait for those of earlier ones, where that is wanted.
pub(super) const EARLIER: Duration = Duration::from_secs(5);

/// Accepts `publication`, and sends it when the caller at the other end of `frames` knows that.
///
/// # Errors
/// The caller has disconnected before.
pub(super) async fn serve(
    daemon: &Arc<Daemon>,
    publication: Publication,
    link: LinkRequest,
    mut frames: Frames,
) -> io::Result<()> {
    if let Some(reason) = daemon.reject_reason(&link) {
        return frames.send(&ServerMessage::Declined(reason)).await;
    }
    let Some(options) = link.options().bes else {
        let reason = "no server is named".to_owned();
        return frames.send(&ServerMessage::Declined(reason)).await;
    };
    let turn = match options.mode {
        UploadMode::Nowait => timeout(EARLIER, daemon.publishing.lock()).await.ok(),
        UploadMode::Wait | UploadMode::FullyAsync => None,
    };
    frames.send(&ServerMessage::Alive).await?;
    drop(frames);
    tokio::select! {
        ended = publication.publish(&options, Some(LONGEST_PUBLICATION)) => if let Err(error) = ended {
            tracing::info!("the page of a link is not complete: {error}");
        },
        () = daemon.leaving.cancelled() => {}
    }
    drop(turn);
    Ok(())
}
