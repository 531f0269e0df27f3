//! What follows a compile that leaves a ThinLTO module: it goes to the farm before the link asks for it.
//!
//! Enters: a command line that relto is about to become. Leaves: a leash for the compiler, at whose end the module is sent in the
//! background, or nothing where nobody asked for that. Nothing of this fails or delays a compile: what cannot be had is left
//! out without a word, and the link sends what is missing.

use std::ffi::{OsStr, OsString};
use std::io;

use super::{Context, arguments, cc, engine};
use crate::config::{self, Environment, Settings};
use crate::error::ExitCode;
use crate::events::Events;
use crate::launcher::{self, Told};
use crate::link::ahead::{self, AheadError, Wanted};
use crate::process::{Leash, Relto, SlotFiles};

/// Processes of this machine that send at a time.
const SENDING: usize = 2;

/// Sees to it that what `compiler words...` leaves will be sent; `options` are relto's own. Command lines that leave no
/// module cost a look at their words.
pub(super) fn leash(options: &[OsString], compiler: &OsStr, words: &[OsString]) -> Option<Leash> {
    if !launcher::may_leave_a_module(words) {
        return None;
    }
    let modules = launcher::modules(words);
    if modules.is_empty() {
        return None;
    }
    let settings = settings(options)?;
    let farm = cc::farm_name(&settings)?;
    let is_wanted = settings.remote.upload_ahead && engine::uses_farm(&settings);
    if !is_wanted || Told::new(settings.state_folder.as_deref()).has_failed(&farm) {
        return None;
    }
    let mut arguments = vec![OsString::from(arguments::PREFETCH)];
    arguments.extend_from_slice(options);
    arguments.push(format!("--{}", arguments::AFTER_STDIN).into());
    arguments.extend(["--compiler".into(), compiler.to_owned(), "--".into()]);
    arguments.extend(modules.into_iter().map(OsString::from));
    Leash::on(&Relto::itself(), &arguments).ok()
}

/// Settings as a backend would have them; what is wrong with them a backend will tell.
fn settings(options: &[OsString]) -> Option<Settings> {
    let mut words = ["relto", arguments::CC].map(OsString::from).to_vec();
    words.extend_from_slice(options);
    words.extend(["--", "compiler"].map(OsString::from));
    let invocation = arguments::parse(words).ok()?;
    let loaded = config::load(invocation.options, &Environment::of_process());
    Some(loaded.ok()?.settings)
}

/// The work at the end of the leash. Nobody hears of it but the log.
pub(super) fn run(context: &Context, mut wanted: Wanted) -> ExitCode {
    let settings = &context.settings;
    // However this ends, the compiler has ended.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    wanted.files.retain(|file| file.is_file());
    if wanted.files.is_empty() {
        return ExitCode::Success;
    }
    let (Some(farm), Some(folder)) = (cc::farm_name(settings), &settings.state_folder) else {
        return ExitCode::Failure;
    };
    let told = Told::new(Some(folder));
    let _turn = SlotFiles::of_machine(&folder.join("ahead"), SENDING).take();
    if told.has_failed(&farm) {
        return ExitCode::Failure;
    }
    // Now and then is enough: it is large, but the same for all.
    let compiler = wanted.compiler.take();
    wanted.compiler =
        compiler.filter(|compiler| told.is_news(&format!("`{compiler}` is sent to {farm}")));
    let options = engine::options(settings);
    let mut sound = true;
    let mut tell = |_: &_, fate: Result<_, AheadError>| sound &= fate.is_ok();
    let Ok(runtime) = engine::small_runtime() else {
        return ExitCode::Failure;
    };
    let sending = ahead::send(wanted, &options, Events::discarded(), &mut tell);
    match runtime.block_on(sending) {
        Ok(()) if sound => ExitCode::Success,
        Err(AheadError::Farm(_)) => {
            told.failed(&farm);
            ExitCode::Failure
        }
        _ => ExitCode::Failure,
    }
}
