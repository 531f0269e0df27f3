//! Limits how many launched compilers run on this machine at a time.
//!
//! All processes of the user share the slots. Make's jobserver is not asked: every recipe holds a
//! token from the start, and a launched compiler is one process, so it needs no further one. The
//! jobserver's descriptors are passed on to the compiler.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::path::Path;

use crate::config::{Environment, LOCAL_JOBS, Settings, Strategy};
use crate::launcher;
use crate::link;
use crate::process::{SlotFiles, SlotLock};

/// Takes a slot if the backend runs on this machine at once. With a farm it runs here only as a
/// fallback or in a race, and `options` make it take a slot at that point: `make -j200` is for the
/// farm.
pub(super) fn of_backend(
    wanted: &Settings,
    settings: &Settings,
    options: &mut link::Options,
) -> Option<SlotLock> {
    let limit = wanted.local_jobs;
    let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let slots = |count| slots(wanted.state_dir()?, count);
    match settings.strategy {
        Strategy::Remote | Strategy::Dynamic => {
            options.no_free_permit = !is_held_by_another();
            options.machine_jobs = limit.unwrap_or_else(processors).get();
            options.jobserver = None;
            None
        }
        // Without a farm, `-j` is the limit, as it is without relto.
        Strategy::Local if wanted.strategy == Strategy::Local => slots(limit?)?.take(),
        Strategy::Local => slots(limit.unwrap_or_else(processors))?.take(),
    }
}

/// Takes a slot for a compiler that relto becomes, if the user limits their number.
pub(super) fn of_settings(settings: &Settings) -> Option<SlotLock> {
    slots(settings.state_dir()?, settings.local_jobs?)?.take()
}

/// The same without settings: reads only the command line and the environment, because this happens
/// thousands of times in a build.
pub(super) fn as_asked(option: Option<&OsStr>) -> Option<SlotLock> {
    let variable = LOCAL_JOBS.variable();
    let text = option
        .map(OsStr::to_owned)
        .or_else(|| std::env::var_os(variable))?;
    let limit = text.to_str()?.parse().ok()?;
    slots(&Environment::of_process().cache_dir()?, limit)?.take()
}

fn slots(dir: &Path, count: NonZeroUsize) -> Option<SlotFiles> {
    (!is_held_by_another()).then(|| SlotFiles::of_machine(dir, count.get()))
}

/// Whether a relto process further up already holds a slot.
fn is_held_by_another() -> bool {
    std::env::var_os(launcher::HOLDS_SLOT).is_some()
}
