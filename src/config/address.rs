//! Where a server listens, as users of Bazel write it.
//!
//! Enters: `grpcs://farm.example.com`, `grpc://127.0.0.1:8980`, `unix:/run/farm.sock`,
//! `farm.example.com:443`. Leaves: an `Address`. As with Bazel, no scheme means `grpcs`. Names are
//! not looked up here.

use std::fmt;
use std::path::PathBuf;

use super::value::Wrong;

/// A server's address, without credentials, path or query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp {
        tls: bool,
        /// A name, an IPv4 address, or an IPv6 address in brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl Address {
    /// # Errors
    /// What is wrong with `text`.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpcs", text));
        let tls = match scheme {
            "grpc" => false,
            "grpcs" => true,
            "http" | "https" => return Err(web(scheme, rest)),
            _ => {
                return Err(Wrong::new("the scheme is unknown")
                    .hint("addresses begin with grpc://, grpcs:// or unix:"));
            }
        };
        tcp(tls, rest.strip_suffix('/').unwrap_or(rest))
    }
}

fn unix(path: &str) -> Result<Address, Wrong> {
    // `unix:///run/x` and `unix:/run/x` name the same socket.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(Wrong::new("it names no socket").hint("write it as unix:/path/of/the.sock"));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn tcp(tls: bool, rest: &str) -> Result<Address, Wrong> {
    if rest.contains('@') {
        return Err(Wrong::new("it holds a user name")
            .hint("credentials go by `remote_header` or `credential_helper`"));
    }
    if rest.contains(['/', '?', '#']) {
        return Err(Wrong::new("it goes on after host and port")
            .hint("an instance of the farm is chosen by `remote_instance_name`"));
    }
    let authority: http::uri::Authority = rest
        .parse()
        .map_err(|_| Wrong::new("host and port cannot be read").hint("write HOST:PORT"))?;
    let host = authority.host().to_owned();
    // A port that is there but out of range reads as none.
    let has_port = rest.len() > host.len();
    let port = match authority.port_u16() {
        Some(port) if port != 0 => port,
        None if !has_port => default_port(tls),
        _ => return Err(Wrong::new("the port is no number from 1 to 65535")),
    };
    if host.is_empty() {
        return Err(Wrong::new("it names no host").hint("write HOST:PORT"));
    }
    Ok(Address::Tcp { tls, host, port })
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn web(scheme: &str, rest: &str) -> Wrong {
    let instead = if scheme == "https" { "grpcs" } else { "grpc" };
    Wrong::new("relto speaks gRPC, not plain HTTP").hint(&format!("try {instead}://{rest}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, host, port } => {
                let scheme = if *tls { "grpcs" } else { "grpc" };
                write!(f, "{scheme}://{host}:{port}")
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.to_string(), canonical);
            assert_eq!(Address::parse(canonical).expect(canonical), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, reason) in [
            ("https://farm", "not plain HTTP"),
            ("ftp://farm", "scheme is unknown"),
            ("grpc://user:pw@farm", "user name"),
            ("grpc://farm:1/main", "goes on"),
            ("grpc://farm:99999", "port"),
            ("grpc://farm:0", "port"),
            ("grpc://:8980", "host"),
            ("grpc://fa rm", "cannot be read"),
            ("unix:", "no socket"),
        ] {
            let wrong = Address::parse(text).expect_err(text);
            assert!(wrong.reason.contains(reason), "{text}: {}", wrong.reason);
        }
    }
}
