//! The stack of the main thread, which `ulimit -s` limits; other threads have what the program asks
//! for.

use std::panic::resume_unwind;
use std::thread::Builder;

use crate::error::ExitCode;
use crate::rlimit::{self, Resource};

/// What Rust gives to a thread, in bytes.
const ENOUGH: u64 = 2 << 20;

/// Runs `command` here, or in another thread where the stack of this one may be too small.
pub(super) fn on_enough_stack(command: fn() -> ExitCode) -> ExitCode {
    let limit = rlimit::soft(Resource::RLIMIT_STACK);
    if limit.is_none_or(|limit| limit >= ENOUGH) {
        return command();
    }
    match Builder::new().name("main".to_owned()).spawn(command) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => command(),
    }
}
