//! Uploads of a link's results to the farm's cache: beside the jobs, never in their way.
//!
//! A cache may take its time, and the results wait for it in memory. A cache that has taken nothing
//! for a while, or says that it takes nothing, gets no more in this link.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::Hinted as _;
use crate::events::Events;
use crate::reapi::limits::{
    STORED_BYTES, STORES, STORING_LONGEST, STORING_PAUSE, STORING_SHORTEST,
};
use crate::reapi::{Failure, FailureKind};
use crate::task::{Task, lock, spawn};

/// The uploads of one link.
#[derive(Debug)]
pub(super) struct Stores {
    events: Events,
    /// Those under way.
    running: Arc<Semaphore>,
    /// What is left of [`STORED_BYTES`], in KiB.
    memory: Arc<Semaphore>,
    wanted: Mutex<Vec<Task<()>>>,
    /// Of results that the farm does not need.
    offers: Mutex<Vec<Task<()>>>,
    /// The cache takes no results.
    closed: CancellationToken,
    told: Arc<Told>,
    /// Results for which there was no memory.
    left_out: AtomicUsize,
}

/// What the user knows already.
#[derive(Debug, Default)]
struct Told {
    of_size: AtomicBool,
    of_closing: AtomicBool,
}

/// A result of `bytes` that is to be uploaded.
pub(super) struct Storable<F> {
    pub(super) what: &'static str,
    pub(super) bytes: usize,
    pub(super) upload: F,
}

impl Stores {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            running: Arc::new(Semaphore::new(STORES)),
            memory: Arc::new(Semaphore::new(kib(STORED_BYTES) as usize)),
            wanted: Mutex::default(),
            offers: Mutex::default(),
            closed: CancellationToken::new(),
            told: Arc::default(),
            left_out: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Uploads a result as soon as others leave room.
    pub(super) fn store<F>(&self, result: Storable<F>)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        match self.memory_for(result.bytes) {
            Some(memory) => lock(&self.wanted).push(self.start(result, memory, None)),
            None => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Uploads a result if others leave room now.
    pub(super) fn offer<F>(&self, result: Storable<F>)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if let Ok(running) = Arc::clone(&self.running).try_acquire_owned()
            && let Some(memory) = self.memory_for(result.bytes)
        {
            lock(&self.offers).push(self.start(result, memory, Some(running)));
        }
    }

    fn memory_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(kib(bytes));
        memory.ok()
    }

    fn start<F>(
        &self,
        result: Storable<F>,
        memory: OwnedSemaphorePermit,
        running: Option<OwnedSemaphorePermit>,
    ) -> Task<()>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (events, closed) = (self.events.clone(), self.closed.clone());
        let (others, told) = (Arc::clone(&self.running), Arc::clone(&self.told));
        spawn(async move {
            let _memory = memory;
            let upload = async {
                let _running = match running {
                    Some(running) => Some(running),
                    None => others.acquire_owned().await.ok(),
                };
                result.upload.await
            };
            if let Some(Err(failure)) = closed.run_until_cancelled(upload).await {
                // A cache that does not take a large one may take others.
                if !failure.is_of_size() {
                    closed.cancel();
                }
                told.report(&events, result.what, &failure);
            }
        })
    }

    /// Waits for the uploads at the end of a link that took so long: while the cache takes something,
    /// which `sent` shows, but not for ever. Offered results get only the time of `offers`.
    pub(super) async fn finish(&self, took: Duration, offers: Duration, sent: impl Fn() -> u64) {
        let wanted = std::mem::take(&mut *lock(&self.wanted));
        let offered = std::mem::take(&mut *lock(&self.offers));
        let mut left: FuturesUnordered<_> = wanted.into_iter().collect();
        let end = Instant::now() + took.clamp(STORING_SHORTEST, STORING_LONGEST);
        let mut before = sent();
        while !left.is_empty() {
            let until = end.min(Instant::now() + STORING_PAUSE);
            let stored = timeout_at(until, left.next()).await;
            let now = sent();
            if stored.is_err() && (now == before || Instant::now() >= end) {
                break;
            }
            before = now;
        }
        self.report_lost(left.len() + self.left_out.load(Ordering::Relaxed));
        // Those that are not done by then end with their handles.
        let _ = tokio::time::timeout(offers, futures_util::future::join_all(offered)).await;
    }

    fn report_lost(&self, lost: usize) {
        if lost == 0 || self.is_closed() {
            return;
        }
        let results = if lost == 1 { "result" } else { "results" };
        self.events.warning(
            format!("{lost} {results} of this link did not reach the farm's cache in time: it takes uploads too slowly"),
            Some("with `remote_upload_local_results=false` none are sent"),
        );
    }

    /// Ends all uploads.
    pub(super) fn abandon(&self) {
        self.closed.cancel();
        lock(&self.wanted).clear();
        lock(&self.offers).clear();
    }
}

impl Told {
    /// Tells why a result was not uploaded, the first time as a warning.
    fn report(&self, events: &Events, what: &str, failure: &Failure) {
        let (told, text) = if failure.is_of_size() {
            let text = format!("{what} are too large for the farm's cache: {failure}");
            (&self.of_size, text)
        } else {
            let text = format!("{what} are not uploaded to the farm's cache: {failure}");
            (&self.of_closing, text)
        };
        if told.swap(true, Ordering::Relaxed) || failure.kind == FailureKind::Denied {
            events.note(text);
        } else {
            events.warning(text, failure.hints().first().map(String::as_str));
        }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.min(STORED_BYTES).div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
