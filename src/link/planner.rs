//! Prepares one job of the job file: checked, canonical, digested.
//!
//! Several threads plan at once, so that reading and hashing keep all cores busy while the linker
//! waits.

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::canonical::{Canonical, CanonicalJob, canonical};
use crate::action::coff::{may_ask_for_codeview, may_have_codeview};
use crate::action::file_table::FileTable;
use crate::action::guard::{Unsound, check_module, check_names};
use crate::action::kind::{OutputKind, required_kind};
use crate::action::machine_defaults::{asks_a_multilib, asks_an_sdk, asks_cuda, depends_on_gcc};
use crate::action::{Action, arguments, split_dwarf};
use crate::client_context::ClientContext;
use crate::compiler::ResolvedToolchain;
use crate::digest::DigestFunction;
use crate::error::Hinted;
use crate::events::Events;
use crate::exec::{Hermetic, InPlaceReason, PlannedForm};
use crate::fs::read_regular;
use crate::hash_cache::{FileFacts, HashCache};
use crate::job::{Caller, Job, JobFile};
use crate::thinlto::{Form, Index, ModuleFacts, module};

/// Why a job must not run at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot compile `{module}`")]
pub struct PlanError {
    pub module: String,
    #[source]
    pub source: Unsound,
}

impl Hinted for PlanError {
    fn hints(&self) -> Vec<String> {
        self.source.hints()
    }
}

/// Modules of a job, by the name that it gives them, each with its digest without the name of the
/// source file.
type KnownFiles<'j> = HashMap<&'j str, (Arc<FileFacts>, [u8; 16])>;

/// What the modules of a job say.
#[derive(Debug)]
struct CheckedModules<'j> {
    known: KnownFiles<'j>,
    /// How long the job takes: its module is compiled whole, of an import only a part.
    bytes: u64,
    /// One may hold debug information in the form of Windows.
    codeview: bool,
    random_tokens: bool,
    /// See [`ModuleFacts::lacks_processors`].
    lacks_processors: bool,
}

impl<'j> CheckedModules<'j> {
    fn add(&mut self, name: &'j str, known: Arc<FileFacts>, facts: &ModuleFacts) {
        self.codeview |= facts.codeview;
        self.random_tokens |= facts.random_tokens;
        self.lacks_processors |= facts.lacks_processors;
        self.known.insert(name, (known, facts.sourceless));
    }
}

/// What planning needs to know of the link.
#[derive(Debug)]
pub struct Planner<'a> {
    pub file: &'a JobFile,
    /// Shared by all planners of a link.
    pub files: &'a FileTable,
    pub toolchain: &'a ResolvedToolchain,
    pub hash_cache: &'a HashCache,
    pub events: &'a Events,
    pub client_context: &'a ClientContext,
    /// Where the `.dwo` files of the linker's jobs are, if they have any.
    pub dwo_dir: Option<&'a str>,
}

/// A job whose inputs are sound.
#[derive(Debug)]
pub struct Checked {
    pub form: PlannedForm,
    pub kind: OutputKind,
    pub names_intermediate_files: bool,
    /// What the compiler reads, weighted.
    pub bytes: u64,
    /// For a job with a key, the digest of each input that is a module, without the name of its
    /// source file.
    pub sourceless: Vec<Option<[u8; 16]>>,
}

impl Planner<'_> {
    /// What the job is to write, as far as its arguments tell: those of a response file that cannot
    /// be read do not.
    fn kind(&self, job: &Job) -> OutputKind {
        let words = self.toolchain.arguments(&job.arguments);
        let words = words.unwrap_or_else(|_| {
            self.file
                .command_line(job)
                .skip(1)
                .map(str::to_owned)
                .collect()
        });
        let parsed = arguments::parse(&words);
        required_kind(
            &parsed,
            arguments::target(&parsed).unwrap_or(self.toolchain.target()),
        )
    }

    /// Whether the job's arguments ask clang for intermediate files. Those that are not understood may.
    fn may_name_intermediate_files(&self, job: &Job) -> bool {
        let Ok(words) = self.toolchain.arguments(&job.arguments) else {
            return true;
        };
        let asks = |word: &String| {
            let is_file = word.starts_with('@') || word.starts_with("--config");
            is_file || word.starts_with('-') && word.contains("save-temps")
        };
        words.iter().any(asks)
    }

    /// Checks `job` and gives it its canonical form. Looks into no cache.
    ///
    /// # Errors
    /// The job must not run: its object would be wrong.
    pub fn plan(&self, job: &Job) -> Result<Checked, Unsound> {
        let caller = self.file.caller;
        let shard = self.read_shard(job.index())?;
        let index = match &shard[..] {
            [] => None,
            shard => Some(Index::parse(shard).map_err(|source| Unsound::Index {
                name: job.index().to_owned(),
                source,
            })?),
        };
        if let Some(index) = &index {
            check_names(caller, job, index)?;
        }
        let modules = self.check_modules(job, index.as_ref())?;
        let form = match self.hermetic_form(job, index.as_ref(), &modules.known)? {
            Ok(hermetic) => match self.reason_in_modules(&hermetic, &modules) {
                Some(reason) => PlannedForm::InPlace(reason),
                None => PlannedForm::Hermetic(Box::new(hermetic)),
            },
            Err(reason) => PlannedForm::InPlace(reason),
        };
        let sourceless = match &form {
            PlannedForm::Hermetic(hermetic) => {
                let names = hermetic.job.files.iter().map(|file| &*file.name);
                let found = names.map(|name| modules.known.get(name).map(|(_, digest)| *digest));
                found.collect()
            }
            PlannedForm::InPlace(_) => Vec::new(),
        };
        Ok(Checked {
            form,
            kind: self.kind(job),
            names_intermediate_files: self.may_name_intermediate_files(job),
            bytes: modules.bytes,
            sourceless,
        })
    }

    /// Why a job with these modules has to run in place: its object gets debug information for Windows,
    /// or clang's driver chooses features for functions that name none.
    fn reason_in_modules(
        &self,
        hermetic: &Hermetic,
        modules: &CheckedModules<'_>,
    ) -> Option<InPlaceReason> {
        let parsed = arguments::parse(&hermetic.job.arguments);
        let target = arguments::target(&parsed).unwrap_or(self.toolchain.target());
        let asks = || modules.codeview || may_ask_for_codeview(&parsed);
        if may_have_codeview(target) && asks() {
            return Some(InPlaceReason::CodeView);
        }
        if modules.random_tokens {
            return Some(InPlaceReason::RandomTokens);
        }
        let depends = modules.lacks_processors && depends_on_gcc(&parsed, target);
        depends.then_some(InPlaceReason::Gcc)
    }

    /// The inner error says why the job has to run in place.
    fn hermetic_form(
        &self,
        job: &Job,
        index: Option<&Index<'_>>,
        known: &KnownFiles<'_>,
    ) -> Result<Result<Hermetic, InPlaceReason>, Unsound> {
        let arguments = match self.toolchain.arguments(&job.arguments) {
            Ok(arguments) => arguments,
            Err(reason) => return Ok(Err(InPlaceReason::Link(reason))),
        };
        if is_too_long(&arguments) {
            return Ok(Err(InPlaceReason::TooLong));
        }
        let (caller, target) = (self.file.caller, self.toolchain.target());
        let environment = &self.toolchain.template().environment;
        if asks_an_sdk(&arguments, target, environment) {
            return Ok(Err(InPlaceReason::Sdk));
        }
        if asks_a_multilib(&arguments, target, self.toolchain.has_runtimes()) {
            return Ok(Err(InPlaceReason::Multilib));
        }
        if asks_cuda(&arguments, target) {
            return Ok(Err(InPlaceReason::Cuda));
        }
        let dwo_dir = self.dwo_dir.filter(|_| caller == Caller::Linker);
        let split = dwo_dir.and_then(|dir| {
            let parsed = arguments::parse(&arguments);
            let target = arguments::target(&parsed).unwrap_or(target);
            let kind = required_kind(&parsed, target);
            Some((split_dwarf::without_driver_options(&arguments, kind)?, dir))
        });
        let (arguments, dwo_dir) = match split {
            Some((arguments, dir)) => (arguments, Some(dir)),
            None => (arguments, None),
        };
        let form = canonical(caller, job, &arguments, target, index, self.files);
        let form = form.map_err(|source| Unsound::Rewrite {
            name: job.index().to_owned(),
            source,
        })?;
        Ok(match form {
            Canonical::Hermetic(canonical) => self.hermetic(*canonical, known, dwo_dir),
            Canonical::InPlace(reason) => Err(reason.into()),
        })
    }

    /// Checks every module that the job reads.
    fn check_modules<'j>(
        &self,
        job: &'j Job,
        index: Option<&'j Index<'_>>,
    ) -> Result<CheckedModules<'j>, Unsound> {
        let entries = index.map(Index::modules).unwrap_or_default();
        let mut checked = CheckedModules {
            known: KnownFiles::with_capacity(entries.len() + 1),
            bytes: 0,
            codeview: false,
            random_tokens: false,
            lacks_processors: false,
        };
        // A module that is skipped, or compiled by itself, has no entry.
        let own = job.module().as_bytes();
        if !entries.iter().any(|entry| entry.path == own) {
            let known = self.module(job.module())?;
            let facts = self.module_facts(job.module(), &known)?;
            checked.bytes += known.identity.size;
            checked.add(job.module(), known, &facts);
        }
        for entry in entries {
            let name = std::str::from_utf8(&entry.path)
                .expect("it equals a name of the job, which is text");
            let known = self.module(name)?;
            if known.identity.size == 0 {
                return Err(Unsound::Empty {
                    name: name.to_owned(),
                });
            }
            let facts = self.module_facts(name, &known)?;
            check_module(job.index(), entry, &facts)?;
            checked.bytes += if name == job.module() {
                known.identity.size
            } else {
                known.identity.size / 8
            };
            checked.add(name, known, &facts);
        }
        Ok(checked)
    }

    fn module(&self, name: &str) -> Result<Arc<FileFacts>, Unsound> {
        self.hash_cache
            .facts(
                &self.client_context.resolve(name),
                DigestFunction::Sha256,
                Some(&module_note),
            )
            .map_err(|source| Unsound::Unreadable {
                name: name.to_owned(),
                source,
            })
    }

    fn module_facts(&self, name: &str, known: &FileFacts) -> Result<ModuleFacts, Unsound> {
        if let Some(facts) = known.note.as_deref().and_then(ModuleFacts::decode) {
            return Ok(facts);
        }
        module::facts(&self.read(name)?).map_err(|source| Unsound::Module {
            name: name.to_owned(),
            source,
        })
    }

    /// An empty shard means that the module is compiled by itself, where a build system says so;
    /// from lld it is a fault.
    fn read_shard(&self, name: &str) -> Result<Vec<u8>, Unsound> {
        let shard = self.read(name)?;
        if shard.is_empty() && self.file.caller == Caller::Linker {
            return Err(Unsound::Empty {
                name: name.to_owned(),
            });
        }
        Ok(shard)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unsound> {
        read_regular(self.client_context.resolve(name)).map_err(|source| Unsound::Unreadable {
            name: name.to_owned(),
            source,
        })
    }

    /// Digests the files of a canonical job. What it means that a file cannot be read which an
    /// argument names is for the compiler to say.
    fn hermetic(
        &self,
        mut job: CanonicalJob,
        known: &KnownFiles<'_>,
        dwo_dir: Option<&str>,
    ) -> Result<Hermetic, InPlaceReason> {
        if let Form::NamesOnly(obstacle) = &job.form {
            self.events.note(format!(
                "a shard keeps lld's order, so another link may miss the cache: {obstacle}"
            ));
        }
        let mut digests = Vec::with_capacity(job.files.len());
        let mut all = Vec::with_capacity(job.files.len());
        for file in &job.files {
            let looked_up = || {
                self.hash_cache
                    .facts(&file.host, DigestFunction::Sha256, None)
            };
            let facts = match known.get(&*file.name) {
                Some((facts, _)) => Arc::clone(facts),
                None => looked_up().map_err(|error| InPlaceReason::Input(error.to_string()))?,
            };
            digests.push(facts.digest);
            all.push(facts);
        }
        if dwo_dir.is_some() {
            split_dwarf::request(&mut job);
        }
        let (template, tree) = (self.toolchain.template(), self.toolchain.tree());
        let mut action = Action::new(template, tree, &job, &digests);
        let mut worker_action = self
            .toolchain
            .worker()
            .map(|worker| Action::new(&worker.template, &worker.tree, &job, &digests));
        if let Some(dir) = dwo_dir {
            // Another compiler writes another file, which must have another name.
            let unnamed = worker_action.as_ref().unwrap_or(&action).digest();
            split_dwarf::name(&mut job, dir, &unnamed, self.client_context);
            action = action.with_command_of(template, tree, &job);
            worker_action = worker_action
                .zip(self.toolchain.worker())
                .map(|(action, worker)| {
                    action.with_command_of(&worker.template, &worker.tree, &job)
                });
        }
        action.directories = Vec::new();
        action.files = Vec::new();
        Ok(Hermetic {
            job,
            action,
            facts: all,
            worker_key: worker_action.map(|action| action.digest()),
            slice: None,
        })
    }
}

/// Whether a worker may be unable to start a command with these arguments. Linux takes words of up
/// to 128 KiB, and a quarter of the stack limit for all of them with their pointers, often 2 MiB; a
/// few are left for the words that relto adds.
fn is_too_long(arguments: &[String]) -> bool {
    const LONGEST_WORD: usize = 127 << 10;
    const LONGEST_LINE: usize = 1 << 20;
    let pointer = size_of::<usize>();
    let whole: usize = arguments.iter().map(|it| it.len() + 1 + pointer).sum();
    whole > LONGEST_LINE || arguments.iter().any(|word| word.len() > LONGEST_WORD)
}

/// What is remembered of a module beside its digest; empty for other files.
#[must_use]
pub fn module_note(bytes: &[u8]) -> Vec<u8> {
    module::facts(bytes)
        .map(|facts| facts.encode())
        .unwrap_or_default()
}
