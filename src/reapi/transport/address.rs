//! The address of a server, as users of Bazel write it: `grpcs://farm.example.com`,
//! `grpc://127.0.0.1:8980`, `unix:/run/farm.sock`, `farm.example.com:443`; for a cache also
//! `https://cache.example.com/path`.
//!
//! As with Bazel, no scheme means `grpcs`. Host names are not resolved here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Hinted;

/// A server's address, without credentials or query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    Tcp {
        tls: bool,
        /// A name, an IPv4 address, or an IPv6 address in brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
    /// Of a cache that speaks plain HTTP.
    Http {
        tls: bool,
        host: String,
        port: u16,
        /// Empty, or with a slash at its start and none at its end.
        path: String,
    },
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("unknown scheme")]
    Scheme,
    #[error("relto speaks gRPC, not plain HTTP")]
    Http { instead: String },
    #[error("missing path of the socket")]
    NoSocket,
    /// Not even the message shows it: a password may follow.
    #[error("an address must not contain a user name")]
    UserName,
    #[error("unexpected text after host and port")]
    Path,
    #[error("the path must be plain, without `?` and `#`")]
    Query,
    #[error("cannot parse host and port")]
    Authority,
    #[error("the port must be a number from 1 to 65535")]
    Port,
    #[error("missing host")]
    NoHost,
}

impl Hinted for AddressError {
    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Scheme => {
                "addresses begin with `grpc://`, `grpcs://` (TLS) or `unix:`".to_owned()
            }
            Self::Http { instead } => format!("try {instead}"),
            Self::NoSocket => "write it as unix:/path/of/the.sock".to_owned(),
            Self::UserName => {
                "pass credentials by `remote_header` or `credential_helper`".to_owned()
            }
            Self::Path => "`remote_instance_name` selects an instance of the farm".to_owned(),
            Self::Query => "write https://HOST:PORT/PATH".to_owned(),
            Self::Authority | Self::Port | Self::NoHost => "write HOST:PORT".to_owned(),
        }]
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpcs", text));
        let tls = match scheme {
            "grpc" => false,
            "grpcs" => true,
            "http" | "https" => return http(scheme == "https", rest),
            _ => return Err(AddressError::Scheme),
        };
        let (host, port) = host_and_port(tls, rest.strip_suffix('/').unwrap_or(rest))?;
        Ok(Self::Tcp { tls, host, port })
    }
}

fn unix(path: &str) -> Result<Address, AddressError> {
    // `unix:///run/x` and `unix:/run/x` name the same socket.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(AddressError::NoSocket);
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn host_and_port(tls: bool, rest: &str) -> Result<(String, u16), AddressError> {
    if rest.contains('@') {
        return Err(AddressError::UserName);
    }
    if rest.contains(['/', '?', '#']) {
        return Err(AddressError::Path);
    }
    let authority: http::uri::Authority = rest.parse().map_err(|_| AddressError::Authority)?;
    let host = authority.host().to_owned();
    // `port_u16` returns `None` for a port that is out of range, too.
    let has_port = rest.len() > host.len();
    let port = match authority.port_u16() {
        Some(port) if port != 0 => port,
        None if !has_port => default_port(tls),
        _ => return Err(AddressError::Port),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    Ok((host, port))
}

fn http(tls: bool, rest: &str) -> Result<Address, AddressError> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/').to_owned();
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
    if !is_plain {
        return Err(AddressError::Query);
    }
    let (host, port) = host_and_port(tls, authority)?;
    Ok(Address::Http {
        tls,
        host,
        port,
        path,
    })
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl Address {
    /// The address of a server that speaks gRPC.
    ///
    /// # Errors
    /// It is one of plain HTTP.
    pub fn of_grpc(self) -> Result<Self, AddressError> {
        match self {
            Self::Http {
                tls, host, port, ..
            } => {
                let instead = Self::Tcp { tls, host, port }.to_string();
                Err(AddressError::Http { instead })
            }
            address => Ok(address),
        }
    }

    /// The host by which a credential helper is chosen; `None` for a socket of this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } | Self::Http { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }

    /// The URI that credential helpers are asked about, and that connections are opened with.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                format!("{scheme}://{host}:{port}/")
            }
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Http { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, host, port } => {
                let scheme = if *tls { "grpcs" } else { "grpc" };
                write!(f, "{scheme}://{host}:{port}")
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http {
                tls,
                host,
                port,
                path,
            } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{host}:{port}{path}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_bazel_reads_them() {
        for (text, canonical) in [
            ("grpc://127.0.0.1:8980", "grpc://127.0.0.1:8980"),
            ("grpcs://farm.example.com", "grpcs://farm.example.com:443"),
            ("grpc://farm/", "grpc://farm:80"),
            ("farm:8980", "grpcs://farm:8980"),
            ("grpc://[::1]:8980", "grpc://[::1]:8980"),
            ("unix:/run/farm.sock", "unix:/run/farm.sock"),
            ("unix:///run/farm.sock", "unix:/run/farm.sock"),
            ("https://cache/", "https://cache:443"),
            ("http://cache:8080/a/b/", "http://cache:8080/a/b"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), canonical);
            assert_eq!(canonical.parse::<Address>().expect(canonical), address);
        }
    }

    #[test]
    fn a_malformed_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("https://user:pw@cache/x", "user name"),
            ("https://cache/x?key=pw", "without `?`"),
            ("http://cache/a b", "without `?`"),
            ("ftp://farm", "unknown scheme"),
            ("grpc://user:pw@farm", "user name"),
            ("grpc://farm:1/main", "after host and port"),
            ("grpc://farm:99999", "port"),
            ("grpc://farm:0", "port"),
            ("grpc://:8980", "host"),
            ("grpc://fa rm", "cannot parse"),
            ("unix:", "path of the socket"),
            ("", "cannot parse"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn a_server_of_grpc_has_no_address_of_http() {
        let address = |text: &str| text.parse::<Address>().expect(text).of_grpc();
        assert_eq!(
            address("https://farm/x"),
            Err(AddressError::Http {
                instead: "grpcs://farm:443".to_owned()
            })
        );
        assert!(address("grpc://farm").is_ok());
    }
}
