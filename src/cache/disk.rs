//! Reads and writes the disk cache: `ac/` holds serialized `ActionResult`s and `cas/` holds blobs,
//! both by the hex of their SHA256 digest in directories of its first two digits.
//!
//! Files are written in `tmp/` and renamed, so a reader sees all or nothing; a damaged file is
//! removed and counts as a miss. A hit renews the file's mtime, by which [`trim`](super::trim())
//! knows what is in use.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fs_err as fs;
use prost::Message as _;
use rustix::fs::{Access, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::buffers::Buffers;
use super::{CacheError, mark, on_disk};
use crate::digest::{Digest, DigestFunction};
use crate::fs::{OwnDir, create_private_dir};
use crate::pb;
use crate::pb::reapi::ActionResult;

/// Directory of files that are being written, as in Bazel since 7.2.
pub(super) const TMP: &str = "tmp";

/// relto stores no longer result: a few outputs and the compiler's messages.
pub(super) const MAX_RESULT: u64 = 16 << 20;

/// No blob that is larger is read: its name alone must not take the memory.
pub const LARGEST_BLOB: u64 = 1 << 30;

/// A file's mtime is renewed only if it is older than this, which saves a system call for most
/// hits.
pub(super) const TOUCH_GRANULE: Duration = Duration::from_hours(1);

const PRIVATE: u32 = 0o600;
const SHARED: u32 = 0o666;

/// An open disk cache. Threads share it, processes share the directory.
#[derive(Debug)]
pub struct DiskCache {
    root: PathBuf,
    now: SystemTime,
    added: AtomicU64,
    /// Bytes on disk that were read. What is stored again is left out: it mostly was stored by the same
    /// link, under another key.
    found: AtomicU64,
    buffers: Buffers,
    /// The mode of new files: private, unless the user shares the directory with others.
    file_mode: u32,
}

impl DiskCache {
    /// Opens the cache in the directory `root`. A missing directory is made with mode 0700.
    ///
    /// # Errors
    /// `root` cannot be created or read, or is not a directory.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        match create_private_dir(root) {
            Ok(()) => mark::write(root),
            // A directory that is there on a read-only file system is as good for reading.
            Err(_) if root.is_dir() => {}
            Err(error) => return Err(CacheError::new(root, error)),
        }
        refuse_links(root).map_err(|error| CacheError::new(root, error))?;
        rustix::fs::access(root, Access::READ_OK | Access::EXEC_OK)
            .map_err(|error| CacheError::new(root, error.into()))?;
        Ok(Self {
            root: root.to_owned(),
            now: SystemTime::now(),
            added: AtomicU64::new(0),
            found: AtomicU64::new(0),
            buffers: Buffers::default(),
            file_mode: file_mode(root),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether results can be stored: writes a file and removes it again. A full file system takes
    /// empty ones.
    ///
    /// # Errors
    /// Why not.
    pub fn check_writable(&self) -> Result<(), CacheError> {
        let written = self
            .temporary()
            .and_then(|mut file| file.write_all(&[0; 4096]));
        written.map_err(|error| CacheError::new(&self.root, error))
    }

    /// Whether any user of this machine may put results here, which would be taken for this user's.
    pub fn is_writable_by_all(&self) -> bool {
        fs::metadata(&self.root).is_ok_and(|found| found.mode() & 0o002 != 0)
    }

    /// The result that is stored for `action`. One that names no output file was cut off; whether
    /// the blobs that it names are there is seen when they are read.
    pub fn get(&self, action: &Digest) -> Option<ActionResult> {
        let file = open_file(&self.result_path(action))?;
        let found = file.metadata().ok()?;
        let bytes = if found.len() <= MAX_RESULT {
            self.read_exactly(&file, found.len())
        } else {
            None
        };
        let result = bytes
            .and_then(|bytes| pb::bounded::decode::<ActionResult>(bytes).ok())
            .filter(|result| !result.output_files.is_empty());
        if result.is_none() {
            self.discard("ac", action);
        } else {
            self.hit(&file, &found);
        }
        result
    }

    /// The blob named `digest`; its bytes are those that the digest was made from. One larger than
    /// [`LARGEST_BLOB`] is damage.
    pub fn blob(&self, digest: &Digest) -> Option<Bytes> {
        if digest.is_empty() {
            return Some(Bytes::new());
        }
        let file = open_file(&self.path("cas", digest))?;
        let found = file.metadata().ok()?;
        let bytes = if found.len() == digest.size && digest.size <= LARGEST_BLOB {
            self.read_exactly(&file, digest.size)
        } else {
            None
        };
        let bytes = bytes.filter(|bytes| DigestFunction::Sha256.digest(bytes) == *digest);
        if bytes.is_none() {
            self.discard("cas", digest);
        } else {
            self.hit(&file, &found);
        }
        bytes
    }

    /// Stores a blob. One that exists already, by name and size, is left alone.
    ///
    /// # Errors
    /// It cannot be written. No part of it is left.
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), CacheError> {
        if digest.is_empty() {
            return Ok(());
        }
        if let Some(file) = open_file(&self.path("cas", digest))
            && let Ok(found) = file.metadata()
            && found.len() == digest.size
        {
            self.touch(&file, &found);
            return Ok(());
        }
        self.write("cas", digest, bytes)
    }

    /// Stores the result of `action`, replacing another. The blobs that it names must be stored
    /// before.
    ///
    /// # Errors
    /// It cannot be written. No part of it is left.
    pub fn put_result(&self, action: &Digest, result: &ActionResult) -> Result<(), CacheError> {
        self.write("ac", action, &result.encode_to_vec())
    }

    /// Removes the result of `action`, if there is one.
    ///
    /// # Errors
    /// It stays.
    pub fn remove_result(&self, action: &Digest) -> Result<(), CacheError> {
        let removed = self.remove("ac", action);
        removed.map_err(|error| CacheError::new(&self.root, error))
    }

    /// Where the result of `action` is stored.
    #[must_use]
    pub fn result_path(&self, action: &Digest) -> PathBuf {
        self.path("ac", action)
    }

    /// Bytes on disk that were added since the cache was opened.
    pub fn added_bytes(&self) -> u64 {
        self.added.load(Ordering::Relaxed)
    }

    /// Bytes on disk of all that was read or stored since the cache was opened: what it must hold for
    /// the same to be found again.
    pub fn used_bytes(&self) -> u64 {
        self.added_bytes() + self.found.load(Ordering::Relaxed)
    }

    fn path(&self, kind: &str, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let mut path = PathBuf::with_capacity(self.root.as_os_str().len() + 80);
        path.push(&self.root);
        path.extend([kind, &hex[..2], &hex]);
        path
    }

    /// Where `digest` is, opened from the root.
    fn shard(&self, kind: &str, digest: &Digest) -> io::Result<OwnDir> {
        let kind = OwnDir::named_by_user(&self.root)?.child(kind)?;
        kind.child(&digest.hex()[..2])
    }

    fn write(&self, kind: &str, digest: &Digest, bytes: &[u8]) -> Result<(), CacheError> {
        let written = self.write_and_rename(kind, digest, bytes);
        written.map_err(|error| CacheError::new(&self.root, error))?;
        let size = on_disk(bytes.len() as u64);
        self.added.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }

    fn write_and_rename(&self, kind: &str, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = self.temporary()?;
        temporary.write_all(bytes)?;
        let dir = match self.shard(kind, digest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = self.path(kind, digest);
                self.make_dir(path.parent().unwrap_or(&self.root))?;
                self.shard(kind, digest)?
            }
            opened => opened?,
        };
        let temporary = temporary.into_temp_path();
        dir.take_in(&temporary, &digest.hex())?;
        // It has gone from there.
        let _ = temporary.keep();
        Ok(())
    }

    fn remove(&self, kind: &str, digest: &Digest) -> io::Result<()> {
        match self.shard(kind, digest) {
            Ok(dir) => dir.remove(&digest.hex()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A file that cannot be removed is found damaged again, and replaced by the next result.
    fn discard(&self, kind: &str, digest: &Digest) {
        let _ = self.remove(kind, digest);
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        let dir = self.root.join(TMP);
        let mut builder = tempfile::Builder::new();
        builder
            .prefix(mark::TEMPORARY)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(self.file_mode));
        match builder.tempfile_in(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir(&dir)?;
                builder.tempfile_in(&dir)
            }
            made => made,
        }
    }

    /// Makes a directory in the root; and the root too, with its own mode and mark, for a link that
    /// saw the whole cache deleted.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        create_private_dir(&self.root)?;
        mark::write(&self.root);
        if self.file_mode == PRIVATE {
            create_private_dir(path)
        } else {
            fs::create_dir_all(path)
        }
    }

    /// The whole file, if it has exactly `size` bytes and there is memory for them.
    fn read_exactly(&self, file: &File, size: u64) -> Option<Bytes> {
        let room = usize::try_from(size).ok()?.checked_add(1)?;
        let mut lent = self.buffers.lend(room)?;
        let read = file.take(size + 1).read_to_end(&mut lent.bytes).ok()?;
        (read as u64 == size).then(|| Bytes::from_owner(lent))
    }

    fn hit(&self, file: &File, found: &std::fs::Metadata) {
        let size = on_disk(found.len());
        self.found.fetch_add(size, Ordering::Relaxed);
        self.touch(file, found);
    }

    /// Marks a file as used. Where that is not allowed, only its place in the order is lost.
    fn touch(&self, file: &File, found: &std::fs::Metadata) {
        // A wrong clock must not keep a file in the cache forever: the far future is not
        // fresh either.
        let is_fresh = found.modified().is_ok_and(|modified| {
            modified + TOUCH_GRANULE > self.now && modified < self.now + TOUCH_GRANULE
        });
        if !is_fresh {
            let _ = rustix::fs::futimens(file, &now_for_mtime());
        }
    }
}

fn now_for_mtime() -> Timestamps {
    let nanos = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Timestamps {
        last_access: nanos(UTIME_OMIT),
        last_modification: nanos(UTIME_NOW),
    }
}

/// Neither follows links nor waits for the other end of a pipe: only regular files are read here.
fn open_file(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .ok()
        .map(File::from)
}

/// A link would lead what is written and removed here to another directory.
fn refuse_links(root: &Path) -> io::Result<()> {
    for name in ["ac", "cas", TMP] {
        let path = root.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            let text = format!("`{}` is a symbolic link", path.display());
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

/// In a directory that other users may enter, the umask decides, as with Bazel's own cache.
fn file_mode(root: &Path) -> u32 {
    if is_shared(root) { SHARED } else { PRIVATE }
}

/// Whether other users may enter the directory `root`.
pub(super) fn is_shared(root: &Path) -> bool {
    fs::metadata(root).is_ok_and(|found| found.mode() & 0o077 != 0)
}
