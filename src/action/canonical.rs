//! The canonical form of a job: names that do not depend on who links where, and a shard to match.
//!
//! lld puts its process id into the names of shards, objects and extracted archive members, and the
//! shard holds the module names. So modules are named by their rank in the byte order of their real
//! names. That keeps the order in which clang imports, and the same bitcode gives the same Action
//! for another process id, directory, user or spelling. A job whose real names matter has no
//! canonical form; then the reason is returned.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::arguments::{Argument, Meaning};
use super::file_table::FileTable;
use super::kind::{Format, OutputKind, Processor, format_of, processor, required_kind};
use super::{INDEX, arguments, split_dwarf};
use crate::client_context::ClientContext;
use crate::job::{Caller, Job};
use crate::thinlto::{Form, Index, RewriteError};

/// A job that can run anywhere.
#[derive(Debug, Clone)]
pub struct CanonicalJob {
    /// The arguments after the compiler and its configuration.
    pub arguments: Vec<String>,
    pub shard: Bytes,
    /// Whether the summaries are in canonical order too.
    pub form: Form,
    /// All inputs except the shard: modules first, by rank, then the files that arguments name.
    pub files: Vec<NamedFile>,
    pub outputs: Vec<NamedOutput>,
    pub kind: OutputKind,
    pub processor: Processor,
}

/// An input and its canonical name. Jobs share the texts ([`FileTable`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    pub tree_path: Arc<str>,
    /// As the job spells it.
    pub name: Arc<str>,
    pub host: Arc<Path>,
}

/// An output and its canonical name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOutput {
    pub tree_path: String,
    /// As the job spells it.
    pub name: String,
    pub host: PathBuf,
}

/// A job with a canonical form, or the reason why it has to run as lld would run it.
#[derive(Debug)]
pub enum Canonical {
    Hermetic(Box<CanonicalJob>),
    InPlace(NoCanonicalForm),
}

/// Why a job needs its real names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoCanonicalForm {
    /// The argument that asks for it, for the summary.
    pub cause: String,
    pub reason: String,
}

impl NoCanonicalForm {
    fn new(cause: impl Into<String>, reason: String) -> Self {
        Self {
            cause: cause.into(),
            reason,
        }
    }

    /// Because `argument` is what `reason` says.
    fn of(argument: &Argument<'_>, reason: &str) -> Self {
        let spelling = argument.words.join(" ");
        let reason = format!("`{spelling}` {reason}");
        Self::new(spelling, reason)
    }
}

/// Gives `job` canonical names.
///
/// `words` are all arguments after the compiler, with response files expanded and machine-dependent
/// arguments replaced by what they mean here. `target` is the triple to compile for where `words`
/// name none. Without an `index` the module is compiled by itself. `table` finds the job's files on
/// this machine.
///
/// # Errors
/// The shard cannot be rewritten.
pub fn canonical(
    caller: Caller,
    job: &Job,
    words: &[String],
    target: &str,
    index: Option<&Index<'_>>,
    table: &FileTable,
) -> Result<Canonical, RewriteError> {
    let parsed = arguments::parse(words);
    let target = arguments::target(&parsed).unwrap_or(target);
    let outputs = match outputs(caller, job, &parsed, target, table.context()) {
        Ok(outputs) => outputs,
        Err(reason) => return Ok(Canonical::InPlace(reason)),
    };
    let paths = module_paths(job, index);
    let names = module_names(&paths);
    let mut naming = Naming::new(job, &paths, &names, &outputs, table.context());
    let mut renamed = Vec::with_capacity(words.len());
    if asks_for_cfi(&parsed) {
        renamed.push(NO_DEFAULT_IGNORELIST.to_owned());
    }
    if !parsed.iter().any(|it| it.meaning == Meaning::Output) {
        renamed.extend(["-o".to_owned(), outputs[0].tree_path.clone()]);
    }
    for argument in arguments::reaching(&parsed) {
        match naming.rename(argument) {
            Ok(words) => renamed.extend(words),
            Err(reason) => return Ok(Canonical::InPlace(reason)),
        }
    }
    let (shard, form) = match index {
        Some(index) => {
            let known = &names[..index.modules().len()];
            let rewritten = index.rewrite(known)?;
            (rewritten.bytes.into(), rewritten.form)
        }
        None => (Bytes::new(), Form::Canonical),
    };
    let modules = names.iter().map(String::as_str);
    let modules = modules.zip(paths.iter().map(|path| String::from_utf8_lossy(path)));
    let mut files = table.named(modules);
    files.sort_unstable_by(|a, b| a.tree_path.cmp(&b.tree_path));
    let extra = naming.extra.iter();
    files.extend(table.named(extra.map(|(path, name)| (path.as_str(), name.into()))));
    Ok(Canonical::Hermetic(Box::new(CanonicalJob {
        arguments: renamed,
        shard,
        form,
        files,
        outputs,
        kind: required_kind(&parsed, target),
        processor: processor(&parsed, target),
    })))
}

/// Keeps clang from looking for the lists of the sanitizers' own exceptions, which only the front end heeds.
/// The lists that arguments behind it name stay.
const NO_DEFAULT_IGNORELIST: &str = "-fno-sanitize-ignorelist";

/// Whether clang looks for a list of exceptions and fails without: the others it only reads if it finds them.
fn asks_for_cfi(arguments: &[Argument<'_>]) -> bool {
    let mut words = arguments.iter().map(|it| it.words[0].as_str());
    words.any(|word| {
        let list = word.strip_prefix("-fsanitize=");
        list.is_some_and(|list| list.split(',').any(|name| name.starts_with("cfi")))
    })
}

/// The modules in the order of the shard, then the job's own module if the shard does not list it.
fn module_paths<'a>(job: &'a Job, index: Option<&'a Index<'_>>) -> Vec<&'a [u8]> {
    let listed = index.map(Index::modules).unwrap_or_default();
    let mut paths: Vec<&[u8]> = listed.iter().map(|entry| &entry.path[..]).collect();
    if !paths.contains(&job.module().as_bytes()) {
        paths.push(job.module().as_bytes());
    }
    paths
}

/// How all names in an action begin that relto chooses.
const ROOT: &str = "relto/";

/// How the names of modules begin.
const MODULES: &str = "relto/m/";

/// Whether an output names a module or the shard as only an action does. Where clang alone compiles, the
/// user's own names would stand there: whatever option asks for that, such a job has to run in place.
#[must_use]
pub fn holds_canonical_names(output: &[u8]) -> bool {
    // Cached objects are searched in every link, so once for both.
    let mut places = memmem::find_iter(output, ROOT.as_bytes());
    places.any(|at| {
        [MODULES, INDEX]
            .iter()
            .any(|name| output[at..].starts_with(name.as_bytes()))
    })
}

/// One name per module, in the same order. All names have the same length, so that they sort by
/// rank.
fn module_names(paths: &[&[u8]]) -> Vec<String> {
    let mut by_path: Vec<usize> = (0..paths.len()).collect();
    by_path.sort_by_key(|&number| paths[number]);
    let width = by_path.len().saturating_sub(1).to_string().len().max(4);
    let mut names = vec![String::new(); by_path.len()];
    for (rank, number) in by_path.into_iter().enumerate() {
        names[number] = format!("{MODULES}{rank:0width$}.bc");
    }
    names
}

/// The job's outputs and their names in the Action, or the reason why no Action can describe them.
///
/// The object can contain the names of outputs (`-gsplit-dwarf`), which also decide the names of
/// further files: such a job keeps its real names. Names that lld invents differ in every link.
fn outputs(
    caller: Caller,
    job: &Job,
    arguments: &[Argument<'_>],
    target: &str,
    context: &ClientContext,
) -> Result<Vec<NamedOutput>, NoCanonicalForm> {
    let cause = || {
        let asks = |it: &&Argument<'_>| it.meaning == Meaning::ExtraOutput;
        let argument = arguments.iter().rev().find(asks);
        argument.map_or_else(String::new, |it| it.words.join(" "))
    };
    let extra = arguments::extra_outputs(arguments, job.object());
    let real_names = !extra.is_empty() || arguments::names_its_output(arguments);
    if let Some(file) = extra.iter().find(|file| !job.outputs.contains(file)) {
        let mut reason =
            format!("it also writes `{file}`, whose name is in the object or not in the job");
        if caller == Caller::Linker && split_dwarf::is_dwo_name(file) {
            reason.push_str("; `dwo_dir` gives it a name that is the same in every link");
        }
        return Err(NoCanonicalForm::new(cause(), reason));
    }
    if names_its_remarks(arguments, target) {
        let reason = "the object contains the path of the optimization record".to_owned();
        return Err(NoCanonicalForm::new(cause(), reason));
    }
    if real_names && caller == Caller::Linker {
        let reason = format!("the object contains the name `{}`", job.object());
        return Err(NoCanonicalForm::new(cause(), reason));
    }
    let mut outputs = Vec::with_capacity(job.outputs.len());
    for (number, name) in job.outputs.iter().enumerate() {
        let tree_path = match real_names {
            false => output_name(number),
            true if is_inside_the_root(name) => name.clone(),
            true => {
                let reason = format!("the name `{name}` matters, and is not below the directory");
                return Err(NoCanonicalForm::new(cause(), reason));
            }
        };
        outputs.push(NamedOutput {
            tree_path,
            name: name.clone(),
            host: context.resolve(name),
        });
    }
    Ok(outputs)
}

/// Whether the object says where the optimization record is: those for Apple do, whose linker collects
/// them, others if LLVM is told to.
fn names_its_remarks(arguments: &[Argument<'_>], target: &str) -> bool {
    let has = |text: &str| {
        let mut words = arguments.iter().flat_map(|it| it.words);
        words.any(|word| word.contains(text))
    };
    has("optimization-record") && (format_of(target) == Format::MachO || has("remarks-section"))
}

/// Whether a path names the same file in the input root as in the job's directory.
fn is_inside_the_root(name: &str) -> bool {
    let parts = || name.split('/');
    parts().all(|part| !["", ".", ".."].contains(&part)) && parts().next() != Some("relto")
}

fn output_name(number: usize) -> String {
    match number {
        0 => "relto/out.o".to_owned(),
        more => format!("relto/out.{more}"),
    }
}

/// The renaming of one job's arguments.
struct Naming<'a> {
    job: &'a Job,
    outputs: &'a [NamedOutput],
    modules: HashMap<&'a [u8], &'a str>,
    context: &'a ClientContext,
    /// Canonical names of the files that arguments name, and the job's own.
    extra: Vec<(String, String)>,
}

impl<'a> Naming<'a> {
    fn new(
        job: &'a Job,
        paths: &[&'a [u8]],
        names: &'a [String],
        outputs: &'a [NamedOutput],
        context: &'a ClientContext,
    ) -> Self {
        let names = names.iter().map(String::as_str);
        Self {
            job,
            outputs,
            modules: paths.iter().copied().zip(names).collect(),
            context,
            extra: Vec::new(),
        }
    }

    /// The words for `argument` in the Action, or why it needs the real names.
    fn rename(&mut self, argument: &Argument<'_>) -> Result<Vec<String>, NoCanonicalForm> {
        let value = argument.value.unwrap_or_default();
        match argument.meaning {
            Meaning::Plain
            | Meaning::FrontEnd { .. }
            | Meaning::OutputKind
            | Meaning::Language
            | Meaning::Target
            // Writes no file; otherwise [`canonical`] returned before.
            | Meaning::ExtraOutput => Ok(argument.words.to_vec()),
            Meaning::Output => self.rename_output(argument, value),
            Meaning::Index if value == self.job.index() => Ok(argument.with_value(INDEX)),
            Meaning::Index => Err(NoCanonicalForm::of(argument, "is not the job's own index")),
            Meaning::Input => self.rename_input(value),
            Meaning::InputFile => Ok(self.rename_input_file(argument)),
            Meaning::Plugin => {
                Err(NoCanonicalForm::of(argument, "loads a library into the compiler"))
            }
            Meaning::Config | Meaning::Machine | Meaning::ResponseFile => {
                Err(NoCanonicalForm::of(argument, "means something else on other machines"))
            }
            Meaning::InPlace(reason) => Err(NoCanonicalForm::of(argument, reason)),
        }
    }

    fn rename_output(
        &self,
        argument: &Argument<'_>,
        value: &str,
    ) -> Result<Vec<String>, NoCanonicalForm> {
        let output = self.outputs.iter().find(|output| output.name == value);
        let Some(output) = output else {
            let reason = "writes a file that the job does not list";
            return Err(NoCanonicalForm::of(argument, reason));
        };
        Ok(argument.with_value(&output.tree_path))
    }

    fn rename_input(&self, value: &str) -> Result<Vec<String>, NoCanonicalForm> {
        let Some(name) = self.modules.get(value.as_bytes()) else {
            let reason =
                format!("`{value}` is neither an option that relto knows nor an input of the job");
            return Err(NoCanonicalForm::new(value, reason));
        };
        Ok(vec![(*name).to_owned()])
    }

    fn rename_input_file(&mut self, argument: &Argument<'_>) -> Vec<String> {
        let is_dir = |path: &str| self.context.resolve(path).is_dir();
        let Some(file) = argument.file(is_dir).filter(|file| !file.is_empty()) else {
            return argument.words.to_vec();
        };
        let known = self.extra.iter().find(|(_, name)| *name == file);
        let tree_path = if let Some((tree_path, _)) = known {
            tree_path.clone()
        } else {
            let tree_path = format!("relto/f/{:04}", self.extra.len());
            self.extra.push((tree_path.clone(), file));
            tree_path
        };
        argument.with_value(&tree_path)
    }
}
