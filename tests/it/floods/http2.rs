//! Farms, and servers of build events, at the level of HTTP/2 frames.

use std::time::Duration;

use super::{AT_ONCE, play};
use crate::support::flood::{Flood, FloodServer, frame};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xfa;

const END_HEADERS: u8 = 4;

/// `:status: 200` and `content-type: application/grpc`, in HPACK.
const OK: &[u8] = b"\x88\x5f\x10application/grpc";
/// `:status: 100`.
const CONTINUE: &[u8] = b"\x08\x03100";
/// A header that is not indexed.
const HEADER: &[u8] = b"\x00\x01a\x01b";

/// The server has two seconds after a signal, in which its flood is read.
pub(super) const WAITED: Duration = Duration::from_secs(6);

pub(super) type OfStream = fn(u32) -> Flood;

#[expect(clippy::too_many_lines, reason = "a list of floods")]
pub(super) fn floods() -> Vec<(&'static str, OfStream)> {
    vec![
        ("PING", |_| Flood::new(b"", &frame(PING, 0, 0, &[7; 8]))),
        ("answers to no PING", |_| {
            Flood::new(b"", &frame(PING, 1, 0, &[7; 8]))
        }),
        ("SETTINGS", |_| Flood::new(b"", &frame(SETTINGS, 0, 0, &[]))),
        ("long SETTINGS", |_| {
            let settings = [0, 4, 0, 1, 0, 0].repeat(2000);
            Flood::new(b"", &frame(SETTINGS, 0, 0, &settings))
        }),
        ("WINDOW_UPDATE", |_| {
            Flood::new(b"", &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))
        }),
        ("WINDOW_UPDATE of the stream", |stream| {
            Flood::new(b"", &frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]))
        }),
        ("PRIORITY", |stream| {
            Flood::new(b"", &frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]))
        }),
        ("RST_STREAM", |stream| {
            Flood::new(b"", &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]))
        }),
        ("GOAWAY", |stream| {
            let payload = [&stream.to_be_bytes()[..], &[0; 4]].concat();
            Flood::new(b"", &frame(GOAWAY, 0, 0, &payload))
        }),
        ("PUSH_PROMISE", |stream| {
            let payload = [&[0, 0, 0, 2][..], OK].concat();
            Flood::new(b"", &frame(PUSH_PROMISE, END_HEADERS, stream, &payload))
        }),
        ("frames of an unknown kind", |stream| {
            Flood::new(b"", &frame(UNKNOWN, 0, stream, b"content"))
        }),
        ("informational answers", |stream| {
            Flood::new(b"", &frame(HEADERS, END_HEADERS, stream, CONTINUE))
        }),
        ("headers that go on", |stream| {
            Flood::new(
                &frame(HEADERS, 0, stream, OK),
                &frame(CONTINUATION, 0, stream, HEADER),
            )
        }),
        ("headers that go on with nothing", |stream| {
            Flood::new(
                &frame(HEADERS, 0, stream, OK),
                &frame(CONTINUATION, 0, stream, b""),
            )
        }),
        ("empty data", |stream| {
            Flood::new(
                &frame(HEADERS, END_HEADERS, stream, OK),
                &frame(DATA, 0, stream, b""),
            )
        }),
        ("empty data with padding", |stream| {
            Flood::new(
                &frame(HEADERS, END_HEADERS, stream, OK),
                &frame(DATA, 8, stream, &[200; 201]),
            )
        }),
        ("empty messages", |stream| {
            Flood::new(
                &frame(HEADERS, END_HEADERS, stream, OK),
                &frame(DATA, 0, stream, &[0; 5]),
            )
        }),
        ("trailers that go on", |stream| {
            let first = frame(HEADERS, END_HEADERS, stream, OK);
            let trailers = frame(HEADERS, 1, stream, b"\x00\x0bgrpc-status\x010");
            Flood::new(
                &[first, trailers].concat(),
                &frame(CONTINUATION, 0, stream, HEADER),
            )
        }),
    ]
}

fn address(server: &FloodServer) -> String {
    format!("grpc://{}", server.authority())
}

#[test]
fn a_farm_that_sends_frames_without_end_holds_up_neither_objects_nor_signals() {
    play(&floods(), AT_ONCE, FloodServer::http2, |server| {
        vec![
            ("RELTO_REMOTE_EXECUTOR", address(server)),
            ("RELTO_TOOLCHAIN", "worker".to_owned()),
        ]
    });
}

#[test]
fn a_server_of_build_events_that_sends_frames_without_end_holds_up_neither_objects_nor_signals() {
    play(&floods(), WAITED, FloodServer::http2, |server| {
        vec![("RELTO_BES_BACKEND", address(server))]
    });
}
