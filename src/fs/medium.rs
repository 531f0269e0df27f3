//! Whether the times of a file tell that its contents are the ones of an earlier link.
//!
//! Device, inode, size, mtime and ctime identify a state of a file only where the running kernel
//! stamps ctime at every change. An image (squashfs, erofs, ISO 9660) has the times that its maker
//! chose, a server or a process behind FUSE, 9p, NFS or SMB the ones that it answers, and a page of
//! tmpfs that is mapped and dirty changes without any time changing. An overlay is as good as its
//! layers.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::StatFs;

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

/// Names of the file systems whose times are not trusted, for messages.
const NAMES: [(u32, &str); 14] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x9660, "iso9660"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x00c3_6400, "ceph"),
    (0x4d44, "vfat"),
    (OVERLAY, "overlay"),
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
    let known = NAMES.iter().find(|(number, _)| *number == magic);
    Some(known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned()))
}

fn magic(path: &Path) -> Option<u32> {
    rustix::fs::statfs(path)
        .ok()
        .and_then(|found| number(&found))
}

pub(super) fn number(found: &StatFs) -> Option<u32> {
    u32::try_from(found.f_type).ok()
}

/// Looks at the layers of the overlay that holds `path`, as far as the mount table names
/// directories that are there.
fn overlay_at(path: &Path) -> Option<Medium> {
    let device = fs_err::metadata(path).ok()?.dev();
    let wanted = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let options = mounts
        .lines()
        .find_map(|line| overlay_options(line, &wanted))?;
    let layers = ["lowerdir", "upperdir"]
        .iter()
        .filter_map(|name| options.get(name));
    let mut all = Medium::Stamped;
    for layer in layers
        .flat_map(|layers| layers.split(':'))
        .filter(|it| !it.is_empty())
    {
        // A path that is missing here belongs to another mount namespace.
        let magic = magic(Path::new(layer))?;
        if !STAMPED_BY_THE_KERNEL.contains(&magic) {
            all = Medium::Unstamped;
        }
    }
    Some(all)
}

/// The options of the overlay mounted with the device number `wanted`, from a line of `mountinfo`.
fn overlay_options<'a>(line: &'a str, wanted: &str) -> Option<HashMap<&'a str, &'a str>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut words = file_system.split(' ');
    if mount.split(' ').nth(2) != Some(wanted) || words.next() != Some("overlay") {
        return None;
    }
    let options = words.nth(1)?.split(',');
    Some(
        options
            .filter_map(|option| option.split_once('='))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_overlay_are_read_from_the_mount_table() {
        let line =
            "36 35 0:45 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d";
        let options = overlay_options(line, "0:45").expect("an overlay");
        assert_eq!((options["lowerdir"], options["upperdir"]), ("/a:/b", "/c"));
        assert!(overlay_options(line, "0:46").is_none());
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
        assert_eq!(Medium::of(Path::new("/nonexistent")), Medium::Unstamped);
        assert_eq!(
            Medium::of(Path::new("/proc/self/status")),
            Medium::Unstamped
        );
    }
}
