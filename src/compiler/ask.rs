//! Asks a compiler a question, in a sandbox that admits only the files of which it was hashed.
//!
//! A directory may be renamed and come back later, without a trace at the files below it. What
//! another compiler answered meanwhile must not be remembered as the answer of this one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::{CompilerError, CompilerRequest, Purpose};
use crate::action::overrides;
use crate::action::toolchain_tree::ToolFile;
use crate::hash_cache::HashCache;
use crate::process::{
    ChildEnvironment, Confinement, ProcessError, ProcessSpec, Support, landlock_support,
    run_blocking,
};

/// What a compiler reads besides its own files: where its loader finds libraries, and what it takes
/// for the processor on some architectures.
const SYSTEM_FILES: [&str; 2] = ["/etc/ld.so.cache", "/proc/cpuinfo"];

/// A compiler that can be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Respondent<'a> {
    pub(super) request: &'a CompilerRequest<'a>,
    /// The path by which it was named or found.
    pub(super) path: &'a Path,
    /// All that it loads, as it was hashed.
    pub(super) files: &'a [ToolFile],
    pub(super) library_path: Option<&'a OsStr>,
    pub(super) hash_cache: &'a HashCache,
}

impl Respondent<'_> {
    /// What the files that were hashed, and no others, print when they are started with `words`;
    /// `None` if they do not succeed so.
    pub(super) fn ask_confined(&self, words: &[String]) -> Option<Output> {
        self.ask_reading(words, &[])
    }

    /// The same, where they may read some `more` files.
    fn ask_reading(&self, words: &[String], more: &[PathBuf]) -> Option<Output> {
        if self.is_inspected() && landlock_support() == Support::Unavailable {
            return None;
        }
        let mut confinement = self.confinement();
        confinement.readable.extend_from_slice(more);
        let spec = ProcessSpec {
            arguments: self.question(words),
            environment: ChildEnvironment::Exact(self.environment()),
            dir: self.request.client_context.dir(),
            confinement: Some(confinement),
        };
        let output = self.run(&spec).ok()?;
        let is_unchanged = |file: &ToolFile| self.hash_cache.unchanged(&file.host, &file.identity);
        (output.status.success() && self.files.iter().all(is_unchanged)).then_some(output)
    }

    /// What was printed `confined`, else what the caller gets for `words`; and whether it is certain
    /// that the files which were hashed printed it.
    ///
    /// # Errors
    /// The caller must not get anything, for it would run outside of the sandbox.
    pub(super) fn certain_or_ask(
        &self,
        confined: Option<Output>,
        words: &[String],
    ) -> Result<(io::Result<Output>, bool), CompilerError> {
        match confined {
            Some(output) => Ok((Ok(output), true)),
            None => self.ask(words).map(|output| (output, false)),
        }
    }

    /// What the compiler prints when the caller starts it with `words`, for which it reads some of the
    /// configuration `files`.
    ///
    /// # Errors
    /// As [`certain_or_ask`](Self::certain_or_ask).
    pub(super) fn ask_for_configuration(
        &self,
        words: &[String],
        files: &[PathBuf],
    ) -> Result<io::Result<Output>, CompilerError> {
        let confined = self.is_inspected().then(|| self.ask_reading(words, files));
        match confined.flatten() {
            Some(output) => Ok(Ok(output)),
            None => self.ask(words),
        }
    }

    /// What the compiler prints when the caller starts it with `words`.
    fn ask(&self, words: &[String]) -> Result<io::Result<Output>, CompilerError> {
        if self.is_inspected() {
            let compiler = self.path.to_owned();
            return Err(CompilerError::NotAsked { compiler });
        }
        Ok(self.ask_as_user(words))
    }

    fn ask_as_user(&self, words: &[String]) -> io::Result<Output> {
        let variables = self.request.environment.iter();
        // The variable would edit the question.
        let variables = variables.filter(|(name, _)| name != overrides::VARIABLE);
        let spec = ProcessSpec {
            arguments: self.question(words),
            environment: ChildEnvironment::Exact(variables.cloned().collect()),
            dir: self.request.client_context.dir(),
            confinement: None,
        };
        self.run(&spec).map_err(io::Error::other)
    }

    fn run(&self, spec: &ProcessSpec) -> Result<Output, ProcessError> {
        run_blocking(&self.request.relto, spec)
    }

    fn question(&self, words: &[String]) -> Vec<OsString> {
        let program = self.path.as_os_str().to_owned();
        let words = words.iter().map(OsString::from);
        [program].into_iter().chain(words).collect()
    }

    /// Whether the compiler may be of another's choice, so that it must not run outside of a sandbox.
    fn is_inspected(&self) -> bool {
        self.request.purpose == Purpose::Inspection
    }

    /// The user's own configuration directory is seen from there.
    pub(super) fn home(&self) -> Option<&OsStr> {
        self.request.variable("HOME")
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let variables = [
            ("LD_LIBRARY_PATH", self.library_path),
            ("HOME", self.home()),
        ];
        let set = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        set.map(|(name, value)| (name.into(), value.to_owned()))
            .collect()
    }

    fn confinement(&self) -> Confinement {
        let host = |file: &ToolFile| file.host.clone();
        let programs = self.files.iter().filter(|file| file.executable);
        Confinement {
            readable: self
                .files
                .iter()
                .map(host)
                .chain(SYSTEM_FILES.map(PathBuf::from))
                .collect(),
            executable: programs.map(host).collect(),
            writable: Vec::new(),
            expected: self.files.iter().map(ToolFile::expected).collect(),
        }
    }
}
