//! `relto ld [OPTIONS] [--] LINKER ARGUMENTS...`: the linker wrapper, which also runs when relto is
//! called by the name of a linker.
//!
//! A link without ThinLTO modules is handed to the linker by `exec` before any configuration is
//! read. Other links go through [`wrapper`]; if that is not possible, the linker takes over as
//! well.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use super::engine_error::EngineError;
use super::{CommandContext, arguments, cc, output};
use crate::config::Warning;
use crate::error::{ExitCode, Hinted, Rendered};
use crate::launcher::{self, InheritedOnExec};
use crate::link::LinkFailure;
use crate::process::Finished;
use crate::wrapper::{self, Flavour, LinkDecision, Release};

mod wrapped;

use wrapped::{Trouble, Wrapped};

/// Where lld writes all its inputs to, as for `--reproduce`.
const REPRODUCE: &str = "LLD_REPRODUCE";

#[derive(Debug, thiserror::Error)]
enum WrapError {
    #[error("cannot start the linker `{linker}`")]
    NotStarted {
        linker: String,
        #[source]
        source: io::Error,
    },
    #[error("there is no `{name}` in `PATH` after relto")]
    NothingBehind { name: String },
    #[error("`{compiler}` is of LLVM {theirs}, the linker of LLVM {ours}")]
    OtherRelease {
        compiler: String,
        theirs: Release,
        ours: Release,
    },
    #[error("relto cannot help with this link: {0}")]
    Refused(String),
}

impl Hinted for WrapError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotStarted { .. } => return Vec::new(),
            Self::NothingBehind { .. } => {
                "under a linker's name, relto runs the linker of that name beside the compiler that calls it, or in a later directory of `PATH`; `relto ld LINKER` names it explicitly"
            }
            Self::OtherRelease { .. } => {
                "`thinlto_compiler` must name the clang of the linker's own release"
            }
            Self::Refused(_) => "without `--no-fallback` the linker does such a link alone",
        };
        vec![hint.to_owned()]
    }
}

/// Becomes the linker if `all`, the arguments of the process, run one that relto has nothing to do
/// for. Otherwise returns the arguments in the form of a command. The error is the exit
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
        Some(flavour) => matches!(wrapper::decide(flavour, words), LinkDecision::PassThrough),
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
pub(super) fn run(context: &CommandContext, words: &[OsString]) -> ExitCode {
    let Some((linker, words)) = words.split_first() else {
        return ExitCode::Usage;
    };
    let Some(flavour) = Flavour::of(linker, words) else {
        return become_the_linker(linker, words);
    };
    let plan = match wrapper::decide(flavour, words) {
        LinkDecision::PassThrough => return become_the_linker(linker, words),
        LinkDecision::Refused(refusal) => {
            return alone(context, linker, words, &refusal.to_string(), None);
        }
        LinkDecision::Wrapped(plan) => plan,
    };
    if std::env::var_os(REPRODUCE).is_some() {
        let reason = format!("`{REPRODUCE}` is set, and three steps have other inputs");
        return alone(context, linker, words, &reason, None);
    }
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
        // The linker alone would link, but the user wants to see this.
        Err(Trouble::Engine(error @ EngineError::Link(LinkFailure::Wrong(_)))) => {
            output::error(&error);
            ExitCode::Failure
        }
        Err(Trouble::Engine(error)) => {
            let reason = one_line(&error);
            alone(context, linker, words, &reason, None)
        }
    }
}

/// Hands the link to the linker, or fails.
fn alone(
    context: &CommandContext,
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
    // The linker must not inherit relto's parent-death signal.
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
