//! BuildGrid's Build Event Service, a server that relto's authors did not write: it serves the
//! events back as it has decoded them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use prost::Message as _;
use relto::internals::pb::build_event_stream::BuildEvent;
use serde_json::Value;

use super::{assert_graph, finished_in};
use crate::support::built;
use crate::support::link::Link;
use crate::support::program::generated;
use crate::support::remote::{broken, here};
use crate::support::servers::free_port;
use crate::support::skip::skip;

/// BuildGrid, as the package registry has it.
struct BuildGrid {
    packages: PathBuf,
    port: u16,
    server: Child,
    _scratch: tempfile::TempDir,
}

fn script(packages: &Path, action: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(built::root().join("tests/servers/buildgrid-events.py"))
        .arg(action)
        .arg(packages);
    command
}

impl BuildGrid {
    /// The error is why it cannot be installed.
    fn start() -> Result<Self, String> {
        let packages = built::kept_dir().join("buildgrid-0.4.4");
        let installed = script(&packages, "install").output();
        let installed = installed.map_err(|error| format!("no `python3`: {error}"))?;
        if !installed.status.success() {
            let text = String::from_utf8_lossy(&installed.stderr);
            let last = text.lines().last().unwrap_or_default();
            return Err(format!("BuildGrid cannot be installed: {last}"));
        }
        let scratch = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let server = script(&packages, "serve")
            .arg(port.to_string())
            .env("TMPDIR", scratch.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let started = Self {
            packages,
            port,
            server: server.expect("started"),
            _scratch: scratch,
        };
        // Waits until it answers.
        started.events();
        Ok(started)
    }

    fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// All events that it has.
    fn events(&self) -> Vec<Value> {
        let output = script(&self.packages, "query")
            .arg(self.port.to_string())
            .output()
            .expect("started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

impl Drop for BuildGrid {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let text = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(text, 16).expect("hexadecimal")
        })
        .collect()
}

#[test]
fn buildgrid_takes_the_events_of_links_and_serves_them_back() {
    let server = match BuildGrid::start() {
        Ok(server) => server,
        Err(reason) => return skip(&reason),
    };
    let (bad, _dir) = broken();
    let program = generated(4);
    for (lifecycle, program, expected) in [
        ("false", &program, ("SUCCESS", 0)),
        ("true", &program, ("SUCCESS", 0)),
        ("false", &bad, ("BUILD_FAILURE", 1)),
    ] {
        let before = server.events().len();
        let outcome = Link::new(program)
            .env("RELTO_BES_BACKEND", &server.address())
            .env("RELTO_BES_TIMEOUT", "60s")
            .env("RELTO_BES_LIFECYCLE_EVENTS", lifecycle)
            .run_at(here());
        assert!(
            !outcome.stderr.contains("warning: the page"),
            "{}",
            outcome.stderr
        );
        let mut events = server.events();
        events.drain(..before);
        // The tool's own stream; the others are about the invocation.
        let (stream, about): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|it| it["component"] == 3);
        assert_eq!(about.len(), if lifecycle == "true" { 4 } else { 0 });
        let numbers: Vec<_> = stream.iter().map(|it| it["number"].as_i64()).collect();
        let consecutive: Vec<_> = (1..).map(Some).take(stream.len()).collect();
        assert_eq!(numbers, consecutive);
        let (end, stream) = stream.split_last().expect("a stream");
        assert_eq!(end["kind"], "component_stream_finished");
        let of_bazel = stream.iter().map(|event| {
            assert_eq!(event["kind"], "bazel_event");
            assert_eq!(
                event["type"],
                "type.googleapis.com/build_event_stream.BuildEvent"
            );
            let bytes = bytes(event["event"].as_str().expect("text"));
            BuildEvent::decode(bytes.as_slice()).expect("a build event")
        });
        let of_bazel: Vec<_> = of_bazel.collect();
        assert_graph(&of_bazel);
        let (name, code) = expected;
        assert_eq!(finished_in(&of_bazel), Some((name.to_owned(), code)));
    }
}
