//! Floods inside of TLS: encrypted contents without end, or records that only TLS itself knows.
//!
//! rustls makes the connection, then gives its secrets away: it would not send what is wrong.

use std::io::Read as _;
use std::iter;
use std::net::TcpStream;
use std::sync::Arc;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection, StreamOwned};

use super::flood::{Flood, Progress};

/// Contents of a record at most.
const MOST: usize = 16 << 10;
/// Bytes that are written at once, about.
const PIECE: usize = 64 << 10;
/// Bytes of a record's head.
const HEAD: usize = 5;

/// Contents that belong to the application.
pub const APPLICATION_DATA: u8 = 23;
/// Messages of a handshake, also after its end.
pub const HANDSHAKE: u8 = 22;
pub const ALERT: u8 = 21;

/// What a server sends in TLS.
#[derive(Debug, Clone)]
pub enum TlsFlood {
    /// In place of the server's part of the handshake.
    Unsealed(Flood),
    /// Encrypted records, after a request. The last one is sent again and again.
    Sealed(Vec<Record>),
    /// New keys again and again.
    KeyUpdates,
}

/// A record of TLS 1.3 before it is encrypted.
#[derive(Debug, Clone)]
pub struct Record {
    kind: u8,
    content: Vec<u8>,
    /// Zeros after it.
    padding: usize,
}

impl Record {
    pub fn new(kind: u8, content: &[u8]) -> Self {
        Self {
            kind,
            content: content.to_vec(),
            padding: 0,
        }
    }

    pub fn padded(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }
}

impl From<Flood> for TlsFlood {
    /// The same inside of full records.
    fn from(flood: Flood) -> Self {
        let first = flood.first.chunks(MOST);
        let again = flood.again.repeat((MOST / flood.again.len()).max(1));
        let again = again.chunks(MOST).next();
        let records = first.chain(again);
        let data = |content| Record::new(APPLICATION_DATA, content);
        Self::Sealed(records.map(data).collect())
    }
}

/// Serves one client: `flood` depends on what `request` returns, which reads a request.
pub(super) fn pour(
    mut stream: TcpStream,
    config: &Arc<ServerConfig>,
    progress: &Progress,
    flood: impl Fn(u32) -> TlsFlood,
    request: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) -> Option<u32>,
) -> Option<()> {
    if let TlsFlood::Unsealed(flood) = flood(1) {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).ok()?;
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).ok()?;
        return progress.pour(&stream, flood.pieces());
    }
    let connection = ServerConnection::new(Arc::clone(config)).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    let asked = request(&mut stream)?;
    let StreamOwned { mut conn, sock } = stream;
    while conn.wants_write() {
        conn.write_tls(&mut &sock).ok()?;
    }
    match flood(asked) {
        TlsFlood::Unsealed(_) => None,
        TlsFlood::KeyUpdates => progress.pour(
            &sock,
            iter::from_fn(|| {
                let mut piece = Vec::new();
                conn.refresh_traffic_keys().ok()?;
                while conn.wants_write() {
                    conn.write_tls(&mut piece).ok()?;
                }
                Some(piece)
            }),
        ),
        TlsFlood::Sealed(records) => {
            let mut sealer = Sealer::new(conn)?;
            let last = records.last()?.clone();
            let mut records = records.into_iter().chain(iter::repeat(last));
            progress.pour(
                &sock,
                iter::from_fn(|| {
                    let mut piece = Vec::new();
                    while piece.len() < PIECE {
                        sealer.seal(&records.next()?, &mut piece);
                    }
                    Some(piece)
                }),
            )
        }
    }
}

/// Encrypts records in place of rustls.
struct Sealer {
    key: LessSafeKey,
    vector: [u8; NONCE_LEN],
    /// Of the next record.
    number: u64,
}

impl Sealer {
    fn new(connection: ServerConnection) -> Option<Self> {
        let (number, secrets) = connection.dangerous_extract_secrets().ok()?.tx;
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return None;
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            vector: iv.as_ref().try_into().ok()?,
            number,
        })
    }

    /// Appends the record in the form of TLS 1.3.
    fn seal(&mut self, record: &Record, to: &mut Vec<u8>) {
        let mut inner = record.content.clone();
        inner.push(record.kind);
        inner.resize(inner.len() + record.padding, 0);
        let length = u16::try_from(inner.len() + AES_128_GCM.tag_len()).expect("a short record");
        let mut head = [APPLICATION_DATA, 3, 3, 0, 0];
        head[3..].copy_from_slice(&length.to_be_bytes());
        let mut nonce = self.vector;
        for (byte, number) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= number;
        }
        self.number += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce, Aad::from(head), &mut inner);
        sealed.expect("a short record");
        to.extend(head);
        to.extend(inner);
    }
}
