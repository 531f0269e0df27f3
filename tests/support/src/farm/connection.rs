//! The farm's end of a connection: counted, and cut on demand.
//!
//! tonic serves a [`Connection`]; through its [`Peer`] a call finds the connection it came over and
//! can end it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use relto::internals::task::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Request;
use tonic::transport::server::{Connected, TlsConnectInfo};

/// Bytes that passed, counted from the client's side.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
    pub(super) connections: AtomicU64,
    /// Every connection that there was.
    pub(super) peers: Mutex<Vec<Peer>>,
}

/// The connection that a call came over.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) number: u64,
    cut: CancellationToken,
}

impl Peer {
    /// The connection of a call, through TLS or not.
    pub(super) fn of<T>(request: &Request<T>) -> Option<Self> {
        let extensions = request.extensions();
        let through_tls = extensions.get::<TlsConnectInfo<Self>>();
        let plain = extensions.get::<Self>();
        through_tls.map(TlsConnectInfo::get_ref).or(plain).cloned()
    }

    /// The client sees a connection that ends in the middle of everything.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    peer: Peer,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    traffic: Arc<Traffic>,
}

impl Connection {
    /// `all` is the token that cuts every connection of the farm.
    pub(super) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        all: &CancellationToken,
        traffic: &Arc<Traffic>,
    ) -> Self {
        let cut = all.child_token();
        let number = traffic.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let is_cut = Box::pin(cut.clone().cancelled_owned());
        let peer = Peer { number, cut };
        lock(&traffic.peers).push(peer.clone());
        Self {
            stream: Box::new(stream),
            is_cut,
            peer,
            traffic: Arc::clone(traffic),
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.is_cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.traffic.up.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.traffic
            .down
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, buffers))?;
        self.traffic
            .down
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
