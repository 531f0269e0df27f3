//! Publishes a build whose backends are links of their own, each started by the build system: a
//! process that outlives them holds its stream.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::invocation::{FailedAction, InvocationEvents, Outcome};
use super::options::BesOptions;
use super::publication::{AFTER_SIGNAL, Destination, InvocationEnding, until};
use super::publisher::NotPublished;
use crate::events::Event;
use crate::task::lock;

/// The command of such an invocation, and what it is named after.
const COMMAND: &str = "cc";
const OUTPUT: &str = "backends";

/// How long a server may take for the rest: nothing waits for it, unless the process ends.
const LONGEST_END: Duration = Duration::from_mins(10);

/// The stream of a build.
#[derive(Debug)]
pub struct BuildStream {
    to: Destination,
    invocation: Arc<Mutex<InvocationEvents>>,
}

impl BuildStream {
    /// Begins to publish a build in `dir`; `None` if no server is named.
    ///
    /// # Errors
    /// The options cannot be used.
    pub fn open(options: &BesOptions, dir: &Path) -> Result<Option<Self>, NotPublished> {
        let begun = Destination::begin(options, COMMAND, OUTPUT, dir)?;
        Ok(begun.map(|(to, invocation)| Self {
            to,
            invocation: Arc::new(Mutex::new(invocation)),
        }))
    }

    /// Takes each event of one of the build's links. It never blocks for long.
    pub fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let invocation = Arc::clone(&self.invocation);
        move |event| lock(&invocation).take_of_build(event, SystemTime::now())
    }

    pub fn add_failure(&self, failed: FailedAction) {
        lock(&self.invocation).add_failure(failed);
    }

    /// Sends events until the build is `over`, which says whether it was interrupted; then the
    /// rest.
    ///
    /// # Errors
    /// The server does not have all events.
    pub async fn publish(&self, over: impl Future<Output = bool>) -> Result<(), NotPublished> {
        let mut publishing = Box::pin(self.to.publish_from_start());
        let (interrupted, published) = until(over, &mut publishing, &self.invocation).await;
        if let Some(ended) = published {
            return Ok(ended.map_err(Box::new)?);
        }
        let (outcome, limit) = {
            let mut invocation = lock(&self.invocation);
            let outcome = match (interrupted, invocation.has_failures()) {
                (true, _) => Outcome::Interrupted,
                (_, true) => Outcome::Failed("a backend failed".to_owned()),
                _ => Outcome::Succeeded,
            };
            invocation.end(&outcome, false, SystemTime::now());
            (
                outcome,
                if interrupted {
                    AFTER_SIGNAL
                } else {
                    LONGEST_END
                },
            )
        };
        let ending = InvocationEnding {
            outcome,
            logs: None,
        };
        self.to.end(&ending, publishing, Some(limit)).await
    }
}
