//! Reads a file once, for its digest and for what the caller wants to know about its contents.
//!
//! A file that changes meanwhile is read once more, and then given up.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err as fs;

use super::identity::{Identity, identity, is_racy, wall_clock};
use super::{ContentProbe, FileFacts};
use crate::digest::DigestFunction;

pub(super) struct Contents {
    pub(super) facts: FileFacts,
    /// The identity could outlive a change of the contents.
    pub(super) racy: bool,
}

/// Reads the file at `path`.
///
/// # Errors
/// The system's own; the file is not a regular one; it changed while it was read, twice.
pub(super) fn read(
    path: &Path,
    function: DigestFunction,
    probe: Option<&ContentProbe<'_>>,
) -> io::Result<Contents> {
    for _ in 0..2 {
        let contents = read_once(path, function, probe)?;
        if identity(path)? == contents.facts.identity {
            return Ok(contents);
        }
    }
    Err(changed(path))
}

pub(super) fn changed(path: &Path) -> io::Error {
    io::Error::other(format!("`{}` changed while it was read", path.display()))
}

fn read_once(
    path: &Path,
    function: DigestFunction,
    probe: Option<&ContentProbe<'_>>,
) -> io::Result<Contents> {
    let hashed_at = wall_clock();
    let mut file = fs::File::open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(not_regular(path));
    }
    let (digest, note) = match probe {
        Some(probe) => {
            let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            (function.digest(&bytes), Some(probe(&bytes)))
        }
        None => (function.digest_reader(&mut file)?, None),
    };
    let identity = Identity::of(&found);
    if digest.size != identity.size {
        // Growing or shrinking right now; the caller's second look at the times may come too early
        // to see it.
        return Err(changed(path));
    }
    let racy = is_racy(&identity, hashed_at, crate::fs::is_remote(file.file()));
    let facts = FileFacts {
        digest,
        note,
        identity,
    };
    Ok(Contents { facts, racy })
}

/// Refuses what has no contents of its own, before anything opens it: opening a pipe waits for its
/// other end.
pub(super) fn check_regular(path: &Path, found: &std::fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(not_regular(path))
}

fn not_regular(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("`{}` is not a regular file", path.display()),
    )
}
