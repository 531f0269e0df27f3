//! Real servers, started by programs that the environment names.
//!
//! `RELTO_TEST_BUILDBARN` and the like each name a program that takes a port and a directory,
//! leaves the server running, prints on its last line the ids of its processes (leaders of their
//! own groups; the port may be among them), and exits. A [`Server`] ends when its guard is dropped,
//! and when the test process ends in whatever way. A test whose server is missing is skipped,
//! unless `RELTO_TEST_REQUIRE` (names separated by commas, or `all`) names it: then it fails.

mod kind;
pub mod nginx;
mod programs;

pub use kind::{Kind, on_each_farm, on_each_server, on_kinds};

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};

/// What a private server is started with beyond port and directory.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Variables for the script, as `BB_INSTANCE`.
    pub environment: Vec<(String, String)>,
    /// Arguments after port and directory, as `--tls_cert_file=F`.
    pub arguments: Vec<String>,
}

/// A running server. Its processes end when this is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    script: PathBuf,
    setup: Setup,
    port: u16,
    processes: Processes,
    dir: tempfile::TempDir,
}

impl Server {
    /// Starts one, or says why it does not start.
    fn start(kind: Kind, script: &Path, setup: &Setup) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("relto-{}-", kind.name()))
            .tempdir()
            .expect("a directory for the server");
        programs::lend(kind, dir.path());
        let mut complaints = Vec::new();
        // Another process may take the port between the choice and the start.
        for _ in 0..3 {
            let port = free_port();
            match run_script(script, port, dir.path(), setup) {
                Ok(processes) => {
                    programs::keep(kind, dir.path());
                    return Ok(Self {
                        kind,
                        script: script.to_owned(),
                        setup: setup.clone(),
                        port,
                        processes,
                        dir,
                    });
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        Err(format!(
            "`{}` does not start: {}",
            script.display(),
            complaints.join("; ")
        ))
    }

    /// `grpc://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// relto's options for this server, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = if self.kind.executes() {
            "RELTO_REMOTE_EXECUTOR"
        } else {
            "RELTO_REMOTE_CACHE"
        };
        let instance = self.kind.instance();
        let instance = instance.map(|name| ("RELTO_REMOTE_INSTANCE_NAME", name.to_owned()));
        let platform = self.kind.platform().iter();
        let properties = platform.map(|(name, value)| format!("{name}={value}"));
        let properties = properties.map(|p| ("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", p));
        // Each execution holds one of 60 threads, and its workers need some to fetch their work.
        let jobs = (self.kind == Kind::Buildgrid).then(|| ("RELTO_JOBS", "20".to_owned()));
        std::iter::once((endpoint, self.address()))
            .chain(instance)
            .chain(properties)
            .chain(jobs)
            .collect()
    }

    /// relto's options that make this server a cache only, as environment variables.
    pub fn cache_environment(&self) -> Vec<(&'static str, String)> {
        let instance = self.kind.instance();
        let instance = instance.map(|name| ("RELTO_REMOTE_INSTANCE_NAME", name.to_owned()));
        std::iter::once(("RELTO_REMOTE_CACHE", self.address()))
            .chain(instance)
            .collect()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// State and logs of the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ids of its processes, in the order in which the script names them; Buildbarn: storage,
    /// scheduler, runner, worker.
    pub fn pids(&self) -> &[i32] {
        &self.processes.pids
    }

    /// Kills everything at once, as a power cut would.
    pub fn kill(&self) {
        self.processes.signal(Signal::KILL);
    }

    /// Kills the process that the script names last; Buildbarn: the worker.
    pub fn kill_worker(&mut self) {
        let last = self.processes.pids.last().copied();
        if let Some(worker) = last.and_then(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process_group(worker, Signal::KILL);
        }
    }

    /// Stops everything in its tracks: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.processes.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.processes.signal(Signal::CONT);
    }

    /// Starts it again on the same port and directory, after `kill`.
    pub fn restart(&mut self) {
        self.processes.end(true);
        self.processes = run_script(&self.script, self.port, self.dir.path(), &self.setup)
            .unwrap_or_else(|complaint| panic!("it does not start again: {complaint}"));
    }
}

/// The server's process groups, and a shell that ends them and removes the server's directory when
/// our end of its pipe closes: a test process that is killed runs no destructors, and statics have
/// none.
#[derive(Debug)]
struct Processes {
    pids: Vec<i32>,
    watcher: Child,
}

/// A zombie counts as gone: not every container has an init that collects them.
const WATCH: &str = "read word; directory=$1; shift; pids=$*; \
    to() { for p in $pids; do kill -$1 -$p || kill -$1 $p; done; }; \
    alive() { for p in $pids; do grep -qs ') [^Z] ' /proc/$p/stat && return; done; false; }; \
    to CONT; to TERM; \
    for _ in 1 2 3 4 5 6 7 8 9 10; do alive && sleep 0.1; done; \
    to KILL; [ \"$word\" = keep ] || rm -rf -- \"$directory\"; exit 0";

impl Processes {
    fn watch(pids: Vec<i32>, dir: &Path) -> Self {
        use std::os::unix::process::CommandExt as _;
        let watcher = Command::new("sh")
            .args(["-c", WATCH, "watch"])
            .arg(dir)
            .args(pids.iter().map(ToString::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self { pids, watcher }
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // A group that is gone has ended already.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Returns when all are gone.
    fn end(&mut self, keep_dir: bool) {
        let mut pipe = self.watcher.stdin.take();
        if let Some(pipe) = pipe.as_mut().filter(|_| keep_dir) {
            pipe.write_all(b"keep\n").expect("the shell reads");
        }
        drop(pipe);
        self.watcher.wait().expect("a child of ours");
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Runs the script to its end; it leaves the server behind.
fn run_script(script: &Path, port: u16, dir: &Path, setup: &Setup) -> Result<Processes, String> {
    let finished = Command::new(script)
        .arg(port.to_string())
        .arg(dir)
        .args(&setup.arguments)
        .envs(setup.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    if !finished.status.success() {
        let complaint = String::from_utf8_lossy(&finished.stderr);
        return Err(format!("{}: {said}{complaint}", finished.status));
    }
    let line = said.lines().last().unwrap_or_default();
    let mut pids: Vec<i32> = line.split_whitespace().flat_map(str::parse).collect();
    if let Some(at) = pids.iter().position(|number| *number == i32::from(port)) {
        pids.remove(at);
    }
    if pids.is_empty() {
        return Err(format!("it printed `{line}`, no process"));
    }
    Ok(Processes::watch(pids, dir))
}

/// The first of eight ports in a row that are free: Buildbarn takes four, others two. Below the
/// range that the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 1250).expect("small");
    for _ in 0..1250 {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 20_000 + (process.wrapping_add(next) % 1250) * 8;
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        if (first..first + 8).all(|port| is_free(&port)) {
            return first;
        }
    }
    panic!("no eight free ports in a row");
}
