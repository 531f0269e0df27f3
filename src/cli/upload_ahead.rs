//! What follows a compile that leaves a ThinLTO module: it goes to the farm before the link asks
//! for it.
//!
//! An [`ExitNotifier`] in the compiler tells when it has ended; the module is sent in the background
//! then. Nothing of this fails or delays a compile: what cannot be had is left out silently, and the
//! link sends what is missing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use super::runtime::small_runtime;
use super::{Context, arguments, engine, via_daemon};
use crate::config::{self, Environment, Settings};
use crate::error::ExitCode;
use crate::launcher;
use crate::link::Engine;
use crate::prefetch::{self, PrefetchRequest};
use crate::process::{ExitNotifier, Relto, SlotFiles};

/// Processes of this machine that send at a time.
const SENDING: usize = 2;

/// Sees to it that what `compiler words...` leaves will be sent; `options` are relto's own. Command
/// lines that leave no module cost a look at their words.
pub(super) fn exit_notifier(
    options: &[OsString],
    compiler: &OsStr,
    words: &[OsString],
) -> Option<ExitNotifier> {
    if !launcher::may_leave_a_module(words) {
        return None;
    }
    let modules = launcher::modules(words);
    if modules.is_empty() {
        return None;
    }
    let settings = settings(options)?;
    if !settings.upload_ahead {
        return None;
    }
    let farm = settings.link.farm.as_ref()?;
    if !prefetch::is_worth_it(farm, settings.state_dir()) {
        return None;
    }
    let wanted = PrefetchRequest {
        files: modules.iter().map(PathBuf::from).collect(),
        compiler: compiler.to_str().map(str::to_owned),
    };
    if let Some(end) = via_daemon::follow(&settings, &engine::options(&settings), wanted) {
        return ExitNotifier::from_fd(end).ok();
    }
    let mut arguments = vec![OsString::from(arguments::PREFETCH)];
    arguments.extend_from_slice(options);
    arguments.push(format!("--{}", arguments::AFTER_STDIN).into());
    arguments.extend(["--compiler".into(), compiler.to_owned(), "--".into()]);
    arguments.extend(modules.into_iter().map(OsString::from));
    ExitNotifier::spawn(&Relto::itself(), &arguments).ok()
}

/// Settings as a backend would have them; what is wrong with them a backend will tell.
fn settings(options: &[OsString]) -> Option<Settings> {
    let typed = if options.is_empty() {
        // The parser takes longer than all the rest.
        Vec::new()
    } else {
        let mut words = ["relto", arguments::CC].map(OsString::from).to_vec();
        words.extend_from_slice(options);
        words.extend(["--", "compiler"].map(OsString::from));
        arguments::parse(words).ok()?.options
    };
    let loaded = config::load(typed, &Environment::of_process());
    Some(loaded.ok()?.settings)
}

/// The work after the compiler has ended, where no daemon does it. Only the log mentions it.
pub(super) fn run(context: &Context, wanted: PrefetchRequest) -> ExitCode {
    let settings = &context.settings;
    // However this ends, the compiler has ended.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let dir = settings.state_dir();
    let _turn = dir.map(|it| SlotFiles::of_machine(&it.join("ahead"), SENDING).take());
    let options = engine::options(settings);
    let Ok(runtime) = small_runtime() else {
        return ExitCode::Failure;
    };
    let engine = Engine::single_use(&options);
    match runtime.block_on(prefetch::follow(&engine, wanted, &options)) {
        Ok(_) => ExitCode::Success,
        Err(_) => ExitCode::Failure,
    }
}
