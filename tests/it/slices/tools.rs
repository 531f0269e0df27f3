//! LLVM's tools, each loaded once and forked for every run: loading takes most of the time that a
//! small module takes (`serve.c`).

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use fs_err as fs;

use crate::support::corpus::cached;
use crate::support::llvm::{Llvm, run};

const SERVE: &str = include_str!("serve.c");
/// Where a run's messages are, in its directory.
const MESSAGES: &str = "stderr.txt";

/// A tool that waits for work.
struct Server {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The tools of one lab.
#[derive(Default)]
pub(super) struct Tools(HashMap<&'static str, Server>);

/// How a run ended.
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) messages: String,
}

impl Tools {
    /// Runs `name` in `dir`.
    pub(super) fn run(&mut self, name: &'static str, dir: &Path, arguments: &[String]) -> Ended {
        // One program, which looks at its name.
        let program = if name == "clang++" { "clang" } else { name };
        let server = self
            .0
            .entry(program)
            .or_insert_with(|| Server::new(program));
        let path = Llvm::get().tool(name).display().to_string();
        let mut words = vec![dir.display().to_string(), MESSAGES.to_owned(), path];
        words.extend_from_slice(arguments);
        let code = server.run(&words.join("\x1f"));
        Ended {
            success: code == "0",
            messages: fs::read_to_string(dir.join(MESSAGES)).expect("messages"),
        }
    }
}

impl Server {
    fn new(program: &str) -> Self {
        let dir = cached("slices-serve", SERVE, |dir| {
            let source = dir.join("serve.c");
            fs::write(&source, SERVE).expect("written");
            let mut clang = Llvm::get().command("clang");
            clang.args(["-O1", "-shared", "-fPIC", "-o"]);
            run(clang.arg(dir.join("serve.so")).arg(source));
        });
        let mut command: Command = Llvm::get().command(program);
        command.env("LD_PRELOAD", dir.join("serve.so"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the tool starts");
        Self {
            requests: child.stdin.take().expect("a pipe"),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    fn run(&mut self, request: &str) -> String {
        writeln!(self.requests, "{request}").expect("the tool reads");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the tool answers");
        answer.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It reads nothing else and must not be left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
