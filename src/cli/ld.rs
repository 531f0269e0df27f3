//! `relto ld [OPTIONS] [--] LINKER ARGUMENTS...`: the linker wrapper, also by the name of a link to
//! relto.
//!
//! A link without ThinLTO modules becomes the linker by `exec`, before configuration is read. Any
//! other one goes through [`wrapper`]; where that does not work, it becomes the linker, too.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::distribute::style;
use super::engine;
use super::engine_error::EngineError;
use super::{Context, arguments, cc, output, tools};
use crate::config::Warning;
use crate::error::{ExitCode, Hinted, Rendered};
use crate::events::{Event, Events};
use crate::job::JobFile;
use crate::launcher::{self, InheritedOnExec};
use crate::process::{Finished, Relto, Scratch};
use crate::report::Reporter;
use crate::wrapper::{self, Decision, Flavour, Names, Plan, Refusal, Release};

#[derive(Debug, thiserror::Error)]
enum WrapError {
    #[error("cannot start the linker `{linker}`")]
    NotStarted {
        linker: String,
        #[source]
        source: io::Error,
    },
    #[error("there is no `{name}` in `PATH` behind relto")]
    NothingBehind { name: String },
    #[error("`{compiler}` is of LLVM {theirs}, the linker of LLVM {ours}")]
    OtherRelease {
        compiler: String,
        theirs: Release,
        ours: Release,
    },
    #[error("relto cannot take part in this link: {0}")]
    Refused(String),
}

impl Hinted for WrapError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotStarted { .. } => return Vec::new(),
            Self::NothingBehind { .. } => {
                "a link to relto stands for the linker of that name beside the compiler that calls it, or in a later \
                 directory of `PATH`; `relto ld LINKER` names it outright"
            }
            Self::OtherRelease { .. } => {
                "`thinlto_compiler` must name the clang of the linker's own release"
            }
            Self::Refused(_) => "without `--no-fallback` the linker does such a link alone",
        };
        vec![hint.to_owned()]
    }
}

/// Why a link that was begun is not made in three steps.
#[derive(Debug)]
enum Trouble {
    /// The linker is to do it alone.
    Plain(String),
    /// The same; the linker has said why.
    Failed(Finished, &'static str),
    /// There is nothing to distribute after all.
    Nothing,
    Error(WrapError),
    Engine(EngineError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Plain(refusal.to_string())
    }
}

/// Becomes the linker if `all`, the arguments of the process, run one that relto has nothing to do
/// for. Otherwise returns the arguments, in the form that a command has. The error is the exit
/// code: the linker could not be started.
pub(super) fn launched(all: Vec<OsString>) -> Result<Vec<OsString>, ExitCode> {
    let masked = all.first().and_then(|called| wrapper::masked(called));
    let (linker, words) = match &masked {
        Some(name) => (linker_behind(name)?.into_os_string(), &all[1..]),
        None => match &all[..] {
            [_, command, dashes, linker, words @ ..]
                if command == arguments::LD && dashes == "--" =>
            {
                (linker.clone(), words)
            }
            [_, command, linker, words @ ..]
                if command == arguments::LD && !linker.as_encoded_bytes().starts_with(b"-") =>
            {
                (linker.clone(), words)
            }
            _ => return Ok(all),
        },
    };
    let passes = match Flavour::of(&linker, words) {
        None => true,
        Some(flavour) => matches!(wrapper::decide(flavour, words), Decision::PassThrough),
    };
    if passes {
        return Err(become_the_linker(&linker, words));
    }
    if masked.is_none() {
        return Ok(all);
    }
    let command = ["relto", arguments::LD, "--"].map(OsString::from);
    let command = command.into_iter().chain([linker]);
    Ok(command.chain(words.iter().cloned()).collect())
}

fn linker_behind(name: &str) -> Result<PathBuf, ExitCode> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let caller = rustix::process::getppid()
        .map(|pid| PathBuf::from(format!("/proc/{}/exe", pid.as_raw_nonzero())));
    let caller = caller.and_then(|link| fs_err::read_link(link).ok());
    wrapper::linker_behind(name, caller.as_deref(), &path).ok_or_else(|| {
        fail(&WrapError::NothingBehind {
            name: name.to_owned(),
        })
    })
}

/// Runs `words`, a linker and its arguments.
pub(super) fn run(context: &Context, words: &[OsString]) -> ExitCode {
    let Some((linker, words)) = words.split_first() else {
        return ExitCode::Usage;
    };
    let Some(flavour) = Flavour::of(linker, words) else {
        return become_the_linker(linker, words);
    };
    let plan = match wrapper::decide(flavour, words) {
        Decision::PassThrough => return become_the_linker(linker, words),
        Decision::Refused(refusal) => {
            return alone(context, linker, words, &refusal.to_string(), None);
        }
        Decision::Wrapped(plan) => plan,
    };
    match Wrapped::link(context, linker, words, &plan) {
        Ok(finished) => show(&finished),
        Err(Trouble::Nothing) => become_the_linker(linker, words),
        Err(Trouble::Plain(reason)) => alone(context, linker, words, &reason, None),
        Err(Trouble::Failed(finished, step)) => {
            let reason = format!("the {step} failed");
            alone(context, linker, words, &reason, Some(&finished))
        }
        Err(Trouble::Error(error)) => fail(&error),
        Err(Trouble::Engine(EngineError::Interrupted(interruption))) => {
            cc::interrupted(interruption)
        }
        Err(Trouble::Engine(error)) => {
            let reason = one_line(&error);
            alone(context, linker, words, &reason, None)
        }
    }
}

/// The linker does the link, or nobody does.
fn alone(
    context: &Context,
    linker: &OsStr,
    words: &[OsString],
    reason: &str,
    failed: Option<&Finished>,
) -> ExitCode {
    if context.settings.linker.fallback {
        let text = format!("the linker does this link alone: {reason}");
        output::warning(&Warning { text, hint: None });
        return become_the_linker(linker, words);
    }
    match failed {
        Some(finished) => {
            let code = show(finished);
            output::error(&WrapError::Refused(reason.to_owned()));
            code
        }
        None => fail(&WrapError::Refused(reason.to_owned())),
    }
}

fn one_line(error: &dyn Hinted) -> String {
    let text = Rendered(error).to_string();
    let lines = text.lines().map(str::trim);
    let said = lines.filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    said.take(2).collect::<Vec<_>>().join(": ")
}

fn show(finished: &Finished) -> ExitCode {
    cc::to_stdout(&finished.stdout);
    cc::to_stderr(&finished.stderr);
    cc::exit_code(finished.ending)
}

fn become_the_linker(linker: &OsStr, words: &[OsString]) -> ExitCode {
    // What relto asked to be told of its parent's end is not for the linker.
    let _ = rustix::process::set_parent_process_death_signal(None);
    let source = launcher::become_the_compiler(linker, words, InheritedOnExec::default());
    fail(&WrapError::NotStarted {
        linker: linker.to_string_lossy().into_owned(),
        source,
    })
}

fn fail(error: &WrapError) -> ExitCode {
    output::error(error);
    ExitCode::Failure
}

/// A link in three steps.
struct Wrapped<'a> {
    context: &'a Context,
    linker: &'a OsStr,
    /// What `-flavor` says, for a linker that goes by no name.
    flavour_words: &'a [OsString],
    scratch: Scratch,
}

impl<'a> Wrapped<'a> {
    /// Links; what is returned is how the final link went.
    fn link(
        context: &'a Context,
        linker: &'a OsStr,
        words: &'a [OsString],
        plan: &'a Plan,
    ) -> Result<Finished, Trouble> {
        let compiler = compiler(context, linker)?;
        let no_scratch = |error: io::Error| Trouble::Plain(error.to_string());
        let scratch = Scratch::create(&Relto::itself(), &std::env::temp_dir());
        let flavour_words = match words {
            [option, _, ..] if option == "-flavor" => &words[..2],
            _ => &[],
        };
        let link = Self {
            context,
            linker,
            flavour_words,
            scratch: scratch.map_err(no_scratch)?,
        };
        let scratch = link.scratch.path();
        let arguments = plan.thin_link(scratch).map_err(no_scratch)?;
        let thin = link.thin_link(arguments, &compiler)?;
        let jobs = plan.jobs(scratch, &thin.stdout, &compiler, &thin.release)?;
        if jobs.file.jobs.is_empty() {
            return Err(Trouble::Nothing);
        }
        link.run_jobs(jobs.file.clone(), &jobs.names)?;
        let arguments = plan.final_link(scratch, &jobs)?;
        let finished = link.run_linker(arguments)?;
        if finished.succeeded() {
            Ok(finished)
        } else {
            Err(Trouble::Failed(finished, "final link"))
        }
    }

    fn command(&self, arguments: Vec<OsString>) -> Vec<OsString> {
        let linker = [self.linker.to_owned()].into_iter();
        let own = self.flavour_words.iter().cloned();
        linker.chain(own).chain(arguments).collect()
    }

    fn run_linker(&self, arguments: Vec<OsString>) -> Result<Finished, Trouble> {
        let ended = tools::run(&[self.command(arguments)]).map_err(Trouble::Engine)?;
        ended.into_iter().next().ok_or(Trouble::Nothing)
    }

    /// While the linker works, the releases of linker and compiler are asked for.
    fn thin_link(&self, arguments: Vec<OsString>, compiler: &Path) -> Result<Thin, Trouble> {
        let version = || vec![OsString::from("--version")];
        let commands = [
            self.command(arguments),
            self.command(version()),
            [compiler.as_os_str().to_owned()]
                .into_iter()
                .chain(version())
                .collect(),
        ];
        let ended = tools::run(&commands).map_err(Trouble::Engine)?;
        let Ok([thin, linker, clang]) = <[Finished; 3]>::try_from(ended) else {
            return Err(Trouble::Nothing);
        };
        let release = |finished: &Finished, who: &OsStr| {
            let text = String::from_utf8_lossy(&finished.stdout);
            let unknown = || {
                let who = who.to_string_lossy();
                Trouble::Plain(format!("`{who} --version` names no release of LLVM"))
            };
            Release::find(&text).ok_or_else(unknown)
        };
        let ours = release(&linker, self.linker)?;
        let theirs = release(&clang, compiler.as_os_str())?;
        if ours != theirs {
            let error = WrapError::OtherRelease {
                compiler: compiler.display().to_string(),
                theirs,
                ours,
            };
            return Err(match &self.context.settings.linker.compiler {
                Some(_) => Trouble::Error(error),
                None => Trouble::Plain(error.to_string()),
            });
        }
        if !thin.succeeded() {
            return Err(Trouble::Failed(thin, "thin link"));
        }
        Ok(Thin {
            stdout: thin.stdout,
            release: ours,
        })
    }

    fn run_jobs(&self, file: JobFile, names: &Names) -> Result<(), Trouble> {
        let settings = &self.context.settings;
        let options = engine::options(settings);
        let (outer, receiver) = Events::channel();
        let reporter = Reporter::start(receiver, style(settings));
        let (names, sink) = (names.clone(), outer.clone());
        let events = Events::to_function(move |event| sink.send(restored(event, &names)));
        let linked = engine::run_jobs(settings, &options, file, events);
        outer.send(Event::LinkFinished);
        drop(outer);
        reporter.finish(linked.is_ok());
        linked.map_err(Trouble::Engine)
    }
}

struct Thin {
    stdout: Vec<u8>,
    release: Release,
}

/// The compiler of the linker's release.
fn compiler(context: &Context, linker: &OsStr) -> Result<PathBuf, Trouble> {
    if let Some(compiler) = &context.settings.linker.compiler {
        return Ok(compiler.clone());
    }
    let linker = Path::new(linker);
    let found = if linker.as_os_str().as_encoded_bytes().contains(&b'/') {
        Some(linker.to_owned())
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        launcher::real_compiler(&linker.to_string_lossy(), &path)
    };
    let compiler = found.and_then(|linker| wrapper::compiler_beside(&linker));
    compiler.ok_or_else(|| {
        let linker = linker.display();
        Trouble::Plain(format!(
            "there is no clang beside `{linker}`; `thinlto_compiler` names one"
        ))
    })
}

/// `event` with the user's names for modules.
fn restored(event: Event, names: &Names) -> Event {
    match event {
        Event::LinkStarted { link, modules } => Event::LinkStarted {
            link,
            modules: modules.iter().map(|name| names.restored(name)).collect(),
        },
        Event::CompilerMessage { job, text } => Event::CompilerMessage {
            job,
            text: names.restored(&text),
        },
        Event::Warning { text, hint } => Event::Warning {
            text: names.restored(&text),
            hint,
        },
        event => event,
    }
}
