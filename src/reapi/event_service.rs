//! The way to a Build Event Service: a connection and headers like the farm's own, and calls that
//! fail as the farm's do. What is said there is decided in `bes`.

use std::fmt;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::pb::build_events::publish_build_event_client::PublishBuildEventClient;
use crate::reapi::connect::ConnectError;
use crate::reapi::failure::Failure;
use crate::reapi::limits::LARGEST_BES_ANSWER;
use crate::reapi::options::{ClientOptions, Header};
use crate::reapi::rpc::Rpc;
use crate::reapi::transport::address::Address;
use crate::reapi::transport::complete;
use crate::reapi::transport::connector::Connector;
use crate::reapi::transport::credentials::Credentials;
use crate::reapi::transport::inbound::{CheckedChannel, InboundBudget};
use crate::reapi::transport::metadata::{LinkMetadata, RequestContext, append};

/// A client of the service.
pub type EventServiceClient = PublishBuildEventClient<CheckedChannel>;

/// A server, and who asks it.
pub struct EventService {
    connector: Connector,
    headers: Vec<Header>,
    credentials: Credentials,
    metadata: LinkMetadata,
}

impl EventService {
    /// The server at `address`, with the connection settings of `options` and `headers` of its own.
    ///
    /// # Errors
    /// The address, a TLS file or a header cannot be used.
    pub fn new(
        address: &Address,
        options: &ClientOptions,
        headers: &[Header],
    ) -> Result<Self, ConnectError> {
        append(&mut MetadataMap::new(), headers)?;
        Ok(Self {
            connector: Connector::new(address, options)?,
            headers: headers.to_vec(),
            credentials: Credentials::new(address, options),
            metadata: LinkMetadata::new(&options.caller),
        })
    }

    /// A client with a connection of its own, which the first call opens.
    #[must_use]
    pub fn client(&self) -> EventServiceClient {
        let channel = CheckedChannel::new(self.connector.connect_lazy(), InboundBudget::default());
        PublishBuildEventClient::new(channel).max_decoding_message_size(LARGEST_BES_ANSWER)
    }

    /// `message` with the headers of a call, and the credentials among them.
    ///
    /// # Errors
    /// The credential helper fails.
    pub async fn request<M>(
        &self,
        rpc: Rpc,
        message: M,
    ) -> Result<(Request<M>, Vec<Header>), Failure> {
        let metadata = self.metadata.of_call(&RequestContext::default());
        let completed = complete(metadata, rpc, &self.headers, &self.credentials).await;
        let (metadata, credentials) = completed?;
        let mut request = Request::new(message);
        *request.metadata_mut() = metadata;
        Ok((request, credentials))
    }

    /// Whether another attempt has other credentials than those that the server refused.
    pub async fn renew(&self, failure: &Failure, used: &[Header]) -> bool {
        self.credentials.renew(failure, used).await
    }
}

impl fmt::Debug for EventService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventService({})", self.connector.uri())
    }
}

/// The failure of a call that ended with `status`.
#[must_use]
pub fn event_failure(rpc: Rpc, status: &Status) -> Failure {
    Failure::from_call(rpc, status)
}
