//! Servers that answer each request with bytes that never end and lead to nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that are written at once, about.
const PIECE: usize = 256 << 10;
/// How long a test waits for a flood.
const LIMIT: Duration = Duration::from_mins(1);

/// The answer to a request.
#[derive(Debug, Clone, Default)]
pub struct Flood {
    /// Sent once.
    pub first: Vec<u8>,
    /// Sent again and again, until the client hangs up.
    pub again: Vec<u8>,
}

impl Flood {
    pub fn new(first: &[u8], again: &[u8]) -> Self {
        Self {
            first: first.to_vec(),
            again: again.to_vec(),
        }
    }
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Bytes of all connections, and whether a client has hung up during a flood.
#[derive(Debug, Default)]
struct Progress {
    sent: u64,
    hung_up: bool,
}

/// A running server. Its threads end with the process of the test.
#[derive(Debug)]
pub struct FloodServer {
    port: u16,
    progress: Arc<(Mutex<Progress>, Condvar)>,
}

impl FloodServer {
    /// A server of HTTP/1.1 that answers with `flood` once the head of a request is there.
    pub fn http1(flood: Flood) -> Self {
        Self::start(move |stream| {
            read_head(stream)?;
            Some(flood.clone())
        })
    }

    /// A server of HTTP/2 whose answer depends on the first stream that the client opens.
    pub fn http2(flood: impl Fn(u32) -> Flood + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream| {
            stream.write_all(&frame(4, 0, 0, &[])).ok()?;
            let opened = read_to_headers(stream)?;
            Some(flood(opened))
        })
    }

    fn start(answer: impl Fn(&TcpStream) -> Option<Flood> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let progress = Arc::default();
        let (shared, answer) = (Arc::clone(&progress), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (progress, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || {
                    let flood = answer(&stream)?;
                    pour(&stream, &flood, &progress)
                });
            }
        });
        Self { port, progress }
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns once some megabytes are on their way, or the client has had enough.
    ///
    /// # Panics
    /// Nothing is sent in a minute.
    pub fn wait_until_flooding(&self) {
        let (progress, changed) = &*self.progress;
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |progress: &mut Progress| progress.sent < 4 << 20 && !progress.hung_up;
        let (progress, waited) = changed
            .wait_timeout_while(progress, LIMIT, waits)
            .expect("no thread panics with it");
        assert!(
            !waited.timed_out() || progress.sent > 0,
            "the client has asked for nothing"
        );
    }
}

/// Writes until the client hangs up. What the client sends meanwhile is read by a thread of its own,
/// so that its answers do not end the flood.
fn pour(stream: &TcpStream, flood: &Flood, progress: &(Mutex<Progress>, Condvar)) -> Option<()> {
    let mut incoming = stream.try_clone().ok()?;
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while matches!(incoming.read(&mut bytes), Ok(1..)) {}
    });
    let piece = flood.again.repeat(PIECE.div_ceil(flood.again.len()));
    let mut next = &flood.first;
    let (state, changed) = progress;
    let mut stream = stream;
    loop {
        let written = stream.write_all(next);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => state.sent += next.len() as u64,
            Err(_) => state.hung_up = true,
        }
        changed.notify_all();
        if state.hung_up {
            return None;
        }
        next = &piece;
    }
}

/// Reads to the end of a request's head.
fn read_head(mut stream: &TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(())
}

/// Reads to the first frame that opens a stream. Returns the stream.
fn read_to_headers(mut stream: &TcpStream) -> Option<u32> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).ok()?;
    assert_eq!(&preface, PREFACE, "a client of HTTP/2");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).ok()?;
        if head[3] == 1 {
            return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}
