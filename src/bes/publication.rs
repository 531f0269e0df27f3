//! The end of an invocation's stream: what is still to be sent when a link has ended. Another
//! process can send it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::invocation::{InvocationEvents, Outcome, close};
use super::lifecycle;
use super::logs::{self, ToolLog};
use super::options::BesOptions;
use super::publisher::NotPublished;
use super::queue::{EventQueue, NumberedEvent};
use super::stream::{self, Sender};
use crate::reapi::{ClientOptions, EventService, Failure};
use crate::task::lock;

/// How often text is sent that has been collected.
const TICK: Duration = Duration::from_secs(2);
/// How long an interrupted invocation may still send.
pub(super) const AFTER_SIGNAL: Duration = Duration::from_secs(2);
/// The part of the time for uploading logs.
const SHARE_OF_LOGS: u32 = 2;

/// What an ended link leaves to another process, which sends the same numbers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Publication {
    pub(super) command: String,
    pub(super) events: Vec<NumberedEvent>,
    pub(super) ending: InvocationEnding,
}

/// What comes after the events of the link itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InvocationEnding {
    pub(super) outcome: Outcome,
    /// Announced, and to be uploaded to this farm.
    pub(super) logs: Option<(Vec<ToolLog>, ClientOptions)>,
}

impl Publication {
    /// Sends it all, within `limit`.
    ///
    /// # Errors
    /// The server does not have all events.
    pub async fn publish(
        self,
        options: &BesOptions,
        limit: Option<Duration>,
    ) -> Result<(), NotPublished> {
        let queue = Arc::new(EventQueue::resumed(self.events));
        let Some(to) = Destination::of(options, &self.command, queue)? else {
            return Ok(());
        };
        Box::pin(to.end(&self.ending, to.publish(), limit)).await
    }
}

/// How a stream has ended.
pub(super) type Published = Result<(), Failure>;

/// Waits for `closed`, and collects text meanwhile. The second part is how `publishing` ended, if
/// it did: it must not be polled again then.
pub(super) async fn until<T>(
    closed: impl Future<Output = T>,
    publishing: &mut (impl Future<Output = Published> + Unpin),
    invocation: &Mutex<InvocationEvents>,
) -> (T, Option<Published>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(closed);
    let mut published = None;
    loop {
        tokio::select! {
            closed = &mut closed => return (closed, published),
            ended = &mut *publishing, if published.is_none() => published = Some(ended),
            _ = ticks.tick() => lock(invocation).tick(SystemTime::now()),
        }
    }
}

/// Where events go, and those that go there.
#[derive(Debug)]
pub(super) struct Destination {
    service: EventService,
    sender: Sender,
    pub(super) queue: Arc<EventQueue>,
    with_lifecycle: bool,
    uri_prefix: String,
}

impl Destination {
    /// The server of `options`, for the events of `queue`; `None` if none is named.
    ///
    /// # Errors
    /// The options cannot be used.
    pub(super) fn of(
        options: &BesOptions,
        command: &str,
        queue: Arc<EventQueue>,
    ) -> Result<Option<Self>, NotPublished> {
        let Some(backend) = &options.backend else {
            return Ok(None);
        };
        if !options.has_valid_id() {
            let id = options.transport.caller.invocation_id.clone();
            return Err(NotPublished::NotAUuid(id));
        }
        Ok(Some(Self {
            service: EventService::new(backend, &options.transport, &options.headers)?,
            sender: Sender::new(options, command),
            queue,
            with_lifecycle: options.lifecycle_events,
            uri_prefix: options.bytestream_uri_prefix.clone(),
        }))
    }

    /// Begins the invocation `command`, which makes `output` in `dir`; `None` if no server is
    /// named.
    ///
    /// # Errors
    /// The options cannot be used.
    pub(super) fn begin(
        options: &BesOptions,
        command: &str,
        output: &str,
        dir: &Path,
    ) -> Result<Option<(Self, InvocationEvents)>, NotPublished> {
        let queue = Arc::new(EventQueue::default());
        let Some(to) = Self::of(options, command, Arc::clone(&queue))? else {
            return Ok(None);
        };
        let begun =
            InvocationEvents::begin(queue, options, command, output, dir, SystemTime::now());
        Ok(Some((to, begun)))
    }

    /// Sends all events of an invocation, from its start on.
    pub(super) async fn publish_from_start(&self) -> Published {
        if self.with_lifecycle {
            lifecycle::begin(&self.service, &self.sender).await;
        }
        self.publish().await
    }

    async fn publish(&self) -> Published {
        stream::publish(&self.service, &self.sender, &self.queue).await
    }

    /// Waits for `publishing`, to which the logs are added first.
    pub(super) async fn end(
        &self,
        ending: &InvocationEnding,
        publishing: impl Future<Output = Published>,
        limit: Option<Duration>,
    ) -> Result<(), NotPublished> {
        let now = Instant::now();
        let of_logs = limit.map(|limit| now + limit / SHARE_OF_LOGS);
        let sending = async {
            let closing = async {
                self.add_logs(ending, of_logs).await;
                std::future::pending::<Infallible>().await
            };
            let sent = tokio::select! {
                sent = publishing => sent,
                never = closing => match never {},
            };
            if sent.is_ok() && self.with_lifecycle {
                lifecycle::end(&self.service, &self.sender, &ending.outcome).await;
            }
            sent
        };
        let too_late = async {
            match limit {
                Some(limit) => sleep_until(now + limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            sent = sending => Ok(sent.map_err(Box::new)?),
            () = too_late => Err(NotPublished::TooLate(limit.unwrap_or_default())),
        }
    }

    async fn add_logs(&self, ending: &InvocationEnding, limit: Option<Instant>) {
        let Some((logs, farm)) = &ending.logs else {
            return;
        };
        let uploading = logs::upload(logs, farm, &self.uri_prefix);
        let files = match limit {
            Some(limit) => timeout_at(limit, uploading).await.unwrap_or_default(),
            None => uploading.await,
        };
        close(&self.queue, files, SystemTime::now());
    }
}
