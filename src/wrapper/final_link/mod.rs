//! The files and the command line of the final link: the linker's arguments with objects in place of modules.
//!
//! Native files come in the order in which the thin link loaded them, then the objects of the
//! modules, each after the members of archives that only it asks for, then the remaining libraries.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::comdat::{Definitions, ObjectChange, Objects, PulledMembers};
use super::command_line::{BackendOption, Item, Role};
use super::inputs::{Library, Piece};
use super::kind::FileKind;
use super::natives::Native;
use super::{Flavour, Jobs, LinkPlan, Refusal, base, in_parallel, roots, text};
use crate::fs::read_regular;

mod asked;
mod debug_map;
mod dependencies;
mod natives;
mod renamed;

use self::natives::{LinkedNatives, WrittenArchive, pulled_members, read_natives};

pub(super) use dependencies::Dependencies;
pub(super) use renamed::RenamedFiles;

const NATIVES: &str = "n";
const STUB: &str = "groups";
const TABLE: &str = "table.o";
/// What `ld64.lld` calls the start of a program.
const HEADER: &[u8] = b"__mh_execute_header";
/// Objects that are in memory at a time.
const AT_A_TIME: usize = 16;

pub(super) fn prepare(
    plan: &LinkPlan,
    jobs: &mut Jobs,
    scratch: &Path,
) -> Result<(Vec<String>, RenamedFiles), Refusal> {
    let asked = asked::add_members(plan, jobs)?;
    let jobs = &*jobs;
    let natives = jobs.thin.natives.len();
    let loaded = asked.first().map_or(natives, |asked| asked.start);
    let mut files = FinalLinkFiles {
        dir: scratch.join(NATIVES),
        count: 0,
        renamed: RenamedFiles::default(),
    };
    let natives = read_natives(plan, jobs)?;
    let mut seen = Objects::new(
        plan.flavour,
        &natives,
        jobs.resolution.as_ref(),
        plan.has_option(&["r", "relocatable"]),
    );
    let objects = linked_objects(plan, jobs, &mut files, &mut seen)?;
    let pulled = pulled_members(plan, jobs, &seen)?;
    check_symbols(plan, jobs, &seen)?;
    let stubs = stubs(plan, jobs, scratch, &seen, &pulled)?;
    let mut natives = LinkedNatives {
        plan,
        jobs,
        files: &mut files,
        seen: &seen,
        pulled: &pulled,
    };
    let linked = in_order(&mut natives, loaded, objects, asked)?;
    let mut arguments = options(&plan.items);
    match plan.flavour {
        // The thin link has looked, when the modules still had all their symbols.
        Flavour::Elf => arguments.push("--undefined-version".to_owned()),
        Flavour::MachO => arguments.extend(debug_map::prefix(plan, scratch).into_iter().flatten()),
        Flavour::Wasm => {}
    }
    let (first, pieces) = first_libraries(plan);
    let mut stubs = stubs.into_iter();
    for words in first {
        arguments.extend(stubs.next().flatten());
        arguments.extend_from_slice(words);
    }
    arguments.extend(stubs.flatten());
    arguments.extend(table(plan, jobs, scratch, &seen)?);
    arguments.extend(linked);
    arguments.extend(libraries(&pieces, plan, jobs, &mut files)?);
    files.renamed.check(&plan.inputs.patterns)?;
    Ok((arguments, files.renamed))
}

/// The words of the first `loaded` native files, then of the `objects`, each after the members that
/// it `asked` for.
fn in_order(
    natives: &mut LinkedNatives<'_>,
    loaded: usize,
    objects: Vec<Vec<String>>,
    asked: Vec<Range<usize>>,
) -> Result<Vec<String>, Refusal> {
    let mut linked = natives.words(0..loaded)?;
    for (object, asked) in objects.into_iter().zip(asked) {
        linked.extend(natives.words(asked)?);
        linked.extend(object);
    }
    Ok(linked)
}

/// Everything but inputs.
fn options(items: &[Item]) -> Vec<String> {
    let kept = items.iter().filter(|item| match item.role() {
        None
        | Some(
            Role::Library
            | Role::Placed
            | Role::ForceLoad
            | Role::ThinOnly
            | Role::ObjectDir
            | Role::State(_)
            | Role::Drop
            | Role::PassThrough
            | Role::Refuse(_)
            // Every object is native by now.
            | Role::Backend(BackendOption::FatObjects(_)),
        ) => false,
        Some(
            Role::Keep
            | Role::FinalOnly
            | Role::Output
            | Role::LibraryPath
            | Role::Sysroot
            | Role::Script
            | Role::Backend(_),
        ) => true,
    });
    kept.flat_map(|item| item.words.clone()).collect()
}

/// Files that are made for the final link, each in a directory of its own, so that it keeps its
/// name.
struct FinalLinkFiles {
    dir: PathBuf,
    count: usize,
    renamed: RenamedFiles,
}

impl FinalLinkFiles {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<String, Refusal> {
        let dir = self.dir.join(self.count.to_string());
        self.count += 1;
        let path = dir.join(base(name));
        let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| Refusal::unwritable(&path, &error))?;
        text(&path)
    }
}

/// The words that link the object of each module.
fn linked_objects(
    plan: &LinkPlan,
    jobs: &Jobs,
    files: &mut FinalLinkFiles,
    seen: &mut Objects<'_>,
) -> Result<Vec<Vec<String>>, Refusal> {
    let in_archives = plan.has_option(&["exclude-libs"]);
    let regular = jobs.thin.regular.as_deref().map(|path| (path, None));
    if regular.is_some() && plan.backend.partitions > 1 {
        return Err(Refusal::new("regular LTO in several partitions"));
    }
    let mut words = Vec::new();
    // The linker's LTO numbers the modules from 1, even if there is no object for regular LTO.
    let first = usize::from(regular.is_none());
    let objects = regular.into_iter().chain(jobs.modules.objects());
    let modules = jobs.modules.linker_names().map(Some);
    let modules = regular.is_some().then_some(None).into_iter().chain(modules);
    let objects: Vec<_> = (first..).zip(objects).zip(modules).collect();
    for some in objects.chunks(AT_A_TIME) {
        let some = in_parallel(some, |((task, (path, library)), module)| {
            let library = library.filter(|_| in_archives);
            let theirs = renamed::object_of_lto(plan.output(), *module, &jobs.release);
            FreshObject::read(*task, path, library, theirs)
        })?;
        let found = in_parallel(&some, |object| {
            Definitions::of(plan.flavour, &object.bytes, &object.name)
        })?;
        let mut changes = Vec::with_capacity(some.len());
        for (object, found) in some.iter().zip(&found) {
            changes.push(seen.add(&object.name, &object.bytes, found)?);
        }
        let both: Vec<_> = some.iter().zip(changes).collect();
        in_parallel(&both, |(object, change)| object.change(change.as_ref()))?;
        for (object, change) in both {
            words.push(object.words(plan, files, change)?);
        }
    }
    Ok(words)
}

/// The object of a module.
struct FreshObject<'a> {
    /// Its number in the linker's LTO.
    task: usize,
    path: &'a Path,
    name: String,
    /// The archive that it must be linked in.
    library: Option<&'a str>,
    /// What the linker may call it in its own LTO.
    theirs: Vec<String>,
    bytes: Vec<u8>,
}

impl<'a> FreshObject<'a> {
    fn read(
        task: usize,
        path: &'a Path,
        library: Option<&'a str>,
        theirs: Vec<String>,
    ) -> Result<Self, Refusal> {
        let bytes = read_regular(path).map_err(|error| Refusal::unreadable(path, &error))?;
        Ok(Self {
            task,
            path,
            name: text(path)?,
            library,
            theirs,
            bytes,
        })
    }

    /// Makes the change in the file, where the file itself is linked.
    fn change(&self, change: Option<&ObjectChange>) -> Result<(), Refusal> {
        match (change, self.library) {
            (Some(change), None) => change
                .write(self.path)
                .map_err(|error| Refusal::unwritable(self.path, &error)),
            _ => Ok(()),
        }
    }

    /// The words that link it.
    fn words(
        &self,
        plan: &LinkPlan,
        files: &mut FinalLinkFiles,
        change: Option<ObjectChange>,
    ) -> Result<Vec<String>, Refusal> {
        if let Some(library) = self.library {
            let bytes = self.bytes.clone();
            let bytes = match change {
                Some(change) => change.applied(bytes),
                None => bytes,
            };
            let member = (base(&self.name).to_owned(), bytes);
            let made = WrittenArchive::whole(plan.flavour, files, library, &[member])?;
            let ours = format!("{}:{}", made.file, base(&self.name));
            files.renamed.add_one_of(ours, self.theirs.clone());
            return Ok(made.words);
        }
        if plan.flavour == Flavour::MachO {
            let word = debug_map::object(plan, self.path, &self.bytes, self.task)?;
            let theirs = debug_map::name_of_object(plan).unwrap_or(&word).to_owned();
            files.renamed.add(word.clone(), theirs);
            return Ok(vec![word]);
        }
        let (ours, theirs) = (self.name.clone(), self.theirs.clone());
        files.renamed.add_one_of(ours, theirs);
        Ok(vec![self.name.clone()])
    }
}

/// The words that name the table of addresses, where only modules named it.
fn table(
    plan: &LinkPlan,
    jobs: &Jobs,
    scratch: &Path,
    seen: &Objects<'_>,
) -> Result<Vec<String>, Refusal> {
    let resolution = jobs.resolution.as_ref();
    let resolution = resolution.filter(|_| plan.flavour == Flavour::Elf);
    let Some(stub) = resolution.and_then(|it| seen.table_stub(it)) else {
        return Ok(Vec::new());
    };
    let path = scratch.join(TABLE);
    fs::write(&path, stub).map_err(|error| Refusal::unwritable(&path, &error))?;
    Ok(lazy([text(&path)?]))
}

/// # Errors
/// The final link cannot know of a symbol what the linker's own LTO knows.
fn check_symbols(plan: &LinkPlan, jobs: &Jobs, seen: &Objects<'_>) -> Result<(), Refusal> {
    match (plan.flavour, &jobs.resolution) {
        (Flavour::Elf, _) => {
            let wrapped: HashSet<&[u8]> = plan.values_of("wrap").map(str::as_bytes).collect();
            seen.check_removed(|name| wrapped.contains(name) || plan.inputs.assigned.has(name))
        }
        (Flavour::Wasm, Some(resolution)) if plan.has_option(&["emit-relocs"]) => {
            seen.check_missing(resolution)
        }
        (Flavour::Wasm | Flavour::MachO, _) => Ok(()),
    }
}

/// The files that come before each of the first libraries, if there is a need, and before all other
/// files.
fn stubs(
    plan: &LinkPlan,
    jobs: &Jobs,
    scratch: &Path,
    seen: &Objects<'_>,
    pulled: &PulledMembers,
) -> Result<Vec<Option<String>>, Refusal> {
    let resolution = jobs.resolution.as_ref();
    let stubs = match (plan.flavour, resolution) {
        (Flavour::Elf | Flavour::Wasm, _) => {
            vec![seen.stub(resolution, &plan.inputs.assigned, pulled)]
        }
        (Flavour::MachO, resolution) => {
            seen.check_hidden(resolution)?;
            let Some(resolution) = resolution else {
                return Ok(Vec::new());
            };
            let header = roots::is_program(plan).then_some(HEADER);
            seen.stubs(resolution, header)
        }
    };
    let numbered = stubs.into_iter().enumerate();
    let written = numbered.map(|(number, stub)| {
        let Some(stub) = stub else { return Ok(None) };
        let path = scratch.join(format!("{STUB}{number}.o"));
        fs::write(&path, stub).map_err(|error| Refusal::unwritable(&path, &error))?;
        text(&path).map(Some)
    });
    written.collect()
}

/// The words of libraries that come before everything else, and the other inputs. Apple's linkers
/// number all symbols of a library when they read it, so all libraries come first, each after the
/// symbols that were there before it.
fn first_libraries(plan: &LinkPlan) -> (Vec<&[String]>, Vec<&Piece>) {
    let mut first = Vec::new();
    let mut others = Vec::new();
    for piece in &plan.inputs.pieces {
        match piece {
            Piece::Library { words, .. } if plan.flavour == Flavour::MachO => {
                first.push(&words[..]);
            }
            piece => others.push(piece),
        }
    }
    (first, others)
}

/// Shared libraries, and the members of archives and the objects that were not needed so far.
fn libraries(
    pieces: &[&Piece],
    plan: &LinkPlan,
    jobs: &Jobs,
    files: &mut FinalLinkFiles,
) -> Result<Vec<String>, Refusal> {
    let taken: HashSet<(&str, u64)> = jobs.thin.natives.iter().map(Native::place).collect();
    let mut words = Vec::new();
    for piece in pieces {
        match piece {
            Piece::State(state) => words.extend(state.iter().cloned()),
            Piece::Library { words: own, .. } => words.extend(own.iter().cloned()),
            Piece::Object { path, lazy: true } if !taken.contains(&(&**path, 0)) => {
                words.extend(lazy([path.clone()]));
            }
            Piece::Object { .. }
            | Piece::Bitcode { .. }
            | Piece::Shared { .. }
            | Piece::Archive { whole: true, .. } => {}
            Piece::Archive {
                library,
                words: own,
                ..
            } if !library.has_bitcode() => {
                words.extend(own.iter().cloned());
            }
            Piece::Archive { library, .. } => {
                words.extend(lazy(unwanted(library, &taken, plan.inputs.fat, files)?));
            }
        }
    }
    Ok(words)
}

/// The native members of an archive that also has modules.
fn unwanted(
    library: &Library,
    taken: &HashSet<(&str, u64)>,
    fat: bool,
    files: &mut FinalLinkFiles,
) -> Result<Vec<String>, Refusal> {
    let natives = library.members.iter().filter(|(member, kind)| {
        let place = (&*library.path, member.offset);
        *kind == FileKind::Object && !fat && !taken.contains(&place)
    });
    let mut written = Vec::new();
    for (member, _) in natives {
        let file = files.write(&member.name, &library.bytes(member)?)?;
        let theirs = format!("{}:{}", library.path, member.path);
        files.renamed.add(file.clone(), theirs);
        written.push(file);
    }
    Ok(written)
}

fn lazy(files: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words = vec!["--start-lib".to_owned()];
    words.extend(files);
    if words.len() == 1 {
        return Vec::new();
    }
    words.push("--end-lib".to_owned());
    words
}
