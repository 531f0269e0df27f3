//! The thin link: its command line, and what it writes.
//!
//! The linker writes a shard for each module, the list of the modules that it chose in the order of
//! its own LTO, and, with `--trace`, the name of every file that takes part in the order of
//! loading.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use super::command_line::Role;
use super::inputs::LinkInputs;
use super::natives::{self, Native};
use super::resolution::Resolution;
use super::{Flavour, LinkPlan, Refusal, without_dots};
use crate::fs::read_regular_to_string;

const LIST: &str = "modules.txt";
const SHARDS: &str = "shards";
const REGULAR: &str = "regular.lto.o";
/// The directory of that object, where the linker gives it a name.
const REGULAR_DIR: &str = "regular";

/// What the linker calls the shards: this prefix, the module's name, and an ending.
fn prefix(scratch: &Path, depth: usize) -> String {
    // Names may climb out of the directory.
    format!("{}/{}", scratch.join(SHARDS).display(), "d/".repeat(depth))
}

/// The largest number of `..` at the beginning of a module's name.
fn depth(inputs: &LinkInputs) -> usize {
    let climbs = |name: &str| {
        let parts = Path::new(name).components();
        parts.filter(|part| *part == Component::ParentDir).count()
    };
    let libraries = inputs.libraries.keys();
    let plain = inputs.pieces.iter().filter_map(super::inputs::Piece::file);
    let deepest = libraries
        .map(|it| climbs(it))
        .chain(plain.map(climbs))
        .max();
    1 + deepest.unwrap_or_default()
}

pub(super) fn arguments(plan: &LinkPlan, scratch: &Path) -> io::Result<Vec<String>> {
    let prefix = prefix(scratch, depth(&plan.inputs));
    fs::create_dir_all(&prefix)?;
    let hidden = [Role::Output, Role::Drop, Role::FinalOnly, Role::ObjectDir];
    let kept = plan.items.iter().filter(|item| {
        let role = item.role();
        role.is_none_or(|role| !hidden.contains(&role))
    });
    let mut arguments: Vec<String> = kept.flat_map(|item| item.words.clone()).collect();
    arguments.extend([
        "-o".to_owned(),
        scratch.join("thin-link.out").display().to_string(),
        format!("--thinlto-index-only={}", scratch.join(LIST).display()),
        format!("--thinlto-prefix-replace=;{prefix}"),
    ]);
    arguments.extend(match plan.flavour {
        Flavour::Elf | Flavour::Wasm => vec![
            format!("--lto-obj-path={}", scratch.join(REGULAR).display()),
            "--trace".to_owned(),
        ],
        Flavour::MachO => vec![
            "-object_path_lto".to_owned(),
            scratch.join(REGULAR_DIR).display().to_string(),
            "-t".to_owned(),
        ],
    });
    Ok(arguments)
}

/// What a thin link leaves.
#[derive(Debug)]
pub(super) struct ThinLinkResult {
    /// Names and shards of the chosen modules, in the order of the linker's own LTO.
    pub(super) modules: Vec<Chosen>,
    /// The native files that take part, in the order in which they were loaded.
    pub(super) natives: Vec<Native>,
    /// The object of all modules that are for regular LTO.
    pub(super) regular: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) shard: PathBuf,
}

impl ThinLinkResult {
    pub(super) fn read(
        plan: &LinkPlan,
        scratch: &Path,
        trace: &str,
        resolution: Option<&Resolution>,
    ) -> Result<Self, Refusal> {
        let list = scratch.join(LIST);
        let text =
            read_regular_to_string(&list).map_err(|error| Refusal::unreadable(&list, &error))?;
        let inputs = &plan.inputs;
        let prefix = prefix(scratch, depth(inputs));
        let mut modules = Vec::new();
        let mut shards = HashSet::new();
        for line in text.lines() {
            let name = line.strip_prefix(&prefix).ok_or_else(|| {
                Refusal::new(format!(
                    "the thin link names a module `{line}` unexpectedly"
                ))
            })?;
            let shard = PathBuf::from(format!("{line}.thinlto.bc"));
            if !shards.insert(without_dots(&shard)) {
                return Err(Refusal::new(format!(
                    "two modules are called `{name}`, seen from the directory of the link"
                )));
            }
            modules.push(Chosen {
                name: name.to_owned(),
                shard,
            });
        }
        let found = natives::find(inputs, &modules, trace, resolution)?;
        let regular = match plan.flavour {
            Flavour::Elf | Flavour::Wasm => scratch.join(REGULAR),
            Flavour::MachO => only_file(&scratch.join(REGULAR_DIR))?,
        };
        // Where the objects are to be kept, the linker makes one for no modules, too.
        let kept = plan.last(Role::ObjectDir).is_some();
        Ok(Self {
            modules,
            natives: found.natives,
            regular: (found.regular || kept).then_some(regular),
        })
    }
}

impl ThinLinkResult {
    /// Puts the native files in the order in which their sections come: `wasm-ld` takes a file in
    /// when it has taken in those that the file asked for, and so does `ld64.lld` a member of an
    /// archive.
    pub(super) fn sort(&mut self, resolution: &Resolution) {
        let finished = resolution.finished();
        let positions: HashMap<(&str, u64), usize> = finished.zip(0..).collect();
        let position = |native: &Native| positions.get(&native.place()).copied();
        self.natives
            .sort_by_key(|native| position(native).unwrap_or(usize::MAX));
    }
}

fn only_file(dir: &Path) -> Result<PathBuf, Refusal> {
    let list = || fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>();
    let files = list().map_err(|error| Refusal::unreadable(dir, &error))?;
    match &files[..] {
        [file] => Ok(file.path()),
        _ => Err(Refusal::new("regular LTO in several partitions")),
    }
}
