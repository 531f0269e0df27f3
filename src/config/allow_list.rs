//! What the user has allowed, remembered in the user's state, one file a tree: the digest of what was
//! covered, and the addresses and the credentials that were shown. A credential that comes later waits,
//! too, also one of the same name.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::credential::AllowedCredential;
use super::environment::Environment;
use super::trust::TrustRequest;
use crate::digest::DigestFunction;
use crate::fs::{OwnDir, PRIVATE_UMASK, dir_of, write_whole_for};
use crate::state::Secret;

/// No record is this long.
const LARGEST_RECORD: u64 = 1 << 20;

/// Name of the directory of the records in that for state.
const DIR: &str = "allowed";

/// A tree that the user has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    pub path: PathBuf,
    /// Of everything that was covered.
    pub digest: String,
    /// The addresses that the file names.
    pub addresses: Vec<String>,
    /// The user's own credentials that go to them.
    pub credentials: Vec<AllowedCredential>,
}

/// The trees that the user has allowed.
#[derive(Debug)]
pub struct AllowList {
    /// The user's directory for state. `None` where there is none: nothing is allowed.
    state: Option<PathBuf>,
}

impl AllowList {
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let state = environment.state_dir();
        Self { state }
    }

    fn state(&self) -> io::Result<&Path> {
        let none = || io::Error::other("neither XDG_STATE_HOME nor HOME is set");
        self.state.as_deref().ok_or_else(none)
    }

    /// With which the credentials of records are bound.
    pub(super) fn secret(&self) -> io::Result<Secret> {
        Secret::of_user(self.state()?)
    }

    /// The record of the tree at `path`, whatever its content was.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<Allowed> {
        let record = read(&self.dir()?.path().join(record_name(path)))?;
        (record.path == path).then_some(record)
    }

    /// Every record, by path.
    #[must_use]
    pub fn all(&self) -> Vec<Allowed> {
        let Some(dir) = self.dir() else {
            return Vec::new();
        };
        let names = dir.names().into_iter().flatten();
        let mut all: Vec<_> = names
            .filter_map(|name| read(&dir.path().join(name)))
            .collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// The paths of what was allowed in `dir`, or in the nearest directory above it where anything was.
    #[must_use]
    pub fn nearest(&self, dir: &Path) -> Vec<PathBuf> {
        let all = self.all().into_iter().map(|record| record.path);
        let all: Vec<_> = all.map(|path| (real(dir_of(&path)), path)).collect();
        let dir = real(dir);
        let mut near = dir.ancestors().map(|dir| {
            let here = all.iter().filter(|(place, _)| place == dir);
            here.map(|(_, path)| path.clone()).collect::<Vec<_>>()
        });
        near.find(|here| !here.is_empty()).unwrap_or_default()
    }

    /// # Errors
    /// The record cannot be written.
    pub fn add(&self, request: &TrustRequest) -> io::Result<()> {
        let allowed = request.allowed(&self.secret()?);
        let dir = OwnDir::make_below(self.state()?, Path::new(DIR))?;
        let record = dir.path().join(record_name(&allowed.path));
        write_whole_for(Some(PRIVATE_UMASK), &record, &serde_json::to_vec(&allowed)?)
    }

    /// Takes back what was allowed; returns whether it was.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn remove(&self, path: &Path) -> io::Result<bool> {
        let (Some(dir), name) = (self.dir(), record_name(path)) else {
            return Ok(false);
        };
        let is_there = fs_err::symlink_metadata(dir.path().join(&name)).is_ok();
        dir.remove(&name).map(|()| is_there)
    }

    /// One that is a link may lead to records that the user made for others.
    fn dir(&self) -> Option<OwnDir> {
        OwnDir::open_below(self.state.as_ref()?, Path::new(DIR)).ok()
    }
}

fn record_name(path: &Path) -> String {
    let path = path.as_os_str().as_encoded_bytes();
    format!("{}.json", DigestFunction::Sha256.digest(path).hex())
}

/// `dir` by its own name, if it is there.
fn real(dir: &Path) -> PathBuf {
    fs_err::canonicalize(dir).unwrap_or_else(|_| dir.to_owned())
}

/// A record that this user wrote: one in another user's home is that user's decision.
fn read(record: &Path) -> Option<Allowed> {
    let found = fs_err::symlink_metadata(record).ok()?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if !own || !found.is_file() || found.len() > LARGEST_RECORD {
        return None;
    }
    serde_json::from_slice(&fs_err::read(record).ok()?).ok()
}
