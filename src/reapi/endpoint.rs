//! Addresses, and how a connection to one is set up.
//!
//! Enters: `grpc://HOST:PORT`, `grpcs://HOST:PORT`, `unix:PATH`, TLS files. Leaves: a `tonic`
//! endpoint. How many connections there are is decided in `channel`.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::options::{ClientOptions, TlsOptions};
use crate::error::Hinted;

/// Windows that keep one stream busy at 100 Mbit/s over 200 ms, and a connection with several of
/// them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Where a farm listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp { tls: bool, authority: String },
    Unix(PathBuf),
}

/// An address or a TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is not an address of a farm")]
    Address(String),
    #[error("the address of `{0}` holds a user name")]
    UserInfo(String),
    #[error("`{0}` names a protocol that relto does not speak")]
    Scheme(String),
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
            Self::Address(_) | Self::Scheme(_) => vec![
                "write `grpc://HOST:PORT`, `grpcs://HOST:PORT` (TLS) or `unix:PATH`".to_owned(),
            ],
            Self::UserInfo(_) => {
                vec!["give credentials by `remote_header` or `credential_helper`".to_owned()]
            }
            Self::HalfIdentity => {
                vec!["set both `tls_client_certificate` and `tls_client_key`".to_owned()]
            }
            Self::Unreadable(_) | Self::Tls { .. } => Vec::new(),
        }
    }
}

impl Address {
    /// Reads an address. One without a scheme means TLS, as in Bazel.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(EndpointError::Address(text.to_owned()))
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let (scheme, authority) = text.split_once("://").unwrap_or(("grpcs", text));
        // A password in an address would end up in logs and process lists; not even this message
        // shows it.
        if let Some((_, host)) = authority.rsplit_once('@') {
            return Err(EndpointError::UserInfo(format!("{scheme}://{host}")));
        }
        let tls = match scheme {
            "grpc" => false,
            "grpcs" => true,
            _ => return Err(EndpointError::Scheme(text.to_owned())),
        };
        let authority = authority.trim_end_matches('/');
        let parsed = authority.parse::<http::uri::Authority>();
        if !parsed.is_ok_and(|authority| !authority.host().is_empty()) {
            return Err(EndpointError::Address(text.to_owned()));
        }
        Ok(Self::Tcp {
            tls,
            authority: authority.to_owned(),
        })
    }

    /// The host that credential helpers are chosen by.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { authority, .. } => Some(
                authority
                    .rsplit_once(':')
                    .map_or(authority.as_str(), |(host, _)| host),
            ),
            Self::Unix(_) => None,
        }
    }

    /// The address as credential helpers are asked about it.
    pub(super) fn uri(&self) -> String {
        match self {
            Self::Tcp { tls, authority } => {
                let scheme = if *tls { "https" } else { "http" };
                format!("{scheme}://{authority}/")
            }
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { tls, authority } => {
                write!(f, "{}://{authority}", if *tls { "grpcs" } else { "grpc" })
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What every connection to `address` is opened with.
pub(super) fn endpoint(
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
    fn addresses_are_read_as_bazel_reads_them() {
        let tcp = |tls, authority: &str| Address::Tcp {
            tls,
            authority: authority.to_owned(),
        };
        for (text, address) in [
            ("grpc://localhost:8980", tcp(false, "localhost:8980")),
            ("grpcs://farm.example.com/", tcp(true, "farm.example.com")),
            ("farm.example.com:443", tcp(true, "farm.example.com:443")),
            ("grpc://[::1]:80", tcp(false, "[::1]:80")),
            ("unix:/run/x", Address::Unix("/run/x".into())),
            ("unix:///run/x", Address::Unix("/run/x".into())),
        ] {
            assert_eq!(Address::parse(text).expect(text), address);
        }
        for text in [
            "",
            "http://x",
            "grpc://",
            "unix:",
            "grpc://a b",
            "grpc://u:p@h",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let error = Address::parse("grpc://me:secret@farm").expect_err("a password");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn half_an_identity_and_a_missing_file_are_errors() {
        let mut options = ClientOptions::default();
        let address = Address::parse("grpcs://h").expect("an address");
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
