//! Whether the times of a file tell that its contents are the ones of an earlier link.
//!
//! Device, inode, size, mtime and ctime identify a state of a file only where the running kernel
//! stamps ctime at every change. An image (squashfs, erofs, ISO 9660) has the times that its maker
//! chose, a server or a process behind FUSE, 9p, NFS or SMB the ones that it answers, and a page of
//! tmpfs that is mapped and dirty changes without any time changing. An overlay is as good as its
//! layers.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatFs, StatxFlags};

/// Magic numbers (`statfs(2)`) of ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, JFS, `ReiserFS`
/// and NILFS2: their ctime is this kernel's clock.
const STAMPED_BY_THE_KERNEL: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x3153_464a,
    0x5265_4973,
    0x3434,
];

const OVERLAY: u32 = 0x794c_7630;

/// A file system whose times are not trusted.
struct UnstampedFileSystem {
    magic: u32,
    /// For messages.
    name: &'static str,
    /// Another machine or process serves it.
    remote: bool,
}

#[rustfmt::skip]
const UNSTAMPED: [UnstampedFileSystem; 16] = [
    UnstampedFileSystem { magic: 0x0102_1994, name: "tmpfs", remote: false },
    UnstampedFileSystem { magic: 0x8584_58f6, name: "ramfs", remote: false },
    UnstampedFileSystem { magic: 0x7371_7368, name: "squashfs", remote: false },
    UnstampedFileSystem { magic: 0xe0f5_e1e2, name: "erofs", remote: false },
    UnstampedFileSystem { magic: 0x9660, name: "iso9660", remote: false },
    UnstampedFileSystem { magic: 0x4d44, name: "vfat", remote: false },
    UnstampedFileSystem { magic: OVERLAY, name: "overlay", remote: false },
    UnstampedFileSystem { magic: 0x6573_5546, name: "fuse", remote: true },
    UnstampedFileSystem { magic: 0x0102_1997, name: "9p", remote: true },
    UnstampedFileSystem { magic: 0x6969, name: "nfs", remote: true },
    UnstampedFileSystem { magic: 0x517b, name: "smb", remote: true },
    UnstampedFileSystem { magic: 0xff53_4d42, name: "cifs", remote: true },
    UnstampedFileSystem { magic: 0xfe53_4d42, name: "smb2", remote: true },
    UnstampedFileSystem { magic: 0x00c3_6400, name: "ceph", remote: true },
    UnstampedFileSystem { magic: 0x5346_414f, name: "afs", remote: true },
    UnstampedFileSystem { magic: 0x0bd0_0bd0, name: "lustre", remote: true },
];

/// What the file system of a file says about its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A change of the contents changes ctime.
    Stamped,
    /// An overlay whose layers cannot be seen from here, as in most containers.
    Overlay,
    /// Contents may change, or be replaced, under equal times.
    Unstamped,
}

impl Medium {
    /// The medium of `path`, links followed. What cannot be found out is not believed.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match magic(path) {
            Some(magic) if STAMPED_BY_THE_KERNEL.contains(&magic) => Self::Stamped,
            Some(OVERLAY) => overlay_at(path).unwrap_or(Self::Overlay),
            _ => Self::Unstamped,
        }
    }

    /// Whether the digest of a file with these times may be remembered. Images that are built
    /// reproducibly have whole seconds, also those of ext4 or Btrfs; a live file system nearly
    /// never has.
    #[must_use]
    pub fn is_believed(self, ctime_ns: i64) -> bool {
        match self {
            Self::Stamped | Self::Overlay => ctime_ns % 1_000_000_000 != 0,
            Self::Unstamped => false,
        }
    }

    /// Whether a file that is held open keeps its contents as long as it keeps its times, even if
    /// those are an image's: nothing else can be mounted in its place meanwhile.
    #[must_use]
    pub fn is_believed_while_open(self) -> bool {
        self == Self::Stamped
    }
}

/// The name of the file system of `path` if digests of its files are not remembered.
#[must_use]
pub fn unstamped_name(path: &Path) -> Option<String> {
    if Medium::of(path) == Medium::Stamped {
        return None;
    }
    let magic = magic(path)?;
    let known = unstamped(magic);
    Some(known.map_or_else(|| format!("{magic:#x}"), |it| it.name.to_owned()))
}

/// Whether the file is on a file system that another machine or process serves: that one's clock
/// stamps the file, and memory mapped from it may not be shared with other machines. False if that
/// cannot be determined.
pub fn is_remote(file: impl AsFd) -> bool {
    let magic = rustix::fs::fstatfs(file).ok().and_then(|it| number(&it));
    magic.and_then(unstamped).is_some_and(|it| it.remote)
}

fn unstamped(magic: u32) -> Option<&'static UnstampedFileSystem> {
    UNSTAMPED.iter().find(|it| it.magic == magic)
}

fn magic(path: &Path) -> Option<u32> {
    rustix::fs::statfs(path)
        .ok()
        .and_then(|found| number(&found))
}

fn number(found: &StatFs) -> Option<u32> {
    u32::try_from(found.f_type).ok()
}

/// Looks at the layers of the overlay that holds `path`, as far as the mount table names
/// directories that are there.
fn overlay_at(path: &Path) -> Option<Medium> {
    let mount = mount_id(path)?;
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let layers = mounts.lines().find_map(|line| layers(line, mount))?;
    let mut all = Medium::Stamped;
    for layer in layers {
        // A path that is missing here belongs to another mount namespace, a relative one to the
        // directory of the process that mounted it.
        let magic = layer.is_absolute().then(|| magic(&layer))??;
        if !STAMPED_BY_THE_KERNEL.contains(&magic) {
            all = Medium::Unstamped;
        }
    }
    Some(all)
}

/// The number by which the mount table names the mount of `path`. The device of a file does not
/// tell: where the layers are of several file systems each has a device of its own.
fn mount_id(path: &Path) -> Option<u64> {
    let wanted = StatxFlags::MNT_ID;
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted).ok()?;
    StatxFlags::from_bits_retain(found.stx_mask)
        .contains(wanted)
        .then_some(found.stx_mnt_id)
}

/// The layers of the overlay that a line of `mountinfo` has as mount number `wanted`.
fn layers(line: &str, wanted: u64) -> Option<Vec<PathBuf>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut words = file_system.split(' ');
    let number = mount.split(' ').next()?.parse();
    if number != Ok(wanted) || words.next() != Some("overlay") {
        return None;
    }
    let mut layers = Vec::new();
    for option in words.nth(1)?.split(',') {
        match option.split_once('=') {
            Some(("lowerdir", list)) => layers.extend(listed(&without_octals(list))),
            Some(("lowerdir+" | "datadir+" | "upperdir", layer)) => {
                layers.push(without_octals(layer));
            }
            _ => {}
        }
    }
    layers.retain(|layer| !layer.is_empty());
    let path = |layer| PathBuf::from(OsString::from_vec(layer));
    Some(layers.into_iter().map(path).collect())
}

/// The mount table spells spaces, commas and backslashes as `\040`, `\054` and `\134`.
fn without_octals(text: &str) -> Vec<u8> {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        if let Some(Ok(byte)) = part.get(..3).map(|code| u8::from_str_radix(code, 8)) {
            plain.push(byte);
            plain.extend(&part.as_bytes()[3..]);
        } else {
            plain.push(b'\\');
            plain.extend(part.as_bytes());
        }
    }
    plain
}

/// The layers of a list with colons between them; a backslash stands before those in a name.
fn listed(list: &[u8]) -> Vec<Vec<u8>> {
    let mut layers = vec![Vec::new()];
    let mut bytes = list.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, layers.last_mut()) {
            (b':', _) => layers.push(Vec::new()),
            (b'\\', Some(layer)) => layer.extend(bytes.next()),
            (_, Some(layer)) => layer.push(byte),
            (_, None) => {}
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_overlay_are_read_from_the_mount_table() {
        let layers = |options: &str| {
            let line = format!("36 35 0:45 / / rw,relatime - overlay overlay {options}");
            assert_eq!(layers(&line, 37), None);
            let layers = layers(&line, 36).expect("an overlay");
            let text = |layer: &PathBuf| layer.display().to_string();
            layers.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(
            layers("rw,lowerdir=/a:/b::/data,upperdir=/c,workdir=/d"),
            ["/a", "/b", "/data", "/c"]
        );
        assert_eq!(
            layers("ro,lowerdir+=/a,lowerdir+=/b:c,datadir+=/d"),
            ["/a", "/b:c", "/d"]
        );
        assert_eq!(
            layers(r"ro,lowerdir=/c\054o\134:l\134\134x:/lo\040w"),
            [r"/c,o:l\x", "/lo w"]
        );
    }

    #[test]
    fn whole_seconds_may_be_those_of_an_image() {
        for medium in [Medium::Overlay, Medium::Stamped] {
            assert!(!medium.is_believed(1_700_000_000_000_000_000));
            assert!(medium.is_believed(1_700_000_000_000_000_001));
        }
        assert!(!Medium::Unstamped.is_believed(1));
    }

    #[test]
    fn tmpfs_and_missing_files_are_not_trusted() {
        assert_eq!(
            Medium::of(Path::new("/proc/nonexistent")),
            Medium::Unstamped
        );
        assert_eq!(
            Medium::of(Path::new("/proc/self/status")),
            Medium::Unstamped
        );
    }
}
