//! The listening ends, and the service that tells the farm's capabilities. Both answer until the
//! farm's token is cancelled.

use std::path::Path;

use relto::internals::pb::bytestream::byte_stream_server::ByteStreamServer;
use relto::internals::pb::longrunning::operations_server::OperationsServer;
use relto::internals::pb::reapi::action_cache_server::ActionCacheServer;
use relto::internals::pb::reapi::capabilities_server::{Capabilities, CapabilitiesServer};
use relto::internals::pb::reapi::content_addressable_storage_server::ContentAddressableStorageServer;
use relto::internals::pb::reapi::execution_server::ExecutionServer;
use relto::internals::pb::reapi::{GetCapabilitiesRequest, ServerCapabilities};
use relto::internals::task::{self, lock};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Service;
use super::connection::Connection;
use super::gate::RequestContext;
use super::profile::Profile;
use super::record::Method;

/// tonic's own limit must not come before the farm's, which answers as grpc-go does.
const NO_LIMIT: usize = 1 << 30;

pub(super) type Accepted = mpsc::Sender<std::io::Result<Connection>>;

/// Listens on a free TCP port, which is returned, and on `socket`. Must be called inside a runtime.
pub(super) fn listen(service: &Service, socket: &Path, all: &CancellationToken) -> u16 {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    tcp.set_nonblocking(true).expect("a socket");
    let port = tcp.local_addr().expect("a bound socket").port();
    let tcp = TcpListener::from_std(tcp).expect("inside a runtime");
    let unix = UnixListener::bind(socket).expect("a short path");
    let (accepted, incoming) = mpsc::channel(16);
    let tasks = [
        task::spawn(accept_tcp(
            tcp,
            service.clone(),
            accepted.clone(),
            all.clone(),
        )),
        task::spawn(accept_unix(unix, service.clone(), accepted, all.clone())),
    ];
    let serving = task::spawn(serve(service, incoming, all));
    let end = all.clone();
    // The owner of all three: they end with the farm's token, or with its runtime.
    let owner = task::spawn(async move {
        end.cancelled().await;
        drop((tasks, serving));
    });
    lock(&service.operations).own(owner);
    port
}

/// Serves connections inside this process, which are sent to the channel that is returned. Must be
/// called inside a runtime.
pub(super) fn serve_in_memory(service: &Service, all: &CancellationToken) -> Accepted {
    let (accepted, incoming) = mpsc::channel(16);
    let serving = task::spawn(serve(service, incoming, all));
    let end = all.clone();
    let owner = task::spawn(async move {
        end.cancelled().await;
        drop(serving);
    });
    lock(&service.operations).own(owner);
    accepted
}

fn serve(
    service: &Service,
    incoming: mpsc::Receiver<std::io::Result<Connection>>,
    all: &CancellationToken,
) -> impl Future<Output = Result<(), tonic::transport::Error>> + use<> {
    builder(&service.profile)
        .add_service(CapabilitiesServer::new(service.clone()))
        .add_service(
            ContentAddressableStorageServer::new(service.clone())
                .max_decoding_message_size(NO_LIMIT),
        )
        .add_service(ByteStreamServer::new(service.clone()).max_decoding_message_size(NO_LIMIT))
        .add_service(ActionCacheServer::new(service.clone()).max_decoding_message_size(NO_LIMIT))
        .add_optional_service(
            (service.profile.executes).then(|| ExecutionServer::new(service.clone())),
        )
        .add_optional_service(
            (service.profile.operations).then(|| OperationsServer::new(service.clone())),
        )
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), all.clone().cancelled_owned())
}

fn builder(profile: &Profile) -> Server {
    let mut server = Server::builder();
    if let Some(age) = profile.connection_age {
        server = server.max_connection_age(age);
    }
    if let Some((stream, connection)) = profile.windows {
        server = server
            .initial_stream_window_size(stream)
            .initial_connection_window_size(connection);
    }
    match &profile.tls {
        Some(tls) => server.tls_config(tls.clone()).expect("good certificates"),
        None => server,
    }
}

async fn accept_tcp(
    listener: TcpListener,
    service: Service,
    accepted: Accepted,
    all: CancellationToken,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream, &all, &service.traffic);
        if accepted.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

async fn accept_unix(
    listener: UnixListener,
    service: Service,
    accepted: Accepted,
    all: CancellationToken,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Connection::new(stream, &all, &service.traffic);
        if accepted.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

/// Cuts the connections that are open now; new ones are welcome.
pub(super) fn cut_all(service: &Service) {
    for peer in lock(&service.traffic.peers).drain(..) {
        peer.cut();
    }
}

#[tonic::async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        let about =
            RequestContext::new(request.get_ref()).instance(&request.get_ref().instance_name);
        let entry = self.enter(Method::GetCapabilities, &request, about).await?;
        entry.answer(Ok(self.profile.capabilities()))
    }
}
