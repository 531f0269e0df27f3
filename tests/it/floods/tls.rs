//! Caches, farms and servers of build events behind TLS: what TLS itself says without end, and some of
//! what HTTP says inside of it.

use std::sync::Arc;

use fs_err as fs;

use super::{AT_ONCE, http1, http2, play};
use crate::support::flood::{Flood, FloodServer};
use crate::support::skip::is_long;
use crate::support::tls::Tls;
use crate::support::tls_flood::{ALERT, APPLICATION_DATA, HANDSHAKE, Record, TlsFlood};

type OfStream = Arc<dyn Fn(u32) -> TlsFlood + Send + Sync>;

/// A record that is not encrypted.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short record");
    [&[kind, 3, 3][..], &length.to_be_bytes(), content].concat()
}

/// Floods of TLS, whatever it carries.
#[expect(clippy::too_many_lines, reason = "a list of floods")]
fn floods() -> Vec<(&'static str, TlsFlood)> {
    const CHANGE_CIPHER_SPEC: u8 = 20;
    let unsealed = |first: &[u8], again: &[u8]| TlsFlood::Unsealed(Flood::new(first, again));
    let sealed = |record| TlsFlood::Sealed(vec![record]);
    // Lifetime, age, nonce, ticket, extensions.
    let ticket = [
        &[4, 0, 0, 15][..],
        &[0, 0, 1, 0],
        &[0; 4],
        &[1, 7],
        &[0, 1, 9],
        &[0, 0],
    ]
    .concat();
    // A certificate of 16 MiB, of which 16 KiB come at a time.
    let giant = [&[11, 0xff, 0xff, 0xff][..], &[0; 1000]].concat();
    let warning = [1, 90];
    vec![
        (
            "bytes that are no TLS",
            unsealed(b"", b"HTTP/1.1 400 Bad Request\r\n"),
        ),
        ("empty records", unsealed(b"", &record(HANDSHAKE, b""))),
        (
            "changes of the cipher",
            unsealed(b"", &record(CHANGE_CIPHER_SPEC, &[1])),
        ),
        ("warnings", unsealed(b"", &record(ALERT, &warning))),
        (
            "a giant message",
            unsealed(
                &record(HANDSHAKE, &giant),
                &record(HANDSHAKE, &[0; 16 << 10]),
            ),
        ),
        (
            "a giant message in records of one byte",
            unsealed(
                &record(HANDSHAKE, &[11, 0, 0xff, 0xff]),
                &record(HANDSHAKE, &[0]),
            ),
        ),
        (
            "sealed empty records",
            sealed(Record::new(APPLICATION_DATA, b"")),
        ),
        (
            "sealed padding",
            sealed(Record::new(APPLICATION_DATA, b"").padded(16 << 10)),
        ),
        ("tickets", sealed(Record::new(HANDSHAKE, &ticket))),
        (
            "many tickets in a record",
            sealed(Record::new(HANDSHAKE, &ticket.repeat(800))),
        ),
        ("sealed warnings", sealed(Record::new(ALERT, &warning))),
        (
            "a sealed giant message",
            TlsFlood::Sealed(vec![
                Record::new(HANDSHAKE, &[4, 0xff, 0xff, 0xff]),
                Record::new(HANDSHAKE, &[0; 16 << 10]),
            ]),
        ),
        ("new keys", TlsFlood::KeyUpdates),
        (
            "a byte and much padding",
            sealed(Record::new(APPLICATION_DATA, b"\r").padded(16 << 10)),
        ),
    ]
}

/// Of the floods of HTTP, usual runs play these.
fn chosen(name: &str) -> bool {
    const USUAL: [&str; 5] = [
        "header lines",
        "a body",
        "PING",
        "headers that go on",
        "empty data",
    ];
    is_long() || USUAL.contains(&name)
}

/// An authority, and a file that names it.
struct Trust {
    tls: Tls,
    file: tempfile::NamedTempFile,
}

impl Trust {
    fn new() -> Self {
        let (tls, file) = (Tls::new(), tempfile::NamedTempFile::new());
        let file = file.expect("a file");
        fs::write(file.path(), &tls.authority).expect("written");
        Self { tls, file }
    }

    fn variables(&self, server: &'static str, address: String) -> Vec<(&'static str, String)> {
        vec![
            (server, address),
            (
                "RELTO_TLS_CERTIFICATE",
                self.file.path().display().to_string(),
            ),
        ]
    }
}

/// The floods of TLS, and those of HTTP/2 inside of it.
fn floods_with_http2() -> Vec<(&'static str, OfStream)> {
    let of_tls = floods().into_iter().map(|(name, flood)| {
        let same: OfStream = Arc::new(move |_| flood.clone());
        (name, same)
    });
    let of_http = http2::floods().into_iter();
    let inside = of_http
        .filter(|(name, _)| chosen(name))
        .map(|(name, flood)| {
            let inside: OfStream = Arc::new(move |stream| flood(stream).into());
            (name, inside)
        });
    of_tls.chain(inside).collect()
}

#[test]
fn a_cache_behind_tls_that_sends_without_end_holds_up_neither_objects_nor_signals() {
    let trust = Trust::new();
    let mut all = floods();
    let of_http = http1::floods().into_iter();
    let inside = of_http.filter(|(name, _)| chosen(name));
    all.extend(inside.map(|(name, flood)| (name, flood.into())));
    let start = |flood| FloodServer::https1(&trust.tls, flood);
    play(&all, AT_ONCE, start, |server| {
        let address = format!("https://{}", server.authority());
        trust.variables("RELTO_REMOTE_CACHE", address)
    });
}

#[test]
fn a_farm_behind_tls_that_sends_without_end_holds_up_neither_objects_nor_signals() {
    let trust = Trust::new();
    let start = |flood: OfStream| FloodServer::https2(&trust.tls, move |stream| flood(stream));
    play(&floods_with_http2(), AT_ONCE, start, |server| {
        let address = format!("grpcs://{}", server.authority());
        let mut variables = trust.variables("RELTO_REMOTE_EXECUTOR", address);
        variables.push(("RELTO_TOOLCHAIN", "worker".to_owned()));
        variables
    });
}

#[test]
fn a_server_of_build_events_behind_tls_that_sends_without_end_holds_up_neither_objects_nor_signals()
{
    let trust = Trust::new();
    let start = |flood: OfStream| FloodServer::https2(&trust.tls, move |stream| flood(stream));
    play(&floods_with_http2(), http2::WAITED, start, |server| {
        let address = format!("grpcs://{}", server.authority());
        trust.variables("RELTO_BES_BACKEND", address)
    });
}
