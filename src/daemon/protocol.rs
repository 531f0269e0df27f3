//! What the daemon and its callers say to each other.
//!
//! A conversation is a sequence of frames. The first of each side is JSON, and stays readable for
//! every version: who am I, what do I want. The others are in `postcard`'s form, which only the
//! same build can read, and only the same build gets that far.
//!
//! To add something that callers may ask for: a case of [`Request`] here, and one in
//! `conversation`.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::build::Build;
use crate::events::Event;
use crate::history::OriginCounts;
use crate::job::JobFile;
use crate::link::{LinkFailure, Options};
use crate::prefetch::PrefetchRequest;
use crate::process::Limits;

/// The first frame of a caller.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientHello {
    pub(super) build: Build,
    #[serde(rename = "want")]
    pub(super) purpose: Purpose,
}

/// What a caller is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To have work done, if the daemon is of the same build. A newer caller makes an older daemon
    /// leave.
    Work,
    Status,
    /// The daemon is to leave, whatever build it is. Links that it runs are given up: their callers
    /// go on with them.
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

/// What `relto daemon status` tells.
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
    /// Sets of settings that it keeps something for.
    pub engines: usize,
    /// Files whose digests it knows.
    pub files: usize,
    /// Resident bytes; 0 where that cannot be found out.
    pub memory: u64,
    /// How long it stays without work.
    pub idle_timeout: Duration,
}

/// What a caller asks for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run the jobs of a job file, and tell what happens.
    Link(Box<LinkRequest>),
    /// Send these files to the farm when the caller has ended. The link has no jobs; it says whose
    /// they are.
    Prefetch(PrefetchRequest, Box<LinkRequest>),
}

/// A link, and whose it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct LinkRequest {
    pub file: JobFile,
    /// All but what can only be the caller's own.
    pub options: Options,
    /// The caller's current directory, absolute.
    pub dir: PathBuf,
    /// Device and inode of that directory: a caller in a container may mean another one.
    pub dir_identity: (u64, u64),
    /// The caller's.
    pub umask: u32,
    pub limits: Limits,
}

impl LinkRequest {
    /// The link of `file`, as this process would run it. To be called while the process has no
    /// second thread that makes files: the kernel tells the umask only to those who change it.
    ///
    /// # Errors
    /// The process has no current directory.
    pub fn of_process(file: &JobFile, options: &Options) -> io::Result<Self> {
        let dir = std::env::current_dir()?;
        let found = fs::metadata(&dir)?;
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Self {
            file: file.clone(),
            options: options.clone(),
            dir_identity: (found.dev(), found.ino()),
            dir,
            umask: umask.bits(),
            limits: Limits::of_process(),
        })
    }
}

/// What a caller says after its request. That it is gone needs no words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ClientMessage {
    /// The link is to be given up; the caller waits for its end.
    Cancel,
    /// The daemon was silent for too long. The caller does the work itself, and whatever is there
    /// from now on is the caller's.
    Abandon,
}

/// The daemon's frames after its first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ServerMessage {
    Event(Event),
    /// Nothing has happened, but it is there.
    Alive,
    /// The last frame of a link.
    Ended(Result<(), LinkFailure>),
    /// This daemon would not do it as the caller would; the reason is for the log.
    Declined(String),
}
