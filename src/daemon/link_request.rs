//! Runs one link for a caller: in its directory, with its environment and umask, for as long as it
//! is connected.
//!
//! If the caller disconnects, its link is cancelled and its outputs are removed. The link of a caller
//! that has been stopped and takes no more events is cancelled too: otherwise it would keep this
//! daemon, its memory and a connection for as long as somebody likes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::build_streams::{Membership, PublishedBuild};
use super::frames::Frames;
use super::protocol::{ClientMessage, HEARTBEAT, LinkRequest, ServerMessage};
use super::state::Daemon;
use crate::client_context::ClientContext;
use crate::events::{Event, Events};
use crate::fs::remove_if_there;
use crate::job::Caller;
use crate::link::{LinkError, LinkFailure, Options};
use crate::task::{Task, spawn};

/// How long the last message of a caller that is not served any more is waited for: a stopped one
/// sends none and does not disconnect.
const LAST_MESSAGE: Duration = Duration::from_millis(100);

/// A link that is running.
struct RunningLink {
    client_context: ClientContext,
    events: mpsc::UnboundedReceiver<Event>,
    cancel: CancellationToken,
    ended: oneshot::Receiver<Result<(), LinkError>>,
    /// The caller has said that it does the work itself.
    abandoned: bool,
    /// Its part in the build whose events are published.
    member: Option<Membership>,
    /// Goes on after the end of the link with what it stores for later ones.
    work: Task<()>,
}

/// Runs `link` for the caller at the other end of `frames`.
///
/// # Errors
/// The caller has disconnected.
pub(super) async fn serve(
    daemon: &Arc<Daemon>,
    link: LinkRequest,
    frames: &mut Frames,
) -> io::Result<()> {
    if let Some(reason) = daemon.reject_reason(&link) {
        return frames.send(&ServerMessage::Declined(reason)).await;
    }
    let options = link.options();
    let mut held = None;
    let served = serve_link(daemon, link, options, frames, &mut held).await;
    if let Some(build) = held {
        build.hold(daemon).await;
    }
    served
}

/// Runs the link. If it is the first of its build, `held` becomes the build.
async fn serve_link(
    daemon: &Arc<Daemon>,
    link: LinkRequest,
    options: Options,
    frames: &mut Frames,
    held: &mut Option<Arc<PublishedBuild>>,
) -> io::Result<()> {
    let active = daemon.stats.begin();
    let jobs = link.file.jobs.iter();
    let objects: Vec<PathBuf> = jobs
        .map(|job| options.client_context.resolve(job.object()))
        .collect();
    let mut running = start(daemon, link, options, held);
    let (ended, connected) = running.forward(frames).await;
    if connected.is_err() {
        // As when relto itself is stopped: the files are not wanted any more, unless the caller has
        // abandoned this daemon and runs the link itself.
        if !running.was_abandoned(frames).await && frames.peer().is_gone().await {
            for object in objects {
                let _ = remove_if_there(&object);
            }
        }
        return connected;
    }
    drop(active);
    if let (Some(member), Some(Err(failure))) = (&running.member, &ended)
        && let Some(failed) = failure.failed_action()
    {
        member.stream().add_failure(failed);
    }
    match ended {
        // The end of this daemon is not the end of the link: the caller runs it.
        Some(Err(LinkFailure::Cancelled)) if daemon.leaving.is_cancelled() => {}
        Some(ended) => frames.send(&ServerMessage::Ended(ended)).await?,
        None => {}
    }
    running.work.await;
    Ok(())
}

fn start(
    daemon: &Arc<Daemon>,
    link: LinkRequest,
    options: Options,
    held: &mut Option<Arc<PublishedBuild>>,
) -> RunningLink {
    let (sender, received) = mpsc::unbounded_channel();
    let counting = Arc::clone(daemon);
    let timings = options.record.page_follows;
    let forwards_all = timings || options.record.describe_jobs;
    let events = Events::to_function(move |event| {
        counting.stats.count(&event);
        if forwards_all || !event.is_for_timings() {
            // Fails if the caller is gone.
            let _ = sender.send(event);
        }
    });
    let joined = match link.file.caller {
        // It publishes itself.
        Caller::Linker => None,
        Caller::Launcher => daemon.build_streams.join(&options, link.build, &events),
    };
    let (member, events) = match joined {
        Some((member, first)) => {
            *held = first;
            let observer = member.stream().observer();
            let events = events.observed(move |_, event| observer(event));
            (Some(member), events)
        }
        None => (None, events),
    };
    let cancel = daemon.leaving.child_token();
    let engine = daemon.engines.of(&options);
    let (client_context, token) = (options.client_context.clone(), cancel.clone());
    let (finish, ended) = oneshot::channel();
    let work = spawn(async move {
        let (result, epilogue) = engine.run(link.file, &options, events, token).await;
        if timings {
            // The caller's page reads it.
            epilogue.write();
            let _ = finish.send(result);
        } else {
            let _ = finish.send(result);
            epilogue.write();
        }
    });
    RunningLink {
        client_context,
        events: received,
        cancel,
        ended,
        abandoned: false,
        member,
        work,
    }
}

impl RunningLink {
    /// Forwards events until the link has ended. The second result says whether the caller is still
    /// connected.
    async fn forward(
        &mut self,
        frames: &mut Frames,
    ) -> (Option<Result<(), LinkFailure>>, io::Result<()>) {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connected = Ok(());
        let ended = loop {
            let is_connected = connected.is_ok();
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => if is_connected {
                    connected = self.send(event, frames).await;
                },
                ended = &mut self.ended => break ended,
                message = frames.receive::<ClientMessage>(), if is_connected => {
                    self.cancel.cancel();
                    self.abandoned = matches!(message, Ok(ClientMessage::Abandon));
                    connected = match message {
                        Ok(ClientMessage::Cancel) => Ok(()),
                        Ok(ClientMessage::Abandon) => Err(io::ErrorKind::ConnectionAborted.into()),
                        Err(error) => Err(error),
                    };
                }
                _ = heartbeat.tick(), if is_connected => connected = frames.send(&ServerMessage::Alive).await,
            }
            if connected.is_err() {
                self.cancel.cancel();
            }
        };
        if connected.is_ok()
            && let Ok(event) = self.events.try_recv()
        {
            connected = self.send(event, frames).await;
        }
        // Without a result the link has panicked: the caller does without this daemon.
        let ended = ended.ok();
        let failure = |error| LinkFailure::new(error, &self.client_context);
        (ended.map(|ended| ended.map_err(failure)), connected)
    }

    /// Whether a caller that is gone or stopped had abandoned this daemon: its last message may not
    /// have been read yet.
    async fn was_abandoned(&self, frames: &mut Frames) -> bool {
        let last = timeout(LAST_MESSAGE, frames.receive());
        self.abandoned || matches!(last.await, Ok(Ok(ClientMessage::Abandon)))
    }

    /// Sends `event` and all that have happened since.
    async fn send(&mut self, event: Event, frames: &mut Frames) -> io::Result<()> {
        let mut next = Some(event);
        while let Some(event) = next {
            let reply = ServerMessage::Event(edited(event, &self.client_context));
            frames.queue(&reply)?;
            next = self.events.try_recv().ok();
        }
        frames.flush().await
    }
}

/// Messages with file names as the caller spells them.
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

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    /// A link that has more to say than the buffers of a socket hold, and ends when it is cancelled.
    fn talking_link() -> RunningLink {
        let (sender, events) = mpsc::unbounded_channel();
        for _ in 0..64 {
            let text = "x".repeat(1 << 20);
            sender.send(Event::Note { text }).expect("received");
        }
        let cancel = CancellationToken::new();
        let (finish, ended) = oneshot::channel();
        let cancelled = cancel.clone().cancelled_owned();
        let work = spawn(async move {
            cancelled.await;
            for _ in 0..64 {
                let text = "y".repeat(1 << 20);
                sender.send(Event::Note { text }).expect("received");
            }
            let _ = finish.send(Err(LinkError::Cancelled));
        });
        RunningLink {
            client_context: ClientContext::default(),
            events,
            cancel,
            ended,
            abandoned: false,
            member: None,
            work,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_link_of_a_caller_that_takes_no_events_is_cancelled() {
        let (ours, stopped) = UnixStream::pair().expect("a pair");
        let frames = Frames::with_peer_of_this_user(ours).expect("a peer");
        let mut frames = frames.expect("of this user");
        let mut link = talking_link();
        let forwarded = timeout(Duration::from_hours(1), link.forward(&mut frames)).await;
        let (ended, connected) = forwarded.expect("given up");
        assert!(matches!(ended, Some(Err(LinkFailure::Cancelled))));
        let lost = connected.expect_err("it takes no events");
        assert_eq!(lost.kind(), io::ErrorKind::TimedOut);
        assert!(!link.was_abandoned(&mut frames).await);
        drop(stopped);
    }
}
