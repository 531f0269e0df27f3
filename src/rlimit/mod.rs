//! Limits of this process's resources (`getrlimit(2)`).
//!
//! Filters of system calls, as services have them, may refuse even to tell a limit. Then there is
//! none that relto knows.

pub mod open_files;

pub use nix::sys::resource::Resource;
use nix::sys::resource::{RLIM_INFINITY, getrlimit};

/// The soft limit; `None` if there is none, or if the system does not tell it.
#[must_use]
pub fn soft(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}
