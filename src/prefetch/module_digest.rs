//! The digest of a file that may be a module, as a link will look for it.
//!
//! The first bytes of a file show whether it is bitcode.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use crate::digest::{Digest, DigestFunction};
use crate::fs::{open_regular, read_regular};
use crate::hash_cache::{HashCache, is_settled};
use crate::link::module_note;
use crate::thinlto::{ModuleError, ModuleFacts, check_start, module};

/// How long to wait for a file that was written just now, and how often to look at it.
const SETTLING_TIMEOUT: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(10);

/// Why a link does not hand the file to its backends.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAModule {
    #[error(transparent)]
    Other(#[from] ModuleError),
    #[error("bitcode for a link without ThinLTO")]
    NotThin,
}

/// Returns the digest by `function` and stores in the hash cache what a link needs to know of the
/// module. Of a file that is not bitcode only the beginning is read. The inner error says why it is
/// not a module.
pub(super) fn module_digest(
    hash_cache: &HashCache,
    file: &Path,
    function: DigestFunction,
) -> io::Result<Result<Digest, NotAModule>> {
    if fs::metadata(file)?.is_file()
        && let Err(error) = check_start(&start(file)?)
    {
        return Ok(Err(ModuleError::from(error).into()));
    }
    // What a link looks for: this function, and this note.
    let facts = hash_cache.facts(file, DigestFunction::Sha256, Some(&module_note))?;
    let note = facts.note.as_deref().and_then(ModuleFacts::decode);
    match note {
        Some(module) if module.hashes.is_empty() => return Ok(Err(NotAModule::NotThin)),
        Some(_) => {}
        None => {
            let error = module::facts(&read_regular(file)?).err();
            return Ok(Err(error.unwrap_or(ModuleError::NoModule).into()));
        }
    }
    match function {
        DigestFunction::Sha256 => Ok(Ok(facts.digest)),
        DigestFunction::Blake3 => Ok(Ok(hash_cache.facts(file, function, None)?.digest)),
    }
}

fn start(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let limit = 64;
    open_regular(file)?.take(limit).read_to_end(&mut start)?;
    Ok(start)
}

/// Waits until the file is old enough for its digest to be remembered.
pub(super) async fn wait_until_settled(file: &Path) {
    let mut left = SETTLING_TIMEOUT;
    while !left.is_zero() && !is_settled(file) {
        tokio::time::sleep(STEP).await;
        left -= STEP;
    }
}
