//! Certificates for farms that speak TLS: an authority made for one test, and a certificate of its
//! for a server and for a client, as PEM.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
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
