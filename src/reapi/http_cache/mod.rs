//! A cache that speaks plain HTTP, as Bazel uses it, behind the services of REAPI.
//!
//! Such a cache keeps the result of an action at `PATH/ac/HASH` and a blob at `PATH/cas/HASH`, and
//! knows `GET` and `PUT`. [`dial`] opens connections to a REAPI server inside this process that
//! turns calls into such requests. So an HTTP cache has the retries, limits and checks of any other
//! one, and the rest of the client does not know of it.
//!
//! All of it runs on threads of its own. The library for HTTP/1.1 parses in one go whatever a server
//! has sent, and a server that sends `100 Continue` for ever keeps a thread busy for seconds.

mod requests;
mod services;

use std::io;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::transport::{Endpoint, Server};

use crate::pb::bytestream::byte_stream_server::ByteStreamServer;
use crate::pb::reapi::action_cache_server::ActionCacheServer;
use crate::pb::reapi::capabilities_server::CapabilitiesServer;
use crate::pb::reapi::content_addressable_storage_server::ContentAddressableStorageServer;
use crate::reapi::limits::{CONNECTION_WINDOW, HTTP_PIPE, LARGEST_MESSAGE, STREAM_WINDOW};
use crate::reapi::options::ClientOptions;
use crate::reapi::transport::connector::EndpointError;
use crate::reapi::transport::pool::Dial;
use crate::task::{DetachedRuntime, lock};
use requests::HttpRequests;

/// How the message of a miss begins where a cache holds something else.
pub(super) const NO_RESULT: &str = "an entry of the HTTP cache is no ActionResult";

/// Threads of a cache.
const THREADS: usize = 2;

/// The threads of one cache, once there is a connection.
type Threads = Arc<Mutex<Option<Arc<DetachedRuntime>>>>;

/// The services of one HTTP cache. Clones share its connections.
#[derive(Debug, Clone)]
struct HttpCache {
    requests: HttpRequests,
}

/// Opens connections to the services of the cache at `url`, which has no slash at its end.
///
/// # Errors
/// The TLS files of `options` cannot be used.
pub(super) fn dial(url: &str, options: &ClientOptions) -> Result<Dial, EndpointError> {
    let requests = HttpRequests::new(url, options)?;
    let cache = HttpCache { requests };
    let endpoint = Endpoint::from_static("http://in.process")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let threads = Threads::default();
    Ok(Arc::new(move || {
        let (cache, threads) = (cache.clone(), Arc::clone(&threads));
        let connector = tower::service_fn(move |_| {
            let (cache, threads) = (cache.clone(), Arc::clone(&threads));
            async move {
                let threads = started(&threads)?;
                Ok::<_, io::Error>(TokioIo::new(threads.spawn(cache.connect()).await))
            }
        });
        endpoint.connect_with_connector_lazy(connector)
    }))
}

fn started(threads: &Threads) -> io::Result<Arc<DetachedRuntime>> {
    let mut threads = lock(threads);
    if let Some(threads) = &*threads {
        return Ok(Arc::clone(threads));
    }
    let new = Arc::new(DetachedRuntime::new(THREADS)?);
    *threads = Some(Arc::clone(&new));
    Ok(new)
}

impl HttpCache {
    /// The client's end of a connection; the server's end is served until this one is dropped.
    async fn connect(self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(HTTP_PIPE);
        let only = futures_util::stream::iter([Ok::<_, io::Error>(theirs)]);
        let store = ContentAddressableStorageServer::new(self.clone());
        let serving = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_service(CapabilitiesServer::new(self.clone()))
            .add_service(ActionCacheServer::new(self.clone()))
            .add_service(store.max_decoding_message_size(LARGEST_MESSAGE))
            .add_service(ByteStreamServer::new(self))
            .serve_with_incoming(only);
        // It returns once it has taken the only connection. What goes wrong later, the client sees.
        let _ = serving.await;
        ours
    }
}
