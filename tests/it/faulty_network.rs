//! The faulty network itself: it passes bytes, or fails to, as configured.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::proxy::{End, Proxy, Way};

/// Echoes on one connection after the other until the listener fails.
fn echo() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let thread = thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            thread::spawn(move || {
                let mut back = stream.try_clone().expect("a second handle");
                // The proxy may reset it at any time.
                let _ = std::io::copy(&mut stream, &mut back);
                let _ = back.shutdown(Shutdown::Write);
            });
        }
    });
    (port, thread)
}

fn proxied() -> (Proxy, TcpStream) {
    let (port, _) = echo();
    let proxy = Proxy::to(port);
    let stream = connect(&proxy).expect("connected");
    (proxy, stream)
}

fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

#[test]
fn bytes_pass_and_are_counted() {
    let (proxy, mut stream) = proxied();
    let bytes = vec![5; 300_000];
    let mut writer = stream.try_clone().expect("a second handle");
    let sent = bytes.clone();
    let writing = thread::spawn(move || writer.write_all(&sent));
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("echoed");
    writing.join().expect("no panic").expect("written");
    assert_eq!(back, bytes);
    assert_eq!(
        (proxy.passed(Way::Up), proxy.passed(Way::Down)),
        (300_000, 300_000)
    );
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_delay_makes_each_round_trip_take_twice_its_time() {
    let (proxy, mut stream) = proxied();
    proxy.delay(Duration::from_millis(20));
    let start = Instant::now();
    for _ in 0..3 {
        round_trip(&mut stream, b"x").expect("echoed");
    }
    // Only a lower bound: a busy machine may take longer.
    assert!(start.elapsed() >= Duration::from_millis(3 * 2 * 20));
}

#[test]
fn a_narrow_line_takes_its_time() {
    let (proxy, mut stream) = proxied();
    proxy.bandwidth(Some(100_000));
    let start = Instant::now();
    round_trip(&mut stream, &vec![1; 20_000]).expect("echoed");
    round_trip(&mut stream, b"x").expect("echoed");
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn silence_loses_nothing_and_closes_nothing() {
    let (proxy, mut stream) = proxied();
    proxy.silence(true);
    stream.write_all(b"hello").expect("taken");
    let limit = Some(Duration::from_millis(50));
    stream.set_read_timeout(limit).expect("set");
    let error = stream.read(&mut [0; 5]).expect_err("nothing comes");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    connect(&proxy).expect("still accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    proxy.silence(false);
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("echoed at last");
    assert_eq!(&back, b"hello");
}

#[test]
fn a_reset_ends_open_connections_and_no_later_ones() {
    let (proxy, mut stream) = proxied();
    round_trip(&mut stream, b"x").expect("echoed");
    proxy.reset();
    let error = stream.read(&mut [0; 1]).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let mut again = connect(&proxy).expect("connected");
    round_trip(&mut again, b"y").expect("echoed");
}

#[test]
fn a_reset_by_the_server_reaches_a_client_that_only_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::to(listener.local_addr().expect("bound").port());
    let mut stream = connect(&proxy).expect("connected");
    stream.write_all(b"hello").expect("sent");
    let (mut server, _) = listener.accept().expect("accepted");
    server.read_exact(&mut [0; 1]).expect("read");
    // Closed with bytes unread: the kernel says RST, not FIN.
    drop(server);
    let error = stream.read(&mut [0; 1]).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn refusal_is_the_kernels_own_and_ends() {
    let (proxy, mut stream) = proxied();
    round_trip(&mut stream, b"x").expect("echoed");
    proxy.refuse(true);
    let error = connect(&proxy).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    round_trip(&mut stream, b"x").expect("the old one lives");
    proxy.refuse(false);
    connect(&proxy).expect("welcome again");
}

#[test]
fn a_half_closed_direction_ends_and_the_other_goes_on() {
    let (proxy, mut stream) = proxied();
    round_trip(&mut stream, b"x").expect("echoed");
    proxy.half_close(Way::Down);
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0);
    stream.write_all(b"more").expect("the way up is open");
}

#[test]
fn a_connection_ends_after_exactly_so_many_bytes() {
    for end in [End::Reset, End::Close] {
        let (proxy, mut stream) = proxied();
        round_trip(&mut stream, b"x").expect("echoed");
        proxy.end_after(Way::Down, 3, end);
        let _ = stream.write_all(b"hello");
        let mut back = Vec::new();
        let read = stream.read_to_end(&mut back);
        assert_eq!(read.is_err(), end == End::Reset, "{end:?}");
        assert_eq!(proxy.passed(Way::Down), 4, "{end:?}");
        let mut later = connect(&proxy).expect("connected");
        round_trip(&mut later, b"whole").expect("echoed");
    }
}
