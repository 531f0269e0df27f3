//! A scripted REAPI server inside the test process.
//!
//! A [`Profile`] says which kind of server it is, [`Fault`]s what goes wrong, and its worker either
//! follows a script or really runs the command. The [`Record`] holds everything that clients did.
//! Benchmarks use [`Profile::cheap`] and [`TimedWorkers`], so that they measure the client alone.
//! State is in memory. The server has a runtime of its own, so synchronous tests can use it as well
//! as asynchronous ones.

mod action_cache;
mod bytestream;
mod cas;
mod connection;
mod execution;
mod failure;
mod fault;
mod gate;
mod network;
mod operations;
mod playback;
mod profile;
mod record;
mod resource;
mod serve;
mod store;
mod strict;
mod timed;
mod worker;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use prost::Message;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::ActionResult;
use relto::internals::task::lock;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use connection::{Connection, Traffic};
use network::Network;
use operations::Operations;
use store::Store;

pub use failure::Failure;
pub use fault::{Break, Effect, Fault, FaultPlan};
pub use playback::{Playback, operation};
pub use profile::{BatchCount, Committed, Header, Missing, Platforms, Profile};
pub use record::{Call, Method, Record};
pub use timed::{TimedResult, TimedWorkers};
pub use worker::{Input, Job, Outcome, Worker};

/// What the services share.
struct Inner {
    profile: Profile,
    faults: Mutex<FaultPlan>,
    playbacks: Mutex<VecDeque<Playback>>,
    record: Mutex<Record>,
    store: Mutex<Store>,
    worker: Mutex<Worker>,
    /// In place of the worker.
    timed: Option<TimedWorkers>,
    operations: Mutex<Operations>,
    traffic: Arc<Traffic>,
    network: Network,
    /// Blobs that were sent compressed, so that each is compressed once.
    compressed: Mutex<HashMap<Digest, Bytes>>,
    scratch: tempfile::TempDir,
}

/// All services of the farm; one file each implements them.
#[derive(Clone)]
struct Service(Arc<Inner>);

impl std::ops::Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// A running farm; dropping it closes its connections and kills what it runs.
pub struct Farm {
    service: Service,
    port: u16,
    socket: PathBuf,
    /// Takes connections of this process, where the farm has no port.
    in_memory: Option<serve::Accepted>,
    connections: CancellationToken,
    runtime: Option<Runtime>,
}

impl Farm {
    /// A farm of this kind that really runs the commands, listening on a free port and on a unix
    /// socket.
    pub fn start(profile: Profile) -> Self {
        Self::listen(profile, None)
    }

    fn listen(profile: Profile, timed: Option<TimedWorkers>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads for the farm");
        let (service, socket) = Self::service(profile, timed);
        let connections = CancellationToken::new();
        let port = {
            let _inside = runtime.enter();
            serve::listen(&service, &socket, &connections)
        };
        Self {
            service,
            port,
            socket,
            in_memory: None,
            connections,
            runtime: Some(runtime),
        }
    }

    /// A farm of this kind on the running runtime, without sockets: under a paused clock, time
    /// passes only when client and farm both wait. It executes nothing but playbacks and scripts.
    pub fn in_memory(profile: Profile) -> Self {
        let (service, socket) = Self::service(profile, None);
        let connections = CancellationToken::new();
        let accepted = serve::serve_in_memory(&service, &connections);
        Self {
            service,
            port: 0,
            socket,
            in_memory: Some(accepted),
            connections,
            runtime: None,
        }
    }

    /// Opens connections to a farm in memory, each when it is first used.
    pub fn dialler(&self) -> impl Fn() -> Channel + Send + Sync + use<> {
        let accepted = self.in_memory.clone().expect("a farm in memory");
        let (all, traffic) = (self.connections.clone(), Arc::clone(&self.service.traffic));
        move || {
            let (accepted, all) = (accepted.clone(), all.clone());
            let traffic = Arc::clone(&traffic);
            let connector = tower::service_fn(move |_: http::Uri| {
                let (near, far) = tokio::io::duplex(1 << 16);
                let connection = Connection::new(far, &all, &traffic);
                let accepted = accepted.clone();
                async move {
                    let sent = accepted.send(Ok(connection)).await;
                    sent.map_err(|_| std::io::ErrorKind::ConnectionRefused)?;
                    Ok::<_, std::io::Error>(TokioIo::new(near))
                }
            });
            Endpoint::from_static("http://farm.test").connect_with_connector_lazy(connector)
        }
    }

    fn service(profile: Profile, timed: Option<TimedWorkers>) -> (Service, PathBuf) {
        let scratch = tempfile::tempdir().expect("a directory for the farm");
        let socket = scratch.path().join("farm.sock");
        let service = Service(Arc::new(Inner {
            network: Network::new(&profile),
            compressed: Mutex::default(),
            profile,
            faults: Mutex::default(),
            playbacks: Mutex::default(),
            record: Mutex::default(),
            store: Mutex::default(),
            worker: Mutex::new(Worker::Real),
            timed,
            operations: Mutex::default(),
            traffic: Arc::default(),
            scratch,
        }));
        (service, socket)
    }

    /// The next execution, or the next attempt to follow one, gets these messages.
    pub fn play(&self, playback: Playback) {
        lock(&self.service.playbacks).push_back(playback);
    }

    /// Playbacks that have not been asked for.
    pub fn unplayed(&self) -> usize {
        lock(&self.service.playbacks).len()
    }

    /// A farm of this kind whose worker is `script`.
    pub fn scripted(
        profile: Profile,
        script: impl Fn(&Job) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let farm = Self::start(profile);
        farm.script(script);
        farm
    }

    /// From now on `script` makes the results.
    pub fn script(&self, script: impl Fn(&Job) -> Outcome + Send + Sync + 'static) {
        *lock(&self.service.worker) = Worker::Script(Arc::new(script));
    }

    /// A farm of this kind whose jobs are not read but timed.
    pub fn timed(profile: Profile, workers: TimedWorkers) -> Self {
        Self::listen(profile, Some(workers))
    }

    /// `grpc://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// `unix:PATH`.
    pub fn unix_address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection for generated clients, made when it is first used.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port))
            .expect("an address")
            .connect_lazy()
    }

    /// relto's options for this farm, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let address = match self.service.profile.tls {
            Some(_) => format!("grpcs://localhost:{}", self.port),
            None => self.address(),
        };
        self.service.profile.environment(&address)
    }

    pub fn profile(&self) -> &Profile {
        &self.service.profile
    }

    pub fn fault(&self, fault: Fault) {
        lock(&self.service.faults).add(fault);
    }

    pub fn clear_faults(&self) {
        lock(&self.service.faults).clear();
    }

    /// All that happened since the start, or since `forget_record`.
    pub fn record(&self) -> Record {
        let mut record = lock(&self.service.record).clone();
        let traffic = &self.service.traffic;
        record.bytes_up = traffic.up.load(Ordering::Relaxed);
        record.bytes_down = traffic.down.load(Ordering::Relaxed);
        record.connections = traffic.connections.load(Ordering::Relaxed);
        record
    }

    /// Starts counting anew. The client must be idle.
    pub fn forget_record(&self) {
        lock(&self.service.record).forget();
        self.service.network.forget();
        let traffic = &self.service.traffic;
        for counter in [&traffic.up, &traffic.down, &traffic.connections] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Puts a blob there, named by SHA256.
    pub fn put(&self, bytes: impl Into<Bytes>) -> Digest {
        lock(&self.service.store).put(DigestFunction::Sha256, bytes.into())
    }

    /// Puts a blob there under a name that is known already.
    pub fn put_named(&self, digest: Digest, bytes: Bytes) {
        lock(&self.service.store).put_named(digest, bytes);
    }

    /// The farm says that it has these blobs. It cannot send them.
    pub fn claim(&self, digests: impl IntoIterator<Item = Digest>) {
        lock(&self.service.store).claim(digests);
    }

    /// All blobs that were claimed, or uploaded where uploads are not checked.
    pub fn claimed(&self) -> HashSet<Digest> {
        lock(&self.service.store).claimed().clone()
    }

    /// From now on so many bytes of blobs pass each way in a second.
    pub fn limit_network(&self, bytes_per_second: Option<u64>) {
        self.service.network.limit(bytes_per_second);
    }

    /// Bytes of blobs, as they travel, since the start or `forget_record`: to the farm, and from
    /// it.
    pub fn passed(&self) -> (u64, u64) {
        let network = &self.service.network;
        (network.up.passed(), network.down.passed())
    }

    pub fn put_message(&self, message: &impl Message) -> Digest {
        self.put(message.encode_to_vec())
    }

    pub fn blob(&self, digest: &Digest) -> Option<Bytes> {
        lock(&self.service.store).blob(digest)
    }

    /// All blobs that are there.
    pub fn digests(&self) -> Vec<Digest> {
        lock(&self.service.store).digests()
    }

    pub fn evict(&self, digest: &Digest) {
        lock(&self.service.store).evict(digest);
    }

    pub fn evict_all(&self) {
        lock(&self.service.store).evict_all();
    }

    /// The action cache, over all instance names.
    pub fn results(&self) -> HashMap<Digest, ActionResult> {
        lock(&self.service.store).results()
    }

    pub fn put_result(&self, instance: &str, action: Digest, result: ActionResult) {
        lock(&self.service.store).put_result(instance, action, result);
    }

    pub fn clear_results(&self) {
        lock(&self.service.store).clear_results();
    }

    /// The server forgets all operations, as after its restart.
    pub fn forget_operations(&self) {
        lock(&self.service.operations).clear();
    }

    /// The server dies: nothing listens, every connection ends.
    pub fn kill(&mut self) {
        self.connections.cancel();
        lock(&self.service.operations).clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.kill();
    }
}
