//! The objects of the modules in the final link: a few at a time, each changed where it has to be.

use std::path::Path;

use super::natives::WrittenArchive;
use super::{FinalLinkFiles, debug_map, renamed};
use crate::fs::read_regular;
use crate::wrapper::comdat::{Definitions, ObjectChange, Objects};
use crate::wrapper::{Flavour, Jobs, LinkPlan, Refusal, base, in_parallel, text};

/// Objects that are in memory at a time.
const AT_A_TIME: usize = 16;

/// The words that link the object of each module.
pub(super) fn linked_objects(
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
