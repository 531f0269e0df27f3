//! A small pool of connections to one address.
//!
//! A [`Lease`] is good for one call until its last byte. Connections are opened when the others are
//! busy; one that let a call time out gets no more calls. Calls and bulk data use different
//! connections, so that an answer does not queue behind an upload.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::reapi::limits::{BULK_STREAMS, MOST_STREAMS};
use crate::task::lock;

/// Opens a connection lazily: the first call makes it.
pub type Dial = Arc<dyn Fn() -> Channel + Send + Sync>;

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrafficClass {
    /// Unary calls and executions that wait.
    Calls,
    /// `ByteStream` reads and writes.
    Bulk,
}

impl TrafficClass {
    /// Streams on a connection before another one is opened.
    fn comfortable(self) -> usize {
        match self {
            Self::Calls => MOST_STREAMS,
            Self::Bulk => BULK_STREAMS,
        }
    }
}

pub(crate) struct ConnectionPool {
    dial: Dial,
    max_connections: usize,
    connections: Mutex<Vec<Arc<Connection>>>,
    freed: Notify,
}

struct Connection {
    channel: Channel,
    class: TrafficClass,
    streams: AtomicUsize,
    retired: AtomicBool,
}

/// The right to one stream. Keep it until the response body has ended.
pub(crate) struct Lease {
    pool: Arc<ConnectionPool>,
    connection: Arc<Connection>,
}

impl ConnectionPool {
    pub(crate) fn new(dial: Dial, max_connections: usize) -> Arc<Self> {
        Arc::new(Self {
            dial,
            max_connections: max_connections.max(1),
            connections: Mutex::new(Vec::new()),
            freed: Notify::new(),
        })
    }

    /// Waits only if all connections are full and no other may be opened.
    pub(crate) async fn lease(self: &Arc<Self>, class: TrafficClass) -> Lease {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(connection) = self.pick(class) {
                return Lease {
                    pool: Arc::clone(self),
                    connection,
                };
            }
            freed.await;
        }
    }

    fn pick(&self, class: TrafficClass) -> Option<Arc<Connection>> {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| !connection.retired.load(Ordering::Relaxed));
        let least = connections
            .iter()
            .filter(|connection| connection.class == class)
            .min_by_key(|connection| connection.streams.load(Ordering::Relaxed))
            .map(|connection| (connection, connection.streams.load(Ordering::Relaxed)));
        let chosen = match least {
            Some((connection, streams))
                if streams < class.comfortable()
                    || (connections.len() >= self.max_connections && streams < MOST_STREAMS) =>
            {
                Arc::clone(connection)
            }
            Some(_) if connections.len() >= self.max_connections => return None,
            _ => {
                connections.push(Arc::new(Connection {
                    channel: (self.dial)(),
                    class,
                    streams: AtomicUsize::new(0),
                    retired: AtomicBool::new(false),
                }));
                Arc::clone(connections.last()?)
            }
        };
        chosen.streams.fetch_add(1, Ordering::Relaxed);
        Some(chosen)
    }

    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().expect("not poisoned").len()
    }
}

impl Lease {
    pub(crate) fn channel(&self) -> Channel {
        self.connection.channel.clone()
    }

    /// Takes the connection out of use: a call on it timed out, and without pings nothing else
    /// would find it dead.
    pub(crate) fn retire(&self) {
        self.connection.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.streams.fetch_sub(1, Ordering::Relaxed);
        // All waiters look again: the stream may be of another class than the first of them needs.
        self.pool.freed.notify_waiters();
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool(at most {} connections)", self.max_connections)
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    fn pool(max_connections: usize) -> Arc<ConnectionPool> {
        let endpoint = Endpoint::from_static("http://127.0.0.1:1");
        ConnectionPool::new(Arc::new(move || endpoint.connect_lazy()), max_connections)
    }

    #[tokio::test]
    async fn a_connection_is_shared_until_it_is_full_and_a_retired_one_is_not_used_again() {
        let pool = pool(10);
        let mut leases = Vec::new();
        for _ in 0..100 {
            leases.push(pool.lease(TrafficClass::Calls).await);
        }
        assert_eq!(pool.connections(), 1);
        leases.push(pool.lease(TrafficClass::Calls).await);
        assert_eq!(pool.connections(), 2);
        leases[0].retire();
        leases.push(pool.lease(TrafficClass::Calls).await);
        assert_eq!(pool.connections(), 1);
    }

    #[tokio::test]
    async fn bulk_data_has_connections_of_its_own() {
        let pool = pool(10);
        let _call = pool.lease(TrafficClass::Calls).await;
        let _bulk = pool.lease(TrafficClass::Bulk).await;
        assert_eq!(pool.connections(), 2);
    }

    #[tokio::test]
    async fn a_call_waits_for_a_stream_when_all_connections_are_full() {
        let pool = pool(1);
        let mut leases = Vec::new();
        for _ in 0..MOST_STREAMS {
            leases.push(pool.lease(TrafficClass::Calls).await);
        }
        let mut waiting = std::pin::pin!(pool.lease(TrafficClass::Calls));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        leases.pop();
        waiting.await;
    }
}
