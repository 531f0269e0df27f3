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
use super::{CommandContext, arguments, output};
use crate::action::overrides;
use crate::config::Warning;
use crate::error::{ExitCode, Hinted, with_causes};
use crate::launcher::{self, InheritedOnExec, LINKER_STARTED_BY, Wrappers};
use crate::link::LinkFailure;
use crate::process::{ChildEnvironment, Finished};
use crate::text;
use crate::wrapper::{self, LinkDecision, LinkerWords, Release};

mod wrapped;

use wrapped::{Trouble, Wrapped};

/// Characters of the reason for which the linker does a link alone.
const LONGEST_REASON: usize = 300;

/// Variables with which three steps do something else than the linker, and why.
const VARIABLES: [(&str, &str); 2] = [
    // Where lld writes all its inputs to, as for `--reproduce`.
    ("LLD_REPRODUCE", "three steps have other inputs"),
    (overrides::VARIABLE, "only clang takes notice of it"),
];

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
    /// The linker has said why.
    #[error("{0}, and the linker does not link again")]
    StepFailed(String),
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
            Self::Refused(_) | Self::StepFailed(_) => {
                "without `--no-fallback` the linker does such a link alone"
            }
        };
        vec![hint.to_owned()]
    }
}

/// The arguments of the process in the form of a command.
pub(super) struct Launched {
    pub(super) command: Vec<OsString>,
    /// Of a link that relto has something to do for.
    pub(super) link: Option<LaunchedLink>,
}

/// What is known of a link when settings have not been read yet.
pub(super) struct LaunchedLink {
    decision: LinkDecision,
    /// Programs that have stood for the linker.
    wrappers: Option<Wrappers>,
}

/// A linker and its arguments.
struct LinkerCall<'a> {
    program: &'a OsStr,
    words: &'a [OsString],
    wrappers: Option<Wrappers>,
}

/// Becomes the linker if `all`, the arguments of the process, run one that relto has nothing to do
/// for. The error is the exit code: the linker could not be started.
pub(super) fn launched(all: Vec<OsString>) -> Result<Launched, ExitCode> {
    let masked = all.first().and_then(|called| wrapper::masked(called));
    let mut wrappers = None;
    let (linker, words) = match &masked {
        Some(name) => (linker_behind(name, &mut wrappers)?.into_os_string(), 1),
        None => match &all[..] {
            [_, command, dashes, linker, ..] if command == arguments::LD && dashes == "--" => {
                (linker.clone(), 4)
            }
            [_, command, linker, ..]
                if command == arguments::LD && !linker.as_encoded_bytes().starts_with(b"-") =>
            {
                (linker.clone(), 3)
            }
            _ => {
                return Ok(Launched {
                    command: all,
                    link: None,
                });
            }
        },
    };
    let words = &all[words..];
    let decision = match decide(&linker, words) {
        None | Some(LinkDecision::PassThrough) => {
            let call = LinkerCall {
                program: &linker,
                words,
                wrappers,
            };
            return Err(call.become_it());
        }
        Some(decision) => decision,
    };
    let command = ["relto", arguments::LD, "--"].map(OsString::from);
    let command = command.into_iter().chain([linker]);
    Ok(Launched {
        command: command.chain(words.iter().cloned()).collect(),
        link: Some(LaunchedLink { decision, wrappers }),
    })
}

/// `None` if `linker` is none that relto can help.
fn decide(linker: &OsStr, words: &[OsString]) -> Option<LinkDecision> {
    let LinkerWords { flavour, words, .. } = LinkerWords::of(linker, words)?;
    Some(wrapper::decide(flavour, words))
}

/// The linker that relto stands for under the name `name`, which `wrappers` are told of.
fn linker_behind(name: &str, wrappers: &mut Option<Wrappers>) -> Result<PathBuf, ExitCode> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let caller = rustix::process::getppid()
        .map(|pid| PathBuf::from(format!("/proc/{}/exe", pid.as_raw_nonzero())));
    let caller = caller.and_then(|link| fs_err::read_link(link).ok());
    let started_by = std::env::var_os(LINKER_STARTED_BY);
    let known = wrappers.insert(Wrappers::known(LINKER_STARTED_BY, started_by.as_deref()));
    let found = wrapper::linker_behind(name, caller.as_deref(), &path, known);
    let linker = found.ok_or_else(|| {
        fail(&WrapError::NothingBehind {
            name: name.to_owned(),
        })
    })?;
    known.add(&linker);
    Ok(linker)
}

/// Runs `words`, a linker and its arguments; `launched` is what is known of them.
pub(super) fn run(
    context: &CommandContext,
    words: &[OsString],
    launched: Option<LaunchedLink>,
) -> ExitCode {
    let Some((program, words)) = words.split_first() else {
        return ExitCode::Usage;
    };
    let (decision, wrappers) = if let Some(launched) = launched {
        (Some(launched.decision), launched.wrappers)
    } else {
        (decide(program, words), None)
    };
    let call = LinkerCall {
        program,
        words,
        wrappers,
    };
    let plan = match decision {
        None | Some(LinkDecision::PassThrough) => return call.become_it(),
        Some(LinkDecision::Refused(refusal)) => {
            return alone(context, &call, &refusal.to_string(), None);
        }
        Some(LinkDecision::Wrapped(plan)) => plan,
    };
    let mut variables = VARIABLES.iter();
    if let Some((variable, why)) = variables.find(|(name, _)| std::env::var_os(name).is_some()) {
        let reason = format!("`{variable}` is set, and {why}");
        return alone(context, &call, &reason, None);
    }
    match Wrapped::link(context, &call, &plan) {
        Ok(finished) => output::finished(&finished),
        Err(Trouble::Nothing) => call.become_it(),
        Err(Trouble::Plain(reason)) => alone(context, &call, &reason, None),
        Err(Trouble::Failed(finished, step)) => {
            let reason = format!("the {step} failed");
            alone(context, &call, &reason, Some(&finished))
        }
        Err(Trouble::Error(error)) => fail(&error),
        Err(Trouble::Engine(EngineError::Interrupted(interruption))) => {
            output::interrupted(interruption)
        }
        // The linker alone would link, but the user wants to see this.
        Err(Trouble::Engine(error @ EngineError::Link(LinkFailure::Wrong(_)))) => {
            output::error(&error);
            ExitCode::Failure
        }
        Err(Trouble::Engine(error)) => {
            let reason = text::one_line(&with_causes(&error), LONGEST_REASON);
            alone(context, &call, &reason, None)
        }
    }
}

/// Hands the link to the linker, or fails.
fn alone(
    context: &CommandContext,
    call: &LinkerCall<'_>,
    reason: &str,
    failed: Option<&Finished>,
) -> ExitCode {
    if context.settings.linker.fallback {
        let text = format!("the linker does this link alone: {reason}");
        output::warning(&Warning { text, hint: None });
        return call.become_it();
    }
    match failed {
        Some(finished) => {
            let code = output::finished(finished);
            output::error(&WrapError::StepFailed(reason.to_owned()));
            code
        }
        None => fail(&WrapError::Refused(reason.to_owned())),
    }
}

impl LinkerCall<'_> {
    fn become_it(&self) -> ExitCode {
        // The linker must not inherit relto's parent-death signal.
        let _ = rustix::process::set_parent_process_death_signal(None);
        let inherited = InheritedOnExec {
            wrappers: self.wrappers.clone(),
            ..InheritedOnExec::default()
        };
        let source = launcher::become_program(self.program, self.words, inherited);
        fail(&WrapError::NotStarted {
            linker: self.program.to_string_lossy().into_owned(),
            source,
        })
    }

    /// That of the linker where relto runs it.
    fn environment(&self) -> ChildEnvironment {
        match &self.wrappers {
            Some(wrappers) => {
                let (name, value) = wrappers.variable();
                ChildEnvironment::InheritedWith(vec![(name.into(), value.into())])
            }
            None => ChildEnvironment::Inherited,
        }
    }
}

fn fail(error: &WrapError) -> ExitCode {
    output::error(error);
    ExitCode::Failure
}
