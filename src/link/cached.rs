//! Whole results in the disk cache.

use bytes::Bytes;

use crate::cache::{CacheError, DiskCache, LARGEST_BLOB};
use crate::digest::{Digest, DigestFunction};
use crate::exec::{Hermetic, action_result, check_result};
use crate::pb::reapi;
use crate::pb::reapi::ExecutedActionMetadata;
use crate::reapi::limits::LARGEST_STDERR;

/// A result from the disk cache.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) outputs: Vec<Bytes>,
    pub(super) stderr: Bytes,
    /// What the cache says about the execution.
    pub(super) made_by: Option<ExecutedActionMetadata>,
}

/// Reads and checks a cached result; anything missing, damaged or unsound is a miss.
pub(super) fn read(cache: &DiskCache, hermetic: &Hermetic) -> Option<Cached> {
    let result = cache.get(&hermetic.wanted_key())?;
    let blob = |digest: &reapi::Digest| cache.blob(&Digest::from_pb(digest).ok()?);
    let mut outputs: Vec<Option<Bytes>> = hermetic
        .job
        .outputs
        .iter()
        .map(|declared| {
            let mut files = result.output_files.iter();
            let found = files.find(|file| file.path == declared.tree_path)?;
            blob(found.digest.as_ref()?)
        })
        .collect();
    let stderr = match &result.stderr_digest {
        Some(digest) if result.stderr_raw.is_empty() => {
            let size = u64::try_from(digest.size_bytes).ok()?;
            (size <= LARGEST_STDERR).then(|| blob(digest))??
        }
        _ => result.stderr_raw.clone(),
    };
    check_result(&hermetic.job, result.exit_code, &stderr, &outputs).ok()?;
    let outputs = outputs.iter_mut().filter_map(Option::take).collect();
    Some(Cached {
        outputs,
        stderr,
        made_by: result.execution_metadata,
    })
}

/// Whether a result may be stored: what is larger is not read again.
pub(super) fn is_storable(outputs: &[Bytes], stderr: &Bytes) -> bool {
    let fits = |contents: &Bytes, largest: u64| contents.len() as u64 <= largest;
    outputs.iter().all(|it| fits(it, LARGEST_BLOB)) && fits(stderr, LARGEST_STDERR)
}

/// Stores what a job wrote under `key`, if it is [storable](is_storable). `made_by` is the farm's;
/// without it relto made the result.
pub(super) fn store(
    cache: &DiskCache,
    key: &Digest,
    hermetic: &Hermetic,
    outputs: &[Bytes],
    stderr: &Bytes,
    made_by: Option<&ExecutedActionMetadata>,
) -> Result<(), CacheError> {
    if !is_storable(outputs, stderr) {
        return Ok(());
    }
    let keep = |contents: &Bytes| {
        let digest = DigestFunction::Sha256.digest(contents);
        cache.put_blob(&digest, contents).map(|()| digest)
    };
    let result = action_result(&hermetic.job, outputs, stderr, made_by, keep)?;
    cache.put_result(key, &result)
}
