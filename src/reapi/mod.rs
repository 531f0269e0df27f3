//! The client of a Remote Execution API farm. It knows nothing of clang, jobs or `ThinLTO`.
//!
//! [`Client`] is all that others use. Results come back as verified bytes or as a [`Failure`] that
//! says what kind of trouble it was; whether a result is sound, and what to do instead, is decided
//! in `exec`. [`limits`] lists every bound on remote work.
//!
//! Everything stops when its future is dropped; background tasks stop with the last [`Client`].

use std::collections::HashSet;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::digest::{Digest, DigestFunction};
use crate::events::{Event, Events};
use crate::pb::reapi::ActionResult;

mod action_cache;
mod capabilities;
mod cas;
mod connect;
mod event_service;
mod execution;
mod failure;
mod health;
mod http_cache;
pub(crate) mod limits;
mod options;
mod probe;
mod rpc;
mod session;
mod transport;

pub use capabilities::{Capabilities, CapabilityError, OutputStyle};
pub use cas::blob::{ActionClosure, Blob};
pub use cas::incoming::HeadCheck;
pub use cas::memory::ResultMemory;
pub use connect::{ConnectError, Dials};
pub use event_service::{EventService, event_failure};
pub use execution::ExecuteJob;
pub use execution::operation::{Executed, Stage};
pub use execution::result::{DeclaredOutput, Printed, declared_outputs, stderr};
pub use failure::{Failure, FailureKind};
pub use options::{CallerIdentity, ClientOptions, CredentialHelper, Header};
pub use probe::{Offer, Probed, probe};
pub use rpc::{Counters, Rpc};
pub use transport::Service;
pub use transport::address::{Address, AddressError};
pub use transport::credentials::is_for_host;
pub use transport::metadata::RequestContext;

use cas::download::Downloader;
use cas::memory::ResultBudget;
use cas::resource_name::{Encoding, read_name};
use cas::upload::Uploader;
use execution::cancel::Canceller;
use execution::{ExecutionContext, ExecutionRun};
use session::Session;

/// A connected farm. Clones share everything.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientState>,
}

struct ClientState {
    session: Arc<Session>,
    uploader: Arc<Uploader>,
    downloader: Downloader,
    results: ResultBudget,
    canceller: Canceller,
    events: Events,
    /// Set with the note that a cache holds what is no result.
    strange_entry: Once,
}

impl Client {
    /// Connects and asks what the farm can do: two round trips, three with TLS.
    ///
    /// # Errors
    /// The options cannot be used, or the farm does not answer, or it cannot do what is needed.
    pub async fn connect(options: &ClientOptions, events: Events) -> Result<Self, ConnectError> {
        Self::connect_with(connect::dials(options)?, options, events).await
    }

    /// As [`Client::connect`], by connections that `dials` open.
    pub async fn connect_with(
        dials: Dials,
        options: &ClientOptions,
        events: Events,
    ) -> Result<Self, ConnectError> {
        let session = connect::connect(dials, options).await?;
        let found = &session.capabilities;
        events.note(format!(
            "the farm speaks REAPI {}, digests by {}, batches of {} bytes",
            found.high_version, found.digest_function, found.batch_limit
        ));
        Ok(Self::from_session(session, events))
    }

    fn from_session(session: Session, events: Events) -> Self {
        let session = Arc::new(session);
        let uploader = Arc::new(Uploader::new(Arc::clone(&session)));
        Self::with_uploader(session, uploader, events)
    }

    /// A client for one more link of this process. It shares connections, credentials, learned
    /// limits and knowledge of the CAS. A blob that several links need is sent by one of them.
    #[must_use]
    pub fn for_link(&self, options: &ClientOptions, events: Events) -> Self {
        let session = Arc::new(self.inner.session.for_link(options));
        let uploads = Arc::new(session.for_uploads(options));
        let uploader = Arc::new(self.inner.uploader.for_link(uploads));
        Self::with_uploader(session, uploader, events)
    }

    fn with_uploader(session: Arc<Session>, uploader: Arc<Uploader>, events: Events) -> Self {
        Self {
            inner: Arc::new(ClientState {
                uploader,
                downloader: Downloader::new(Arc::clone(&session)),
                results: ResultBudget::default(),
                canceller: Canceller::new(Arc::clone(&session)),
                session,
                events,
                strange_entry: Once::new(),
            }),
        }
    }

    /// Whether the farm refuses what it accepted before: its capabilities may be others now.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.inner.session.transport.has_withdrawn()
    }

    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.session.capabilities
    }

    /// The function of all digests that this client takes.
    #[must_use]
    pub fn digest_function(&self) -> DigestFunction {
        self.inner.session.function()
    }

    /// By which an instance of the CAS serves the blob `digest`, as it is, over `ByteStream`: the
    /// instance's name stands before it.
    #[must_use]
    pub fn blob_name(&self, digest: &Digest) -> String {
        read_name(
            "",
            self.inner.session.function(),
            digest,
            Encoding::Identity,
        )
    }

    #[must_use]
    pub fn output_style(&self) -> OutputStyle {
        self.inner.session.capabilities.output_style
    }

    /// What this link has sent and received so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.session.transport.counters
    }

    /// Makes sure that the CAS has `blobs`. Calls of many jobs are combined; each digest is asked
    /// about and sent once for each link.
    ///
    /// # Errors
    /// `FailureKind::Source` if a file has changed since it was hashed; else what the server said.
    pub async fn ensure_uploaded(&self, blobs: &[Blob]) -> Result<(), Failure> {
        self.upload(blobs, 0).await?;
        Ok(())
    }

    /// Like [`Client::ensure_uploaded`], before blobs of less `urgency`. Returns which of `blobs`
    /// were missing and have been sent.
    pub async fn upload(&self, blobs: &[Blob], urgency: u64) -> Result<HashSet<Digest>, Failure> {
        let uploading = self.inner.uploader.ensure(blobs, urgency);
        match self.inner.session.transport.policy.deadline {
            // The uploader may belong to another link, which has more time.
            Some(deadline) => timeout_at(deadline, uploading)
                .await
                .unwrap_or_else(|_| Err(Failure::too_late(Rpc::Write))),
            None => uploading.await,
        }
    }

    /// The cached result of `action`, if there is one. Its outputs may be gone or wrong. The server
    /// may send the contents of the `inline` output paths along.
    pub async fn action_result(
        &self,
        action: &Digest,
        inline: &[String],
        context: &RequestContext,
    ) -> Result<Option<ActionResult>, Failure> {
        let state = &self.inner;
        let strange = |failure: &Failure| {
            let note = || state.events.note(format!("a miss: {failure}"));
            state.strange_entry.call_once(note);
        };
        action_cache::get(&state.session, action, inline, context, &strange).await
    }

    /// Stores a result in the action cache. Outputs, Action and Command must have been uploaded.
    pub async fn update_action_result(
        &self,
        action: &Digest,
        result: ActionResult,
        context: &RequestContext,
    ) -> Result<(), Failure> {
        action_cache::update(&self.inner.session, action, result, context).await
    }

    /// Executes an action whose closure has been uploaded. Calls `progress` for its stages.
    /// Dropping the future cancels the operation if the server can.
    ///
    /// # Errors
    /// The execution has no result. `Failure::partial` holds what it printed, if the server says
    /// so.
    pub async fn execute(
        &self,
        job: &ExecuteJob,
        progress: &(dyn Fn(Stage) + Send + Sync),
    ) -> Result<Executed, Failure> {
        let inner = &self.inner;
        let executor = ExecutionContext {
            session: &inner.session,
            uploader: &inner.uploader,
            canceller: &inner.canceller,
        };
        ExecutionRun::new(&executor, job, progress).finish().await
    }

    /// Reserves memory for a result of `bytes` in all, unless other results leave too little.
    #[must_use]
    pub fn try_reserve(&self, bytes: u64) -> Option<ResultMemory> {
        self.inner.results.try_reserve(bytes)
    }

    /// As [`Client::try_reserve`], but waits. A job must reserve once for all that it receives.
    pub async fn reserve(&self, bytes: u64) -> ResultMemory {
        self.inner.results.reserve(bytes).await
    }

    /// The bytes of `digest`, verified; `inline` if that is the blob.
    ///
    /// # Errors
    /// `FailureKind::NotFound` if the CAS has lost it, `Corrupt` if it delivers something else.
    pub async fn fetch(
        &self,
        digest: &Digest,
        inline: Option<Bytes>,
        context: &RequestContext,
    ) -> Result<Bytes, Failure> {
        self.fetch_checked(digest, inline, None, context).await
    }

    /// Like [`Client::fetch`], but a large blob whose head fails `check` is not fetched further.
    pub async fn fetch_checked(
        &self,
        digest: &Digest,
        inline: Option<Bytes>,
        check: Option<&HeadCheck>,
        context: &RequestContext,
    ) -> Result<Bytes, Failure> {
        let (downloader, began) = (&self.inner.downloader, Instant::now());
        let fetched = downloader.fetch(digest, inline, check, context).await;
        if matches!(&fetched, Err(failure) if failure.kind == FailureKind::NotFound) {
            self.doubt(&[*digest], began);
        }
        fetched
    }

    /// What was known of `digests` before `since` counts no more: the CAS may have lost them.
    pub fn doubt(&self, digests: &[Digest], since: Instant) {
        self.inner.uploader.doubt(digests, since);
    }

    /// What was printed, fetched if need be.
    pub async fn printed(
        &self,
        printed: &Printed,
        context: &RequestContext,
    ) -> Result<Bytes, Failure> {
        match &printed.digest {
            Some(digest) => self.fetch(digest, None, context).await,
            None => Ok(printed.inline.clone()),
        }
    }

    /// Cancels what the link left on the farm and reports what was transferred. Call once, after
    /// the last job; takes a few seconds at most.
    pub async fn close(&self) {
        self.close_within(limits::CANCELLATION).await;
    }

    /// Like [`Client::close`], within `timeout`: what is not cancelled by then ends with the
    /// connection.
    pub async fn close_within(&self, timeout: Duration) {
        self.inner.canceller.close(timeout).await;
        let counters = self.counters();
        let (up, down) = (counters.bytes_up(), counters.bytes_down());
        self.inner.events.send(Event::Transferred { up, down });
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.inner.session.transport)
    }
}
