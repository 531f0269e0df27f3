//! The digest of a file that may be a module, as a link will look for it.
//!
//! Enters: a path. Leaves: the digest by the farm's function, with what a link wants to know of a
//! module in the hash cache; or why no link hands such a file to its backends. What is no bitcode
//! is told by its first bytes.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use crate::digest::{Digest, DigestFunction};
use crate::hash_cache::{HashCache, is_settled};
use crate::link::plan::module_note;
use crate::thinlto::{ModuleError, ModuleFacts, check_start, module};

/// How long a file is waited for that was written just now, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(10);

/// A file that no link hands to its backends.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoModule {
    #[error(transparent)]
    Other(#[from] ModuleError),
    #[error("bitcode for a link without ThinLTO")]
    NotThin,
}

/// Reads no more of what is no bitcode than its beginning. The inner error says why it is no
/// module.
pub(super) fn hash(
    hash_cache: &HashCache,
    file: &Path,
    function: DigestFunction,
) -> io::Result<Result<Digest, NoModule>> {
    if fs::metadata(file)?.is_file()
        && let Err(error) = check_start(&start(file)?)
    {
        return Ok(Err(ModuleError::from(error).into()));
    }
    // What a link looks for: this function, and this note.
    let facts = hash_cache.facts(file, DigestFunction::Sha256, Some(&module_note))?;
    let note = facts.note.as_deref().and_then(ModuleFacts::decode);
    match note {
        Some(module) if module.hashes.is_empty() => return Ok(Err(NoModule::NotThin)),
        Some(_) => {}
        None => {
            let error = module::facts(&fs::read(file)?).err();
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
    fs::File::open(file)?.take(limit).read_to_end(&mut start)?;
    Ok(start)
}

/// What is hashed too soon after it was written is not remembered.
pub(super) async fn wait_until_settled(file: &Path) {
    let mut left = PATIENCE;
    while !left.is_zero() && !is_settled(file) {
        tokio::time::sleep(STEP).await;
        left -= STEP;
    }
}
