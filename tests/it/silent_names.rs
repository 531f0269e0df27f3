//! A farm whose name no server resolves, because the name server is silent, as without a VPN: that
//! costs no link its end.
//!
//! The system asks such a server again only after half a minute. A process that has ended before has
//! not waited for the lookup, whatever the speed of the machine.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::support::backends::{Backends, WORDS};
use crate::support::link::Home;
use crate::support::program::{Feature, feature};
use crate::support::repeat::through;
use crate::support::saved::Saved;
use crate::support::skip::skip;

/// Reads no question that it gets.
struct SilentNameServer {
    socket: UdpSocket,
    configuration: NamedTempFile,
}

impl SilentNameServer {
    /// The server at `address`. `None` after recording the test as skipped, where there can be none.
    #[track_caller]
    fn start(address: &str) -> Option<Self> {
        let Ok(socket) = UdpSocket::bind((address, 53)) else {
            skip("it starts a name server, which needs root");
            return None;
        };
        let mut configuration = NamedTempFile::new().expect("a file");
        let text = format!("nameserver {address}\noptions timeout:30 attempts:5\n");
        configuration.write_all(text.as_bytes()).expect("written");
        let server = Self {
            socket,
            configuration,
        };
        let tried = server.asked_by(&Command::new("true")).output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            return Some(server);
        }
        skip("it mounts another /etc/resolv.conf, which needs root");
        None
    }

    /// `command`, for which this is the only name server.
    fn asked_by(&self, command: &Command) -> Command {
        let path = self.configuration.path().display();
        let script = format!("mount --bind {path} /etc/resolv.conf && exec \"$@\"");
        let mut command = through(&["unshare", "--mount", "sh", "-c", &script, "sh"], command);
        command.env("RELTO_REMOTE_EXECUTOR", "grpc://farm.example.com:1");
        command
    }

    fn wait_for_a_question(&self) {
        let limit = Some(Duration::from_mins(1));
        self.socket.set_read_timeout(limit).expect("set");
        self.socket.peek(&mut [0; 512]).expect("a question");
    }

    /// Some name was asked for, and nothing twice.
    #[track_caller]
    fn assert_no_answer_was_waited_for(&self) {
        self.socket.set_nonblocking(true).expect("set");
        let mut buffer = [0; 512];
        let (mut questions, mut asked) = (HashSet::new(), 0);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            questions.insert(buffer[..length].to_vec());
            asked += 1;
        }
        assert_ne!(asked, 0, "no name was looked up");
        assert_eq!(questions.len(), asked, "the system has asked again");
    }
}

fn saved() -> Saved {
    Saved::new(&feature(Feature::Plain))
}

fn works(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn a_link_ends_once_its_objects_are_there_whatever_the_name_server_does() {
    let Some(server) = SilentNameServer::start("127.83.77.1") else {
        return;
    };
    let saved = saved();
    let output = server.asked_by(&saved.command()).output();
    works(&output.expect("relto starts"));
    for object in saved.objects() {
        assert!(object.exists(), "`{}` is missing", object.display());
    }
    server.assert_no_answer_was_waited_for();
}

#[test]
fn a_launched_backend_ends_with_its_object_whatever_the_name_server_does() {
    let Some(server) = SilentNameServer::start("127.83.77.2") else {
        return;
    };
    let backends = Backends::new(&feature(Feature::Plain));
    let mut command = backends.relto(&Home::new());
    let output = server.asked_by(command.args(WORDS)).output();
    works(&output.expect("relto starts"));
    assert!(backends.path("o.o").exists());
    server.assert_no_answer_was_waited_for();
}

#[test]
fn a_signal_ends_a_link_that_waits_for_a_name_server() {
    let Some(server) = SilentNameServer::start("127.83.77.3") else {
        return;
    };
    let saved = saved();
    let mut command = server.asked_by(&saved.command());
    command
        .env("RELTO_STRATEGY", "remote")
        .stderr(Stdio::null());
    let mut relto = command.spawn().expect("relto starts");
    server.wait_for_a_question();
    kill_process(Pid::from_child(&relto), Signal::TERM).expect("sent");
    let ended = relto.wait().expect("it ends");
    assert!(!ended.success());
    for object in saved.objects() {
        assert!(!object.exists(), "`{}` is there", object.display());
    }
    server.assert_no_answer_was_waited_for();
}

#[test]
fn doctor_says_that_no_name_server_answers() {
    let Some(server) = SilentNameServer::start("127.83.77.4") else {
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    Home::new().apply(command.arg("doctor"));
    let output = server.asked_by(&command).output().expect("relto starts");
    let said = String::from_utf8_lossy(&output.stdout);
    for part in ["farm.example.com", "cannot be resolved", "/etc/resolv.conf"] {
        assert!(said.contains(part), "{said}");
    }
    server.assert_no_answer_was_waited_for();
}
