//! Servers that answer each request with bytes that never end and lead to nothing.

use std::io::{Read, Write};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::tls::Tls;
use super::tls_flood::{self, TlsFlood};

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

    /// All that is written, without end.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let again = self.again.repeat(PIECE.div_ceil(self.again.len()));
        iter::once(self.first.clone()).chain(iter::repeat(again))
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
struct Poured {
    sent: u64,
    hung_up: bool,
}

/// What a server has sent so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    poured: Mutex<Poured>,
    changed: Condvar,
}

/// A running server. Its threads end with the process of the test.
#[derive(Debug)]
pub struct FloodServer {
    port: u16,
    progress: Arc<Progress>,
}

impl FloodServer {
    /// A server of HTTP/1.1 that answers with `flood` once the head of a request is there. A flood
    /// that would say that it is no cache comes a request later.
    pub fn http1(flood: Flood) -> Self {
        Self::start(move |mut stream, progress| {
            if flood.first.starts_with(b"HTTP/1.1 200 OK") {
                read_request(&mut stream)?;
            } else {
                read_head(&mut stream)?;
            }
            progress.pour(&stream, flood.pieces())
        })
    }

    /// A server of HTTP/2 whose answer depends on the first stream that the client opens.
    pub fn http2(flood: impl Fn(u32) -> Flood + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream, progress| {
            let opened = read_to_headers(&mut stream)?;
            progress.pour(&stream, flood(opened).pieces())
        })
    }

    /// A server of HTTP/1.1 inside of TLS.
    pub fn https1(tls: &Tls, flood: TlsFlood) -> Self {
        let config = tls.rustls_config(b"http/1.1");
        Self::start(move |stream, progress| {
            let flood = |_| flood.clone();
            tls_flood::pour(stream, &config, progress, flood, |stream| {
                read_request(stream).map(|()| 0)
            })
        })
    }

    /// A server of HTTP/2 inside of TLS.
    pub fn https2(tls: &Tls, flood: impl Fn(u32) -> TlsFlood + Send + Sync + 'static) -> Self {
        let config = tls.rustls_config(b"h2");
        Self::start(move |stream, progress| {
            tls_flood::pour(stream, &config, progress, &flood, |stream| {
                read_to_headers(stream)
            })
        })
    }

    fn start(answer: impl Fn(TcpStream, &Progress) -> Option<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let progress = Arc::<Progress>::default();
        let (shared, answer) = (Arc::clone(&progress), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (progress, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || answer(stream, &progress));
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
        let Progress { poured, changed } = &*self.progress;
        let poured = poured.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |poured: &mut Poured| poured.sent < 4 << 20 && !poured.hung_up;
        let (poured, waited) = changed
            .wait_timeout_while(poured, LIMIT, waits)
            .expect("no thread panics with it");
        assert!(
            !waited.timed_out() || poured.sent > 0,
            "the client has asked for nothing"
        );
    }
}

impl Progress {
    /// Writes `pieces` until the client hangs up. What the client sends meanwhile is read by a thread
    /// of its own, so that its answers do not end the flood.
    pub(super) fn pour(
        &self,
        mut stream: &TcpStream,
        pieces: impl Iterator<Item = Vec<u8>>,
    ) -> Option<()> {
        let mut incoming = stream.try_clone().ok()?;
        thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while matches!(incoming.read(&mut bytes), Ok(1..)) {}
        });
        for piece in pieces {
            let written = stream.write_all(&piece);
            let mut poured = self.poured.lock().unwrap_or_else(PoisonError::into_inner);
            match written {
                Ok(()) => poured.sent += piece.len() as u64,
                Err(_) => poured.hung_up = true,
            }
            self.changed.notify_all();
            if poured.hung_up {
                break;
            }
        }
        None
    }
}

/// Reads to the end of a request's head. The question by which a cache is told from a web server is
/// answered as caches do.
fn read_request(stream: &mut (impl Read + Write)) -> Option<()> {
    let head = read_head(stream)?;
    if head.starts_with(format!("GET /ac/{} ", "0".repeat(64)).as_bytes()) {
        let miss = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(miss).ok()?;
        stream.flush().ok()?;
        read_head(stream)?;
    }
    Some(())
}

/// A request's head.
fn read_head(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

/// Greets a client of HTTP/2 and reads to the first frame that opens a stream. Returns the stream.
fn read_to_headers(stream: &mut (impl Read + Write)) -> Option<u32> {
    stream.write_all(&frame(4, 0, 0, &[])).ok()?;
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
