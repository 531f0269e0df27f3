//! Real links: their objects and exit codes are the same, whatever becomes of their events.

use std::process::Stdio;

use fs_err as fs;
use relto::internals::pb::build_event_stream::aborted::AbortReason;
use relto::internals::pb::build_event_stream::build_event::Payload;
use rustix::process::{Pid, Signal, kill_process};
use tonic::Code;

use super::{assert_complete, finished};
use crate::support::daemon::wait_until;
use crate::support::event_server::{Acknowledges, EventRules, EventServer, StreamFault};
use crate::support::farm::{Effect, Farm, Fault, Method, Profile};
use crate::support::flood::{Flood, FloodServer};
use crate::support::link::Link;
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::remote::{broken, here, strict};
use crate::support::saved::Saved;
use crate::support::tls::Tls;
use crate::support::wrapped::{Release, WrapperDir};

fn server(acknowledges: Acknowledges) -> EventServer {
    EventServer::start(EventRules::new(acknowledges))
}

fn published<'a>(link: Link<'a>, server: &EventServer) -> Link<'a> {
    link.env("RELTO_BES_BACKEND", &server.address())
}

fn here_alone(program: &Program) -> Link<'_> {
    Link::new(program)
}

#[test]
fn a_links_page_has_the_id_by_which_the_farm_knows_its_calls() {
    let farm = Farm::start(Profile::plain());
    let server = server(Acknowledges::AtEnd);
    let program = generated(6);
    let link = published(strict(&program, &farm.environment()), &server)
        .env("RELTO_BES_RESULTS_URL", "http://pages/invocation/")
        .keep_objects();
    let outcome = link.run_at(here()).expect_works();
    outcome.assert_identical_objects();
    let record = server.record();
    assert_complete(&record);
    let id = &record.invocations()[0];
    let known = farm.record().invocations();
    assert_eq!(known.iter().collect::<Vec<_>>(), [id]);
    let page = format!("relto: Streaming build results to: http://pages/invocation/{id}\n");
    assert_eq!(
        outcome.stderr.matches(&page).count(),
        1,
        "{}",
        outcome.stderr
    );
    for call in &farm.record().calls {
        let Some(metadata) = &call.metadata else {
            continue;
        };
        assert!(!metadata.target_id.is_empty(), "{metadata:?}");
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(is_plain(&metadata.action_id) && !metadata.action_id.is_empty());
        assert!(is_plain(&metadata.action_mnemonic));
    }
}

#[test]
fn a_link_that_the_wrapper_takes_apart_has_a_page_and_one_of_the_linker_alone_has_none() {
    let farm = Farm::start(Profile::plain());
    let server = server(Acknowledges::AtEnd);
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module("main.c", "int f(void); int main(void) { return f(); }\n");
    fixture.module("f.c", "int f(void) { return 0; }\n");
    fixture.compile("n.c", "int main(void) { return 0; }\n", &[]);
    let link = |words: &[&str]| {
        let linker = fixture.path("relto-ld.lld");
        let mut command = fixture.link_command("clang", &linker, words);
        command
            .envs(farm.environment())
            .env("RELTO_BES_BACKEND", server.address());
        let output = command.args(["-o", "app"]).output().expect("started");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("warning"), "{stderr}");
    };
    link(&["n.o"]);
    assert!(server.record().streams.is_empty());
    link(&["main.o", "f.o"]);
    let record = server.record();
    assert_complete(&record);
    assert_eq!(finished(&record), Some(("SUCCESS".to_owned(), 0)));
    let text = format!("{:?}", record.build_events());
    assert!(text.contains("//:app"), "{text}");
    assert!(text.contains("actions_created: 2"), "{text}");
    let known = farm.record().invocations();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), record.invocations());
}

#[test]
fn a_server_that_speaks_tls_and_demands_a_certificate_gets_the_events() {
    let (tls, dir) = (Tls::new(), tempfile::tempdir().expect("a directory"));
    let server = EventServer::start(EventRules {
        tls: Some(tls.server_config(true)),
        ..EventRules::new(Acknowledges::Each)
    });
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let options = [
        ("RELTO_TLS_CERTIFICATE", file("ca.pem", &tls.authority)),
        (
            "RELTO_TLS_CLIENT_CERTIFICATE",
            file("client.pem", &tls.client.certificate),
        ),
        ("RELTO_TLS_CLIENT_KEY", file("client.key", &tls.client.key)),
    ];
    let program = generated(3);
    let run = |options: &[(&str, String)]| {
        let link = published(here_alone(&program), &server).env("RELTO_BES_TIMEOUT", "2s");
        let link = options
            .iter()
            .fold(link, |link, (name, value)| link.env(name, value));
        link.run_at(here()).expect_works().stderr
    };
    for known in [0, 1] {
        let stderr = run(&options[..known]);
        assert_eq!(stderr.matches("warning:").count(), 1, "{stderr}");
        assert!(stderr.contains("page of this link"), "{stderr}");
        assert!(server.record().events.is_empty());
    }
    let stderr = run(&options);
    assert!(!stderr.contains("warning"), "{stderr}");
    assert_complete(&server.record());
}

#[test]
fn two_links_at_once_are_two_invocations() {
    let (one, other) = (server(Acknowledges::Each), server(Acknowledges::Each));
    let program = generated(3);
    std::thread::scope(|scope| {
        for server in [&one, &other] {
            scope.spawn(|| published(here_alone(&program), server).run().expect_works());
        }
    });
    for server in [&one, &other] {
        assert_complete(&server.record());
    }
    assert_ne!(one.record().invocations(), other.record().invocations());
}

#[test]
fn a_broken_server_changes_neither_exit_code_nor_objects_and_is_one_warning() {
    let program = generated(3);
    let (bad, _dir) = broken();
    let rules = |fault| EventRules::new(Acknowledges::Each).faults(&[fault; 50]);
    let servers = [
        StreamFault::BreaksAfter(1, Code::PermissionDenied),
        StreamFault::EndsEarly,
        StreamFault::ForeignAcknowledgement(i64::MAX),
        StreamFault::NoHeaders,
        StreamFault::AcknowledgesForEver,
        StreamFault::LargeAnswers(1 << 20),
        StreamFault::Complains(Code::PermissionDenied, 1 << 10),
        StreamFault::Complains(Code::InvalidArgument, 1 << 20),
    ]
    .map(|fault| EventServer::start(rules(fault)));
    let mut addresses: Vec<_> = servers.iter().map(EventServer::address).collect();
    addresses.extend(["grpc://127.0.0.1:1", "grpc://no.such.host.invalid:1"].map(str::to_owned));
    let run = |program: &Program, address: &str| {
        Link::new(program)
            .env("RELTO_BES_BACKEND", address)
            .env("RELTO_BES_TIMEOUT", "1s")
            .keep_objects()
            .run_at(here())
    };
    for address in addresses {
        let good = run(&program, &address).expect_works();
        good.assert_identical_objects();
        let warnings = good.stderr.matches("warning:").count();
        assert_eq!(warnings, 1, "{address}: {}", good.stderr);
        assert!(good.stderr.contains("page of this link"), "{}", good.stderr);
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!good.stderr.contains(acts), "{:?}", good.stderr);
        assert!(good.stderr.len() < 8192, "{} bytes", good.stderr.len());
        let failed = run(&bad, &address);
        assert_eq!(failed.code, Some(1), "{address}: {}", failed.stderr);
    }
}

/// A link of which no attempt has seen more than the end of its connection does not know.
#[test]
fn a_web_server_in_the_place_of_a_server_of_build_events_is_called_one() {
    let server = FloodServer::http1(Flood::new(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"page"));
    let backend = format!("grpc://{}", server.authority());
    let program = generated(3);
    let is_told = || {
        let link = Link::new(&program).env("RELTO_BES_BACKEND", &backend);
        let outcome = link.run_at(here()).expect_works();
        let says = "hint: the server there does not speak HTTP/2";
        outcome.stderr.contains(says)
    };
    assert!((0..6).any(|_| is_told()));
}

#[test]
fn a_failed_job_is_the_cause_of_its_failed_target() {
    let server = server(Acknowledges::AtEnd);
    let (program, _dir) = broken();
    let outcome = published(here_alone(&program), &server).run_at(here());
    assert_ne!(outcome.code, Some(0));
    let record = server.record();
    assert_complete(&record);
    assert_eq!(finished(&record), Some(("BUILD_FAILURE".to_owned(), 1)));
    let events = record.build_events();
    let actions: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.payload {
            Some(Payload::Action(action)) => Some((event.id.clone(), action)),
            _ => None,
        })
        .collect();
    let [(id, action)] = &actions[..] else {
        panic!("{actions:#?}");
    };
    assert!(!action.success && action.exit_code != 0);
    assert_eq!(action.r#type, "ThinLTOBackend");
    let text = format!("{:?}", action.stderr);
    assert!(text.contains("bogus"), "{text}");
    let target = events.iter().find_map(|event| match &event.payload {
        Some(Payload::Completed(target)) => Some((target.success, event.children.clone())),
        _ => None,
    });
    let cause = id.clone().expect("an id");
    assert_eq!(target, Some((false, vec![cause])));
}

#[test]
fn an_interrupted_link_says_so_and_leaves_nothing_announced() {
    let farm = Farm::start(Profile::plain());
    farm.fault(Fault::at(Method::Execute, Effect::Hang));
    let server = server(Acknowledges::AtEnd);
    let saved = Saved::new(&feature(Feature::Plain));
    let mut command = saved.command();
    command.envs(farm.environment());
    let relto = command
        .env("RELTO_STRATEGY", "remote")
        .env("RELTO_BES_BACKEND", server.address())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    wait_until("the farm executes", || {
        farm.record().count(Method::Execute) > 0
    });
    kill_process(Pid::from_child(&relto), Signal::INT).expect("sent");
    let output = relto.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    let record = server.record();
    assert_complete(&record);
    assert_eq!(finished(&record), Some(("INTERRUPTED".to_owned(), 8)));
    let aborted = record
        .build_events()
        .into_iter()
        .find_map(|it| match it.payload {
            Some(Payload::Aborted(aborted)) => Some(aborted.reason()),
            _ => None,
        });
    assert_eq!(aborted, Some(AbortReason::UserInterrupted));
}

#[test]
fn a_link_after_a_killed_one_has_an_id_of_its_own() {
    let server = server(Acknowledges::Each);
    let saved = Saved::new(&feature(Feature::Plain));
    let start = || {
        let mut command = saved.command();
        command.env("RELTO_BES_BACKEND", server.address());
        command.stderr(Stdio::null()).spawn().expect("started")
    };
    let mut killed = start();
    server.wait_for(|record| !record.events.is_empty());
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    let first = server.record().invocations();
    assert!(start().wait().expect("ended").success());
    let second = server.wait_for(|record| record.finished > 0).invocations();
    assert_ne!(first[0], *second.last().expect("an id"));
}

#[test]
fn nothing_secret_and_no_absolute_path_is_published() {
    let farm = Farm::start(Profile::buildbuddy("s3cret-key"));
    let rules = EventRules {
        header: Some(("x-bes-key", "s3cret-bes")),
        ..EventRules::new(Acknowledges::AtEnd)
    };
    let server = EventServer::start(rules);
    let (program, _dir) = broken();
    let link = published(strict(&program, &farm.environment()), &server)
        .env("RELTO_BES_HEADER", "x-bes-key=s3cret-bes")
        .env("SECRET_TOKEN", "s3cret-env")
        .env("BUILDKITE", "true")
        .env(
            "BUILDKITE_REPO",
            "https://me:s3cret-url@git.example.com/p.git",
        )
        .env("BUILDKITE_AGENT_ACCESS_TOKEN", "s3cret-agent")
        .option("--remote-header=x-other=s3cret-argv");
    let dir = link.dir().display().to_string();
    let outcome = link.run_at(here());
    assert_ne!(outcome.code, Some(0));
    let record = server.record();
    assert_complete(&record);
    let mut of_events = Vec::new();
    for event in record.events.values() {
        of_events.extend(prost::Message::encode_to_vec(event));
    }
    let text = String::from_utf8_lossy(&of_events);
    for secret in ["s3cret", "SECRET_TOKEN", dir.as_str(), "/usr/lib", "/tmp/"] {
        assert!(!text.contains(secret), "`{secret}` is published:\n{text}");
    }
    assert!(text.contains("git.example.com"), "{text}");
}
