//! Handles a parent that ignores SIGCHLD, as some servers of CI do.
//!
//! That is inherited, and the kernel then discards the exit codes of children: waiting for a
//! compiler fails, however it ended.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::Signal;

/// Has the exit codes of children kept until this process asks for them. With a handler, so that a
/// program that this process becomes, or starts, has the default.
pub fn keep_exit_codes() {
    let noticed = Arc::new(AtomicBool::new(false));
    // If this fails, waiting for a child does, and says why.
    let _ = signal_hook::flag::register(Signal::CHILD.as_raw(), noticed);
}
