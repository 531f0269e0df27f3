//! Runs one link for a client, in the client's directory, with its environment and umask.
//!
//! The link's events and its verdict go to the client's connection. When the client is gone, its
//! link is cancelled and nothing of it is left.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::frames::Frames;
use super::protocol::{ClientMessage, LinkRequest, ServerMessage};
use super::server::Daemon;
use crate::client_context::ClientContext;
use crate::events::{Event, Events};
use crate::fs::remove_if_there;
use crate::link::{LinkError, LinkFailure, Options};
use crate::task::{Task, spawn};

/// How often a caller hears that the daemon is there.
pub(super) const BEAT: Duration = Duration::from_secs(5);

/// A link under way.
struct RunningLink {
    client_context: ClientContext,
    told: mpsc::UnboundedReceiver<Event>,
    cancel: CancellationToken,
    ended: oneshot::Receiver<Result<(), LinkError>>,
    /// The caller said that it would do the work itself.
    left: bool,
    /// Goes on after the end with what the link leaves for later ones.
    work: Task<()>,
}

/// Runs `link` for the caller at the other end of `frames`.
///
/// # Errors
/// The caller is gone.
pub(super) async fn serve(
    daemon: &Arc<Daemon>,
    link: LinkRequest,
    frames: &mut Frames,
) -> io::Result<()> {
    if let Some(reason) = daemon.reject_reason(&link) {
        return frames.send(&ServerMessage::Declined(reason)).await;
    }
    let under_way = daemon.stats.begin();
    let options = options(&link);
    let outputs: Vec<PathBuf> = link
        .file
        .jobs
        .iter()
        .flat_map(|job| &job.outputs)
        .map(|output| options.client_context.resolve(output))
        .collect();
    let mut running = start(daemon, link, options);
    let (ended, heard) = running.follow(frames).await;
    if heard.is_err() {
        // As when relto itself is stopped: who asked for these files does not come back for them. A
        // caller that has given up this daemon goes on with its link.
        if !running.has_left(frames).await && frames.peer().is_gone().await {
            for output in outputs {
                let _ = remove_if_there(&output);
            }
        }
        return heard;
    }
    drop(under_way);
    match ended {
        // This daemon's end is not the link's: the caller goes on with it.
        Some(Err(LinkFailure::Cancelled)) if daemon.leaving.is_cancelled() => {}
        Some(ended) => frames.send(&ServerMessage::Ended(ended)).await?,
        None => {}
    }
    running.work.await;
    Ok(())
}

fn start(daemon: &Arc<Daemon>, link: LinkRequest, options: Options) -> RunningLink {
    let (sender, told) = mpsc::unbounded_channel();
    let counting = Arc::clone(daemon);
    let events = Events::to_function(move |event| {
        counting.stats.hear(&event);
        // A caller that is gone hears nothing more.
        let _ = sender.send(event);
    });
    let cancel = daemon.leaving.child_token();
    let engine = daemon.engines.of(&options);
    let (client_context, token) = (options.client_context.clone(), cancel.clone());
    let (tell, ended) = oneshot::channel();
    let work = spawn(async move {
        let (result, epilogue) = engine.run(link.file, &options, events, token).await;
        let _ = tell.send(result);
        epilogue.write();
    });
    RunningLink {
        client_context,
        told,
        cancel,
        ended,
        left: false,
        work,
    }
}

impl RunningLink {
    /// Hands events on until the link has ended. The second result says whether the caller is still
    /// there.
    async fn follow(
        &mut self,
        frames: &mut Frames,
    ) -> (Option<Result<(), LinkFailure>>, io::Result<()>) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Ok(());
        let ended = loop {
            let there = heard.is_ok();
            tokio::select! {
                biased;
                Some(event) = self.told.recv() => {
                    heard = heard.and(self.hand_on(event, frames).await);
                }
                ended = &mut self.ended => break ended,
                remark = frames.receive::<ClientMessage>(), if there => {
                    self.cancel.cancel();
                    self.left = matches!(remark, Ok(ClientMessage::Abandon));
                    heard = match remark {
                        Ok(ClientMessage::Cancel) => Ok(()),
                        Ok(ClientMessage::Abandon) => Err(io::ErrorKind::ConnectionAborted.into()),
                        Err(error) => Err(error),
                    };
                }
                _ = beat.tick(), if there => heard = frames.send(&ServerMessage::Alive).await,
            }
            if heard.is_err() {
                self.cancel.cancel();
            }
        };
        if let Ok(event) = self.told.try_recv() {
            heard = heard.and(self.hand_on(event, frames).await);
        }
        // Without a result there was a bug: the caller does without this daemon.
        let ended = ended.ok();
        let verdict = |error| LinkFailure::new(error, &self.client_context);
        (ended.map(|ended| ended.map_err(verdict)), heard)
    }

    /// Whether a caller that hears nothing any more had said so: its last words may not have been
    /// read yet.
    async fn has_left(&self, frames: &mut Frames) -> bool {
        self.left || matches!(frames.receive().await, Ok(ClientMessage::Abandon))
    }

    /// `event` and all that have happened since.
    async fn hand_on(&mut self, event: Event, frames: &mut Frames) -> io::Result<()> {
        let mut next = Some(event);
        while let Some(event) = next {
            let reply = ServerMessage::Event(edited(event, &self.client_context));
            frames.queue(&reply)?;
            next = self.told.try_recv().ok();
        }
        frames.flush().await
    }
}

/// The link as its caller would run it.
pub(super) fn options(link: &LinkRequest) -> Options {
    let mut options = link.options.clone();
    let environment = options.environment.clone();
    if let Some(farm) = &mut options.farm
        && !farm.client.credential_helpers.is_empty()
    {
        farm.client.credential_helper_environment = Some(environment.clone());
    }
    options.client_context = ClientContext::of(&link.dir, environment, link.umask);
    options
}

/// With the names that the caller gave.
fn edited(event: Event, client_context: &ClientContext) -> Event {
    match event {
        Event::Warning { text, hint } => Event::Warning {
            text: client_context.relativize_messages(&text),
            hint: hint.map(|hint| client_context.relativize_messages(&hint)),
        },
        Event::Note { text } => Event::Note {
            text: client_context.relativize_messages(&text),
        },
        event => event,
    }
}
