//! A farm of sleeping workers behind a connection of known latency and bandwidth.
//!
//! The server does as little as possible itself: it reads no input and computes no digest of what
//! it is sent, so that on a shared machine the client is what is measured. The scripted farm of the
//! tests, which checks every rule of the standard, would cost more than the client.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use relto::internals::digest::Digest;
use relto::internals::pb::bytestream::byte_stream_server::ByteStreamServer;
use relto::internals::pb::reapi::action_cache_server::ActionCacheServer;
use relto::internals::pb::reapi::capabilities_server::CapabilitiesServer;
use relto::internals::pb::reapi::content_addressable_storage_server::ContentAddressableStorageServer;
use relto::internals::pb::reapi::execution_server::ExecutionServer;
use relto::internals::task::{self, Task};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::transport::Server;

/// What a job takes and leaves.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) takes: Duration,
    pub(crate) object: Bytes,
    pub(crate) digest: Digest,
}

/// By the module's name, as `RequestMetadata` says it.
pub(crate) type Script = Arc<dyn Fn(&str) -> Made + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct ActionTemplate {
    pub(crate) slots: usize,
    pub(crate) round_trip: Duration,
    /// Each way; `None`: as fast as it goes.
    pub(crate) bytes_per_second: Option<u64>,
    /// The action cache has whatever it is asked for.
    pub(crate) remembers: bool,
    /// Blobs may travel compressed.
    pub(crate) zstd: bool,
}

/// What all senders take turns with, as they do on a real line: no sender waits for all of
/// another's batch.
const PIECE: u64 = 64 << 10;

/// zstd's, as servers have it by default.
const LEVEL: i32 = 3;

/// One direction of the line: a sender waits until everything before has been sent.
#[derive(Debug)]
struct Line {
    bytes_per_second: Mutex<Option<u64>>,
    free: Mutex<Instant>,
    passed: AtomicU64,
}

pub(super) struct Shared {
    pub(super) template: ActionTemplate,
    pub(super) script: Script,
    pub(super) slots: Semaphore,
    up: Line,
    down: Line,
    /// What was sent here.
    pub(super) blobs: Mutex<HashSet<Digest>>,
    /// What was made here.
    pub(super) objects: Mutex<HashMap<Digest, Bytes>>,
    /// The same compressed, once for all runs: a farm has processors of its own.
    packed: Mutex<HashMap<Digest, Bytes>>,
}

/// All services.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Shared>);

/// A running server; it ends with this.
pub(crate) struct Farm {
    shared: Arc<Shared>,
    port: u16,
    _serving: Task<()>,
    _runtime: Runtime,
}

impl Farm {
    pub(crate) fn start(template: ActionTemplate, script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let shared = Arc::new(Shared {
            template,
            script,
            slots: Semaphore::new(template.slots),
            up: Line::new(template.bytes_per_second),
            down: Line::new(template.bytes_per_second),
            blobs: Mutex::default(),
            objects: Mutex::default(),
            packed: Mutex::default(),
        });
        let (port, serving) = runtime.block_on(serve(Service(Arc::clone(&shared))));
        Self {
            shared,
            port,
            _serving: serving,
            _runtime: runtime,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    pub(crate) fn template(&self) -> &ActionTemplate {
        &self.shared.template
    }

    pub(crate) fn blobs(&self) -> HashSet<Digest> {
        lock(&self.shared.blobs).clone()
    }

    /// The CAS has these and nothing else.
    pub(crate) fn reset(&self, blobs: HashSet<Digest>) {
        *lock(&self.shared.blobs) = blobs;
        lock(&self.shared.objects).clear();
        for line in [&self.shared.up, &self.shared.down] {
            line.passed.store(0, Ordering::Relaxed);
        }
    }

    /// Another line from now on, each way.
    pub(crate) fn line(&self, bytes_per_second: Option<u64>) {
        for line in [&self.shared.up, &self.shared.down] {
            *lock(&line.bytes_per_second) = bytes_per_second;
        }
    }

    /// Blobs that the CAS has.
    pub(crate) fn offer(&self, blobs: &[Made]) {
        let mut objects = lock(&self.shared.objects);
        objects.extend(blobs.iter().map(|made| (made.digest, made.object.clone())));
    }

    /// Bytes of blobs since the start or the last reset: to the farm, and from it.
    pub(crate) fn passed(&self) -> (u64, u64) {
        let of = |line: &Line| line.passed.load(Ordering::Relaxed);
        (of(&self.shared.up), of(&self.shared.down))
    }
}

async fn serve(service: Service) -> (u16, Task<()>) {
    const NO_LIMIT: usize = 1 << 30;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let cas = ContentAddressableStorageServer::new(service.clone());
    let server = Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(CapabilitiesServer::new(service.clone()))
        .add_service(cas.max_decoding_message_size(NO_LIMIT))
        .add_service(ByteStreamServer::new(service.clone()).max_decoding_message_size(NO_LIMIT))
        .add_service(ActionCacheServer::new(service.clone()))
        .add_service(ExecutionServer::new(service))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = task::spawn(async move { server.await.expect("it serves") });
    (port, serving)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is held")
}

impl Line {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: Mutex::new(bytes_per_second),
            free: Mutex::new(Instant::now()),
            passed: AtomicU64::new(0),
        }
    }

    async fn pass(&self, bytes: usize) {
        let mut rest = bytes as u64;
        self.passed.fetch_add(rest, Ordering::Relaxed);
        while rest > 0 {
            let piece = rest.min(PIECE);
            self.pass_piece(piece).await;
            rest -= piece;
        }
    }

    async fn pass_piece(&self, bytes: u64) {
        let Some(speed) = *lock(&self.bytes_per_second) else {
            return;
        };
        let takes = Duration::from_nanos(bytes * 1_000_000_000 / speed);
        let through = {
            let mut free = lock(&self.free);
            *free = (*free).max(Instant::now()) + takes;
            *free
        };
        // The clock has ticks of a millisecond; what is owed adds up in `free`.
        if through > Instant::now() + Duration::from_millis(1) {
            sleep_until(through).await;
        }
    }
}

impl Service {
    pub(super) async fn round_trip(&self) {
        if !self.0.template.round_trip.is_zero() {
            sleep(self.0.template.round_trip).await;
        }
    }

    pub(super) async fn up(&self, bytes: usize) {
        self.0.up.pass(bytes).await;
    }

    pub(super) async fn down(&self, bytes: usize) {
        self.0.down.pass(bytes).await;
    }

    /// The object of this digest, as it travels.
    pub(super) fn object(&self, digest: &Digest, packed: bool) -> Result<Bytes, Status> {
        let found = lock(&self.0.objects).get(digest).cloned();
        let object = found.ok_or_else(|| Status::not_found("no such object"))?;
        if !packed {
            return Ok(object);
        }
        let mut all = lock(&self.0.packed);
        let packed = all.entry(*digest).or_insert_with(|| {
            let packed = zstd::bulk::compress(&object, LEVEL);
            packed.expect("memory is enough").into()
        });
        Ok(packed.clone())
    }

    pub(super) fn make(&self, module: &str) -> Made {
        let made = (self.0.script)(module);
        lock(&self.0.objects).insert(made.digest, made.object.clone());
        made
    }
}
