//! Sets up connections to an [`Address`]. How many there are is decided in [`super::pool`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tonic::transport::{Channel, Endpoint};

use super::address::Address;
use super::host_names::look_up;
use super::tls::{self, TlsFileError};
use crate::error::Hinted;
use crate::reapi::limits::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::reapi::options::{ClientOptions, TlsOptions};

/// How relto names itself to servers.
pub(crate) const USER_AGENT: &str = concat!("relto/", env!("CARGO_PKG_VERSION"));

/// An address or a TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("cannot connect to an address like `{0}`")]
    Address(String),
    #[error(transparent)]
    TlsFile(#[from] TlsFileError),
    #[error("cannot set up requests to `{url}`")]
    Http {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("a client certificate and its key must be given together")]
    HalfIdentity,
    #[error("the certificates for `{address}` cannot be used")]
    Tls {
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
}

impl Hinted for EndpointError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::HalfIdentity => {
                vec!["set both `tls_client_certificate` and `tls_client_key`".to_owned()]
            }
            Self::TlsFile(error) => error.hints(),
            Self::Address(_) | Self::Tls { .. } | Self::Http { .. } => Vec::new(),
        }
    }
}

/// Opens connections to one address.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    endpoint: Endpoint,
    /// `None` for a socket of this machine.
    tcp_timeout: Option<Duration>,
}

impl Connector {
    pub(crate) fn new(address: &Address, options: &ClientOptions) -> Result<Self, EndpointError> {
        let is_tcp = matches!(address, Address::Tcp { .. });
        Ok(Self {
            endpoint: endpoint(address, options)?,
            tcp_timeout: is_tcp.then_some(options.connect_timeout),
        })
    }

    pub(crate) fn uri(&self) -> &Uri {
        self.endpoint.uri()
    }

    /// A connection that the first call on it opens.
    pub(crate) fn connect_lazy(&self) -> Channel {
        let Some(timeout) = self.tcp_timeout else {
            return self.endpoint.connect_lazy();
        };
        // As tonic's own, but for the lookup of names.
        let mut tcp = HttpConnector::new_with_resolver(tower::service_fn(resolve));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        self.endpoint.connect_with_connector_lazy(tcp)
    }
}

/// The port is put in later.
async fn resolve(name: Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    let found = look_up(name.as_str().to_owned(), 0).await?;
    Ok(found.into_iter())
}

/// The settings of every connection to `address`.
fn endpoint(address: &Address, options: &ClientOptions) -> Result<Endpoint, EndpointError> {
    let bad = || EndpointError::Address(address.to_string());
    let uri = match address {
        Address::Tcp { .. } => address.uri(),
        Address::Unix(path) => format!("unix://{}", path.display()),
        Address::Http { .. } => return Err(bad()), // no gRPC there
    };
    let mut endpoint = Endpoint::from_shared(uri)
        .map_err(|_| bad())?
        .user_agent(USER_AGENT)
        .map_err(|_| bad())?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if let Some(interval) = options.keepalive_time {
        endpoint = endpoint
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(options.keepalive_timeout);
    }
    if matches!(address, Address::Tcp { tls: true, .. }) {
        check_identity_is_whole(&options.tls)?;
        let tls = tls::config(&options.tls)?.timeout(options.connect_timeout);
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|source| EndpointError::Tls {
                address: address.to_string(),
                source,
            })?;
    }
    Ok(endpoint)
}

/// A certificate is nothing without its key.
pub(crate) fn check_identity_is_whole(tls: &TlsOptions) -> Result<(), EndpointError> {
    if tls.client_certificate.is_some() == tls.client_key.is_some() {
        Ok(())
    } else {
        Err(EndpointError::HalfIdentity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_identity_and_a_missing_file_are_errors() {
        let mut options = ClientOptions::default();
        let address = "grpcs://h".parse().expect("an address");
        options.tls.client_key = Some("/nonexistent/key".into());
        assert!(matches!(
            endpoint(&address, &options),
            Err(EndpointError::HalfIdentity)
        ));
        options.tls.client_certificate = Some("/nonexistent/certificate".into());
        let error = endpoint(&address, &options).expect_err("no such file");
        let cause = std::error::Error::source(&error).expect("a cause");
        assert!(cause.to_string().contains("/nonexistent/"), "{cause}");
    }
}
