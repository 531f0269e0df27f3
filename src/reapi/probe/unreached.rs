//! Why a farm cannot be asked for its capabilities, as precisely as it can be observed, with the
//! option to change.

use std::io;

use crate::error::Hinted;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::transport::address::Address;

/// How far a call got.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    #[error("the name of `{address}` cannot be resolved")]
    NoName {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("no connection to `{address}`")]
    NoConnection {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("`{address}` does not speak TLS")]
    NotTls { address: String },
    #[error("`{address}` speaks TLS only")]
    OnlyTls { address: String },
    #[error("`{address}` presents a certificate that is not trusted here")]
    Untrusted {
        address: String,
        #[source]
        source: Failure,
    },
    #[error("`{address}` closes the connection instead of answering")]
    HungUp {
        address: String,
        #[source]
        source: Failure,
    },
    #[error("`{address}` does not report its capabilities")]
    Refused {
        address: String,
        #[source]
        source: Failure,
    },
}

impl Hinted for Unreached {
    fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::NoName { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
                one("check the name servers in `/etc/resolv.conf`, and whether a VPN is needed")
            }
            Self::NoName { .. } => one("check how the host is spelled"),
            Self::NoConnection { .. } => one("check the port, and that the server runs"),
            Self::NotTls { .. } => one("write the address with `grpc://`"),
            Self::OnlyTls { .. } => one("write the address with `grpcs://`"),
            Self::Untrusted { .. } => {
                one("set `tls_certificate` to the certificate of the authority that signed it")
            }
            Self::HungUp { .. } => one(
                "servers that require a client certificate do this: set `tls_client_certificate` and `tls_client_key`",
            ),
            Self::Refused { source, .. } if source.kind == FailureKind::Unreachable => one(
                "something other than a gRPC server listens there, or it closes the connection: is the port right?",
            ),
            Self::Refused { source, .. } if source.kind == FailureKind::Timeout => {
                one("the server accepts connections but does not answer: check its log")
            }
            Self::Refused { source, .. } => source.hints(),
        }
    }
}

/// What the TLS library says in its own words; the names are rustls's.
pub(crate) fn diagnose(address: &Address, source: Failure) -> Unreached {
    let said = |words: &[&str]| words.iter().any(|word| source.message.contains(word));
    let tls = matches!(address, Address::Tcp { tls: true, .. });
    let address = address.to_string();
    if !tls || source.kind != FailureKind::Unreachable {
        return Unreached::Refused { address, source };
    }
    if said(&["InvalidContentType", "corrupt message"]) {
        return Unreached::NotTls { address };
    }
    if said(&["HTTP/2", "h2 protocol"]) {
        return Unreached::Refused { address, source };
    }
    if speaks_of_certificates(&source) && !said(&["received fatal alert"]) {
        return Unreached::Untrusted { address, source };
    }
    // With TLS 1.3 the alert comes after the handshake, and often it is not read any more.
    Unreached::HungUp { address, source }
}

pub(crate) fn speaks_of_certificates(failure: &Failure) -> bool {
    let words = ["ertificate", "UnknownIssuer", "UnknownCA"];
    words.iter().any(|word| failure.message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reapi::Rpc;

    fn diagnosed(address: &str, message: &str) -> Unreached {
        let failure = Failure::new(FailureKind::Unreachable, Rpc::GetCapabilities, message);
        diagnose(&address.parse().expect("an address"), failure)
    }

    #[test]
    fn messages_of_rustls_are_understood() {
        let at = "grpcs://farm:1";
        assert!(matches!(
            diagnosed(at, "received corrupt message of type InvalidContentType"),
            Unreached::NotTls { .. }
        ));
        assert!(matches!(
            diagnosed(at, "invalid peer certificate: UnknownIssuer"),
            Unreached::Untrusted { .. }
        ));
        assert!(matches!(
            diagnosed(at, "received fatal alert: CertificateRequired"),
            Unreached::HungUp { .. }
        ));
        assert!(matches!(
            diagnosed(at, "operation was canceled: connection closed"),
            Unreached::HungUp { .. }
        ));
        assert!(matches!(
            diagnosed("grpc://farm:1", "connection closed; certificate"),
            Unreached::Refused { .. }
        ));
    }
}
