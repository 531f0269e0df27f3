//! Handles `ulimit -f`, which by default kills the process that writes too much.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::Signal;

/// Makes writing beyond the limit an error instead. With a handler, and not by ignoring the signal:
/// compilers get the default back when they are executed.
pub fn survive_file_size_limit() {
    let noticed = Arc::new(AtomicBool::new(false));
    // If this fails the signal kills relto, as it would kill any other program.
    let _ = signal_hook::flag::register(Signal::XFSZ.as_raw(), noticed);
}
