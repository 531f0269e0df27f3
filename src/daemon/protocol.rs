//! What the daemon and its callers say to each other.
//!
//! A connection carries a sequence of frames. The first of each side is JSON and stays readable for
//! every version; the others are in `postcard`'s form, which only the same build can read, and only
//! the same build gets that far.
//!
//! To let callers ask for something new, add a case to [`DaemonRequest`] and serve it in
//! [`connection`](super::connection).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::build::Build;
use crate::bes::Publication;
use crate::client_context::ClientContext;
use crate::events::Event;
use crate::events::OriginCounts;
use crate::fs::FileId;
use crate::job::JobFile;
use crate::link::{LinkFailure, Options};
use crate::prefetch::PrefetchRequest;
use crate::process::{BuildProcess, World};

/// The first frame of a caller.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientHello {
    pub(super) build: Build,
    pub(super) purpose: Purpose,
    /// The contents of the key file in the runtime directory. A process that cannot read that, such
    /// as a confined compiler, must not use the daemon either.
    #[serde(default)]
    pub(super) key: String,
}

/// Why a caller connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To have work done, if the daemon is of the same build. A newer caller shuts an older daemon
    /// down.
    Work,
    Status,
    /// To shut the daemon down, whatever build it is. The links that it runs are cancelled, and
    /// their callers run them.
    Stop,
}

/// The daemon's first frame.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServerHello {
    pub(super) build: Build,
    /// Whether a request will be answered.
    pub(super) welcome: bool,
    pub(super) status: Option<Status>,
}

/// The numbers that `relto daemon status` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub process: u32,
    pub version: String,
    pub uptime: Duration,
    /// Links that have ended, and those under way.
    pub links: u64,
    pub under_way: usize,
    pub origins: OriginCounts,
    /// Modules that were sent before a link needed them.
    pub ahead: u64,
    /// Sets of settings that it keeps an engine for.
    pub engines: usize,
    /// Files whose digests it knows.
    pub files: usize,
    /// Resident bytes; 0 if unknown.
    pub memory: u64,
    /// How long it stays without work.
    pub idle_timeout: Duration,
}

/// What a caller asks for.
#[derive(Debug, Serialize, Deserialize)]
pub enum DaemonRequest {
    /// Run the jobs of a job file, and send events.
    Link(Box<LinkRequest>),
    /// Upload these files to the farm when the caller has ended. The link has no jobs; it says in
    /// which context.
    Prefetch(PrefetchRequest, Box<LinkRequest>),
    /// Send the rest of a link's build events when the caller has gone. The link has no jobs.
    Publish(Box<Publication>, Box<LinkRequest>),
}

/// A link, and the context of the process that asks for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct LinkRequest {
    pub file: JobFile,
    /// Without the client context, which is made of the fields below.
    pub options: Options,
    /// The caller's current directory, absolute.
    pub dir: PathBuf,
    /// That directory, so that the daemon can see whether it finds the same one.
    pub dir_id: FileId,
    pub umask: u32,
    pub world: World,
    /// The build that the caller belongs to, if build events are published.
    pub build: Option<BuildProcess>,
}

impl LinkRequest {
    /// The link of `file` as this process would run it. Must be called while no other thread makes
    /// files: reading the umask means changing it for a moment.
    ///
    /// # Errors
    /// The process has no current directory.
    pub fn of_process(file: &JobFile, options: &Options) -> io::Result<Self> {
        let dir = std::env::current_dir()?;
        // Not by its name, which means another one if something is mounted over it.
        let found = fs_err::metadata(".")?;
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Self {
            file: file.clone(),
            options: options.clone(),
            dir_id: FileId::of(&found),
            dir,
            umask: umask.bits(),
            world: World::of_process(),
            build: options
                .bes
                .is_some()
                .then(BuildProcess::of_process)
                .flatten(),
        })
    }

    /// The options of the link as its caller would run it.
    pub(super) fn options(&self) -> Options {
        let mut options = self.options.clone();
        let environment = options.environment.clone();
        let of_farm = options.farm.as_mut().map(|farm| &mut farm.client);
        let of_events = options.bes.as_mut().map(|bes| &mut bes.transport);
        for client in of_farm.into_iter().chain(of_events) {
            if !client.credential_helpers.is_empty() {
                client.credential_helper_environment = Some(environment.clone());
                client.credential_helper_dir = Some(self.dir.clone());
            }
        }
        options.client_context = ClientContext::of(&self.dir, environment, self.umask);
        options
    }
}

/// How often the daemon sends [`ServerMessage::Alive`].
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so long without a byte that the other end sends or takes, the connection counts as lost.
pub(super) const SILENCE: Duration = HEARTBEAT.saturating_mul(6);

/// What a caller sends after its request. The end of the connection means that the caller has
/// disconnected.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ClientMessage {
    /// Cancel the link; the caller waits for its end.
    Cancel,
    /// The daemon was silent for too long. The caller does the work itself, so the outputs belong
    /// to the caller from now on.
    Abandon,
}

/// The daemon's frames after its first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ServerMessage {
    Event(Event),
    /// Nothing has happened, but the daemon is alive.
    Alive,
    /// The last frame of a link.
    Ended(Result<(), LinkFailure>),
    /// This daemon would not do the work as the caller would; the reason is for the log.
    Declined(String),
}
