//! Handles a umask that takes rights away from the user too: relto's own directories and files, and
//! the objects that the linker reads, would be unusable.

use rustix::fs::Mode;

/// Leaves what the umask says of the group and of others. Must be called while no other thread
/// makes files.
pub fn keep_own_rights() {
    let inherited = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(inherited - Mode::RWXU);
}
