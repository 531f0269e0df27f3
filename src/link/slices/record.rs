//! What the disk cache holds under slice keys: an object with the numbers of its job's modules, or one
//! as it is, under the key that has those numbers.

use bytes::Bytes;

use super::{add_inline_output, output_file};
use crate::action::restore::check;
use crate::action::slice::SliceKey;
use crate::action::slice_record::{encode_numbers, restore_own_record};
use crate::cache::{CacheError, DiskCache};
use crate::digest::{Digest, DigestFunction};
use crate::exec::{Compiled, Hermetic, check_result};
use crate::link::cached::is_storable;
use crate::pb::reapi;

const NUMBERS: &str = "relto/numbers";
const OBJECT: &str = "relto/out.o";

/// The object that is stored under a job's slice key, with the numbers of this job. It has passed
/// the same guard as any result.
pub(in crate::link) fn restored(
    cache: &DiskCache,
    hermetic: &Hermetic,
    slice: &SliceKey,
) -> Option<Bytes> {
    let object = with_names_restored(cache, slice).or_else(|| as_it_is(cache, slice))?;
    let mut outputs = [Some(object)];
    check_result(&hermetic.job, 0, b"", &outputs).ok()?;
    outputs[0].take()
}

fn with_names_restored(cache: &DiskCache, slice: &SliceKey) -> Option<Bytes> {
    if !slice.restorable {
        return None;
    }
    let result = cache.get(&slice.message.digest)?;
    let object = cache.blob(&object_of_record(&result)?)?;
    let restored = restore_own_record(&object, &result.stdout_raw, slice).ok()?;
    Some(restored.into())
}

/// An object whose names cannot be restored, of a job with the same ones.
fn as_it_is(cache: &DiskCache, slice: &SliceKey) -> Option<Bytes> {
    let result = cache.get(&slice.numbered.digest)?;
    let object = object_of_record(&result)?;
    result.stdout_raw.is_empty().then_some(())?;
    cache.blob(&object)
}

/// Stores a fresh result under the slice key of its job: under that without numbers if the names in
/// it can be restored. A job's messages may contain more than its keys cover.
pub(in crate::link) fn store(
    cache: &DiskCache,
    slice: &SliceKey,
    compiled: &Compiled,
) -> Result<(), CacheError> {
    let [object] = &compiled.outputs[..] else {
        return Ok(());
    };
    if !compiled.stderr.is_empty() || !is_storable(&compiled.outputs, &compiled.stderr) {
        return Ok(());
    }
    let (key, numbers) = if slice.restorable && check(object, &slice.numbers).is_ok() {
        (&slice.message, encode_numbers(&slice.numbers))
    } else {
        (&slice.numbered, String::new())
    };
    let digest = DigestFunction::Sha256.digest(object);
    cache.put_blob(&digest, object)?;
    cache.put_blob(&key.digest, &key.bytes)?;
    cache.put_result(&key.digest, &record(digest, numbers.into()))
}

/// The key under which [`restored`] finds the object.
pub(in crate::link) fn stored_key(cache: &DiskCache, slice: &SliceKey) -> Digest {
    if with_names_restored(cache, slice).is_some() {
        slice.message.digest
    } else {
        slice.numbered.digest
    }
}

/// Stores a fresh result in place of what stands under the slice keys of its job.
pub(in crate::link) fn replace(
    cache: &DiskCache,
    slice: &SliceKey,
    fresh: &Compiled,
) -> Result<(), CacheError> {
    remove(cache, slice)?;
    store(cache, slice, fresh)
}

/// Removes what stands under the slice keys of a job.
pub(in crate::link) fn remove(cache: &DiskCache, slice: &SliceKey) -> Result<(), CacheError> {
    cache.remove_result(&slice.message.digest)?;
    cache.remove_result(&slice.numbered.digest)
}

/// What stands under a slice key.
fn record(object: Digest, numbers: Bytes) -> reapi::ActionResult {
    let mut result = reapi::ActionResult::default();
    result.output_files.push(output_file(OBJECT, object));
    add_inline_output(&mut result, NUMBERS, numbers);
    result
}

/// The object of a [`record`]. A later relto may add conditions under which the object is right, as
/// more outputs: a result with anything else in it is no record for this one.
fn object_of_record(result: &reapi::ActionResult) -> Option<Digest> {
    let object = result.output_files.first()?.digest.as_ref()?;
    let object = Digest::from_pb(object).ok()?;
    (*result == record(object, result.stdout_raw.clone())).then_some(object)
}
