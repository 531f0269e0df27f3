//! A link by the daemon, where there is one, instead of by this process.
//!
//! Enters: settings, options, a job file. Leaves: the daemon's verdict, or nothing: then the link
//! is to be run here, as if nobody had been asked. Why there is no daemon is a note in the log, and
//! never the user's concern.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::engine_error::EngineError;
use super::runtime::{daemon_dir, small_runtime};
use crate::config::{DaemonUse, Settings};
use crate::daemon::{Build, DaemonClient, LinkRequest, Request, Unavailable};
use crate::events::Events;
use crate::job::{Caller, JobFile};
use crate::launcher::Throttle;
use crate::link::{LinkFailure, Options};
use crate::prefetch::{self, PrefetchRequest};
use crate::process::{Interruption, Relto, Watch};

/// Under this name a daemon that does not answer is remembered.
const DAEMON: &str = "the daemon does not answer";

/// And one that was too slow for a compile to wait for it; so long one does wait.
const SLOW: &str = "the daemon does not answer at once";
const PATIENCE: Duration = Duration::from_millis(600);

/// A link that a daemon may run.
#[derive(Debug)]
pub(super) struct ViaDaemon {
    caller: DaemonClient,
    request: Request,
    throttle: Throttle,
}

impl ViaDaemon {
    /// `None` if this process runs the link in any case.
    pub(super) fn new(settings: &Settings, options: &Options, file: &JobFile) -> Option<Self> {
        // Tokens of make's belong to this process; a backend that was launched needs none beyond
        // its recipe's own.
        let counted = file.caller == Caller::Linker && options.jobserver.is_some();
        if counted {
            return None;
        }
        let throttle = Throttle::new(settings.state_dir());
        Some(Self {
            caller: caller(settings, &throttle, file.caller)?,
            request: Request::Link(Box::new(LinkRequest::of_process(file, options).ok()?)),
            throttle,
        })
    }

    /// `None`: the link is to be run here.
    pub(super) async fn run(
        &self,
        events: &Events,
        watch: &mut Watch,
    ) -> Option<Result<(), EngineError>> {
        let (tell, told) = oneshot::channel();
        let given_up = async {
            let interruption = watch.interrupted().await;
            let _ = tell.send(interruption);
        };
        let ended = self.caller.link(&self.request, events, given_up).await;
        let interruption: Option<Interruption> = { told }.try_recv().ok();
        match (ended, interruption) {
            (Ok(Ok(())), None) => Some(Ok(())),
            (Ok(Err(verdict)), None) => Some(Err(EngineError::Link(verdict))),
            (Ok(Err(verdict)), Some(_)) if !matches!(verdict, LinkFailure::Cancelled) => {
                Some(Err(EngineError::Link(verdict)))
            }
            (_, Some(interruption)) => Some(Err(EngineError::Interrupted(interruption))),
            (Err(unavailable), None) => {
                self.note(&unavailable, events);
                None
            }
        }
    }

    fn note(&self, unavailable: &Unavailable, events: &Events) {
        if unavailable.is_silence() {
            self.throttle.mark_failed(DAEMON);
        }
        if !matches!(unavailable, Unavailable::None) {
            let cause = std::error::Error::source(unavailable);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            events.note(format!(
                "this process does the work itself: {unavailable}{cause}"
            ));
        }
    }
}

/// This process as one that may have a daemon.
fn caller(settings: &Settings, throttle: &Throttle, asker: Caller) -> Option<DaemonClient> {
    if settings.daemon.when == DaemonUse::Never {
        return None;
    }
    let place = daemon_dir(settings)?;
    let wanted = settings.daemon.when == DaemonUse::Always || asker == Caller::Launcher;
    if throttle.recently_failed(DAEMON) || !wanted && !place.socket().exists() {
        return None;
    }
    let starts = wanted.then(|| (Relto::itself(), settings.daemon.idle_timeout));
    Some(DaemonClient {
        place,
        build: Build::of_process().ok()?,
        starts,
    })
}

/// Has the daemon send `wanted` when the program that this process becomes has ended: when what is
/// given back is closed. `None` where there is no daemon that would do it at once.
pub(super) fn follow(
    settings: &Settings,
    options: &Options,
    wanted: PrefetchRequest,
) -> Option<OwnedFd> {
    let throttle = Throttle::new(settings.state_dir());
    if throttle.recently_failed(SLOW) {
        return None;
    }
    let caller = caller(settings, &throttle, Caller::Launcher)?;
    let no_jobs = prefetch::no_jobs(String::new());
    let link = LinkRequest::of_process(&no_jobs, options).ok()?;
    let request = Request::Prefetch(wanted, Box::new(link));
    let following = async { timeout(PATIENCE, caller.follow(&request)).await };
    match small_runtime().ok()?.block_on(following) {
        Ok(Ok(end)) => Some(end),
        Ok(Err(unavailable)) if unavailable.is_silence() => {
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
