//! The build events of a link: begun before it, ended behind it, and never a reason for its
//! failure.

use super::engine_error::EngineError;
use super::output;
use super::via_daemon::EventsViaDaemon;
use crate::bes::{
    BesOptions, Closing, FailedAction, NotPublished, Outcome, Publisher, ToolLog, UploadMode,
    publish_here,
};
use crate::client_context::ClientContext;
use crate::config::{Settings, Warning, printable};
use crate::error::{Hinted, with_causes};
use crate::events::Events;
use crate::exec::JobFailure;
use crate::link::{self, LinkFailure};
use crate::report::messages;

/// The names by which viewers know what is in a file.
const PROFILE: &str = "command.profile.gz";
const EXECUTION_LOG: &str = "execution_log.json";
const COMPACT_LOG: &str = "execution_log.binpb.zst";

/// The publisher of one link, if its events are published.
#[derive(Debug)]
pub(super) struct BuildEvents(Option<Publisher>);

impl BuildEvents {
    /// Begins to publish the link of `output`, and says where its page is.
    pub(super) fn start(settings: &Settings, output: &str) -> Self {
        let Some(options) = &settings.link.bes else {
            return Self(None);
        };
        match publisher(options, output) {
            Ok(publisher) => {
                if let Some(page) = options.page() {
                    output::line(&messages::streaming(&printable(&page)));
                }
                Self(publisher)
            }
            Err(error) => {
                warn(&error);
                Self(None)
            }
        }
    }

    /// The same events, which are published too.
    pub(super) fn of(&self, events: Events) -> Events {
        match &self.0 {
            Some(publisher) => {
                let observe = publisher.observer();
                events.observed(move |_, event| observe(event))
            }
            None => events,
        }
    }

    /// Sends the rest. Whatever comes of it, the link is what it is.
    pub(super) fn end(
        self,
        settings: &Settings,
        options: &link::Options,
        linked: &Result<(), EngineError>,
    ) {
        let (Some(publisher), Some(bes)) = (self.0, &options.bes) else {
            return;
        };
        let (outcome, failed) = outcome(linked);
        let style = &settings.style;
        let logs = [
            (PROFILE, &style.profile),
            (EXECUTION_LOG, &style.execution_log),
            (COMPACT_LOG, &style.compact_log),
        ];
        let logs = logs.into_iter().filter_map(|(name, path)| {
            let (name, path) = (name.to_owned(), path.clone()?);
            let gzipped = name == PROFILE;
            Some(ToolLog {
                name,
                path,
                gzipped,
            })
        });
        let farm = settings.link.farm.as_ref();
        let closing = Closing {
            outcome,
            failed,
            logs: logs.collect(),
            farm: farm.map(|farm| farm.client.clone()),
        };
        let may_be_left = bes.mode != UploadMode::Wait && closing.outcome != Outcome::Interrupted;
        let daemon = may_be_left
            .then(|| EventsViaDaemon::new(settings))
            .flatten();
        let ended = match daemon {
            Some(daemon) => leave(publisher, closing, &daemon, options, bes),
            None => publisher.end(closing),
        };
        if let Err(error) = ended {
            warn(&error);
        }
    }
}

/// Leaves the rest to the daemon, or sends it if that is not possible.
fn leave(
    publisher: Publisher,
    closing: Closing,
    daemon: &EventsViaDaemon,
    options: &link::Options,
    bes: &BesOptions,
) -> Result<(), NotPublished> {
    let Some(publication) = publisher.hand_over(closing)? else {
        return Ok(());
    };
    match daemon.leave(options, Box::new(publication)) {
        Ok(()) => Ok(()),
        Err(publication) => publish_here(bes, *publication),
    }
}

fn publisher(options: &BesOptions, output: &str) -> Result<Option<Publisher>, NotPublished> {
    let dir = ClientContext::default().dir();
    Publisher::start(options, "link", output, &dir)
}

fn warn(error: &NotPublished) {
    output::warning(&Warning {
        text: format!(
            "the page of this link is not complete: {}",
            with_causes(error)
        ),
        hint: error.hint(),
    });
}

fn outcome(linked: &Result<(), EngineError>) -> (Outcome, Option<FailedAction>) {
    let failure = match linked {
        Ok(()) => return (Outcome::Succeeded, None),
        Err(EngineError::Interrupted(_)) => return (Outcome::Interrupted, None),
        Err(EngineError::Link(failure)) => failure,
        Err(error) => return (Outcome::Failed(error.to_string()), None),
    };
    let outcome = match failure {
        LinkFailure::Cancelled => Outcome::Interrupted,
        LinkFailure::Job(job) => match &**job {
            JobFailure::Compiler { module, reason, .. } => {
                Outcome::Failed(format!("cannot compile `{module}`: {reason}"))
            }
            JobFailure::Farm { module, reason, .. } => {
                Outcome::FarmFailed(format!("the farm does not compile `{module}`: {reason}"))
            }
            JobFailure::Machine { .. } => Outcome::Failed(job.to_string()),
            JobFailure::Cancelled { .. } => Outcome::Interrupted,
        },
        failure => Outcome::Failed(failure.to_string()),
    };
    (outcome, failure.failed_action())
}
