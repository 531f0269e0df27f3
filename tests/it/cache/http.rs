//! Links with a cache that speaks plain HTTP: a real one, and one that fails in every way.

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::events::Events;
use relto::internals::reapi::{Blob, Client, ClientOptions, FailureKind, RequestContext};

use crate::support::http_store::{HttpAnswer, HttpRequest, HttpStore};
use crate::support::link::Form;
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, generated};
use crate::support::remote::{assert_all_cached, here, lenient, strict};
use crate::support::servers::nginx::{BASIC, Demand, Nginx};
use crate::support::servers::{Kind, Setup};

type Fault = fn() -> HttpAnswer;

fn shared_by_cache(program: &Program, environment: &[(&'static str, String)]) {
    let made = strict(program, environment).run_at(here()).expect_works();
    let counts = made.counts();
    assert_eq!(counts.local, counts.jobs, "{}", made.stderr);
    let found = strict(program, environment).keep_objects().run();
    let found = found.expect_works();
    assert_all_cached(found.counts());
    found.assert_identical_objects();
}

#[test]
fn nginx_behind_a_password_keeps_results() {
    let nginx = Nginx::http_cache(Demand::Password);
    let mut environment = nginx.environment();
    let secret = nginx.dir().join("header");
    fs::write(&secret, format!("{BASIC}\n")).expect("written");
    let header = format!("authorization=@{}", secret.display());
    environment.push(("RELTO_REMOTE_HEADER", header));
    shared_by_cache(&generated(8), &environment);
    locked_out(&environment[..2], "HTTP 401 Unauthorized");
    locked_out(&environment[..1], "ertificate");
}

#[test]
fn nginx_takes_the_password_of_a_netrc_file() {
    let nginx = Nginx::http_cache(Demand::Password);
    let mut environment = nginx.environment();
    let path = nginx.dir().join("netrc");
    let write = |password: &str| {
        let text = format!("machine localhost\n login relto\n password \"{password}\"\n");
        fs::write(&path, text).expect("written");
    };
    write("open sesame");
    environment.push(("NETRC", path.display().to_string()));
    shared_by_cache(&generated(4), &environment);
    write("wrong");
    locked_out(&environment, "HTTP 401 Unauthorized");
}

#[test]
fn a_password_of_a_netrc_file_is_sent_with_every_request_and_never_shown() {
    let store = HttpStore::new(|_| HttpAnswer::Right);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("netrc");
    fs::write(&path, "machine 127.0.0.1 login me password hunter2\n").expect("written");
    let path = path.display().to_string();
    let (first, second) = twice(&store, &[("NETRC", path.leak())]);
    assert_eq!(second.counts().cached, second.counts().jobs);
    let requests = store.requests();
    assert!(requests.len() > 10);
    for request in requests {
        let sent = request.headers.get("authorization").map(String::as_str);
        assert_eq!(sent, Some("Basic bWU6aHVudGVyMg=="));
    }
    for said in [first.stderr, second.stderr] {
        assert!(
            !said.contains("hunter2") && !said.contains("aHVudGVyMg"),
            "{said}"
        );
    }
}

#[test]
fn nginx_that_demands_a_client_certificate_accepts_ours() {
    let nginx = Nginx::http_cache(Demand::ClientCertificate);
    let mut environment = nginx.environment();
    let (certificate, key) = nginx.client();
    for (name, file) in [
        ("RELTO_TLS_CLIENT_CERTIFICATE", certificate),
        ("RELTO_TLS_CLIENT_KEY", key),
    ] {
        environment.push((name, file.display().to_string()));
    }
    shared_by_cache(&generated(4), &environment);
    locked_out(&environment[..2], "HTTP 400 Bad Request");
}

/// Its HTTP port is the one behind that of gRPC.
#[test]
fn bazel_remote_keeps_results_by_http() {
    let Some(server) = Kind::BazelRemote.private(&Setup::default()) else {
        return;
    };
    let address = format!("http://127.0.0.1:{}", server.port() + 1);
    let by_http = [("RELTO_REMOTE_CACHE", address)];
    shared_by_cache(&generated(4), &by_http);
    // What came by HTTP is found by gRPC.
    let found = strict(&generated(4), &server.cache_environment()).run_at(here());
    assert_all_cached(found.expect_works().counts());
}

fn locked_out(environment: &[(&'static str, String)], reason: &str) {
    let outcome = strict(&generated(4), environment).run_at(here());
    let outcome = outcome.expect_works();
    assert_eq!(outcome.counts().cached, 0);
    assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
}

fn is_get_of(request: &HttpRequest, store: &str) -> bool {
    let is_probe = request.path.ends_with(&"0".repeat(64));
    request.method == "GET" && request.path.starts_with(store) && !is_probe
}

/// Links twice with a cache, the second time at another home, with options.
fn twice(store: &HttpStore, options: &[(&'static str, &str)]) -> (LinkOutcome, LinkOutcome) {
    let mut environment = vec![("RELTO_REMOTE_CACHE", store.address())];
    environment.extend(
        options
            .iter()
            .map(|&(name, value)| (name, value.to_owned())),
    );
    let program = generated(6);
    let link = || {
        lenient(&program, &environment)
            .form(Form::Objects)
            .keep_objects()
    };
    let first = link().run().expect_works();
    let second = link().run().expect_works();
    second.assert_identical_objects();
    (first, second)
}

#[test]
fn results_are_stored_once_and_found_with_two_requests_a_job() {
    let store = HttpStore::new(|_| HttpAnswer::Right);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (first, second) = twice(
        &store,
        &[
            ("RELTO_REMOTE_CACHE_HEADER", "x-team=compilers"),
            ("TRACEPARENT", trace),
        ],
    );
    assert_eq!(first.counts().cached, 0);
    let jobs = second.counts().jobs;
    assert_eq!(second.counts().cached, jobs);
    let requests = store.requests();
    let count = |method, prefix| {
        let of_kind = |it: &&HttpRequest| it.method == method && it.path.starts_with(prefix);
        requests.iter().filter(of_kind).count()
    };
    assert_eq!(count("PUT", "/ac/"), jobs);
    // The object, the Command and the Action.
    assert_eq!(count("PUT", "/cas/"), 3 * jobs);
    // Two links ask for every job, and once before that.
    assert_eq!(count("GET", "/ac/"), 2 * (jobs + 1));
    assert_eq!(count("GET", "/cas/"), jobs);
    for request in &requests {
        let value = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(value("x-team"), Some("compilers"));
        assert_eq!(value("traceparent"), Some(trace));
        let is_grpc = |name: &&String| name.starts_with("grpc-") || name.ends_with("-bin");
        assert_eq!(request.headers.keys().find(is_grpc), None);
    }
}

#[test]
fn an_object_that_the_cache_damages_is_compiled_here() {
    let damages: [Fault; 4] = [
        || HttpAnswer::Damaged,
        || HttpAnswer::Longer,
        || HttpAnswer::Other(200, "", Vec::new()),
        || HttpAnswer::Other(404, "", Vec::new()),
    ];
    for damage in damages {
        let store = HttpStore::new(move |request| {
            let is_hit = is_get_of(request, "/cas/");
            if is_hit { damage() } else { HttpAnswer::Right }
        });
        let (_, second) = twice(&store, &[]);
        assert_eq!(second.counts().cached, 0, "{}", second.stderr);
    }
}

#[test]
fn what_is_no_result_is_not_taken_for_one() {
    let page = || b"<html><body>Welcome</body></html>".to_vec();
    let store = HttpStore::new(move |request| {
        if is_get_of(request, "/ac/") {
            return HttpAnswer::Other(200, "Content-Type: text/html\r\n", page());
        }
        HttpAnswer::Right
    });
    let (_, second) = twice(&store, &[]);
    assert_eq!(second.counts().cached, 0, "{}", second.stderr);
}

#[test]
fn an_entry_that_is_no_result_is_a_miss_and_what_is_compiled_here_takes_its_place() {
    let store = HttpStore::new(|request| {
        if is_get_of(request, "/ac/") {
            // It is cut off.
            return HttpAnswer::Other(200, "", b"\x12\x7fcut".to_vec());
        }
        HttpAnswer::Right
    });
    let (_, second) = twice(&store, &[]);
    let (jobs, stderr) = (second.counts().jobs, &second.stderr);
    assert_eq!(second.counts().cached, 0, "{stderr}");
    assert!(!stderr.contains("warning"), "{stderr}");
    let requests = store.requests();
    let count = |method| {
        let of_results = |it: &&HttpRequest| it.method == method && it.path.starts_with("/ac/");
        requests.iter().filter(of_results).count()
    };
    // No question is repeated.
    assert_eq!(count("GET"), 2 * (jobs + 1));
    assert_eq!(count("PUT"), 2 * jobs);
}

#[test]
fn a_cache_that_fails_or_is_silent_costs_hits_only() {
    let error = || HttpAnswer::Other(500, "", Vec::new());
    let busy = || HttpAnswer::Other(429, "Retry-After: 3600\r\n", Vec::new());
    let faults: [(&str, Fault); 7] = [
        ("/", error),
        ("/", busy),
        ("/", || HttpAnswer::Silence),
        ("/ac/", || HttpAnswer::Silence),
        ("/ac/", || HttpAnswer::HangUp),
        ("/cas/", || HttpAnswer::Silence),
        ("/cas/", error),
    ];
    for (part, fault) in faults {
        let cache = HttpStore::new(move |request| {
            if part == "/" || is_get_of(request, part) {
                return fault();
            }
            HttpAnswer::Right
        });
        let impatient = [
            ("RELTO_REMOTE_TIMEOUT", "1s"),
            ("RELTO_REMOTE_RETRIES", "1"),
        ];
        let (_, second) = twice(&cache, &impatient);
        assert_eq!(second.counts().cached, 0, "{part}: {}", second.stderr);
    }
}

/// Blobs that no batch carries have a request each.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_travels_in_pieces_and_a_file_that_changes_is_not_stored() {
    let store = HttpStore::new(|_| HttpAnswer::Right);
    let options = ClientOptions {
        cache: store.address().parse().ok(),
        ..ClientOptions::default()
    };
    let client = Client::connect(&options, Events::discarded()).await;
    let client = client.expect("a cache");
    let bytes: Vec<u8> = (0..5_u32 << 20).map(|it| it.to_le_bytes()[1]).collect();
    let bytes = Bytes::from(bytes);
    let digest = DigestFunction::Sha256.digest(&bytes);
    let context = RequestContext::default();
    let blobs = [Blob::from_bytes(digest, bytes.clone())];
    client.ensure_uploaded(&blobs).await.expect("stored");
    let found = client.fetch(&digest, None, &context).await;
    assert!(found.expect("found") == bytes);

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("changed");
    fs::write(&path, &bytes[1..]).expect("written");
    let other = DigestFunction::Sha256.digest(&bytes[..bytes.len() - 1]);
    let refused = client
        .ensure_uploaded(&[Blob::from_file(other, path)])
        .await;
    let failure = refused.expect_err("it is another file");
    assert_eq!(failure.kind, FailureKind::Source);
    let absent = client.fetch(&other, None, &context).await;
    let failure = absent.expect_err("it was not stored");
    assert_eq!(failure.kind, FailureKind::NotFound);
}

/// Answers all, as the front page of an application does.
#[test]
fn what_answers_every_question_is_called_a_web_server_and_gets_nothing() {
    let page = b"<html><body>Welcome</body></html>".to_vec();
    for (kind, says) in [
        ("Content-Type: text/html\r\n", "HTTP 200 OK, text/html"),
        ("", "HTTP 200 OK"),
    ] {
        let page = page.clone();
        let store = HttpStore::new(move |_| HttpAnswer::Other(200, kind, page.clone()));
        let (first, second) = twice(&store, &[]);
        assert_eq!(second.counts().cached, 0, "{}", second.stderr);
        for part in [says, "hint: a web server answers there, not a cache"] {
            assert!(first.stderr.contains(part), "{}", first.stderr);
        }
        let warnings = first.stderr.matches("relto: warning: ").count();
        assert_eq!(warnings, 1, "{}", first.stderr);
        let puts = store.requests().into_iter().filter(|it| it.method == "PUT");
        assert_eq!(puts.count(), 0);
    }
}

/// nginx with a limit takes no objects. That smaller ones are stored is tested by `link::stores`.
#[test]
fn what_is_too_large_for_a_proxy_is_told_with_the_limit_to_raise() {
    let store = HttpStore::new(|request| {
        if request.body.starts_with(b"\x7fELF") {
            return HttpAnswer::Other(413, "Server: nginx\r\n", Vec::new());
        }
        HttpAnswer::Right
    });
    let (first, _) = twice(&store, &[]);
    for part in [
        "HTTP 413 Payload Too Large, from nginx",
        "client_max_body_size",
    ] {
        assert!(first.stderr.contains(part), "{}", first.stderr);
    }
    let warnings = first.stderr.matches("relto: warning: ").count();
    assert_eq!(warnings, 1, "{}", first.stderr);
}

/// Credentials are for the address that the user has named.
#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = HttpStore::new(|_| HttpAnswer::Right);
    let location = format!("Location: {}/\r\n", elsewhere.address()).leak();
    let store = HttpStore::new(|_| HttpAnswer::Other(302, location, Vec::new()));
    let (first, _) = twice(&store, &[("RELTO_REMOTE_HEADER", "authorization=secret")]);
    let hint = format!("set the address that `{}/` stands for", elsewhere.address());
    for part in ["HTTP 302 Found", &hint] {
        assert!(first.stderr.contains(part), "{}", first.stderr);
    }
    assert_eq!(elsewhere.requests().len(), 0);
}
