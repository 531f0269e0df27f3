//! Keeps the programs that a server's script fetches for the next start of such a server.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Kind;
use crate::built::kept_dir;

/// buildbox-casd's script fetches its programs into a new directory each time: once is enough.
/// BuildGrid's worker runs one of them too.
fn kept(kind: Kind) -> Option<PathBuf> {
    let kept = kept_dir().join("casd-bin");
    matches!(kind, Kind::Casd | Kind::Buildgrid).then_some(kept)
}

/// BuildGrid's worker needs `buildbox-run`: named by `BUILDBOX_RUN`, or what buildbox-casd's script
/// fetches.
pub(super) fn are_there(kind: Kind) -> bool {
    kind != Kind::Buildgrid
        || std::env::var_os("BUILDBOX_RUN").is_some()
        || kept(Kind::Buildgrid).is_some_and(|kept| kept.is_dir())
        || Kind::Casd.shared().is_some()
}

pub(super) fn lend(kind: Kind, dir: &Path) {
    if let Some(kept) = kept(kind).filter(|kept| kept.is_dir()) {
        copy_files(&kept, &dir.join("bin")).expect("programs copied");
    }
}

pub(super) fn keep(kind: Kind, dir: &Path) {
    let Some(kept) = kept(kind).filter(|kept| !kept.exists()) else {
        return;
    };
    let part = kept.with_extension(std::process::id().to_string());
    let copied = copy_files(&dir.join("bin"), &part).and_then(|()| fs::rename(&part, &kept));
    // Another test process may have been first.
    drop(copied);
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
