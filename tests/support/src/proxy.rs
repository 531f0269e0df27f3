//! A TCP hop that misbehaves on demand.
//!
//! A [`Proxy`] is a port that leads to another one of this machine. Its knobs act at once, also on
//! open connections: delay, bandwidth, silence, reset, refusal, half-close, an end after so many
//! bytes. It knows no protocol, and has a thread of its own, so any test can turn the knobs.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use relto::internals::task::{self, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    Down,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// RST both ways.
    #[default]
    Reset,
    /// FIN both ways.
    Close,
    /// No end: nothing passes any more, and neither side is told.
    Stall,
}

#[derive(Debug, Clone, Default)]
struct Knobs {
    delay: Duration,
    bytes_per_second: Option<u64>,
    is_silent: bool,
    half_closed: Option<Way>,
    end: End,
    /// Connections that are older than this many resets are reset.
    resets: u64,
    /// The same for budgets that were used up: older connections have their `end`.
    spent: u64,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    knobs: watch::Sender<Knobs>,
    /// Bytes that may still pass, up and down; `u64::MAX` is no limit.
    budget: [AtomicU64; 2],
    passed: [AtomicU64; 2],
    connections: AtomicU64,
}

/// Asks the listening task to listen or not, and waits until it does.
type Listen = (bool, std_mpsc::Sender<()>);

/// A running proxy; dropping it closes its connections.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    listen: mpsc::UnboundedSender<Listen>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Leads to `port` of this machine.
    pub fn to(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread for the proxy");
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            knobs: watch::Sender::new(Knobs::default()),
            budget: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            connections: AtomicU64::new(0),
        });
        let (listen, asked) = mpsc::unbounded_channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        runtime.spawn(accept(listener, Arc::clone(&shared), asked));
        Self {
            shared,
            port,
            listen,
            runtime: Some(runtime),
        }
    }

    /// `grpc://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything arrives so much later, each way: a round trip takes twice the time, however many
    /// are under way. So elapsed time over twice the delay is the number of round trips that waited
    /// for each other.
    pub fn delay(&self, each_way: Duration) {
        self.turn(|knobs| knobs.delay = each_way);
    }

    /// No more than so many bytes a second, each way and connection.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.turn(|knobs| knobs.bytes_per_second = bytes_per_second);
    }

    /// Connections are accepted, nothing passes, no side is told. Ends with `silence(false)`, and
    /// nothing is lost.
    pub fn silence(&self, is_silent: bool) {
        self.turn(|knobs| knobs.is_silent = is_silent);
    }

    /// Resets each connection that is open now.
    pub fn reset(&self) {
        self.turn(|knobs| knobs.resets += 1);
    }

    /// Nothing more goes this way, and its receiver is told (FIN); the other way goes on.
    pub fn half_close(&self, way: Way) {
        self.turn(|knobs| knobs.half_closed = Some(way));
    }

    /// After so many bytes more in this direction, counted over all connections, those that are
    /// open then end like this; later ones are whole. A stalled connection stays until `reset`.
    pub fn end_after(&self, way: Way, bytes: u64, end: End) {
        self.turn(|knobs| knobs.end = end);
        self.shared.budget[way as usize].store(bytes, Ordering::SeqCst);
    }

    /// New connections are refused by the kernel, or welcome again on the same port.
    pub fn refuse(&self, refuse: bool) {
        let (done, wait) = std_mpsc::channel();
        let asked = self.listen.send((!refuse, done));
        asked.expect("the listening task runs");
        wait.recv().expect("the listening task answers");
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes that passed in this direction.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::SeqCst)
    }

    fn turn(&self, change: impl FnOnce(&mut Knobs)) {
        self.shared.knobs.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn to_tokio(listener: std::net::TcpListener) -> TcpListener {
    listener.set_nonblocking(true).expect("a socket");
    TcpListener::from_std(listener).expect("inside a runtime")
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut asked: mpsc::UnboundedReceiver<Listen>,
) {
    let address = listener.local_addr().expect("a bound socket");
    let mut listener = Some(to_tokio(listener));
    let mut connections: Vec<Task<()>> = Vec::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accepted => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.push(task::spawn(connect(client, Arc::clone(&shared))));
            }
            Some((listen, done)) = asked.recv() => {
                listener = None;
                if listen {
                    let again = std::net::TcpListener::bind(address).expect("the port is ours");
                    listener = Some(to_tokio(again));
                }
                // The test may have gone on without waiting.
                let _ = done.send(());
            }
            else => return,
        }
    }
}

/// One connection from its begin to whatever end.
async fn connect(mut client: TcpStream, shared: Arc<Shared>) {
    let mut knobs = shared.knobs.subscribe();
    let (resets, spent) = {
        let now = knobs.borrow_and_update();
        (now.resets, now.spent)
    };
    let Ok(mut server) = TcpStream::connect(shared.target).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            // Both ways must be over, one may be half-closed; but a reset is one for both at once.
            let up = pump(Way::Up, from_client, to_server, &shared);
            let down = pump(Way::Down, from_server, to_client, &shared);
            tokio::try_join!(up, down)
        };
        let mut ends = shared.knobs.subscribe();
        tokio::select! {
            both = both => both.map_or(End::Reset, |_| End::Close),
            now = ends.wait_for(|now| now.spent > spent) => now.map_or(End::Reset, |now| now.end),
            _ = knobs.wait_for(|now| now.resets > resets) => End::Reset,
        }
    };
    match end {
        End::Close => {
            // What is already closed needs no second end.
            let _ = (client.shutdown().await, server.shutdown().await);
        }
        End::Reset => {}
        End::Stall => {
            let _ = knobs.wait_for(|now| now.resets > resets).await;
        }
    }
    if end != End::Close {
        reset(&client);
        reset(&server);
    }
}

/// The next close of this socket is an RST.
fn reset(stream: &TcpStream) {
    // A socket that the other side has closed cannot be reset, and need not.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

type Delayed = (Instant, Vec<u8>);

/// Reads and writes apart, so that a delay is latency and does not slow the flow.
async fn pump(way: Way, from: ReadHalf<'_>, to: WriteHalf<'_>, shared: &Shared) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(1024);
    tokio::try_join!(
        take_in(from, sender, shared),
        give_out(way, to, receiver, shared)
    )?;
    Ok(())
}

async fn take_in(
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<Delayed>,
    shared: &Shared,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let due = Instant::now() + shared.knobs.borrow().delay;
        if read == 0 || sender.send((due, buffer[..read].to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

async fn give_out(
    way: Way,
    mut to: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Delayed>,
    shared: &Shared,
) -> io::Result<()> {
    let mut knobs = shared.knobs.subscribe();
    loop {
        let next = tokio::select! {
            next = receiver.recv() => next,
            _ = knobs.wait_for(|knobs| knobs.half_closed == Some(way)) => None,
        };
        let Some((due, mut bytes)) = next else {
            return to.shutdown().await;
        };
        tokio::time::sleep_until(due).await;
        let loud = knobs.wait_for(|knobs| !knobs.is_silent).await;
        let speed = loud.map_or(None, |knobs| knobs.bytes_per_second);
        let budget = &shared.budget[way as usize];
        let left = budget.load(Ordering::SeqCst);
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let written = bytes.len() as u64;
        // Counted first: a test that has received the bytes may ask for the count.
        shared.passed[way as usize].fetch_add(written, Ordering::SeqCst);
        to.write_all(&bytes).await?;
        if left != u64::MAX {
            let used = |left: u64| Some(left.saturating_sub(written));
            let _ = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, used);
            if budget.load(Ordering::SeqCst) == 0 {
                budget.store(u64::MAX, Ordering::SeqCst);
                shared.knobs.send_modify(|knobs| knobs.spent += 1);
                return std::future::pending().await;
            }
        }
        if let Some(speed) = speed {
            let nanos = written.saturating_mul(1_000_000_000) / speed.max(1);
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
    }
}
