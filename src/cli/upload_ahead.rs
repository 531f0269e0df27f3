//! Uploads the modules that a compile writes before the link asks for them.
//!
//! relto becomes the compiler by `exec`, and an [`ExitNotifier`] that the compiler inherits reports
//! its end. None of this fails or delays a compile: what is not possible is silently left out, and
//! the link sends what is missing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use super::front_end::FrontEnd;
use super::runtime::small_runtime;
use super::{CommandContext, arguments, engine, via_daemon};
use crate::error::ExitCode;
use crate::link::Engine;
use crate::prefetch::{self, PrefetchRequest};
use crate::process::{ExitNotifier, Relto, SlotFiles};

/// Processes of this machine that upload at a time.
const UPLOADS: usize = 2;

/// Arranges the upload of what `compiler` writes; `options` are relto's own.
pub(super) fn exit_notifier(
    front_end: FrontEnd,
    options: &[OsString],
    compiler: &OsStr,
) -> Option<ExitNotifier> {
    let FrontEnd {
        mut settings,
        modules,
    } = front_end;
    if !settings.upload_ahead {
        return None;
    }
    let farm = settings.link.farm.as_ref()?;
    if !prefetch::is_worth_it(farm, settings.state_dir()) {
        return None;
    }
    settings.join_build();
    let wanted = PrefetchRequest {
        files: modules.iter().map(PathBuf::from).collect(),
        compiler: compiler.to_str().map(str::to_owned),
    };
    if let Some(end) = via_daemon::upload_at_exit(&settings, &engine::options(&settings), wanted) {
        return ExitNotifier::from_fd(end).ok();
    }
    let mut arguments = vec![OsString::from(arguments::PREFETCH)];
    arguments.extend_from_slice(options);
    arguments.push(format!("--{}", arguments::AFTER_STDIN).into());
    arguments.extend(["--compiler".into(), compiler.to_owned(), "--".into()]);
    arguments.extend(modules.into_iter().map(OsString::from));
    ExitNotifier::spawn(&Relto::itself(), &arguments).ok()
}

/// Uploads after the compiler has exited, if no daemon does. Only the log shows the outcome.
pub(super) fn run(context: &CommandContext, wanted: PrefetchRequest) -> ExitCode {
    let settings = &context.settings;
    // Whether stdin ends or fails, the compiler has ended.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let dir = settings.state_dir();
    let _slot = dir.map(|it| SlotFiles::of_uploads(it, UPLOADS).take());
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
