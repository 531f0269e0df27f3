//! How a connection to an [`Address`] is set up. How many connections there are is decided in
//! `channel`.

use std::io;
use std::path::Path;

use fs_err as fs;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::error::Hinted;
use crate::reapi::options::{ClientOptions, TlsOptions};
use crate::reapi::transport::address::Address;

/// Windows that keep one stream busy at 100 Mbit/s over 200 ms, and a connection with several of
/// them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// An address or a TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("cannot connect to an address like `{0}`")]
    Address(String),
    #[error("cannot read a certificate or key")]
    Unreadable(#[source] io::Error),
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
            Self::Address(_) | Self::Unreadable(_) | Self::Tls { .. } => Vec::new(),
        }
    }
}

/// What every connection to `address` is opened with.
pub(crate) fn endpoint(
    address: &Address,
    options: &ClientOptions,
) -> Result<Endpoint, EndpointError> {
    let bad = || EndpointError::Address(address.to_string());
    let uri = match address {
        Address::Tcp { .. } => address.uri(),
        Address::Unix(path) => format!("unix://{}", path.display()),
    };
    let mut endpoint = Endpoint::from_shared(uri)
        .map_err(|_| bad())?
        .user_agent(concat!("relto/", env!("CARGO_PKG_VERSION")))
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
        let tls = tls_config(&options.tls)?.timeout(options.connect_timeout);
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|source| EndpointError::Tls {
                address: address.to_string(),
                source,
            })?;
    }
    Ok(endpoint)
}

fn tls_config(options: &TlsOptions) -> Result<ClientTlsConfig, EndpointError> {
    let mut tls = ClientTlsConfig::new();
    tls = match &options.certificate {
        Some(path) => tls.ca_certificate(Certificate::from_pem(pem(path)?)),
        None => tls.with_enabled_roots(),
    };
    match (&options.client_certificate, &options.client_key) {
        (Some(certificate), Some(key)) => {
            Ok(tls.identity(Identity::from_pem(pem(certificate)?, pem(key)?)))
        }
        (None, None) => Ok(tls),
        _ => Err(EndpointError::HalfIdentity),
    }
}

fn pem(path: &Path) -> Result<Vec<u8>, EndpointError> {
    fs::read(path).map_err(EndpointError::Unreadable)
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
