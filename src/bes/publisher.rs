//! Publishes one link: a thread that sends events beside the link, which never waits for it before
//! its end.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::invocation::{FailedAction, Invocation, Outcome};
use super::lifecycle;
use super::logs::{self, ToolLog};
use super::options::BesOptions;
use super::queue::EventQueue;
use super::stream::{self, Sender};
use crate::error::Hinted;
use crate::events::Event;
use crate::process::Watch;
use crate::reapi::{ClientOptions, ConnectError, EventService, Failure};
use crate::task::lock;

/// How often text is sent that has been collected.
const TICK: Duration = Duration::from_secs(2);
/// How long an interrupted link may still send.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);
/// The part of the time for uploading logs.
const SHARE_OF_LOGS: u32 = 2;

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
    invocation: Arc<Mutex<Invocation>>,
    closing: oneshot::Sender<Closing>,
    thread: JoinHandle<Result<(), NotPublished>>,
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
        let Some(backend) = &options.backend else {
            return Ok(None);
        };
        if options.invocation_id().is_none() {
            let id = options.transport.caller.invocation_id.clone();
            return Err(NotPublished::NotAUuid(id));
        }
        let queue = Arc::new(EventQueue::default());
        let now = SystemTime::now();
        let begun = Invocation::begin(Arc::clone(&queue), options, command, output, dir, now);
        let invocation = Arc::new(Mutex::new(begun));
        let (closing, closed) = oneshot::channel();
        let run = PublisherRun {
            service: EventService::new(backend, &options.transport, &options.headers)?,
            sender: Sender::new(options, command),
            invocation: Arc::clone(&invocation),
            queue,
            options: options.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("build events".to_owned())
            .spawn(move || run.on_this_thread(closed))?;
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
        // Fails if the thread has ended early, which says why.
        let _ = self.closing.send(closing);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What the thread works with.
struct PublisherRun {
    service: EventService,
    sender: Sender,
    invocation: Arc<Mutex<Invocation>>,
    queue: Arc<EventQueue>,
    options: BesOptions,
}

impl PublisherRun {
    fn on_this_thread(self, closed: oneshot::Receiver<Closing>) -> Result<(), NotPublished> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(self.run(closed));
        // Looking up a host name cannot be interrupted.
        runtime.shutdown_background();
        ended
    }

    async fn run(self, closed: oneshot::Receiver<Closing>) -> Result<(), NotPublished> {
        let publishing = async {
            if self.options.lifecycle_events {
                lifecycle::begin(&self.service, &self.sender).await;
            }
            stream::publish(&self.service, &self.sender, &self.queue).await
        };
        tokio::pin!(publishing);
        let mut published = None;
        let closing = {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tokio::pin!(closed);
            loop {
                tokio::select! {
                    closing = &mut closed => break closing,
                    ended = &mut publishing, if published.is_none() => published = Some(ended),
                    _ = ticks.tick() => lock(&self.invocation).tick(SystemTime::now()),
                }
            }
        };
        // A link that panicked has nothing to say.
        let Ok(closing) = closing else { return Ok(()) };
        if let Some(ended) = published {
            return Ok(ended.map_err(Box::new)?);
        }
        self.close(closing, publishing).await
    }

    async fn close(
        &self,
        closing: Closing,
        publishing: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), NotPublished> {
        let limit = match (&closing.outcome, self.options.timeout) {
            (Outcome::Interrupted, limit) => Some(limit.unwrap_or(AFTER_SIGNAL).min(AFTER_SIGNAL)),
            (_, limit) => limit,
        };
        let now = Instant::now();
        let deadline = limit.map(|limit| now + limit);
        let of_logs = limit.map(|limit| now + limit / SHARE_OF_LOGS);
        let sending = async {
            let ended = async {
                self.end_invocation(&closing, of_logs).await;
                std::future::pending::<Infallible>().await
            };
            let sent = tokio::select! {
                sent = publishing => sent,
                never = ended => match never {},
            };
            if sent.is_ok() && self.options.lifecycle_events {
                lifecycle::end(&self.service, &self.sender, &closing.outcome).await;
            }
            sent
        };
        let too_late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let mut watch = Watch::of_signals()?;
        tokio::select! {
            sent = sending => Ok(sent.map_err(Box::new)?),
            () = too_late => Err(NotPublished::TooLate(limit.unwrap_or_default())),
            _ = watch.interrupted() => Err(NotPublished::Interrupted),
        }
    }

    async fn end_invocation(&self, closing: &Closing, of_logs: Option<Instant>) {
        let farm = closing.farm.as_ref().filter(|_| !closing.logs.is_empty());
        {
            let mut invocation = lock(&self.invocation);
            if let Some(failed) = &closing.failed {
                invocation.add_failure(failed.clone());
            }
            invocation.end(&closing.outcome, farm.is_some(), SystemTime::now());
        }
        let Some(farm) = farm else { return };
        let uploading = logs::upload(&closing.logs, farm);
        let files = match of_logs {
            Some(limit) => timeout_at(limit, uploading).await.unwrap_or_default(),
            None => uploading.await,
        };
        lock(&self.invocation).close(files, SystemTime::now());
    }
}
