//! Publishes one link: a thread that sends events beside the link, which never waits for it before
//! its end.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::invocation::{FailedAction, InvocationEvents, Outcome};
use super::logs::ToolLog;
use super::options::BesOptions;
use super::publication::{
    AFTER_SIGNAL, Destination, InvocationEnding, Publication, Published, until,
};
use crate::error::Hinted;
use crate::events::Event;
use crate::process::Watch;
use crate::reapi::{ClientOptions, ConnectError, Failure};
use crate::task::lock;

/// Why the page of a link is missing, or not complete.
#[derive(Debug, thiserror::Error)]
pub enum NotPublished {
    #[error("the invocation id `{0}` is not a UUID in lower case")]
    NotAUuid(String),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot start a thread")]
    NoThread(#[from] io::Error),
    #[error(transparent)]
    Failed(#[from] Box<Failure>),
    #[error("not all events were acknowledged within {} s", .0.as_secs_f32())]
    TooLate(Duration),
    #[error("interrupted")]
    Interrupted,
}

impl Hinted for NotPublished {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotAUuid(_) => {
                vec![
                    "leave `invocation_id` unset, or set it to a new UUID for each link".to_owned(),
                ]
            }
            Self::Connect(error) => error.hints(),
            Self::TooLate(_) => vec!["`bes_timeout` is how long a link waits for that".to_owned()],
            Self::Failed(failure) if failure.is_of_another_server() => failure.hints(),
            Self::Failed(_) => vec!["check `bes_backend`, `bes_header` and the server".to_owned()],
            Self::NoThread(_) | Self::Interrupted => Vec::new(),
        }
    }
}

/// What the end of a link brings.
#[derive(Debug)]
pub struct Closing {
    pub outcome: Outcome,
    pub failed: Option<FailedAction>,
    /// Files that the user has asked for.
    pub logs: Vec<ToolLog>,
    /// Where they are uploaded.
    pub farm: Option<ClientOptions>,
}

/// The publisher of one link. Without an [`end`](Self::end) it stops where it is.
#[derive(Debug)]
pub struct Publisher {
    invocation: Arc<Mutex<InvocationEvents>>,
    closing: oneshot::Sender<(Closing, Rest)>,
    thread: JoinHandle<Result<Option<Publication>, NotPublished>>,
}

impl Publisher {
    /// Begins to publish the invocation `command`, which makes `output` in `dir`.
    ///
    /// # Errors
    /// The options cannot be used.
    pub fn start(
        options: &BesOptions,
        command: &'static str,
        output: &str,
        dir: &Path,
    ) -> Result<Option<Self>, NotPublished> {
        let Some((to, invocation)) = Destination::begin(options, command, output, dir)? else {
            return Ok(None);
        };
        let invocation = Arc::new(Mutex::new(invocation));
        let (closing, closed) = oneshot::channel();
        let run = PublisherRun {
            to,
            invocation: Arc::clone(&invocation),
            command,
            timeout: options.timeout,
        };
        let thread = std::thread::Builder::new()
            .name("build events".to_owned())
            .spawn(move || block_on(run.run(closed)))?;
        Ok(Some(Self {
            invocation,
            closing,
            thread,
        }))
    }

    /// Takes each event of the link. It never blocks for long.
    pub fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let invocation = Arc::clone(&self.invocation);
        move |event| lock(&invocation).take(event, SystemTime::now())
    }

    /// Sends the rest, for as long as the options allow.
    ///
    /// # Errors
    /// The server does not have all events.
    pub fn end(self, closing: Closing) -> Result<(), NotPublished> {
        self.finish(closing, Rest::IsSent)?;
        Ok(())
    }

    /// Ends the invocation and stops. The result is what is left to be sent.
    ///
    /// # Errors
    /// The server does not take the events.
    pub fn hand_over(self, closing: Closing) -> Result<Option<Publication>, NotPublished> {
        self.finish(closing, Rest::IsKept)
    }

    fn finish(self, closing: Closing, rest: Rest) -> Result<Option<Publication>, NotPublished> {
        // Fails if the thread has ended early, which says why.
        let _ = self.closing.send((closing, rest));
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What is done with events that the server does not have at the end.
#[derive(Debug, Clone, Copy)]
enum Rest {
    IsSent,
    IsKept,
}

/// What the thread works with.
struct PublisherRun {
    to: Destination,
    invocation: Arc<Mutex<InvocationEvents>>,
    command: &'static str,
    timeout: Option<Duration>,
}

type Closed = oneshot::Receiver<(Closing, Rest)>;

impl PublisherRun {
    async fn run(self, closed: Closed) -> Result<Option<Publication>, NotPublished> {
        let mut publishing = Box::pin(self.to.publish_from_start());
        let (closing, published) = until(closed, &mut publishing, &self.invocation).await;
        // A link that panicked has nothing to say.
        let Ok((closing, rest)) = closing else {
            return Ok(None);
        };
        if let Some(ended) = published {
            ended.map_err(Box::new)?;
            return Ok(None);
        }
        let ending = self.end_invocation(closing);
        match rest {
            Rest::IsKept => {
                drop(publishing);
                Ok(Some(Publication {
                    command: self.command.to_owned(),
                    events: self.to.queue.remaining(),
                    ending,
                }))
            }
            Rest::IsSent => {
                self.send_rest(&ending, publishing).await?;
                Ok(None)
            }
        }
    }

    fn end_invocation(&self, closing: Closing) -> InvocationEnding {
        let logs = Some(closing.logs).filter(|logs| !logs.is_empty());
        let logs = logs.and_then(|logs| Some((logs, closing.farm?)));
        let mut invocation = lock(&self.invocation);
        if let Some(failed) = closing.failed {
            invocation.add_failure(failed);
        }
        invocation.end(&closing.outcome, logs.is_some(), SystemTime::now());
        InvocationEnding {
            outcome: closing.outcome,
            logs,
        }
    }

    async fn send_rest(
        &self,
        ending: &InvocationEnding,
        publishing: impl Future<Output = Published>,
    ) -> Result<(), NotPublished> {
        let limit = match (&ending.outcome, self.timeout) {
            (Outcome::Interrupted, limit) => Some(limit.unwrap_or(AFTER_SIGNAL).min(AFTER_SIGNAL)),
            (_, limit) => limit,
        };
        unless_interrupted(self.to.end(ending, publishing, limit)).await
    }
}

/// Sends what no other process takes, for as long as the options allow.
///
/// # Errors
/// The server does not have all events.
pub fn publish_here(options: &BesOptions, publication: Publication) -> Result<(), NotPublished> {
    let publishing = publication.publish(options, options.timeout);
    block_on(unless_interrupted(publishing))
}

/// A connection that is flooded keeps one of them busy; the other looks at signals and the time.
const THREADS: usize = 2;

/// Waits for `work` on this thread, in a runtime of its own.
fn block_on<T>(work: impl Future<Output = Result<T, NotPublished>>) -> Result<T, NotPublished> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(work);
    // Looking up a host name cannot be interrupted.
    runtime.shutdown_background();
    ended
}

async fn unless_interrupted(
    publishing: impl Future<Output = Result<(), NotPublished>>,
) -> Result<(), NotPublished> {
    let mut watch = Watch::of_signals()?;
    tokio::select! {
        ended = publishing => ended,
        _ = watch.interrupted() => Err(NotPublished::Interrupted),
    }
}
