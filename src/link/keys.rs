//! Collects what the keys of a link's jobs are made of, for `relto explain`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::planner::Checked;
use super::slices::SlicedJob;
use crate::action::split_dwarf;
use crate::compiler::ResolvedToolchain;
use crate::digest::Digest;
use crate::events::{JobId, Origin};
use crate::exec::{Hermetic, PlannedForm};
use crate::history::{Ingredient, JobKey, KeyFile, KeyParts, LinkKeys, ModuleNames, SliceLookup};
use crate::interned_words::InternedWords;
use crate::task::lock;

/// Inputs of all jobs together beyond which a link is not recorded: the record would take as much
/// memory as the link.
const MAX_INPUTS: usize = 2_000_000;

/// What the planners of a running link have found out.
#[derive(Debug)]
pub(super) struct KeyRecorder {
    names: Arc<ModuleNames>,
    recording: Mutex<Recording>,
}

#[derive(Debug, Default)]
struct Recording {
    words: InternedWords,
    files: InternedFiles,
    jobs: Vec<Option<JobKey>>,
    origins: Vec<Option<Origin>>,
    inputs: usize,
}

impl KeyRecorder {
    pub(super) fn new(jobs: usize, names: Arc<ModuleNames>) -> Self {
        let recording = Recording {
            jobs: vec![None; jobs],
            origins: vec![None; jobs],
            ..Recording::default()
        };
        Self {
            names,
            recording: Mutex::new(recording),
        }
    }

    /// Notes the key of a job.
    pub(super) fn planned(&self, id: JobId, module: &str, checked: &Checked) {
        let mut recording = self.lock();
        let parts = match &checked.form {
            PlannedForm::InPlace(reason) => Err(reason.to_string()),
            PlannedForm::Hermetic(hermetic) => {
                recording.inputs += hermetic.job.files.len();
                if recording.inputs > MAX_INPUTS {
                    return;
                }
                Ok(recording.parts(hermetic, &checked.sourceless, &self.names))
            }
        };
        recording.jobs[id] = Some(JobKey {
            module: self.names.shown(module).to_owned(),
            origin: None,
            parts,
        });
    }

    /// Notes the slice key by which a job was looked up.
    pub(super) fn looked_up(&self, id: JobId, sliced: &SlicedJob, found: bool) {
        let mut recording = self.lock();
        let Some(Some(JobKey {
            parts: Ok(parts), ..
        })) = recording.jobs.get_mut(id)
        else {
            return;
        };
        let changes = sliced.changes.as_ref().map(|changes| {
            let file = |position: usize| parts.files.get(position).copied();
            let changes = changes.iter();
            changes.filter_map(|it| it.as_change(file)).collect()
        });
        parts.slice = Some(SliceLookup {
            key: sliced.key.digest(),
            found,
            sliced: sliced.sliced,
            whole: sliced.whole,
            changes,
        });
    }

    /// Notes where the object of a job came from.
    pub(super) fn finished(&self, id: JobId, origin: Origin) {
        self.lock().origins[id] = Some(origin);
    }

    /// The record of a link that succeeded; `None` if it is too large.
    pub(super) fn take(&self, output: &str, common: Vec<Ingredient>) -> Option<LinkKeys> {
        let recording = std::mem::take(&mut *self.lock());
        let jobs: Option<Vec<JobKey>> = recording.jobs.into_iter().collect();
        let mut jobs = jobs?;
        for (job, origin) in jobs.iter_mut().zip(recording.origins) {
            job.origin = origin;
        }
        Some(LinkKeys {
            output: output.to_owned(),
            common,
            words: recording.words.into_words(),
            files: recording.files.items,
            jobs,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        lock(&self.recording)
    }
}

impl Recording {
    fn parts(
        &mut self,
        hermetic: &Hermetic,
        sourceless: &[Option<[u8; 16]>],
        names: &ModuleNames,
    ) -> KeyParts {
        let action = &hermetic.action;
        let files = hermetic
            .job
            .files
            .iter()
            .zip(hermetic.digests())
            .enumerate();
        let files = files.map(|(number, (file, digest))| {
            let sourceless = sourceless.get(number).copied().flatten();
            let name = names.shown(&file.name);
            self.files.number(name, digest, sourceless)
        });
        let files = files.collect();
        let words = split_dwarf::stable_words(&hermetic.job, &action.arguments);
        KeyParts {
            action: hermetic.key(),
            index: action.shard,
            words: words.map(|word| self.words.number(word)).collect(),
            files,
            slice: None,
        }
    }
}

/// Files that are kept once, and known by their numbers. They are found by their digests, because a
/// link looks the same few up millions of times while other planners wait; rarely have several the
/// same content.
#[derive(Debug, Default)]
struct InternedFiles {
    items: Vec<KeyFile>,
    numbers: HashMap<Digest, Vec<u32>>,
}

impl InternedFiles {
    fn number(&mut self, name: &str, digest: Digest, sourceless: Option<[u8; 16]>) -> u32 {
        let numbers = self.numbers.entry(digest).or_default();
        let is_it = |number: &&u32| self.items[**number as usize].name == name;
        if let Some(number) = numbers.iter().find(is_it) {
            return *number;
        }
        let number = next(self.items.len());
        self.items.push(KeyFile {
            name: name.to_owned(),
            digest,
            sourceless,
        });
        numbers.push(number);
        number
    }
}

fn next(count: usize) -> u32 {
    u32::try_from(count).expect("fewer inputs than that are recorded")
}

/// What the keys of all jobs of a link depend on.
#[must_use]
pub fn common_ingredients(toolchain: &ResolvedToolchain) -> Vec<Ingredient> {
    let ingredient = |name: String, value: String, known_as: Option<String>| Ingredient {
        name,
        value,
        known_as,
        sourceless: None,
    };
    let mut common = Vec::new();
    let template = toolchain.template();
    if !template.salt.is_empty() {
        common.push(ingredient("salt".to_owned(), template.salt.clone(), None));
    }
    for (name, value) in &template.environment {
        common.push(ingredient(format!("variable {name}"), value.clone(), None));
    }
    for file in &toolchain.tree().files {
        let known_as = Some(file.host.display().to_string());
        let name = format!("toolchain {}", file.tree_path);
        common.push(ingredient(name, file.digest.to_string(), known_as));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;

    #[test]
    fn equal_files_and_words_have_one_number_and_files_of_one_content_keep_their_names() {
        let digest = |text: &str| DigestFunction::Sha256.digest(text.as_bytes());
        let mut files = InternedFiles::default();
        let of = [("a.o", "x"), ("b.o", "x"), ("a.o", "x"), ("a.o", "y")];
        let numbers = of.map(|(name, text)| files.number(name, digest(text), None));
        assert_eq!(numbers, [0, 1, 0, 2]);
        assert_eq!(files.items[1].name, "b.o");
        let mut words = InternedWords::default();
        assert_eq!(
            ["-O2", "-c", "-O2"].map(|word| words.number(word)),
            [0, 1, 0]
        );
    }
}
