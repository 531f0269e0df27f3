//! Certificates for farms that speak TLS: an authority made for one test, and a certificate of its
//! for a server and for a client, as PEM.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// All PEM texts that the two ends need.
#[derive(Debug)]
pub struct Tls {
    /// What the client trusts.
    pub authority: String,
    pub server: Pair,
    pub client: Pair,
}

#[derive(Debug)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Tls {
    /// The server is `localhost` and `127.0.0.1`.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("random bytes");
        let authority = CertifiedIssuer::self_signed(params, key).expect("signed");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        Self {
            server: Pair::new(&names, &authority),
            client: Pair::new(&["client".to_owned()], &authority),
            authority: authority.pem(),
        }
    }

    /// For `Profile::tls`; with `demands_client` a client without a certificate of the same
    /// authority is refused.
    pub fn server_config(&self, demands_client: bool) -> ServerTlsConfig {
        let identity = Identity::from_pem(&self.server.certificate, &self.server.key);
        let config = ServerTlsConfig::new().identity(identity);
        if !demands_client {
            return config;
        }
        config.client_ca_root(Certificate::from_pem(&self.authority))
    }

    /// For [`FloodServer`](crate::flood::FloodServer): TLS 1.3 with the cipher that it knows, and
    /// `protocol` above it.
    pub(crate) fn rustls_config(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        let provider = CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..default_provider()
        };
        let certificate = CertificateDer::from_pem_slice(self.server.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.server.key.as_bytes());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("a cipher of TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.expect("a certificate")],
                key.expect("a key"),
            )
            .expect("they belong together");
        config.enable_secret_extraction = true;
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

impl Pair {
    fn new(names: &[String], authority: &CertifiedIssuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().expect("random bytes");
        let params = CertificateParams::new(names).expect("good names");
        let certificate = params.signed_by(&key, authority).expect("signed");
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
