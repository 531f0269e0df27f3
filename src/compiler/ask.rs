//! Asks a compiler a question, in a sandbox that admits only the files of which it was hashed.
//!
//! A directory may be renamed and come back later, without a trace at the files below it. What
//! another compiler answered meanwhile must not be remembered as the answer of this one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::CompilerRequest;
use crate::action::overrides;
use crate::action::toolchain_tree::ToolFile;
use crate::hash_cache::HashCache;
use crate::process::{ChildEnvironment, Confinement, ProcessError, ProcessSpec, run_blocking};

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
        let spec = ProcessSpec {
            arguments: self.question(words),
            environment: ChildEnvironment::Exact(self.environment()),
            dir: self.request.client_context.dir(),
            confinement: Some(self.confinement()),
        };
        let output = self.run(&spec).ok()?;
        let is_unchanged = |file: &ToolFile| self.hash_cache.unchanged(&file.host, &file.identity);
        (output.status.success() && self.files.iter().all(is_unchanged)).then_some(output)
    }

    /// What was printed `confined`, else what the caller gets for `words`; and whether it is certain
    /// that the files which were hashed printed it.
    pub(super) fn certain_or_ask(
        &self,
        confined: Option<Output>,
        words: &[String],
    ) -> (io::Result<Output>, bool) {
        match confined {
            Some(output) => (Ok(output), true),
            None => (self.ask(words), false),
        }
    }

    /// What the compiler prints when the caller starts it with `words`.
    pub(super) fn ask(&self, words: &[String]) -> io::Result<Output> {
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
