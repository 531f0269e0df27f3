//! `relto cc [OPTIONS] [--] COMPILER ARGUMENTS...`: the compiler launcher, which also runs when
//! relto is called by the name of a compiler.
//!
//! A ThinLTO backend goes through relto, and the user gets its object, the compiler's own messages
//! and its exit code. For every other command line the compiler replaces relto at once.
//! [`launcher`] decides which is which.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::engine;
use super::engine_error::EngineError;
use super::front_end::{self, FrontEnd};
use super::{CommandContext, arguments, local_slots, output, throttle, upload_ahead};
use crate::config::{LOCAL_JOBS, Opt, OptionKind, Settings, Warning, is_unused_bazel_flag};
use crate::error::{ExitCode, Hinted};
use crate::events::{Event, Events};
use crate::exec::JobFailure;
use crate::job::JobFile;
use crate::launcher::{self, CompileDecision, InheritedOnExec, STARTED_BY, Throttle, Wrappers};
use crate::link::LinkFailure;
use crate::process::{Ending, Relto};
use crate::report::OneJob;

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("cannot start the compiler `{compiler}`")]
    NotStarted {
        compiler: String,
        #[source]
        source: io::Error,
    },
    #[error("there is no `{name}` in `PATH` after relto")]
    NothingBehind { name: String },
}

impl Hinted for LaunchError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotStarted { .. } => Vec::new(),
            Self::NothingBehind { .. } => vec![
                "under a compiler's name, relto runs the compiler of that name in a later directory of `PATH`; `relto cc COMPILER` names it explicitly"
                    .to_owned(),
            ],
        }
    }
}

/// A command line that launches a compiler.
struct Launch<'a> {
    compiler: OsString,
    words: &'a [OsString],
    /// relto's own options, as typed.
    options: &'a [OsString],
    /// The value of `local_jobs` among relto's own options.
    local_jobs: Option<OsString>,
    /// Programs that have stood for the compiler.
    wrappers: Option<Wrappers>,
}

/// Becomes the compiler if `all`, the arguments of the process, launch one for anything but a
/// backend. Otherwise returns the arguments in the form of a command. The error is the exit code:
/// the compiler could not be started.
pub(super) fn launched(all: Vec<OsString>) -> Result<Vec<OsString>, ExitCode> {
    let wrapper_name = all
        .first()
        .and_then(|called| launcher::wrapper_name(called));
    let launch = match &wrapper_name {
        Some(name) => {
            let mut wrappers = Wrappers::known(STARTED_BY, std::env::var_os(STARTED_BY).as_deref());
            let compiler = compiler_behind(name, &mut wrappers)?;
            wrappers.add(&compiler);
            Launch {
                compiler: compiler.into_os_string(),
                words: &all[1..],
                options: &[],
                local_jobs: None,
                wrappers: Some(wrappers),
            }
        }
        None => match direct(&all) {
            Some(launch) => launch,
            None => return Ok(all),
        },
    };
    if !launcher::looks_like_a_backend(launch.words) {
        return Err(not_a_backend(launch));
    }
    let Some(wrappers) = &launch.wrappers else {
        return Ok(all);
    };
    let command = [arguments::CC, "--"].map(OsString::from);
    let words = command.into_iter().chain([launch.compiler]);
    let words = words.chain(launch.words.iter().cloned());
    if wrappers.is_alone() {
        return Ok([OsString::from("relto")].into_iter().chain(words).collect());
    }
    // A program that this process starts has to know which wrappers came before it.
    let (variable, started_by) = wrappers.variable();
    Err(fail(&LaunchError::NotStarted {
        compiler: "relto".to_owned(),
        source: Relto::itself().become_with(variable, &started_by, words),
    }))
}

/// Becomes the compiler, which may write modules.
fn not_a_backend(launch: Launch<'_>) -> ExitCode {
    let front_end = FrontEnd::of(launch.options, launch.words);
    let words = match &front_end {
        Some(front_end) => front_end::words(&front_end.settings, &launch.compiler, launch.words),
        None => launch.words.into(),
    };
    let exit_notifier =
        front_end.and_then(|it| upload_ahead::exit_notifier(it, launch.options, &launch.compiler));
    let inherited = InheritedOnExec {
        slot: local_slots::as_asked(launch.local_jobs.as_deref()),
        exit_notifier,
        wrappers: launch.wrappers,
    };
    become_the_compiler(&launch.compiler, &words, inherited)
}

fn compiler_behind(name: &str, wrappers: &mut Wrappers) -> Result<PathBuf, ExitCode> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = wrappers.real_program(name, &path);
    found.ok_or_else(|| {
        fail(&LaunchError::NothingBehind {
            name: name.to_owned(),
        })
    })
}

/// Reads `relto cc [OPTIONS] [--] COMPILER ...` without interpreting the options. Anything that is
/// not clearly of this form is left to the full parser.
fn direct(all: &[OsString]) -> Option<Launch<'_>> {
    let own = match all {
        [_, command, rest @ ..] if command == arguments::CC => rest,
        _ => return None,
    };
    let mut rest = own;
    let (mut local_jobs, mut unknown) = (None, None);
    let mut end = own.len();
    while let [word, after @ ..] = rest {
        end = own.len() - rest.len();
        let option = match word.to_str()?.strip_prefix("--") {
            Some("") => {
                rest = after;
                break;
            }
            Some(option) => option,
            None if word.to_str()?.starts_with('-') => return None,
            None => break,
        };
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (option, None),
        };
        let name = name.replace('-', "_");
        let Some(known) = Opt::find(&name).or_else(|| switched_off(&name)) else {
            if ["help", "help_all"].contains(&&*name) || is_unused_bazel_flag(&name) {
                return None;
            }
            unknown.get_or_insert(word);
            rest = after;
            continue;
        };
        let takes_next = value.is_none() && known.kind() != OptionKind::Switch;
        rest = after.get(usize::from(takes_next)..)?;
        if known.name == LOCAL_JOBS.name {
            local_jobs = value.or_else(|| after.first().cloned());
        }
    }
    let [compiler, words @ ..] = rest else {
        return None;
    };
    if let Some(unknown) = unknown {
        // Without the dashes it may as well be the compiler's, and is an error of the full parser.
        if own[end] != "--" {
            return None;
        }
        tell_unknown(unknown, words);
    }
    Some(Launch {
        compiler: compiler.clone(),
        words,
        options: &own[..end],
        local_jobs,
        wrappers: None,
    })
}

/// The first release promises that a compile goes on after an option that it does not know, if dashes
/// say where the compiler stands. A backend ends with an error that says the same.
fn tell_unknown(option: &OsStr, words: &[OsString]) {
    if !launcher::looks_like_a_backend(words) {
        output::warning(&Warning {
            text: format!("unknown option `{}`", option.display()),
            hint: Some("`relto --help-all` lists every option".to_owned()),
        });
    }
}

/// The switch that is off by `name`: `no_quiet` or `noquiet`.
fn switched_off(name: &str) -> Option<&'static Opt> {
    let name = name.strip_prefix("no")?;
    let known = Opt::find(name.strip_prefix('_').unwrap_or(name));
    known.filter(|it| it.kind() == OptionKind::Switch)
}

/// Runs `words`, a compiler and its arguments, which may be a backend.
pub(super) fn run(context: &CommandContext, words: &[OsString], warnings: &[Warning]) -> ExitCode {
    let Some((compiler, words)) = words.split_first() else {
        return ExitCode::Usage;
    };
    let throttle = throttle(&context.settings);
    for warning in warnings.iter().filter(|it| throttle.first_time(&it.text)) {
        output::warning(warning);
    }
    let dir = std::env::current_dir().unwrap_or_default();
    match launcher::decide(compiler, words, &dir.display().to_string()) {
        Ok(CompileDecision::PassThrough) => {
            let inherited = InheritedOnExec {
                slot: local_slots::of_settings(&context.settings),
                exit_notifier: None,
                wrappers: None,
            };
            let words = front_end::words(&context.settings, compiler, words);
            become_the_compiler(compiler, &words, inherited)
        }
        Ok(CompileDecision::Guarded { object, reason }) => {
            warn(
                &throttle,
                format!("ThinLTO backends run in place, uncached: {reason}"),
            );
            guarded(compiler, words, &object)
        }
        Ok(CompileDecision::Backend { file, doubt }) => {
            if let Some(doubt) = doubt {
                warn(&throttle, doubt);
            }
            backend(context, &throttle, *file, compiler, words)
        }
        Err(error) => fail(&error),
    }
}

/// Runs one backend as the only job of a link.
fn backend(
    context: &CommandContext,
    throttle: &Throttle,
    file: JobFile,
    compiler: &OsStr,
    words: &[OsString],
) -> ExitCode {
    let object = file.jobs[0].object().to_owned();
    let (events, receiver) = Events::channel();
    let news = throttle.clone();
    let reporter = OneJob::start(receiver, move |text| news.first_time(text));
    let farm = farm(&context.settings);
    let mut settings = match &farm {
        // Otherwise each of a thousand processes would wait for it.
        Some(farm) if throttle.recently_failed(farm) => context.settings.without_farm(),
        _ => context.settings.clone(),
    };
    settings.join_build();
    let mut options = engine::options(&settings);
    let _slot = local_slots::of_backend(&context.settings, &settings, &mut options);
    let ended = engine::run_jobs(&settings, &options, file, events.clone());
    events.send(Event::LinkFinished);
    drop(events);
    if let (false, Some(farm)) = (reporter.finish(), &farm) {
        throttle.mark_failed(farm);
    }
    match ended {
        Ok(()) => ExitCode::Success,
        // A script, another launcher, a program for another machine: relto cannot send it, but it
        // may compile.
        Err(EngineError::Link(LinkFailure::Compiler(error))) => {
            warn(
                throttle,
                format!("ThinLTO backends run in place, uncached: {error}"),
            );
            guarded(compiler, words, Path::new(&object))
        }
        Err(EngineError::Interrupted(interruption)) => output::interrupted(interruption),
        Err(EngineError::Link(LinkFailure::Job(failure))) => compiler_failed(*failure),
        Err(error) => fail(&error),
    }
}

/// The name under which a failure of the farm is remembered.
fn farm(settings: &Settings) -> Option<String> {
    let farm = settings.link.farm.as_ref()?;
    // If nothing may run locally, an unreachable farm is an error every time.
    farm.is_optional()
        .then(|| format!("farm {}", farm.address()))
}

/// If the compiler itself failed, its own messages are shown without relto's.
fn compiler_failed(failure: JobFailure) -> ExitCode {
    match failure {
        JobFailure::Compiler {
            ending: ending @ Ending::Exited(1..),
            stderr,
            ..
        } => {
            output::of_program(&[], stderr.as_bytes());
            output::exit_code(ending)
        }
        JobFailure::Compiler {
            ending: Ending::Signalled(signal),
            ..
        } => {
            output::error(&failure);
            output::exit_code(Ending::Signalled(signal))
        }
        failure => fail(&failure),
    }
}

/// Runs a backend that no action describes; only its object is checked.
fn guarded(compiler: &OsStr, words: &[OsString], object: &Path) -> ExitCode {
    match engine::run_guarded(compiler, words, object) {
        Ok(finished) => output::finished(&finished),
        Err(EngineError::Interrupted(interruption)) => output::interrupted(interruption),
        Err(error) => fail(&error),
    }
}

fn become_the_compiler(
    compiler: &OsStr,
    words: &[OsString],
    inherited: InheritedOnExec,
) -> ExitCode {
    let source = launcher::become_program(compiler, words, inherited);
    fail(&LaunchError::NotStarted {
        compiler: compiler.to_string_lossy().into_owned(),
        source,
    })
}

fn fail<E: Hinted>(error: &E) -> ExitCode {
    output::error(error);
    ExitCode::Failure
}

fn warn(throttle: &Throttle, text: String) {
    if throttle.first_time(&text) {
        output::warning(&Warning { text, hint: None });
    }
}
