//! A secret of the user, which lies apart from the cache: whoever can write into that, or brings a whole
//! one, does not know it.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;
use uuid::Uuid;

use crate::fs::{create_private_dir, read_regular_no_follow, remove_if_there};

/// Name of the file with the secret.
const FILE: &str = "secret.key";

type Key = [u8; blake3::KEY_LEN];

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Key);

/// Shows nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The user's secret in `dir`, made by the first process that wants it.
    ///
    /// # Errors
    /// It can be neither read nor made, or is another user's.
    pub fn of_user(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        if let Some(key) = read(&path)? {
            return Ok(Self(key));
        }
        create_private_dir(dir)?;
        let mut made = tempfile::Builder::new()
            .prefix(".secret-")
            .tempfile_in(dir)?;
        made.write_all(&Self::random().0)?;
        match made.persist_noclobber(&path) {
            Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed.error);
            }
            // Another process may have been faster; its secret counts.
            _ => {}
        }
        read(&path)?
            .map(Self)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// One of this process alone.
    #[must_use]
    pub fn random() -> Self {
        let parts = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self(*blake3::hash(parts.as_flattened()).as_bytes())
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8; blake3::KEY_LEN] {
        &self.0
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn processes_that_start_together_agree_on_one_private_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("state/relto");
        let barrier = std::sync::Barrier::new(8);
        let keys: Vec<Secret> = std::thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    barrier.wait();
                    Secret::of_user(&dir).expect("made")
                })
            };
            let threads: Vec<_> = (0..8).map(start).collect();
            let keys = threads.into_iter().map(|it| it.join().expect("no panic"));
            keys.collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).expect("listed").count(), 1);
    }

    #[test]
    fn a_secret_that_others_could_read_or_that_is_cut_off_is_made_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        let first = Secret::of_user(dir.path()).expect("made");
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let second = Secret::of_user(dir.path()).expect("made");
        assert_ne!(first, second);
        fs::write(&path, b"short").expect("written");
        assert_ne!(Secret::of_user(dir.path()).expect("made"), second);
    }
}
