//! Lets the daemon run a link, if there is one.
//!
//! A missing daemon is a note in the log and never a failure: this process then runs the link
//! itself.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::engine_error::EngineError;
use super::process_names;
use super::runtime::{daemon_dir, small_runtime};
use super::throttle;
use crate::bes::Publication;
use crate::config::{DaemonUse, Settings};
use crate::daemon::{Build, DaemonClient, DaemonRequest, LinkRequest, Unavailable};
use crate::error::with_causes;
use crate::events::Events;
use crate::job::{Caller, JobFile};
use crate::launcher::Throttle;
use crate::link::Options;
use crate::prefetch::{self, PrefetchRequest};
use crate::process::{Interruption, Relto, Watch};

/// The name under which a daemon that does not answer is remembered.
const DAEMON: &str = "the daemon does not answer";

/// The name for a daemon that was too slow for a compile, and how long a compile waits.
const SLOW: &str = "the daemon does not answer at once";
const COMPILE_WAITS: Duration = Duration::from_millis(600);

/// A link that a daemon may run.
#[derive(Debug)]
pub(super) struct ViaDaemon {
    client: DaemonClient,
    request: DaemonRequest,
    throttle: Throttle,
}

impl ViaDaemon {
    /// `None` if this process runs the link in any case.
    pub(super) fn new(settings: &Settings, options: &Options, file: &JobFile) -> Option<Self> {
        // The tokens of make's jobserver belong to this process; a launched backend needs none
        // beyond its recipe's own.
        if file.caller == Caller::Linker && options.jobserver.is_some() {
            return None;
        }
        let throttle = throttle(settings);
        let client = client(settings, &throttle, file.caller)?;
        // A large link has millions of names, so they are read only if there is a daemon.
        if process_names::are_in(file, &options.environment) {
            return None;
        }
        Some(Self {
            client,
            request: DaemonRequest::Link(Box::new(LinkRequest::of_process(file, options).ok()?)),
            throttle,
        })
    }

    /// Returns `None` if this process must run the link.
    pub(super) async fn run(
        &self,
        events: &Events,
        watch: &mut Watch,
    ) -> Option<Result<(), EngineError>> {
        let (interrupted, reason) = oneshot::channel();
        let cancelled = async {
            let interruption = watch.interrupted().await;
            let _ = interrupted.send(interruption);
        };
        let ended = self.client.link(&self.request, events, cancelled).await;
        let mut interruption: Option<Interruption> = { reason }.try_recv().ok();
        if interruption.is_none() && matches!(ended, Ok(Err(_))) {
            interruption = watch.reason_of_failure().await;
        }
        match (ended, interruption) {
            (Ok(Ok(())), None) => Some(Ok(())),
            (Ok(Err(failure)), None) => Some(Err(EngineError::Link(failure))),
            (_, Some(interruption)) => Some(Err(EngineError::Interrupted(interruption))),
            (Err(unavailable), None) => {
                self.note(&unavailable, events);
                None
            }
        }
    }

    fn note(&self, unavailable: &Unavailable, events: &Events) {
        if unavailable.is_timeout() {
            self.throttle.mark_failed(DAEMON);
        }
        if !matches!(unavailable, Unavailable::None) {
            let reason = with_causes(unavailable);
            events.note(format!("this process does the work itself: {reason}"));
        }
    }
}

/// This process as a client of the daemon, if it may be one.
fn client(settings: &Settings, throttle: &Throttle, caller: Caller) -> Option<DaemonClient> {
    if settings.daemon.when == DaemonUse::Never {
        return None;
    }
    let runtime_dir = daemon_dir(settings)?;
    let wanted = settings.daemon.when == DaemonUse::Always || caller == Caller::Launcher;
    if throttle.recently_failed(DAEMON) || !wanted && !runtime_dir.socket().exists() {
        return None;
    }
    let starts = wanted.then(|| (Relto::itself(), settings.daemon.idle_timeout));
    Some(DaemonClient {
        runtime_dir,
        build: Build::of_process().ok()?,
        starts,
    })
}

/// How long a daemon may take to accept the rest of a link's build events: they may wait for those
/// of an earlier link.
const ACCEPTS: Duration = Duration::from_secs(7);

/// A daemon that may take build events over; it need not accept them.
#[derive(Debug)]
pub(super) struct EventsViaDaemon {
    client: DaemonClient,
    throttle: Throttle,
}

impl EventsViaDaemon {
    /// `None` if this process sends all events itself.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        let throttle = throttle(settings);
        Some(Self {
            client: client(settings, &throttle, Caller::Linker)?,
            throttle,
        })
    }

    /// Leaves `publication` to the daemon. Returns it if no daemon accepts it.
    pub(super) fn leave(
        &self,
        options: &Options,
        publication: Box<Publication>,
    ) -> Result<(), Box<Publication>> {
        let no_jobs = prefetch::no_jobs(String::new());
        let Ok(link) = LinkRequest::of_process(&no_jobs, options) else {
            return Err(publication);
        };
        let Ok(runtime) = small_runtime() else {
            return Err(publication);
        };
        let request = DaemonRequest::Publish(publication, Box::new(link));
        let accepted = runtime.block_on(self.client.leave(&request, ACCEPTS));
        match (accepted, request) {
            (Err(unavailable), DaemonRequest::Publish(publication, _)) => {
                if unavailable.is_timeout() {
                    self.throttle.mark_failed(DAEMON);
                }
                Err(publication)
            }
            _ => Ok(()),
        }
    }
}

/// Asks the daemon to upload what is `wanted` when the program that this process becomes has ended,
/// that is, when the returned descriptor is closed. `None` if no daemon accepts that in time.
pub(super) fn upload_at_exit(
    settings: &Settings,
    options: &Options,
    wanted: PrefetchRequest,
) -> Option<OwnedFd> {
    let throttle = throttle(settings);
    if throttle.recently_failed(SLOW) {
        return None;
    }
    let client = client(settings, &throttle, Caller::Launcher)?;
    let no_jobs = prefetch::no_jobs(String::new());
    let link = LinkRequest::of_process(&no_jobs, options).ok()?;
    let request = DaemonRequest::Prefetch(wanted, Box::new(link));
    let following = async { timeout(COMPILE_WAITS, client.run_at_exit(&request)).await };
    match small_runtime().ok()?.block_on(following) {
        Ok(Ok(end)) => Some(end),
        Ok(Err(unavailable)) if unavailable.is_timeout() => {
            throttle.mark_failed(DAEMON);
            None
        }
        Ok(Err(_)) => None,
        Err(_) => {
            throttle.mark_failed(SLOW);
            None
        }
    }
}
