//! Connects links to their farm.
//!
//! Each link gets a client of its own. In a process that outlives its links the clients share
//! connections, the farm's capabilities, and what is known of its CAS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::options::FarmOptions;
use crate::events::Events;
use crate::reapi::{CapabilityError, Client, ConnectError};
use crate::task::{Task, lock, spawn};

/// How long a farm's capabilities are trusted, unless it contradicts them.
const LASTS: Duration = Duration::from_mins(15);

/// A connection that is being made.
pub type Connecting = Task<Result<Client, ConnectError>>;

/// The client from which those of links are made, and when it was first requested.
type Kept = (Instant, Arc<OnceCell<Client>>);

/// Creates the clients of links.
#[derive(Debug)]
pub(super) struct Connections {
    /// `None`: each link opens its own connections.
    kept: Option<Mutex<Option<Kept>>>,
}

impl Connections {
    pub(super) fn single_use() -> Self {
        Self { kept: None }
    }

    /// For links of the same farm.
    pub(super) fn long_lived() -> Self {
        Self {
            kept: Some(Mutex::default()),
        }
    }

    /// Begins to connect.
    pub(super) fn connect(&self, options: &FarmOptions, events: &Events) -> Connecting {
        let (options, events) = (options.clone(), events.clone());
        let Some(cell) = self.kept() else {
            return spawn(connect(options, events));
        };
        spawn(async move {
            let mut of_all = options.clone();
            of_all.client.deadline = None;
            let connection_events = events.clone();
            let first = || async {
                let client = connect(of_all.clone(), connection_events).await?;
                // It outlives this link, whose events nothing consumes then.
                Ok::<_, ConnectError>(client.for_link(&of_all.client, Events::discarded()))
            };
            let shared = cell.get_or_try_init(first).await?;
            Ok(shared.for_link(&options.client, events))
        })
    }

    /// A link has ended. A farm that refuses what it accepted before is asked anew what it can do.
    pub(super) fn link_ended(&self) {
        let Some(kept) = &self.kept else {
            return;
        };
        let mut kept = lock(kept);
        let client = kept.as_ref().and_then(|(_, cell)| cell.get());
        if client.is_some_and(Client::has_changed) {
            *kept = None;
        }
    }

    fn kept(&self) -> Option<Arc<OnceCell<Client>>> {
        let mut kept = lock(self.kept.as_ref()?);
        match &*kept {
            Some((since, cell)) if since.elapsed() < LASTS => Some(Arc::clone(cell)),
            _ => {
                let cell = Arc::default();
                *kept = Some((Instant::now(), Arc::clone(&cell)));
                Some(cell)
            }
        }
    }
}

/// A server without an execution service is used as a cache.
async fn connect(options: FarmOptions, events: Events) -> Result<Client, ConnectError> {
    let connected = Client::connect(&options.client, events.clone()).await;
    match connected {
        Err(ConnectError::Capabilities {
            source: CapabilityError::NoExecution(address),
            ..
        }) if options.local_fallback => {
            events.warning(
                format!("`{address}` does not execute jobs; it is used as a cache only"),
                Some("give the address as `remote_cache`, or check `remote_instance_name`"),
            );
            let mut client = options.client;
            let executor = client.executor.take();
            client.cache = client.cache.or(executor);
            Client::connect(&client, events).await
        }
        connected => connected,
    }
}
