//! A scripted Build Event Service: it checks numbers and contents, acknowledges as one of the known
//! servers does, and breaks streams when a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prost::Message as _;
use relto::internals::pb::build_event_stream::BuildEvent;
use relto::internals::pb::build_events::build_event::Event;
use relto::internals::pb::build_events::publish_build_event_server::{
    PublishBuildEvent, PublishBuildEventServer,
};
use relto::internals::pb::build_events::{
    OrderedBuildEvent, PublishBuildToolEventStreamRequest, PublishBuildToolEventStreamResponse,
    PublishLifecycleEventRequest, StreamId,
};
use relto::internals::task::{self, Task};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

/// When events are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledges {
    /// All of them, once the client has closed its half, if their numbers are 1 to N: BuildBuddy.
    AtEnd,
    /// Each at once: NativeLink.
    Each,
    /// Some at a time; those that it has seen are acknowledged again and not looked at: bb-portal.
    Batches,
    /// Each at once; a number that is not the next one ends the stream: Google's service.
    Strictly,
    /// All, and keeps none.
    WithoutKeeping,
}

impl Acknowledges {
    pub const ALL: [Self; 5] = [
        Self::AtEnd,
        Self::Each,
        Self::Batches,
        Self::Strictly,
        Self::WithoutKeeping,
    ];
}

/// What goes wrong on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    None,
    /// It ends with this code after so many events.
    BreaksAfter(usize, Code),
    /// Nothing is answered at all.
    NoHeaders,
    /// Headers come with the first event only.
    LateHeaders,
    /// Events are read, and nothing is acknowledged.
    NoAcknowledgements,
    /// All but the last are acknowledged, and the stream stays open.
    NoLastAcknowledgement,
    /// All are acknowledged, and the stream stays open.
    NoTrailers,
    /// It breaks once the client has closed its half, after so many acknowledgements.
    BreaksAtEnd(usize),
    /// This number is acknowledged, which was never sent.
    ForeignAcknowledgement(i64),
    /// After each number, those before it are acknowledged again, also such as no event has.
    AcknowledgesBackwards,
    /// Each number is acknowledged some thousand times.
    AcknowledgesOften,
    /// The first number is acknowledged for ever, now and then; nothing more is read.
    AcknowledgesForEver,
    /// Answers have names of so many bytes.
    LargeAnswers(usize),
    /// It ends well once so many events were acknowledged, while the client still sends.
    EndsBehind(usize),
    /// It ends with this code, with so many bytes that a terminal would act on, and as many details.
    Complains(Code, usize),
    /// It ends well, and nothing was acknowledged.
    EndsEarly,
    /// Nothing is read from now on.
    ReadsNothing,
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct EventRules {
    pub acknowledges: Acknowledges,
    /// Bytes of a message.
    pub largest_message: usize,
    /// Of the first streams, one each; later ones are good.
    pub faults: Vec<StreamFault>,
    /// How a lifecycle call ends, if not well; without a code it does not.
    pub lifecycle: Option<Option<Code>>,
    /// What every call must carry.
    pub header: Option<(&'static str, &'static str)>,
    /// Bytes that a client may send ahead.
    pub window: Option<u32>,
    /// Only TLS is spoken.
    pub tls: Option<ServerTlsConfig>,
}

impl EventRules {
    pub fn new(acknowledges: Acknowledges) -> Self {
        Self {
            acknowledges,
            largest_message: 4 << 20,
            faults: Vec::new(),
            lifecycle: None,
            header: None,
            window: None,
            tls: None,
        }
    }

    pub fn faults(mut self, faults: &[StreamFault]) -> Self {
        self.faults = faults.to_vec();
        self
    }
}

/// What a server has seen.
#[derive(Debug, Clone, Default)]
pub struct EventRecord {
    /// The numbers of each stream, in the order of their arrival.
    pub streams: Vec<Vec<i64>>,
    /// The last content under each number.
    pub events: BTreeMap<i64, OrderedBuildEvent>,
    pub lifecycle: Vec<PublishLifecycleEventRequest>,
    pub projects: Vec<String>,
    pub keywords: Vec<String>,
    pub largest_message: usize,
    /// Rules that the client has broken.
    pub violations: Vec<String>,
    /// Everything that arrived, headers too.
    pub wire: Vec<u8>,
    /// The client has closed its half of a stream.
    pub half_closed: usize,
    /// Streams that were acknowledged to their end.
    pub finished: usize,
}

impl EventRecord {
    /// The tool's own events, in order.
    pub fn build_events(&self) -> Vec<BuildEvent> {
        let events = self.events.values().filter_map(|ordered| {
            match ordered.event.as_ref()?.event.as_ref()? {
                Event::BazelEvent(any) => Some(
                    BuildEvent::decode(any.value.as_slice()).expect("a build event in the `Any`"),
                ),
                _ => None,
            }
        });
        events.collect()
    }

    /// The invocation ids of streams.
    pub fn invocations(&self) -> Vec<String> {
        let ids = self.events.values();
        let ids = ids.filter_map(|event| Some(event.stream_id.as_ref()?.invocation_id.clone()));
        let mut ids: Vec<_> = ids.collect();
        ids.dedup();
        ids
    }
}

struct State {
    rules: EventRules,
    record: Mutex<EventRecord>,
    changed: watch::Sender<usize>,
    tasks: Mutex<Vec<Task<()>>>,
    /// Fires when a newer stream of the same invocation has begun.
    current: Mutex<CancellationToken>,
    /// Until it fires no stream is acknowledged to its end.
    released: CancellationToken,
}

impl State {
    fn record(&self) -> MutexGuard<'_, EventRecord> {
        task::lock(&self.record)
    }

    fn edit(&self, edit: impl FnOnce(&mut EventRecord)) {
        edit(&mut self.record());
        self.changed.send_modify(|count| *count += 1);
    }

    fn violation(&self, text: String) {
        self.edit(|record| record.violations.push(text));
    }

    fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.edit(|record| {
            let headers = format!("{metadata:?}");
            record.wire.extend(headers.into_bytes());
        });
        let wrong = self.rules.header.is_some_and(|(name, value)| {
            let found = metadata.get(name).and_then(|found| found.to_str().ok());
            found != Some(value)
        });
        if wrong {
            return Err(Status::unauthenticated("no key"));
        }
        Ok(())
    }
}

/// A running server; dropping it closes its connections.
pub struct EventServer {
    state: Arc<State>,
    port: u16,
    runtime: Option<Runtime>,
}

impl EventServer {
    pub fn start(rules: EventRules) -> Self {
        let server = Self::start_held(rules);
        server.release();
        server
    }

    /// A server that leaves complete streams unacknowledged until [`release`](Self::release).
    pub fn start_held(rules: EventRules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread for the server");
        let mut server = Server::builder();
        if let Some(window) = rules.window {
            server = server
                .initial_stream_window_size(window)
                .initial_connection_window_size(window);
        }
        if let Some(tls) = &rules.tls {
            server = server.tls_config(tls.clone()).expect("good certificates");
        }
        let largest = rules.largest_message;
        let state = Arc::new(State {
            rules,
            record: Mutex::default(),
            changed: watch::Sender::new(0),
            tasks: Mutex::default(),
            current: Mutex::default(),
            released: CancellationToken::new(),
        });
        let service = PublishBuildEventServer::new(Service(Arc::clone(&state)))
            .max_decoding_message_size(largest);
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let accepted = futures_util::stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _)| stream), listener))
        });
        runtime.spawn(async move {
            let serving = server.add_service(service);
            let _ = serving.serve_with_incoming(accepted).await;
        });
        Self {
            state,
            port,
            runtime: Some(runtime),
        }
    }

    pub fn release(&self) {
        self.state.released.cancel();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        match self.state.rules.tls {
            Some(_) => format!("grpcs://localhost:{}", self.port),
            None => format!("grpc://127.0.0.1:{}", self.port),
        }
    }

    pub fn record(&self) -> EventRecord {
        self.state.record().clone()
    }

    /// Waits until the record is as `wanted`.
    ///
    /// # Panics
    /// It does not become so within a minute.
    pub fn wait_for(&self, wanted: impl Fn(&EventRecord) -> bool) -> EventRecord {
        let runtime = self.runtime.as_ref().expect("runs until it is dropped");
        let mut changed = self.state.changed.subscribe();
        runtime.block_on(async {
            let waiting = async {
                loop {
                    if wanted(&self.state.record()) {
                        return;
                    }
                    changed.changed().await.expect("the server lives");
                }
            };
            let ended = tokio::time::timeout(Duration::from_mins(1), waiting).await;
            assert!(ended.is_ok(), "{:#?}", self.record().streams);
        });
        self.record()
    }
}

impl Drop for EventServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<State>);

type Answer = Result<PublishBuildToolEventStreamResponse, Status>;

#[tonic::async_trait]
impl PublishBuildEvent for Service {
    async fn publish_lifecycle_event(
        &self,
        request: Request<PublishLifecycleEventRequest>,
    ) -> Result<Response<()>, Status> {
        self.0.admit(request.metadata())?;
        let message = request.into_inner();
        self.0.edit(|record| {
            record.wire.extend(message.encode_to_vec());
            record.lifecycle.push(message);
        });
        match self.0.rules.lifecycle {
            None => Ok(Response::new(())),
            Some(Some(code)) => Err(Status::new(code, "scripted")),
            Some(None) => std::future::pending().await,
        }
    }

    async fn publish_build_tool_event_stream(
        &self,
        request: Request<Streaming<PublishBuildToolEventStreamRequest>>,
    ) -> Result<Response<BoxStream<PublishBuildToolEventStreamResponse>>, Status> {
        self.0.admit(request.metadata())?;
        let state = Arc::clone(&self.0);
        let nth = state.record().streams.len();
        let fault = state.rules.faults.get(nth).copied();
        state.edit(|record| record.streams.push(Vec::new()));
        let replaced = CancellationToken::new();
        std::mem::replace(&mut *task::lock(&state.current), replaced.clone()).cancel();
        let (answers, outgoing) = mpsc::channel(1 << 16);
        let (first, had_first) = tokio::sync::oneshot::channel();
        let stream = OneStream {
            nth,
            fault: fault.unwrap_or(StreamFault::None),
            answers: answers.clone(),
            state: Arc::clone(&state),
            first: Some(first),
            unacknowledged: Vec::new(),
        };
        let fault = stream.fault;
        let running = task::spawn(async move {
            tokio::select! {
                ended = stream.run(request.into_inner()) => if let Err(status) = ended {
                    let _ = answers.send(Err(status)).await;
                },
                () = replaced.cancelled() => {
                    let _ = answers.send(Err(Status::cancelled("a newer stream has begun"))).await;
                }
            }
        });
        task::lock(&state.tasks).push(running);
        match fault {
            StreamFault::NoHeaders => std::future::pending().await,
            StreamFault::LateHeaders => {
                let _ = had_first.await;
            }
            _ => {}
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// A status of about so many bytes, and of as many details.
fn complaint(code: Code, bytes: usize) -> Status {
    let text = "evil\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}1m\r\u{8}\n".repeat(bytes / 32 + 1);
    let moved = "https://elsewhere.invalid/".repeat(bytes / 32 + 1);
    let details = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.Help".to_owned(),
        value: moved.into_bytes(),
    };
    let status = relto::internals::pb::rpc::Status {
        code: code.into(),
        message: text.clone(),
        details: vec![details],
    };
    Status::with_details(code, text, status.encode_to_vec().into())
}

struct OneStream {
    nth: usize,
    fault: StreamFault,
    answers: mpsc::Sender<Answer>,
    state: Arc<State>,
    first: Option<tokio::sync::oneshot::Sender<()>>,
    unacknowledged: Vec<i64>,
}

impl OneStream {
    async fn run(
        mut self,
        mut incoming: Streaming<PublishBuildToolEventStreamRequest>,
    ) -> Result<(), Status> {
        let rules = self.state.rules.clone();
        let mut last = None;
        let mut count = 0;
        if self.fault == StreamFault::ReadsNothing {
            std::future::pending::<()>().await;
        }
        while let Some(message) = incoming.message().await? {
            if let Some(first) = self.first.take() {
                let _ = first.send(());
            }
            count += 1;
            let number = self.take(message, last)?;
            last = Some(number);
            self.unacknowledged.push(number);
            match self.fault {
                StreamFault::BreaksAfter(after, code) if count == after => {
                    return Err(Status::new(code, "scripted"));
                }
                StreamFault::EndsEarly => return Ok(()),
                StreamFault::ForeignAcknowledgement(foreign) => {
                    self.send(foreign).await;
                    std::future::pending::<()>().await;
                }
                StreamFault::EndsBehind(after) if count == after => {
                    self.acknowledge().await;
                    return Ok(());
                }
                StreamFault::Complains(code, bytes) => return Err(complaint(code, bytes)),
                StreamFault::NoAcknowledgements | StreamFault::BreaksAtEnd(_) => continue,
                _ => {}
            }
            self.lie(number).await;
            let is_batch = self.unacknowledged.len() >= 5;
            match rules.acknowledges {
                Acknowledges::AtEnd => {}
                Acknowledges::Batches if !is_batch => {}
                _ if self.fault == StreamFault::NoLastAcknowledgement => {
                    let kept = self.unacknowledged.pop();
                    self.acknowledge().await;
                    self.unacknowledged.extend(kept);
                }
                _ => self.acknowledge().await,
            }
        }
        self.state.edit(|record| record.half_closed += 1);
        self.end().await
    }

    /// Acknowledges what it need not.
    async fn lie(&self, number: i64) {
        match self.fault {
            StreamFault::AcknowledgesBackwards => {
                for other in [number, number - 1, 1, 0, -1, i64::MIN] {
                    self.send(other).await;
                }
            }
            StreamFault::AcknowledgesOften => {
                for _ in 0..5000 {
                    self.send(number).await;
                }
            }
            StreamFault::AcknowledgesForEver => loop {
                self.send(1).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            },
            _ => {}
        }
    }

    async fn end(mut self) -> Result<(), Status> {
        if self.state.rules.acknowledges == Acknowledges::AtEnd {
            let numbers = self.state.record().streams[self.nth].clone();
            let first = numbers.first().copied().unwrap_or(1);
            let expected: Vec<i64> = (first..).take(numbers.len()).collect();
            if numbers != expected {
                let text = format!("sequence number mismatch: {numbers:?}");
                self.state.violation(text.clone());
                return Err(Status::unknown(text));
            }
        }
        self.state.released.cancelled().await;
        match self.fault {
            StreamFault::NoAcknowledgements => std::future::pending::<()>().await,
            StreamFault::NoLastAcknowledgement => {
                self.unacknowledged.pop();
                self.acknowledge().await;
                std::future::pending::<()>().await;
            }
            StreamFault::BreaksAtEnd(after) => {
                self.unacknowledged.truncate(after);
                self.acknowledge().await;
                return Err(Status::unavailable("scripted"));
            }
            StreamFault::NoTrailers => {
                self.acknowledge().await;
                std::future::pending::<()>().await;
            }
            _ => self.acknowledge().await,
        }
        self.state.edit(|record| record.finished += 1);
        Ok(())
    }

    async fn acknowledge(&mut self) {
        for number in std::mem::take(&mut self.unacknowledged) {
            self.send(number).await;
        }
    }

    async fn send(&self, number: i64) {
        let stream_id = match self.fault {
            StreamFault::LargeAnswers(bytes) => Some(StreamId {
                build_id: "x".repeat(bytes),
                ..StreamId::default()
            }),
            _ => None,
        };
        let answer = PublishBuildToolEventStreamResponse {
            stream_id,
            sequence_number: number,
        };
        let _ = self.answers.send(Ok(answer)).await;
    }

    /// Checks one message, and returns its number.
    fn take(
        &self,
        message: PublishBuildToolEventStreamRequest,
        last: Option<i64>,
    ) -> Result<i64, Status> {
        let size = message.encoded_len();
        let Some(event) = message.ordered_build_event.clone() else {
            return Err(Status::invalid_argument("no event"));
        };
        let number = event.sequence_number;
        let known = self.state.record().events.get(&number).cloned();
        if known.is_some_and(|known| known != event) {
            let text = format!("number {number} has another content than before");
            self.state.violation(text);
        }
        if last.is_some_and(|last| number != last + 1) {
            let text = format!("number {number} after {last:?}");
            self.state.violation(text.clone());
            if self.state.rules.acknowledges == Acknowledges::Strictly {
                return Err(Status::invalid_argument(text));
            }
        }
        if number == 1 && message.notification_keywords.is_empty() {
            self.state
                .violation("no keywords with the first event".to_owned());
        }
        let keeps = self.state.rules.acknowledges != Acknowledges::WithoutKeeping;
        self.state.edit(|record| {
            record.streams[self.nth].push(number);
            record.largest_message = record.largest_message.max(size);
            record.wire.extend(message.encode_to_vec());
            record.projects.push(message.project_id.clone());
            record.keywords.extend(message.notification_keywords);
            if keeps {
                record.events.insert(number, event);
            }
        });
        Ok(number)
    }
}
