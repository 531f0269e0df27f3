//! Sets up connections to an [`Address`]. How many there are is decided in [`super::pool`].

use tonic::transport::Endpoint;

use super::address::Address;
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

/// The settings of every connection to `address`.
pub(crate) fn endpoint(
    address: &Address,
    options: &ClientOptions,
) -> Result<Endpoint, EndpointError> {
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
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
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
