//! Links with a real server that is only a cache, plain and behind TLS, a password, a client
//! certificate.

use fs_err as fs;

use crate::support::link::Form;
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::remote::{assert_all_cached, broken, here, strict};
use crate::support::servers::nginx::{BASIC, Demand, Nginx};
use crate::support::servers::{Kind, Server, Setup, on_kinds};
use crate::support::tls::{Pair, Tls};

/// Variables for a link with `server`, whose results no other test sees.
fn environment(server: &Server, salt: &str) -> Vec<(&'static str, String)> {
    let mut environment = server.cache_environment();
    environment.push(("RELTO_CACHE_SALT", format!("cache {salt}")));
    environment
}

fn gets_and_gives(server: &Server) {
    let (plain, cxx) = (generated(8), feature(Feature::WholeProgramVtables));
    for compression in ["true", "false"] {
        for (program, form) in [
            (&plain, Form::Absolute),
            (&plain, Form::Archive),
            (&cxx, Form::Objects),
        ] {
            // Without a salt of its own the archive's members would be found already.
            let mut environment = environment(server, &format!("{form:?} {compression}"));
            environment.push(("RELTO_REMOTE_CACHE_COMPRESSION", compression.to_owned()));
            shared_by_cache(program, form, &environment);
        }
    }
}

on_kinds!(a_cache_gets_what_is_made_here_and_gives_it_to_others => gets_and_gives:
    casd Casd, bazel_remote BazelRemote);

fn does_not_mind_a_failure(server: &Server) {
    let (program, _dir) = broken();
    for _ in 0..2 {
        let failed = strict(&program, &environment(server, "broken")).run_at(here());
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        let said = "relto: error: cannot compile `bad.o`: the compiler exited with 1";
        assert!(failed.stderr.contains(said), "{}", failed.stderr);
    }
}

on_kinds!(a_module_that_fails_to_compile_is_not_cached => does_not_mind_a_failure:
    casd Casd, bazel_remote BazelRemote);

/// A link goes on without a cache that does not let it in, and says why.
fn locked_out(environment: &[(&'static str, String)], reason: &str) {
    let outcome = strict(&generated(4), environment).run_at(here());
    let outcome = outcome.expect_works();
    assert_eq!(outcome.counts().cached, 0);
    assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
}

#[test]
fn a_cache_behind_tls_and_a_password_needs_both() {
    let Some(server) = Kind::Casd.shared() else {
        return;
    };
    let nginx = Nginx::in_front_of(server, Demand::Password);
    let mut environment = nginx.environment();
    let secret = nginx.dir().join("header");
    fs::write(&secret, format!("{BASIC}\n")).expect("written");
    let header = format!("authorization=@{}", secret.display());
    environment.push(("RELTO_REMOTE_HEADER", header));
    environment.push(("RELTO_CACHE_SALT", "behind a password".to_owned()));
    shared_by_cache(&generated(4), Form::Objects, &environment);
    locked_out(&environment[..2], "UNAUTHENTICATED");
    locked_out(&environment[..1], "ertificate");
}

#[test]
fn a_cache_that_demands_a_client_certificate_accepts_ours() {
    let Some(server) = Kind::Casd.shared() else {
        return;
    };
    let nginx = Nginx::in_front_of(server, Demand::ClientCertificate);
    let mut environment = nginx.environment_of_client();
    environment.push(("RELTO_CACHE_SALT", "behind a certificate".to_owned()));
    shared_by_cache(&generated(4), Form::Objects, &environment);
    locked_out(&environment[..2], "the link goes on without the farm");
}

/// Files for a server that speaks TLS and its clients, and the server's options that name them.
struct Secured {
    dir: tempfile::TempDir,
    tls: Tls,
}

impl Secured {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tls = Tls::new();
        Self { dir, tls }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// A bazel-remote that speaks TLS, with one more option.
    fn start(&self, name: &str, value: &str) -> Option<Server> {
        let Pair { certificate, key } = &self.tls.server;
        let options = [
            ("tls_cert_file", self.write("server.pem", certificate)),
            ("tls_key_file", self.write("server.key", key)),
            (name, value.to_owned()),
        ];
        Kind::BazelRemote.private(&Setup {
            arguments: options
                .map(|(name, value)| format!("--{name}={value}"))
                .into(),
            ..Setup::default()
        })
    }

    /// What every client must know.
    fn environment(&self, server: &Server) -> Vec<(&'static str, String)> {
        let address = format!("grpcs://localhost:{}", server.port());
        let authority = self.write("authority.pem", &self.tls.authority);
        vec![
            ("RELTO_REMOTE_CACHE", address),
            ("RELTO_TLS_CERTIFICATE", authority),
        ]
    }
}

#[test]
fn bazel_remote_accepts_our_certificate_authority_and_password() {
    let secured = Secured::new();
    // "open sesame", as `htpasswd -s` writes it.
    let passwords = secured.write("passwords", "relto:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n");
    let Some(server) = secured.start("htpasswd_file", &passwords) else {
        return;
    };
    let mut environment = secured.environment(&server);
    let secret = secured.write("header", &format!("{BASIC}\n"));
    environment.push(("RELTO_REMOTE_HEADER", format!("authorization=@{secret}")));
    shared_by_cache(&generated(4), Form::Objects, &environment);
    locked_out(&environment[..2], "UNAUTHENTICATED");
    locked_out(&environment[..1], "ertificate");
}

#[test]
fn bazel_remote_accepts_our_client_certificate() {
    let secured = Secured::new();
    let authority = secured.write("clients.pem", &secured.tls.authority);
    let Some(server) = secured.start("tls_ca_file", &authority) else {
        return;
    };
    let mut environment = secured.environment(&server);
    let Pair { certificate, key } = &secured.tls.client;
    let certificate = secured.write("client.pem", certificate);
    environment.push(("RELTO_TLS_CLIENT_CERTIFICATE", certificate));
    environment.push(("RELTO_TLS_CLIENT_KEY", secured.write("client.key", key)));
    shared_by_cache(&generated(4), Form::Objects, &environment);
    locked_out(&environment[..2], "the link goes on without the farm");
}

fn shared_by_cache(program: &Program, form: Form, environment: &[(&'static str, String)]) {
    let made = strict(program, environment).form(form).run_at(here());
    let made = made.expect_works();
    let counts = made.counts();
    assert_eq!(counts.local, counts.jobs, "{}", made.stderr);
    let found = strict(program, environment).form(form).keep_objects().run();
    let found = found.expect_works();
    assert_all_cached(found.counts());
    found.assert_identical_objects();
}
