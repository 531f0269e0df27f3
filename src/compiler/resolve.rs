//! Finds the compiler of a link and turns it, and the arguments that all jobs share, into a form
//! that means the same on any machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ask::Respondent;
use super::error::CompilerError;
use super::probe::{CompilerProbe, Unportable, multi_call};
use super::probe_cache::Answers;
use crate::action::ActionTemplate;
use crate::action::arguments::HEEDED;
use crate::action::overrides;
use crate::action::toolchain_tree::{ROOT, ToolFile, ToolchainTree};
use crate::client_context::ClientContext;
use crate::digest::DigestFunction;
use crate::hash_cache::{FileFacts, HashCache};
use crate::job::Caller;
use crate::process::Relto;
use crate::state::{Secret, State};
use crate::toolchain::{SearchEnvironment, Toolchain, ToolchainFile};

/// Which compiler runs the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolchainSource {
    /// The one that the job file names, sent along with what it loads.
    Upload,
    /// The one that the workers have under the name that the job file gives.
    Worker,
    /// The one of that name in a directory of this machine, or in its `bin`.
    Dir(PathBuf),
}

/// Where a worker without its own `PATH` looks for a compiler that is named without a directory.
const WORKER_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is done with a job file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The user runs its jobs, so the compiler is the user's choice.
    Link,
    /// The user looks at it. Others may have written it, and chosen the compiler.
    Inspection,
}

/// The compiler to resolve, and its purpose.
#[derive(Debug, Clone)]
pub struct CompilerRequest<'a> {
    /// A path or a bare name.
    pub name: &'a str,
    /// The arguments that all jobs share.
    pub arguments: &'a [String],
    pub caller: Caller,
    pub purpose: Purpose,
    /// `None` without a farm.
    pub source: Option<&'a ToolchainSource>,
    pub environment: &'a [(OsString, OsString)],
    pub client_context: &'a ClientContext,
    /// The user's own addition to every key.
    pub salt: &'a str,
    /// The directory of the user's secret; without one, no answer of the compiler is remembered.
    pub secret_dir: Option<&'a Path>,
    /// The helper that confines the compiler when it is asked.
    pub relto: Relto,
}

impl<'a> CompilerRequest<'a> {
    /// A variable of the environment.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&'a OsStr> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str())
    }

    fn toolchain_dir(&self) -> Option<&'a Path> {
        match self.source {
            Some(ToolchainSource::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    /// Where the compiler and its libraries are looked for.
    fn search(&self, dir: Option<&Path>) -> SearchEnvironment {
        SearchEnvironment::new(
            self.variable("PATH").map(OsStr::to_owned),
            self.library_path(dir),
            self.client_context.dir(),
        )
    }

    /// Libraries of the toolchain directory come before those of this machine.
    fn library_path(&self, dir: Option<&Path>) -> Option<OsString> {
        let own = self.variable("LD_LIBRARY_PATH").map(OsStr::to_owned);
        let Some(dir) = dir else {
            return own;
        };
        let mut path = dir.join("lib").into_os_string();
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            path.push(":");
            path.push(own);
        }
        Some(path)
    }

    /// What the environment makes of the compiler's arguments, where no action can describe it.
    fn unfit_environment(&self) -> Option<String> {
        // The driver writes a log where it runs, or ends as if it had crashed.
        const OBSERVED: [&str; 5] = [
            "CC_PRINT_OPTIONS",
            "CC_PRINT_PROC_STAT",
            "CC_PRINT_INTERNAL_STAT",
            "CC_LOG_DIAGNOSTICS",
            "FORCE_CLANG_DIAGNOSTICS_CRASH",
        ];
        let mut observed = OBSERVED.iter();
        if let Some(name) = observed.find(|name| self.variable(name).is_some()) {
            return Some(format!("`{name}` is set"));
        }
        let name = overrides::VARIABLE;
        let edit = overrides::unfit_override(self.variable(name)?.to_str()?)?;
        Some(format!("`{name}` says `{edit}`"))
    }

    /// The variables that clang heeds, as far as they are set; nothing else of the environment
    /// reaches a hermetic job.
    fn template(&self) -> ActionTemplate {
        let heeded = |name: &&str| {
            let value = self.variable(name)?.to_str()?;
            Some(((*name).to_owned(), value.to_owned()))
        };
        let mut environment: Vec<(String, String)> = HEEDED.iter().filter_map(heeded).collect();
        environment.sort();
        ActionTemplate {
            function: DigestFunction::Sha256,
            old_outputs: false,
            platform: Vec::new(),
            salt: self.salt.to_owned(),
            environment,
        }
    }
}

/// The compiler of the workers.
#[derive(Debug)]
pub struct WorkerToolchain {
    /// Without files.
    pub tree: Arc<ToolchainTree>,
    pub template: ActionTemplate,
}

/// The compiler and how it is called.
#[derive(Debug)]
pub struct ResolvedToolchain {
    tree: Arc<ToolchainTree>,
    template: ActionTemplate,
    worker: Option<WorkerToolchain>,
    /// The compiler's path, absolute.
    compiler: PathBuf,
    /// What it calls itself, release and all.
    version: String,
    /// The triple that the compiler compiles for by default.
    target: String,
    /// Whether libraries for processors without a system are installed with it.
    has_runtimes: bool,
    /// The common arguments after the compiler, or why they cannot be taken elsewhere.
    common: Result<Vec<String>, String>,
}

impl ResolvedToolchain {
    /// Finds the compiler of `request`, digests it, and reads the common arguments.
    ///
    /// # Errors
    /// There is no such compiler, it cannot be read or queried, or it cannot be uploaded.
    pub fn resolve(
        request: &CompilerRequest<'_>,
        hash_cache: &HashCache,
        state: &State,
    ) -> Result<Self, CompilerError> {
        let dir = request.toolchain_dir();
        let name = Path::new(request.name);
        let path = dir.map_or_else(|| Ok(name.to_owned()), |dir| compiler_in(dir, name))?;
        let search = request.search(dir);
        let mut toolchain = Toolchain::discover(&path, &search)?;
        let files = digest_files(&toolchain, hash_cache)?;
        let (tool, _) = multi_call(request.caller, request.arguments);
        let called_as = toolchain.called_as.clone();
        let respondent = Respondent {
            request,
            path: &called_as,
            files: &files,
            library_path: search.library_path.as_deref(),
            hash_cache,
        };
        let secret = request.secret_dir.map(Secret::of_user).and_then(Result::ok);
        let answers = Answers {
            state,
            secret: secret.as_ref(),
        };
        let mut probe = CompilerProbe::ask(respondent, tool, answers)?;
        if probe.has_config_dirs() {
            toolchain.add_config_dirs(&probe.config_dirs);
        }
        let mut configuration = Vec::new();
        let common = probe.portable(
            &toolchain,
            request.caller,
            request.arguments,
            answers,
            &mut configuration,
        );
        let common = common.map_or_else(Unportable::reason, |words| Ok(Ok(words)))?;
        let unfit = toolchain.doubt.clone();
        let unfit = unfit.or_else(|| request.unfit_environment());
        let common = unfit.map_or(common, Err);
        let worker = (request.source == Some(&ToolchainSource::Worker)).then(|| {
            let name = worker_name(request.name, &toolchain);
            let configuration = configuration.clone();
            worker_toolchain(name, &probe, configuration, request.template())
        });
        let CompilerProbe {
            version, target, ..
        } = probe;
        let tree = ToolchainTree::new(
            DigestFunction::Sha256,
            files,
            launch_prefix(&toolchain),
            configuration,
        );
        Ok(Self {
            tree: Arc::new(tree),
            template: request.template(),
            worker,
            has_runtimes: has_runtimes(&toolchain.called_as),
            compiler: toolchain.called_as,
            version,
            target,
            common,
        })
    }

    #[must_use]
    pub fn tree(&self) -> &Arc<ToolchainTree> {
        &self.tree
    }

    #[must_use]
    pub fn template(&self) -> &ActionTemplate {
        &self.template
    }

    /// The workers' compiler, if that is the one to use.
    #[must_use]
    pub fn worker(&self) -> Option<&WorkerToolchain> {
        self.worker.as_ref()
    }

    /// What the farm compiles with.
    #[must_use]
    pub fn for_farm(&self) -> (&Arc<ToolchainTree>, &ActionTemplate) {
        match &self.worker {
            Some(worker) => (&worker.tree, &worker.template),
            None => (&self.tree, &self.template),
        }
    }

    #[must_use]
    pub fn compiler(&self) -> &Path {
        &self.compiler
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The release of LLVM, by its first number: 22 of `Debian clang version 22.1.8 (++...)`.
    #[must_use]
    pub fn release(&self) -> Option<u32> {
        release_of(&self.version)
    }

    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    #[must_use]
    pub fn has_runtimes(&self) -> bool {
        self.has_runtimes
    }

    /// Why no job of this link can run anywhere but here; `None` as a rule.
    #[must_use]
    pub fn obstacle(&self) -> Option<&str> {
        self.common.as_ref().err().map(String::as_str)
    }

    /// The whole arguments of a job after the compiler.
    ///
    /// # Errors
    /// Why they mean something only here.
    pub fn arguments(&self, of_job: &[String]) -> Result<Vec<String>, String> {
        let mut arguments = self.common.clone()?;
        arguments.extend_from_slice(of_job);
        Ok(arguments)
    }
}

/// The program in `dir` that has the name of `compiler`.
fn compiler_in(dir: &Path, compiler: &Path) -> Result<PathBuf, CompilerError> {
    let name = compiler.file_name().unwrap_or(compiler.as_os_str());
    let candidates = [dir.join("bin").join(name), dir.join(name)];
    let found = candidates.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| CompilerError::NotInDir {
        dir: dir.to_owned(),
        name: name.to_string_lossy().into_owned(),
    })
}

/// A bare name is looked up by the worker; a path is assumed to be the same there.
fn worker_name(named: &str, toolchain: &Toolchain) -> String {
    if named.starts_with('/') || !named.contains('/') {
        return named.to_owned();
    }
    toolchain.called_as.to_string_lossy().into_owned()
}

/// The workers' compiler cannot be read from here: only its path is known, and the release that it
/// must have to fit the bitcode.
fn worker_toolchain(
    name: String,
    probe: &CompilerProbe,
    configuration: Vec<String>,
    mut template: ActionTemplate,
) -> WorkerToolchain {
    template.salt = format!("{}\nworker toolchain {}", template.salt, probe.version);
    let path = ("PATH".to_owned(), WORKER_PATH.to_owned());
    template.environment.push(path);
    template.environment.sort();
    let function = DigestFunction::Sha256;
    let tree = ToolchainTree::new(function, Vec::new(), vec![name], configuration);
    WorkerToolchain {
        tree: Arc::new(tree),
        template,
    }
}

/// Where clang looks for libraries of processors without a system, besides the sysroot.
fn has_runtimes(compiler: &Path) -> bool {
    let real = fs_err::canonicalize(compiler).ok();
    let programs = [Some(compiler.to_owned()), real].into_iter().flatten();
    let mut dirs = programs.filter_map(|program| Some(program.parent()?.parent()?.to_owned()));
    dirs.any(|dir| dir.join("lib/clang-runtimes").exists())
}

fn release_of(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("version ")?;
    number.split('.').next()?.parse().ok()
}

/// How a command line starts the compiler from its tree.
fn launch_prefix(toolchain: &Toolchain) -> Vec<String> {
    let mut words = toolchain.loader_command(ROOT);
    words.push(format!("{ROOT}/bin/{}", toolchain.name));
    words
}

fn digest_files(
    toolchain: &Toolchain,
    hash_cache: &HashCache,
) -> Result<Vec<ToolFile>, CompilerError> {
    let files = &toolchain.files;
    let paths: Vec<&Path> = files.iter().map(|file| file.host.as_path()).collect();
    let facts = hash_cache
        .facts_of_all(&paths, DigestFunction::Sha256)
        .map_err(CompilerError::Unreadable)?;
    let tool = |(file, facts): (&ToolchainFile, Arc<FileFacts>)| ToolFile {
        tree_path: file.tree_path.clone(),
        host: file.host.clone(),
        digest: facts.digest,
        identity: facts.identity,
        executable: file.executable,
    };
    Ok(files.iter().zip(facts).map(tool).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_out_of_what_a_compiler_calls_itself() {
        let versions = [
            ("Debian clang version 22.1.8 (++2026)", Some(22)),
            ("Debian clang version 22.1.8 (1~deb12u1)", Some(22)),
            ("clang version 24.0.0git", Some(24)),
            ("some compiler", None),
            ("no compiler", None),
        ];
        for (version, release) in versions {
            assert_eq!(release_of(version), release, "{version}");
        }
    }
}
