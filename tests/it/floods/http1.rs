//! Caches of HTTP/1.1.

use super::{AT_ONCE, play};
use crate::support::flood::{Flood, FloodServer};

pub(super) fn floods() -> Vec<(&'static str, Flood)> {
    let long = b"x".repeat(4096);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let flood = |name, first: &[u8], again: &[u8]| (name, Flood::new(first, again));
    vec![
        flood("100 Continue", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        flood(
            "early hints",
            b"",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
        ),
        flood("empty lines", b"", b"\r\n"),
        flood("a status line", b"HTTP/1.1 200 ", &long),
        flood("header lines", b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        flood("a header", b"HTTP/1.1 200 OK\r\nA: ", &long),
        flood("a body", b"HTTP/1.1 200 OK\r\n\r\n", &long),
        flood("chunks", chunked, b"1\r\na\r\n"),
        flood(
            "an extension of a chunk",
            &[&chunked[..], b"1;a="].concat(),
            &long,
        ),
        flood("the length of a chunk", chunked, b"0"),
        flood(
            "trailers",
            &[&chunked[..], b"1\r\na\r\n0\r\n"].concat(),
            b"A: b\r\n",
        ),
        flood(
            "answers that were not asked for",
            b"",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        ),
    ]
}

#[test]
fn a_cache_that_sends_without_end_holds_up_neither_objects_nor_signals() {
    play(&floods(), AT_ONCE, FloodServer::http1, |server| {
        let address = format!("http://{}", server.authority());
        vec![("RELTO_REMOTE_CACHE", address)]
    });
}
