//! Takes a link apart into three steps: a thin link, backends as jobs, a final link.
//!
//! This is for linkers without a distributor interface: every lld before LLVM 21, `wasm-ld` and
//! `ld64.lld` in all releases. The thin link (`--thinlto-index-only`) decides what the linker's own
//! LTO would decide: which modules and which members of archives take part, and what each module
//! imports. The jobs are those of a DTLTO link. The final link gets the same native files in the
//! same order, then the objects of the modules, where the linker's own LTO would put them.
//!
//! Anything that is not understood is a [`Refusal`]: the linker then does the link alone, because a
//! slow link is better than a wrong program. The caller starts processes and runs the jobs.

mod archive;
mod assigned;
mod backend;
mod comdat;
mod command_line;
mod decision;
mod final_link;
mod inputs;
mod jobs;
mod kind;
mod linker;
mod messages;
mod modules;
mod natives;
mod resolution;
mod roots;
mod script;
mod source;
mod thin_link;

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::Hinted;
use crate::fs;
use crate::task;

pub use archive::Archive;
pub use decision::{LinkDecision, decide};
pub use final_link::FinalLink;
pub use jobs::Jobs;
pub use linker::{Flavour, LinkerWords, Release, compiler_beside, linker_behind, masked};
pub use messages::has_undefined_symbols;
pub use modules::Names;
pub use resolution::SymbolResolver;

/// Why a link is left to the linker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot read `{}`: {error}", path.display()))
    }

    fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot write `{}`: {error}", path.display()))
    }
}

impl Hinted for Refusal {}

/// A link that can be made in three steps.
#[derive(Debug)]
pub struct LinkPlan {
    items: Vec<command_line::Item>,
    inputs: inputs::LinkInputs,
    backend: backend::BackendFlags,
    flavour: Flavour,
}

impl LinkPlan {
    /// `None` if there is no ThinLTO module among the inputs.
    fn new(flavour: Flavour, items: Vec<command_line::Item>) -> Result<Option<Self>, Refusal> {
        let inputs = inputs::LinkInputs::find(flavour, &items)?;
        if !inputs.has_thinlto()? {
            return Ok(None);
        }
        for item in &items {
            item.check_repeatable()?;
        }
        if let Some(refusal) = &inputs.trouble {
            return Err(refusal.clone());
        }
        for item in &items {
            if let Some(command_line::Role::Refuse(reason)) = item.role() {
                return Err(Refusal::new(format!("`{}` {reason}", item.words.join(" "))));
            }
        }
        let has = |name| items.iter().any(|item| item.name() == Some(name));
        if has("exclude-libs") && (has("version-script") || has("retain-symbols-file")) {
            // Which one counts for a module depends on what asked for it.
            return Err(Refusal::new(
                "`--exclude-libs` with a version script or a file of symbols to retain",
            ));
        }
        if flavour == Flavour::Wasm && inputs.has_regular_lto()? {
            // The thin link would write an empty index beside each, whatever `--thinlto-prefix-replace`
            // says.
            return Err(Refusal::new("a module for regular LTO"));
        }
        let backend = backend::BackendFlags::of(flavour, &items)?;
        let plan = Self {
            items,
            inputs,
            backend,
            flavour,
        };
        plan.check_output()?;
        Ok(Some(plan))
    }

    /// # Errors
    /// The program cannot be written, which the linker finds before LTO.
    fn check_output(&self) -> Result<(), Refusal> {
        let output = Path::new(self.output());
        if output.is_dir() || !fs::dir_of(output).is_dir() {
            return Err(Refusal::new(format!(
                "`{}` cannot be written",
                output.display()
            )));
        }
        let list = self.value_of("dependency-file").unwrap_or_default();
        let is_file = fs_err::metadata(list).map_or(true, |found| found.is_file());
        if list == "-" || !is_file {
            return Err(Refusal::new(format!(
                "the list of dependencies `{list}` is no file"
            )));
        }
        Ok(())
    }

    /// What the program will be called.
    #[must_use]
    pub fn output(&self) -> &str {
        self.last(command_line::Role::Output).unwrap_or("a.out")
    }

    /// The directory of `.dwo` files, if the linker is told one, as clang does for `-gsplit-dwarf`.
    #[must_use]
    pub fn dwo_dir(&self) -> Option<&str> {
        self.backend
            .dwo_dir
            .as_deref()
            .filter(|dir| !dir.is_empty())
    }

    /// The value of the last option with this role, which is the one that counts.
    fn last(&self, role: command_line::Role) -> Option<&str> {
        command_line::last(&self.items, role)
    }

    /// The value of the last option called `name`.
    fn value_of(&self, name: &str) -> Option<&str> {
        let mut items = self.items.iter().rev();
        items.find(|item| item.name() == Some(name))?.value()
    }

    /// The values of all options called `name`.
    fn values_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let items = self.items.iter();
        items
            .filter(move |item| item.name() == Some(name))
            .filter_map(command_line::Item::value)
    }

    /// Whether the command line has an option of one of these names.
    fn has_option(&self, names: &[&str]) -> bool {
        let mut own = self.items.iter().filter_map(command_line::Item::name);
        own.any(|name| names.contains(&name))
    }

    /// Whether a symbol may have several definitions, of which the first one counts.
    fn allows_several_definitions(&self) -> bool {
        let mut switches = self
            .items
            .iter()
            .rev()
            .filter_map(|item| match item.name() {
                Some("allow-multiple-definition") => Some(true),
                Some("no-allow-multiple-definition") => Some(false),
                _ => None,
            });
        let of_z =
            |item: &command_line::Item| item.name() == Some("z") && item.value() == Some("muldefs");
        switches.next().unwrap_or(false) || self.items.iter().any(of_z)
    }

    /// The linker's arguments for the thin link, which writes into `scratch` only.
    ///
    /// # Errors
    /// The scratch directory cannot be written, or named to the linker.
    pub fn thin_link(&self, scratch: &Path) -> io::Result<Vec<OsString>> {
        if scratch.as_os_str().as_encoded_bytes().contains(&b';') {
            // It ends the prefix of the shards, which would be beside the modules.
            let text = format!("`{}` contains a semicolon", scratch.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let arguments = thin_link::arguments(self, scratch)?;
        response_file(scratch, "thin-link.rsp", &arguments)
    }

    /// How a linker of `release` resolves symbols before LTO. Needs nothing of the thin link, so
    /// the two can run at the same time.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn resolve(&self, release: &Release) -> Result<SymbolResolver, Refusal> {
        SymbolResolver::find(self.flavour, &self.inputs, &roots::undefined(self), release)
    }

    /// A symbol that LTO may replace is weak in its object. There the final link would not miss the
    /// replacement that `--wrap` asks for, and call nothing.
    ///
    /// # Errors
    /// There is none, as far as is known.
    fn check_wrapped(&self, resolution: Option<&resolution::Resolution>) -> Result<(), Refusal> {
        let missing = match resolution {
            Some(resolution) => &resolution.without_wrapper,
            None => &self.values_of("wrap").map(str::to_owned).collect(),
        };
        let defined = |name: &String| {
            let wrapper = resolution::wrapper_of(name);
            let mut assigned = self.values_of("defsym");
            assigned.any(|text| text.split_once('=').is_some_and(|it| it.0 == wrapper))
        };
        match missing.iter().find(|name| !defined(name)) {
            None => Ok(()),
            Some(name) => Err(Refusal::new(format!(
                "`--wrap={name}`, and no input is known to define `{}`",
                resolution::wrapper_of(name)
            ))),
        }
    }

    /// The jobs, after the thin link has succeeded with `stdout`. `compiler` runs them; what
    /// `resolver` found counts if the thin link shows the same.
    ///
    /// # Errors
    /// What the thin link left is not understood.
    pub fn jobs(
        &self,
        scratch: &Path,
        stdout: &[u8],
        mut resolver: SymbolResolver,
        compiler: &Path,
        release: &Release,
    ) -> Result<Jobs, Refusal> {
        let trace = std::str::from_utf8(stdout);
        let trace = trace.map_err(|_| Refusal::new("an input's name is not UTF-8"))?;
        let trace = &self.inputs.files_of(trace)[..];
        let wrapped: Vec<&str> = self.values_of("wrap").collect();
        let resolution = resolver
            .follow(trace)
            .then(|| resolver.resolution(&wrapped, release));
        self.check_wrapped(resolution.as_ref())?;
        let mut thin = thin_link::ThinLinkResult::read(self, scratch, trace, resolution.as_ref())?;
        if let (Flavour::Wasm | Flavour::MachO, Some(resolution)) = (self.flavour, &resolution) {
            thin.sort(resolution);
        }
        let modules = modules::Modules::find(&self.inputs, &thin, scratch)?;
        let file = modules.job_file(self, compiler, release)?;
        Ok(Jobs {
            names: modules.names(scratch),
            file,
            modules,
            thin,
            resolution,
            release: release.clone(),
        })
    }

    /// The final link, after all jobs have their objects.
    ///
    /// # Errors
    /// The objects do not fit the native files in a way that relto can express.
    pub fn final_link(&self, scratch: &Path, jobs: &mut Jobs) -> Result<FinalLink, Refusal> {
        let (arguments, files) = final_link::prepare(self, jobs, scratch)?;
        let arguments = response_file(scratch, "final-link.rsp", &arguments)
            .map_err(|error| Refusal::unwritable(scratch, &error))?;
        let map = ["Map", "map"].iter().find_map(|name| self.value_of(name));
        Ok(FinalLink {
            arguments,
            files,
            map: map.map(PathBuf::from),
            dependencies: final_link::Dependencies::of(self, scratch),
        })
    }
}

/// Passes `arguments` in a file, because the system limits the length of command lines.
fn response_file(scratch: &Path, name: &str, arguments: &[String]) -> io::Result<Vec<OsString>> {
    let mut text = String::new();
    for argument in arguments {
        text.push('"');
        for character in argument.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push_str("\"\n");
    }
    let path = scratch.join(name);
    fs::write_whole(&path, text.as_bytes())?;
    let mut word = OsString::from("@");
    word.push(&path);
    Ok(vec![word])
}

/// The path as text.
fn text(path: &Path) -> Result<String, Refusal> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Refusal::new(format!("`{}` is not UTF-8", path.display())))
}

/// The part of a path after its last slash.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `path` without `.` and `..`, as far as its text says.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some_and(|name| name != "..") => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Applies `work` to `all`, on all processors.
fn in_parallel<'a, T: Sync, R: Send>(
    all: &'a [T],
    work: impl Fn(&'a T) -> Result<R, Refusal> + Sync,
) -> Result<Vec<R>, Refusal> {
    task::in_parallel(all, work).into_iter().collect()
}
