//! Certificates and keys: read, checked before the first handshake, and given to tonic.
//!
//! A server that rejects a client certificate often just closes the connection, and rustls reports
//! errors in our own certificate as if they were the server's. So what cannot work is found here,
//! where the message can name the option and the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

mod system;

use self::system::SystemAuthorities;
use crate::error::Hinted;
use crate::fs::read_regular_at_most;
use crate::reapi::limits::LARGEST_TLS_FILE;
use crate::reapi::options::TlsOptions;

const AUTHORITY: &str = "tls_certificate";
const CLIENT_CERTIFICATE: &str = "tls_client_certificate";
const CLIENT_KEY: &str = "tls_client_key";

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use `{}` (`{option}`)", path.display())]
pub struct TlsFileError {
    option: &'static str,
    path: PathBuf,
    #[source]
    fault: TlsFault,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    #[error(transparent)]
    Unreadable(io::Error),
    #[error("it contains no certificate in PEM format")]
    NoCertificate,
    #[error("it contains no private key in PEM format")]
    NoKey,
    #[error("the private key is encrypted")]
    Encrypted,
    #[error("the certificate is malformed")]
    Malformed,
    #[error("the certificate is of X.509 version 1; TLS needs version 3")]
    Version1,
    #[error("the certificate expired on {0}")]
    Expired(String),
    #[error("the certificate is not valid before {0}")]
    NotYetValid(String),
    #[error("the key does not belong to the certificate `{}` (`{CLIENT_CERTIFICATE}`)", .0.display())]
    WrongKey(PathBuf),
    #[error("the certificate or key is of a kind that relto does not support")]
    Unsupported(#[source] rustls::Error),
}

impl Hinted for TlsFileError {
    fn hints(&self) -> Vec<String> {
        let path = self.path.display();
        let hint = match &self.fault {
            TlsFault::Encrypted => format!(
                "relto cannot ask for a passphrase; decrypt it: `openssl pkey -in {path} -out plain.key`"
            ),
            TlsFault::NoCertificate | TlsFault::NoKey | TlsFault::Malformed => format!(
                "`{}` must name a PEM file, with `-----BEGIN` lines",
                self.option
            ),
            TlsFault::Version1 => {
                "issue it again with extensions: `openssl x509 -req -extfile FILE` makes version 3"
                    .to_owned()
            }
            TlsFault::Expired(_) => format!("renew it, then set `{}`", self.option),
            TlsFault::NotYetValid(_) => "check this machine's clock".to_owned(),
            TlsFault::WrongKey(_) => {
                format!("set `{CLIENT_KEY}` and `{CLIENT_CERTIFICATE}` to files of one pair")
            }
            TlsFault::Unreadable(error) if error.kind() == io::ErrorKind::FileTooLarge => format!(
                "`{}` must lead to PEM files; those of certificates and keys have some KiB",
                self.option
            ),
            TlsFault::Unreadable(_) | TlsFault::Unsupported(_) => return Vec::new(),
        };
        vec![hint]
    }
}

/// The file of one option.
struct TlsFile<'a> {
    option: &'static str,
    path: &'a Path,
    pem: Vec<u8>,
}

impl<'a> TlsFile<'a> {
    fn read(option: &'static str, path: &'a Path) -> Result<Self, TlsFileError> {
        let pem = read_regular_at_most(path, LARGEST_TLS_FILE).map_err(|error| TlsFileError {
            option,
            path: path.to_owned(),
            fault: TlsFault::Unreadable(error),
        })?;
        Ok(Self { option, path, pem })
    }

    fn fails(&self, fault: TlsFault) -> TlsFileError {
        TlsFileError {
            option: self.option,
            path: self.path.to_owned(),
            fault,
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(self.fails(TlsFault::NoCertificate)),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsFileError> {
        let text = String::from_utf8_lossy(&self.pem);
        let is_encrypted = |line: &str| {
            line.starts_with("-----BEGIN ENCRYPTED")
                || (line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
        };
        if text.lines().any(is_encrypted) {
            return Err(self.fails(TlsFault::Encrypted));
        }
        PrivateKeyDer::from_pem_slice(&self.pem).map_err(|_| self.fails(TlsFault::NoKey))
    }
}

/// The files that options name, which were found to be good.
struct TlsFiles<'a> {
    authority: Option<TlsFile<'a>>,
    /// A certificate and its key.
    identity: Option<(TlsFile<'a>, TlsFile<'a>)>,
}

impl<'a> TlsFiles<'a> {
    fn read(options: &'a TlsOptions) -> Result<Self, TlsFileError> {
        let authority = options.certificate.as_deref();
        let authority = authority.map(|path| TlsFile::read(AUTHORITY, path));
        let authority = authority.transpose()?;
        if let Some(file) = &authority {
            file.certificates()?;
        }
        let identity = match (&options.client_certificate, &options.client_key) {
            (Some(certificate), Some(key)) => {
                let certificate = TlsFile::read(CLIENT_CERTIFICATE, certificate)?;
                let key = TlsFile::read(CLIENT_KEY, key)?;
                check_identity(&certificate, &key)?;
                Some((certificate, key))
            }
            _ => None,
        };
        Ok(Self {
            authority,
            identity,
        })
    }
}

/// The settings of gRPC connections.
///
/// # Errors
/// A file cannot be read, or cannot be used for TLS.
pub(crate) fn config(options: &TlsOptions) -> Result<ClientTlsConfig, TlsFileError> {
    let files = TlsFiles::read(options)?;
    let tls = ClientTlsConfig::new();
    let tls = if let Some(file) = files.authority {
        tls.ca_certificate(Certificate::from_pem(file.pem))
    } else {
        SystemAuthorities::of_process().check()?;
        tls.with_enabled_roots()
    };
    Ok(match files.identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate.pem, key.pem)),
        None => tls,
    })
}

/// The same settings for connections of plain HTTP.
///
/// # Errors
/// A file cannot be read, or cannot be used for TLS.
pub(crate) fn rustls_config(options: &TlsOptions) -> Result<rustls::ClientConfig, TlsFileError> {
    let files = TlsFiles::read(options)?;
    let mut roots = rustls::RootCertStore::empty();
    let authorities = if let Some(file) = &files.authority {
        file.certificates()?
    } else {
        SystemAuthorities::of_process().check()?;
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        rustls_native_certs::load_native_certs().certs
    };
    // Those of the system need not all be to rustls's liking.
    roots.add_parsable_certificates(authorities);
    let config = with_roots(roots);
    match &files.identity {
        Some((certificate, key)) => config
            .with_client_auth_cert(certificate.certificates()?, key.key()?)
            .map_err(|error| key.fails(TlsFault::Unsupported(error))),
        None => Ok(config.with_no_client_auth()),
    }
}

/// The settings where nothing is encrypted: no server's certificate is good.
pub(crate) fn rustls_config_without_trust() -> rustls::ClientConfig {
    with_roots(rustls::RootCertStore::empty()).with_no_client_auth()
}

fn with_roots(
    roots: rustls::RootCertStore,
) -> rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert> {
    rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
}

fn check_identity(certificate: &TlsFile<'_>, key: &TlsFile<'_>) -> Result<(), TlsFileError> {
    let chain = certificate.certificates()?;
    check_certificate(&chain[0]).map_err(|fault| certificate.fails(fault))?;
    let private = key.key()?;
    match CertifiedKey::from_der(chain, private, &default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(key.fails(TlsFault::WrongKey(certificate.path.to_owned())))
        }
        Err(error) => Err(key.fails(TlsFault::Unsupported(error))),
    }
}

fn check_certificate(certificate: &CertificateDer<'_>) -> Result<(), TlsFault> {
    let (_, found) = X509Certificate::from_der(certificate).map_err(|_| TlsFault::Malformed)?;
    if found.version() != X509Version::V3 {
        return Err(TlsFault::Version1);
    }
    let (validity, now) = (found.validity(), ASN1Time::now());
    if now > validity.not_after {
        return Err(TlsFault::Expired(validity.not_after.to_string()));
    }
    if now < validity.not_before {
        return Err(TlsFault::NotYetValid(validity.not_before.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A directory with the files of a client, and the options that name them.
    fn files(certificate: &str, key: &str) -> (tempfile::TempDir, TlsOptions) {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("written");
            Some(path)
        };
        let options = TlsOptions {
            certificate: None,
            client_certificate: write("client.crt", certificate),
            client_key: write("client.key", key),
        };
        (dir, options)
    }

    fn issue(edit: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["client".to_owned()]).expect("a name");
        edit(&mut params);
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// The message and its cause, as a user sees them, and the hint.
    fn refused(certificate: &str, key: &str) -> String {
        let (_dir, options) = files(certificate, key);
        let error = config(&options).expect_err("refused");
        format!("{error}: {}; {}", error.fault, error.hints().join(" "))
    }

    #[test]
    fn a_matching_key_and_certificate_are_accepted() {
        let (certificate, key) = issue(|_| ());
        let (_dir, options) = files(&certificate, &key);
        config(&options).expect("good");
        rustls_config(&options).expect("good");
    }

    #[test]
    fn a_pipe_in_the_place_of_a_tls_file_is_not_waited_for() {
        let (certificate, key) = issue(|_| ());
        let (dir, mut options) = files(&certificate, &key);
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        options.certificate = Some(pipe);
        let error = config(&options).expect_err("no file");
        assert!(
            error.fault.to_string().contains("regular"),
            "{}",
            error.fault
        );
    }

    #[test]
    fn a_giant_file_in_the_place_of_a_tls_file_is_not_read() {
        let (certificate, key) = issue(|_| ());
        let (dir, mut options) = files(&certificate, &key);
        let giant = dir.path().join("giant");
        let file = fs::File::create(&giant).expect("made");
        file.set_len(1 << 40).expect("lengthened");
        options.certificate = Some(giant);
        let error = config(&options).expect_err("giant");
        let said = format!("{error}: {}; {}", error.fault, error.hints().join(" "));
        for word in [AUTHORITY, "/giant", "longer than 16 MiB", "some KiB"] {
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn unusable_tls_files_are_named_with_their_option_and_a_hint() {
        let (certificate, key) = issue(|_| ());
        let (_, other_key) = issue(|_| ());
        let (expired, expired_key) = issue(|params| params.not_after = date_time_ymd(2001, 1, 1));
        let (early, early_key) = issue(|params| params.not_before = date_time_ymd(2999, 1, 1));
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAA==\n-----END RSA PRIVATE KEY-----\n";
        for (certificate, key, words) in [
            (
                &*certificate,
                &*other_key,
                ["tls_client_key", "does not belong", "one pair"],
            ),
            (
                &expired,
                &expired_key,
                ["tls_client_certificate", "expired on", "renew"],
            ),
            (
                &early,
                &early_key,
                ["tls_client_certificate", "not valid before", "clock"],
            ),
            (
                &certificate,
                encrypted,
                ["tls_client_key", "encrypted", "openssl pkey"],
            ),
            (
                &certificate,
                old,
                ["tls_client_key", "encrypted", "openssl pkey"],
            ),
            (
                &certificate,
                "key",
                ["tls_client_key", "no private key", "PEM"],
            ),
            (
                "DER",
                &key,
                ["tls_client_certificate", "no certificate", "PEM"],
            ),
        ] {
            let text = refused(certificate, key);
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(text.contains("/client."), "{text}");
        }
    }

    /// Made by `openssl x509 -req` without extensions.
    #[test]
    fn a_certificate_of_version_1_is_called_that() {
        let text = refused(VERSION_1, VERSION_1_KEY);
        assert!(text.contains("tls_client_certificate"), "{text}");
        assert!(
            text.contains("version 1") && text.contains("version 3"),
            "{text}"
        );
    }

    #[test]
    fn an_authority_file_without_a_certificate_is_named() {
        let (_dir, mut options) = files("", "");
        options.certificate = options.client_certificate.take();
        options.client_key = None;
        let error = config(&options).expect_err("no certificate");
        assert!(error.to_string().contains("`tls_certificate`"), "{error}");
    }

    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFTCBvAIUQrjv1t1DgRNWBVlHI4Mk+gN1XwQwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwIBcNMjYxMTI3MTEyNDE3WhgPMjEyNjExMDMxMTI0MTdaMAwxCjAI
BgNVBAMMAWMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASti/2QIMx94DUeyZ2M
BedOLGBz+e9opdAf9Rhsjc7TDtWsK+IDKJ11vVWzlXVW6UZ6oy6gIBfxFQJLSYTM
nC3fMAoGCCqGSM49BAMCA0gAMEUCIDqDYO9OzTGDll5JxP05cKadMcMihFHFTB9a
cHrCW5QrAiEAxCpI8ePhC2Gt59am7tMbetzbshBh6Icig5TmPjFynBw=
-----END CERTIFICATE-----
";
    const VERSION_1_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIfyxGf9hboy/Nv9C
HigdFynLAF8MctdIBzCxUxVDDjKhRANCAASti/2QIMx94DUeyZ2MBedOLGBz+e9o
pdAf9Rhsjc7TDtWsK+IDKJ11vVWzlXVW6UZ6oy6gIBfxFQJLSYTMnC3f
-----END PRIVATE KEY-----
";
}
