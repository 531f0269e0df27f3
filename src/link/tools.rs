//! The compiler of a link and everything that the link's arguments say about it.
//!
//! Enters: the job file and the environment. Leaves: the toolchain as a tree, the terms of the
//! actions, and each job's arguments in the form that means the same on any machine.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Options;
use super::compiler::Compiler;
use crate::action::ActionTemplate;
use crate::action::arguments::HEEDED;
use crate::action::overrides::unfit_override;
use crate::action::toolchain_tree::{ROOT, ToolFile, ToolchainTree};
use crate::digest::DigestFunction;
use crate::error::Hinted;
use crate::hash_cache::{FileFacts, HashCache};
use crate::job::JobFile;
use crate::state::State;
use crate::toolchain::config::ConfigError;
use crate::toolchain::{SearchEnvironment, Toolchain, ToolchainError, ToolchainFile};

/// Why there is nothing to compile with.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error("cannot ask the compiler about itself")]
    Mute(#[from] ConfigError),
    #[error("the toolchain directory `{dir}` has no `{name}`, neither in `bin` nor in itself")]
    NotInDir { dir: PathBuf, name: String },
    #[error("cannot read a file of the compiler")]
    Unreadable(#[source] std::io::Error),
}

impl Hinted for ToolsError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Toolchain(error) => error.hints(),
            Self::Mute(error) => error.hints(),
            Self::NotInDir { .. } => {
                vec![
                    "`toolchain` names the directory of a whole compiler, under the name that the link calls it by"
                        .to_owned(),
                ]
            }
            Self::Unreadable(_) => Vec::new(),
        }
    }
}

/// Which compiler makes what the action says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolchainSource {
    /// The one that the job file names, sent along with what it loads.
    Upload,
    /// The one that the workers have under the name that the job file gives.
    Worker,
    /// The one of that name in a directory of this machine, or in its `bin`.
    Dir(PathBuf),
}

/// Where a worker without a `PATH` of its own looks for a compiler that is named without a
/// directory.
const WORKER_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The compiler of the workers.
#[derive(Debug)]
pub(super) struct WorkerTools {
    /// Without files.
    pub(super) tree: Arc<ToolchainTree>,
    pub(super) template: ActionTemplate,
}

/// The compiler and how it is called.
#[derive(Debug)]
pub(super) struct Tools {
    tree: Arc<ToolchainTree>,
    template: ActionTemplate,
    worker: Option<WorkerTools>,
    /// The compiler's path, absolute.
    compiler: PathBuf,
    /// What it calls itself, release and all.
    version: String,
    /// The triple that the compiler compiles for unless it is told another one.
    target: String,
    /// The common arguments after the compiler, or why they cannot be taken elsewhere.
    common: Result<Vec<String>, String>,
}

impl Tools {
    /// Finds the compiler that `file` names, digests it, and reads the common arguments.
    pub(super) fn find(
        file: &JobFile,
        options: &Options,
        hash_cache: &HashCache,
        state: &State,
    ) -> Result<Self, ToolsError> {
        let source = options.farm.as_ref().map(|farm| &farm.toolchain);
        let dir = match source {
            Some(ToolchainSource::Dir(dir)) => Some(dir.as_path()),
            _ => None,
        };
        let path = match dir {
            Some(dir) => compiler_in(dir, Path::new(file.compiler()))?,
            None => PathBuf::from(file.compiler()),
        };
        let client_context = SearchEnvironment::new(
            variable(options, "PATH").map(OsStr::to_owned),
            library_path(options, dir),
            options
                .client_context
                .dir()
                .map_err(ToolsError::Unreadable)?,
        );
        let mut toolchain = Toolchain::discover(&path, &client_context, None)?;
        let files = digest_files(&toolchain, hash_cache)?;
        let compiler = Compiler::ask(&toolchain, &files, &options.client_context, state)?;
        if compiler.has_config_dirs() {
            toolchain = Toolchain::discover(&path, &client_context, Some(&compiler.config_dirs))?;
        }
        let mut configuration = Vec::new();
        let common = compiler.portable(
            &toolchain,
            file.caller,
            &file.common_arguments[1..],
            state,
            &mut configuration,
        );
        let common = match unfit_environment(options) {
            Some(reason) => Err(reason),
            None => common,
        };
        let worker = (source == Some(&ToolchainSource::Worker)).then(|| {
            let name = worker_name(file.compiler(), &toolchain);
            worker_tools(name, &compiler, configuration.clone(), template(options))
        });
        let tree = ToolchainTree::new(
            DigestFunction::Sha256,
            files,
            start(&toolchain),
            configuration,
        );
        Ok(Self {
            tree: Arc::new(tree),
            template: template(options),
            worker,
            compiler: toolchain.called_as,
            version: compiler.version,
            target: compiler.target,
            common,
        })
    }

    pub(super) fn tree(&self) -> &Arc<ToolchainTree> {
        &self.tree
    }

    pub(super) fn template(&self) -> &ActionTemplate {
        &self.template
    }

    /// The workers' compiler, if that is the one to use.
    pub(super) fn worker(&self) -> Option<&WorkerTools> {
        self.worker.as_ref()
    }

    /// What the farm compiles with.
    pub(super) fn for_farm(&self) -> (&Arc<ToolchainTree>, &ActionTemplate) {
        match &self.worker {
            Some(worker) => (&worker.tree, &worker.template),
            None => (&self.tree, &self.template),
        }
    }

    pub(super) fn compiler(&self) -> &Path {
        &self.compiler
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Why no job of this link can run anywhere but here; `None` as a rule.
    pub(super) fn obstacle(&self) -> Option<&str> {
        self.common.as_ref().err().map(String::as_str)
    }

    /// The whole arguments of a job after the compiler, or why they mean something only here.
    pub(super) fn arguments(&self, of_job: &[String]) -> Result<Vec<String>, String> {
        let mut arguments = self.common.clone()?;
        arguments.extend_from_slice(of_job);
        Ok(arguments)
    }
}

/// The program in `dir` that has the name of `compiler`.
fn compiler_in(dir: &Path, compiler: &Path) -> Result<PathBuf, ToolsError> {
    let name = compiler.file_name().unwrap_or(compiler.as_os_str());
    let places = [dir.join("bin").join(name), dir.join(name)];
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| ToolsError::NotInDir {
        dir: dir.to_owned(),
        name: name.to_string_lossy().into_owned(),
    })
}

/// Libraries of the directory come before those of this machine.
fn library_path(options: &Options, dir: Option<&Path>) -> Option<OsString> {
    let own = variable(options, "LD_LIBRARY_PATH").map(OsStr::to_owned);
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

/// A bare name is looked up by the worker; a path is taken to be the same there.
fn worker_name(named: &str, toolchain: &Toolchain) -> String {
    if named.starts_with('/') || !named.contains('/') {
        return named.to_owned();
    }
    toolchain.called_as.to_string_lossy().into_owned()
}

/// Nobody here can read the workers' compiler: what is known of it is its path, and the release
/// that it must be to fit the bitcode.
fn worker_tools(
    name: String,
    compiler: &Compiler,
    configuration: Vec<String>,
    mut template: ActionTemplate,
) -> WorkerTools {
    template.salt = format!("{}\nworker toolchain {}", template.salt, compiler.version);
    let path = ("PATH".to_owned(), WORKER_PATH.to_owned());
    template.environment.push(path);
    template.environment.sort();
    let function = DigestFunction::Sha256;
    let tree = ToolchainTree::new(function, Vec::new(), vec![name], configuration);
    WorkerTools {
        tree: Arc::new(tree),
        template,
    }
}

/// How a command line starts the compiler out of its tree.
fn start(toolchain: &Toolchain) -> Vec<String> {
    let mut words = toolchain.loader_command(ROOT);
    words.push(format!("{ROOT}/bin/{}", toolchain.name));
    words
}

pub(super) fn variable<'a>(options: &'a Options, name: &str) -> Option<&'a OsStr> {
    let found = options.environment.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_os_str())
}

fn digest_files(
    toolchain: &Toolchain,
    hash_cache: &HashCache,
) -> Result<Vec<ToolFile>, ToolsError> {
    let files = &toolchain.files;
    let paths: Vec<&Path> = files.iter().map(|file| file.host.as_path()).collect();
    let facts = hash_cache
        .facts_of_all(&paths, DigestFunction::Sha256)
        .map_err(ToolsError::Unreadable)?;
    let tool = |(file, facts): (&ToolchainFile, Arc<FileFacts>)| ToolFile {
        tree_path: file.tree_path.clone(),
        host: file.host.clone(),
        digest: facts.digest,
        identity: facts.identity,
        executable: file.executable,
    };
    Ok(files.iter().zip(facts).map(tool).collect())
}

/// What the environment makes of the compiler's arguments, where no action can describe it.
fn unfit_environment(options: &Options) -> Option<String> {
    let name = "CCC_OVERRIDE_OPTIONS";
    let edit = unfit_override(variable(options, name)?.to_str()?)?;
    Some(format!("`{name}` says `{edit}`"))
}

/// The variables that clang heeds, as far as they are set; nothing else of the environment reaches
/// a hermetic job.
fn template(options: &Options) -> ActionTemplate {
    let mut environment: Vec<(String, String)> = HEEDED
        .iter()
        .filter_map(|name| {
            Some((
                (*name).to_owned(),
                variable(options, name)?.to_str()?.to_owned(),
            ))
        })
        .collect();
    environment.sort();
    ActionTemplate {
        function: DigestFunction::Sha256,
        old_outputs: false,
        platform: Vec::new(),
        salt: options.salt.clone(),
        environment,
    }
}
