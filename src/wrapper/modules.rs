//! Makes a job of each module that the thin link chose.
//!
//! A compiler opens files, so members of archives and the bitcode of FatLTO objects become files in
//! the scratch directory. As soon as there is one, all modules get names there, in the order of the
//! linker's own names for them: backends process imports in the order of names, and so does the key
//! of a job, and neither may depend on where the scratch directory is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::memmem;

use super::inputs::LinkInputs;
use super::source::ModuleSource;
use super::thin_link::{Chosen, ThinLinkResult};
use super::{LinkPlan, Refusal, Release, base, in_parallel, text};
use crate::fs::read_regular;
use crate::job::{Caller, Job, JobFile};
use crate::thinlto::{Index, names_processors};

const MODULES: &str = "m";
const OBJECTS: &str = "o";

/// The modules of a link, in its order.
#[derive(Debug)]
pub(super) struct Modules {
    all: Vec<Module>,
}

#[derive(Debug)]
struct Module {
    /// The linker's name for it.
    name: String,
    source: ModuleSource,
    /// What the compiler opens.
    path: String,
    shard: PathBuf,
    imports: Vec<String>,
    object: PathBuf,
    triple: String,
}

impl Modules {
    pub(super) fn find(
        inputs: &LinkInputs,
        thin: &ThinLinkResult,
        scratch: &Path,
    ) -> Result<Self, Refusal> {
        let objects = scratch.join(OBJECTS);
        let unwritable = |error| Refusal::unwritable(scratch, &error);
        fs::create_dir_all(&objects).map_err(unwritable)?;
        let sources = thin
            .modules
            .iter()
            .map(|it| ModuleSource::find(inputs, &it.name));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = thin.modules.iter().map(|it| &it.name[..]).collect();
        let renamed = sources
            .iter()
            .any(|source| !matches!(source, ModuleSource::File(_)));
        let paths = if renamed {
            rename(&names, &sources, &scratch.join(MODULES))?
        } else {
            names.iter().map(|&name| name.to_owned()).collect()
        };
        let known: BTreeMap<&str, &str> = names
            .iter()
            .copied()
            .zip(paths.iter().map(|it| &it[..]))
            .collect();
        let parts: Vec<_> = thin
            .modules
            .iter()
            .zip(&sources)
            .zip(&paths)
            .enumerate()
            .collect();
        let made = in_parallel(&parts, |(number, ((chosen, source), path))| {
            let object = format!("{number:06}.{}.o", stem(&chosen.name));
            let imports = imports(chosen, &known, renamed)?;
            Ok(Module {
                name: chosen.name.clone(),
                source: (*source).clone(),
                path: (*path).clone(),
                shard: chosen.shard.clone(),
                imports,
                object: objects.join(object),
                triple: source.triple()?,
            })
        })?;
        Ok(Self { all: made })
    }

    /// The jobs of `plan`, for `compiler` of `release`.
    pub(super) fn job_file(
        &self,
        plan: &LinkPlan,
        compiler: &Path,
        release: &Release,
    ) -> Result<JobFile, Refusal> {
        let first = self.all.first().map_or("", |module| &module.triple[..]);
        let nameless = self.has_nameless(plan)?;
        let mut common_arguments = vec![text(compiler)?];
        if !self.all.is_empty() {
            let words = plan
                .backend
                .arguments(first, plan.flavour, release, nameless);
            common_arguments.extend(words?);
        }
        for other in self.all.iter().map(|module| &module.triple[..]) {
            if other != first {
                plan.backend
                    .check_same(first, other, plan.flavour, release, nameless)?;
            }
        }
        let jobs = self.all.iter().map(|module| module.job(plan, first));
        Ok(JobFile {
            caller: Caller::Linker,
            linker_output: plan.output().to_owned(),
            common_arguments,
            common_inputs: plan.backend.inputs(),
            jobs: jobs.collect::<Result<_, _>>()?,
            unknown_keys: Vec::new(),
        })
    }

    /// Whether a module has functions that name no processor, as far as that matters. Such a function
    /// may be imported by any other module.
    fn has_nameless(&self, plan: &LinkPlan) -> Result<bool, Refusal> {
        let matters = |module: &&Module| {
            let backend = &plan.backend;
            backend.depends_on_nameless(&module.triple, plan.flavour)
        };
        let modules: Vec<&Module> = self.all.iter().filter(matters).collect();
        let named = in_parallel(&modules, |module| {
            Ok(names_processors(&module.source.bitcode()?))
        })?;
        Ok(named.contains(&false))
    }

    /// The objects, and the archive that each one's module is from.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&Path, Option<&str>)> {
        let objects = self.all.iter();
        objects.map(|module| (&*module.object, module.source.archive()))
    }

    /// The linker's names for the modules.
    pub(super) fn linker_names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|module| &module.name[..])
    }

    pub(super) fn names(&self, scratch: &Path) -> Names {
        let names = self.all.iter().map(|it| (it.path.clone(), it.name.clone()));
        Names {
            prefix: format!("{}/{MODULES}/", scratch.display()),
            names: names.filter(|(path, name)| path != name).collect(),
        }
    }
}

impl Module {
    fn job(&self, plan: &LinkPlan, common_triple: &str) -> Result<Job, Refusal> {
        let (shard, object) = (text(&self.shard)?, text(&self.object)?);
        let mut arguments = Vec::new();
        if self.triple != common_triple {
            arguments.push(format!("--target={}", self.triple));
        }
        if plan.backend.depends_on_module() {
            let pic = has_pic_level(&self.source.bitcode()?);
            arguments.push(if pic { "-fpic" } else { "-fno-pic" }.to_owned());
        }
        arguments.extend([
            self.path.clone(),
            format!("-fthinlto-index={shard}"),
            "-o".to_owned(),
            object.clone(),
        ]);
        let mut inputs = vec![self.path.clone(), shard];
        inputs.extend_from_slice(&self.imports);
        Ok(Job {
            arguments,
            inputs,
            outputs: vec![object],
        })
    }
}

/// Whether the module has the flag that says how it was compiled. Only code that was compiled to be
/// position-independent has it.
fn has_pic_level(bitcode: &[u8]) -> bool {
    const FLAG: &[u8] = b"PIC Level";
    memmem::find(bitcode, FLAG).is_some()
}

/// Puts all modules below `dir`; returns their new names, which sort like the old ones.
fn rename(names: &[&str], sources: &[ModuleSource], dir: &Path) -> Result<Vec<String>, Refusal> {
    let mut by_name: Vec<usize> = (0..names.len()).collect();
    by_name.sort_by_key(|&number| names[number]);
    let mut ranks = vec![0; names.len()];
    for (rank, number) in by_name.into_iter().enumerate() {
        ranks[number] = rank;
    }
    let modules: Vec<_> = names.iter().zip(sources).zip(ranks).collect();
    in_parallel(&modules, |((name, source), rank)| {
        let place = dir.join(format!("{rank:06}"));
        let path = place.join(base(name));
        let put = || {
            fs::create_dir_all(&place)?;
            match source.file() {
                Some(file) => fs_err::os::unix::fs::symlink(std::path::absolute(file)?, &path),
                None => Ok(()),
            }
        };
        put().map_err(|error| Refusal::unwritable(&path, &error))?;
        if source.file().is_none() {
            fs::write(&path, source.bitcode()?)
                .map_err(|error| Refusal::unwritable(&path, &error))?;
        }
        text(&path)
    })
}

/// The modules that `chosen` imports from, by the names that the compiler opens. Its shard is
/// rewritten where these are not the linker's.
fn imports(
    chosen: &Chosen,
    known: &BTreeMap<&str, &str>,
    renamed: bool,
) -> Result<Vec<String>, Refusal> {
    let shard = &chosen.shard;
    let bytes = read_regular(shard).map_err(|error| Refusal::unreadable(shard, &error))?;
    let wrong = |reason: String| Refusal::new(format!("the index of `{}`: {reason}", chosen.name));
    let index = Index::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    let mut names = Vec::with_capacity(index.modules().len());
    for entry in index.modules() {
        let name = std::str::from_utf8(&entry.path)
            .ok()
            .filter(|_| !entry.damaged);
        let name = name.and_then(|name| known.get_key_value(name));
        let lossy = String::from_utf8_lossy(&entry.path);
        names.push(
            *name
                .ok_or_else(|| wrong(format!("it names `{lossy}` wrongly")))?
                .1,
        );
    }
    if renamed {
        let rewritten = index
            .rewrite(&names)
            .map_err(|error| wrong(error.to_string()))?;
        fs::write(shard, rewritten.bytes).map_err(|error| Refusal::unwritable(shard, &error))?;
    }
    let own = known.get(&chosen.name[..]).copied();
    let imports = names.into_iter().filter(|name| Some(*name) != own);
    Ok(imports.map(str::to_owned).collect())
}

/// `lib/libx.a(dir/y.o at 96)` gives `y`.
fn stem(name: &str) -> String {
    let member = name.rsplit('(').next().unwrap_or(name);
    let file = base(member);
    let stem = file.split('.').next().unwrap_or_default();
    let kept = stem
        .chars()
        .filter(|it| it.is_ascii_alphanumeric() || *it == '_');
    kept.take(40).collect()
}

/// What the user calls the modules that have names in the scratch directory.
#[derive(Debug, Clone, Default)]
pub struct Names {
    prefix: String,
    names: BTreeMap<String, String>,
}

impl Names {
    /// The user's name for each module, by its path.
    #[must_use]
    pub fn by_path(&self) -> &BTreeMap<String, String> {
        &self.names
    }

    /// `text` with the user's names.
    #[must_use]
    pub fn restored(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&self.prefix).filter(|_| !self.names.is_empty()) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let known = self
                .names
                .iter()
                .find(|(path, _)| rest.starts_with(&path[..]));
            let (shown, taken) = match known {
                Some((path, name)) => (&name[..], path.len()),
                None => (&self.prefix[..], self.prefix.len()),
            };
            out.push_str(shown);
            rest = &rest[taken..];
        }
        out.push_str(rest);
        out
    }
}
