//! Which hits are verified: a share of them, chosen by the Action's digest and a secret of the
//! user.
//!
//! The choice is the same in every link of one user, and another one for every other user. Somebody
//! who puts a wrong result into a cache that many share cannot foresee who compares it.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;
use uuid::Uuid;

use crate::digest::Digest;
use crate::fs::{create_private_dir, read_regular_no_follow, remove_if_there};
use crate::link::VerifyOptions;

/// Name of the file with the secret.
const KEY_FILE: &str = "verify.key";

/// Hits by slice key depend on more code of relto's own, so more of them are verified.
const SLICE_FACTOR: f64 = 4.0;

/// Possible values of what is compared with the share.
const RANGE: f64 = 4_294_967_296.0;

type Key = [u8; blake3::KEY_LEN];

/// The share of the hits that this user verifies.
pub(super) struct Sample {
    key: Key,
    percent: f64,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sample({} %)", self.percent)
    }
}

impl Sample {
    /// Where the secret cannot be kept, one for this link alone is as hard to guess.
    pub(super) fn new(options: &VerifyOptions) -> Self {
        let dir = options.dir.as_deref();
        let kept = dir.and_then(|dir| secret(dir).ok());
        Self {
            key: kept.unwrap_or_else(random),
            percent: options.percent,
        }
    }

    /// Whether the result of `action` is verified.
    pub(super) fn takes(&self, action: &Digest, by_slice_key: bool) -> bool {
        let factor = if by_slice_key { SLICE_FACTOR } else { 1.0 };
        let percent = self.percent * factor;
        if percent >= 100.0 {
            return true;
        }
        let hash = blake3::keyed_hash(&self.key, &action.hash);
        let mut first = [0; 4];
        first.copy_from_slice(&hash.as_bytes()[..4]);
        f64::from(u32::from_le_bytes(first)) / RANGE * 100.0 < percent
    }
}

/// The user's secret in `dir`, made by the first process that wants it.
fn secret(dir: &Path) -> io::Result<Key> {
    let path = dir.join(KEY_FILE);
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    create_private_dir(dir)?;
    let mut made = tempfile::Builder::new()
        .prefix(".verify-")
        .tempfile_in(dir)?;
    made.write_all(&random())?;
    match made.persist_noclobber(&path) {
        Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed.error);
        }
        // Another process may have been faster; its secret counts.
        _ => {}
    }
    read(&path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// `None` if there is none. One that was cut off, or that others could read, is removed.
fn read(path: &Path) -> io::Result<Option<Key>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if found.is_file()
        && matches!(found.mode() & 0o777, 0o400 | 0o600)
        && let Ok(key) = Key::try_from(read_regular_no_follow(path)?)
    {
        return Ok(Some(key));
    }
    remove_if_there(path)?;
    Ok(None)
}

fn random() -> Key {
    let parts = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
    *blake3::hash(parts.as_flattened()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::digest::DigestFunction;

    fn sample(percent: f64, dir: &Path) -> Sample {
        Sample::new(&VerifyOptions {
            percent,
            dir: Some(dir.to_owned()),
            ..VerifyOptions::default()
        })
    }

    fn actions() -> Vec<Digest> {
        let texts = (0..5000).map(|number: u32| number.to_string());
        texts
            .map(|text| DigestFunction::Sha256.digest(text.as_bytes()))
            .collect()
    }

    fn chosen(sample: &Sample, by_slice_key: bool) -> Vec<Digest> {
        let takes = |action: &Digest| sample.takes(action, by_slice_key);
        actions().into_iter().filter(takes).collect()
    }

    #[test]
    fn the_share_is_what_was_asked_for_and_four_times_that_of_slice_hits() {
        let dir = tempfile::tempdir().expect("a directory");
        let count =
            |percent, by_slice_key| chosen(&sample(percent, dir.path()), by_slice_key).len();
        assert_eq!(count(0.0, false), 0);
        assert_eq!(count(0.0, true), 0);
        assert_eq!(count(100.0, false), 5000);
        assert_eq!(count(25.0, true), 5000);
        // Six times the standard deviation on either side.
        assert!((40..160).contains(&count(2.0, false)));
        assert!((285..515).contains(&count(2.0, true)));
    }

    #[test]
    fn a_users_choice_stays_and_another_users_differs() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let first = chosen(&sample(10.0, one.path()), false);
        assert_eq!(chosen(&sample(10.0, one.path()), false), first);
        assert_ne!(chosen(&sample(10.0, other.path()), false), first);
        // More is never less.
        let more = chosen(&sample(20.0, one.path()), false);
        assert!(first.iter().all(|action| more.contains(action)));
    }

    #[test]
    fn processes_that_start_together_agree_on_one_private_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("state/relto");
        let barrier = std::sync::Barrier::new(8);
        let keys: Vec<Key> = std::thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    barrier.wait();
                    secret(&dir).expect("made")
                })
            };
            let threads: Vec<_> = (0..8).map(start).collect();
            let keys = threads.into_iter().map(|it| it.join().expect("no panic"));
            keys.collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(KEY_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).expect("listed").count(), 1);
    }

    #[test]
    fn a_secret_that_others_could_read_or_that_is_cut_off_is_made_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(KEY_FILE);
        let first = secret(dir.path()).expect("made");
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let second = secret(dir.path()).expect("made");
        assert_ne!(first, second);
        fs::write(&path, b"short").expect("written");
        assert_ne!(secret(dir.path()).expect("made"), second);
    }

    #[test]
    fn without_a_place_for_a_secret_the_share_is_verified_all_the_same() {
        for dir in [None, Some("/proc/nowhere".into())] {
            let options = VerifyOptions {
                percent: 50.0,
                dir,
                ..VerifyOptions::default()
            };
            let count = chosen(&Sample::new(&options), false).len();
            assert!((2000..3000).contains(&count), "{count}");
        }
    }
}
