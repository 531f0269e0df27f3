//! Reads a file once, for its digest and for the note that the caller derives from its bytes.
//!
//! A file that changes meanwhile is read once more; if it changes again, that is an error.

use std::fs::File;
use std::io;
use std::path::Path;

use super::identity::{Identity, identity, is_racy, wall_clock};
use super::{ContentProbe, FileFacts};
use crate::digest::DigestFunction;
use crate::fs::{Cancellable, buffer_for, open_regular, read_to_end};

pub(super) struct Contents {
    pub(super) facts: FileFacts,
    /// The identity could outlive a change of the contents.
    pub(super) racy: bool,
    /// What was read.
    pub(super) file: File,
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
    let file = open_regular(path)?;
    let found = file.metadata()?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    let (digest, note) = if let Some(probe) = probe {
        let mut bytes = buffer_for(found.len()).map_err(named)?;
        read_to_end(file.file(), &mut bytes).map_err(named)?;
        (function.digest(&bytes), Some(probe(&bytes)))
    } else {
        let digest = function.digest_reader(Cancellable(file.file()));
        (digest.map_err(named)?, None)
    };
    let identity = Identity::of(&found);
    if digest.size != identity.size {
        // Growing or shrinking right now: too early for the second look at the times to see it.
        return Err(changed(path));
    }
    let racy = is_racy(&identity, hashed_at);
    let facts = FileFacts {
        digest,
        note,
        identity,
    };
    let file = file.into_file();
    Ok(Contents { facts, racy, file })
}
