//! Runs a link in three steps; if one of them is not possible, the linker does the whole link
//! alone.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{LinkerCall, WrapError};
use crate::cli::distribute::reported;
use crate::cli::engine_error::EngineError;
use crate::cli::{CommandContext, engine, tools};
use crate::error::PlainError;
use crate::events::{self, Event, Events};
use crate::job::JobFile;
use crate::launcher;
use crate::link::LinkFailure;
use crate::process::{Finished, Relto, Scratch};
use crate::wrapper::{
    self, FinalLink, Jobs, LinkPlan, LinkerWords, Names, Refusal, Release, SymbolResolver,
};

/// Why a link that was started is not done in three steps.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The linker has to do it alone.
    Plain(String),
    /// The same; the linker has printed the reason.
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

/// A link in three steps.
pub(super) struct Wrapped<'a> {
    context: &'a CommandContext,
    call: &'a LinkerCall<'a>,
    scratch: Scratch,
    began: Instant,
}

impl<'a> Wrapped<'a> {
    /// Links, and returns the result of the final link.
    pub(super) fn link(
        context: &'a CommandContext,
        call: &'a LinkerCall<'a>,
        plan: &'a LinkPlan,
    ) -> Result<Finished, Trouble> {
        let began = events::now();
        let compiler = compiler(context, call.program)?;
        let no_scratch = |error: io::Error| Trouble::Plain(error.to_string());
        let scratch = Scratch::create(&Relto::itself(), &std::env::temp_dir());
        let link = Self {
            context,
            call,
            began,
            scratch: scratch.map_err(no_scratch)?,
        };
        let scratch = link.scratch.path();
        let arguments = plan.thin_link(scratch).map_err(no_scratch)?;
        let thin = link.thin_link(plan, arguments, &compiler)?;
        let ThinLink {
            stdout,
            stderr,
            release,
            resolver,
        } = thin;
        let mut jobs = plan.jobs(scratch, &stdout, resolver, &compiler, &release)?;
        if jobs.file.jobs.is_empty() {
            return Err(Trouble::Nothing);
        }
        link.run_jobs(jobs.file.clone(), &jobs.names, plan.dwo_dir())?;
        let last = plan.final_link(scratch, &mut jobs)?;
        let finished = link.run_linker(last.arguments.clone())?;
        let finished = Finished {
            stdout: last.restored(&finished.stdout),
            stderr: last.messages(call.program, &stderr, &finished.stderr),
            ..finished
        };
        let finished = if finished.succeeded() {
            last.restore_map();
            finished
        } else {
            link.failed(plan, &jobs, &last, finished)?
        };
        last.correct_dependencies()?;
        Ok(finished)
    }

    /// What becomes of a link whose last step has `finished` with an error.
    fn failed(
        &self,
        plan: &LinkPlan,
        jobs: &Jobs,
        last: &FinalLink,
        finished: Finished,
    ) -> Result<Finished, Trouble> {
        if wrapper::has_undefined_symbols(&finished.stderr) {
            // The linker's own LTO would take much longer to find the same.
            let again = self.run_linker(last.arguments_for_symbols())?;
            if !again.succeeded() && jobs.are_inputs_incomplete(plan, &again.stderr) {
                return Ok(finished);
            }
        }
        Err(Trouble::Failed(finished, "final link"))
    }

    fn command(&self, arguments: Vec<OsString>) -> Vec<OsString> {
        let linker = [self.call.program.to_owned()].into_iter();
        let read = LinkerWords::of(self.call.program, self.call.words);
        let selection = read.map_or(&[][..], |it| it.selection).iter().cloned();
        linker.chain(selection).chain(arguments).collect()
    }

    fn run_linker(&self, arguments: Vec<OsString>) -> Result<Finished, Trouble> {
        tools::run(&self.command(arguments), &self.call.environment()).map_err(Trouble::Engine)
    }

    /// Asks linker and compiler for their releases, and resolves symbols, while the linker works.
    fn thin_link(
        &self,
        plan: &LinkPlan,
        arguments: Vec<OsString>,
        compiler: &Path,
    ) -> Result<ThinLink, Trouble> {
        let version = || vec![OsString::from("--version")];
        let clang = [compiler.as_os_str().to_owned()].into_iter();
        let questions = [self.command(version()), clang.chain(version()).collect()];
        let answered = |answers: Vec<Finished>| {
            let release = self.release(answers, compiler)?;
            let symbols = plan.resolve(&release);
            Ok::<_, Trouble>((release, symbols))
        };
        let thin = tools::run_with(
            &self.command(arguments),
            &self.call.environment(),
            &questions,
            answered,
        );
        let (thin, answers) = thin.map_err(Trouble::Engine)?;
        let (release, symbols) = answers?;
        if !thin.succeeded() {
            return Err(Trouble::Failed(thin, "thin link"));
        }
        Ok(ThinLink {
            stdout: thin.stdout,
            stderr: thin.stderr,
            release,
            resolver: symbols?,
        })
    }

    /// The release of linker and compiler, which must be one.
    fn release(&self, answers: Vec<Finished>, compiler: &Path) -> Result<Release, Trouble> {
        let Ok([linker, clang]) = <[Finished; 2]>::try_from(answers) else {
            return Err(Trouble::Nothing);
        };
        let release = |finished: &Finished, who: &OsStr| {
            let text = String::from_utf8_lossy(&finished.stdout);
            let unknown = || {
                let who = who.to_string_lossy();
                Trouble::Plain(format!("`{who} --version` does not name an LLVM release"))
            };
            Release::find(&text).ok_or_else(unknown)
        };
        let ours = release(&linker, self.call.program)?;
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
        Ok(ours)
    }

    fn run_jobs(&self, file: JobFile, names: &Names, dwo_dir: Option<&str>) -> Result<(), Trouble> {
        let settings = &self.context.settings;
        let mut options = engine::options(settings);
        options.record.linker_age = Some(self.began.elapsed());
        options.record.names.clone_from(names.by_path());
        let of_linker = || dwo_dir.map(str::to_owned);
        options.dwo_dir = options.dwo_dir.take().or_else(of_linker);
        let (output, of_events) = (file.linker_output.clone(), names.clone());
        let linked = reported(settings, &options, &output, |sink| {
            let events = Events::to_function(move |event| sink.send(restored(event, &of_events)));
            engine::run_jobs(settings, &options, file, events)
        });
        linked.map_err(|error| match error {
            EngineError::Link(LinkFailure::Wrong(error)) => {
                let error = PlainError::of(&error, &|text| names.restored(text));
                Trouble::Engine(EngineError::Link(LinkFailure::Wrong(error)))
            }
            error => Trouble::Engine(error),
        })
    }
}

struct ThinLink {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    release: Release,
    resolver: SymbolResolver,
}

/// The compiler of the linker's release.
fn compiler(context: &CommandContext, linker: &OsStr) -> Result<PathBuf, Trouble> {
    if let Some(compiler) = &context.settings.linker.compiler {
        return Ok(compiler.clone());
    }
    let found = launcher::program_behind(linker);
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
