//! Collects what the keys of a link's jobs are made of, for `relto explain`.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::planner::Checked;
use crate::compiler::ResolvedToolchain;
use crate::events::{JobId, Origin};
use crate::exec::{Hermetic, PlannedForm};
use crate::history::{Ingredient, JobKey, KeyFile, KeyParts, LinkKeys, stable_name};

/// Inputs of all jobs together beyond which a link is not recorded: the record would take as much
/// memory as the link.
const MAX_INPUTS: usize = 2_000_000;

/// What the planners of a running link have found out.
#[derive(Debug)]
pub(super) struct KeyRecorder(Mutex<Recording>);

#[derive(Debug, Default)]
struct Recording {
    words: Interned<String>,
    files: Interned<KeyFile>,
    jobs: Vec<Option<JobKey>>,
    origins: Vec<Option<Origin>>,
    inputs: usize,
}

impl KeyRecorder {
    pub(super) fn new(jobs: usize) -> Self {
        Self(Mutex::new(Recording {
            jobs: vec![None; jobs],
            origins: vec![None; jobs],
            ..Recording::default()
        }))
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
                Ok(recording.parts(hermetic, &checked.sourceless))
            }
        };
        recording.jobs[id] = Some(JobKey {
            module: stable_name(module).to_owned(),
            origin: None,
            parts,
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
            words: recording.words.items,
            files: recording.files.items,
            jobs,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn parts(&mut self, hermetic: &Hermetic, sourceless: &[Option<[u8; 16]>]) -> KeyParts {
        let inputs = &hermetic.action.inputs;
        let files = hermetic.job.files.iter().zip(inputs).enumerate();
        let files = files.map(|(number, (file, input))| {
            self.files.number(KeyFile {
                name: stable_name(&file.name).to_owned(),
                digest: input.digest,
                sourceless: sourceless.get(number).copied().flatten(),
            })
        });
        let files = files.collect();
        let words = hermetic.action.arguments.iter();
        KeyParts {
            action: hermetic.key(),
            index: inputs.last().expect("the index is the last input").digest,
            words: words.map(|word| self.words.number(word.clone())).collect(),
            files,
        }
    }
}

/// Values that are kept once, and known by their numbers.
#[derive(Debug)]
struct Interned<T> {
    items: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn number(&mut self, item: T) -> u32 {
        let Self { items, numbers } = self;
        *numbers.entry(item).or_insert_with_key(|item| {
            items.push(item.clone());
            u32::try_from(items.len() - 1).expect("fewer inputs than that are recorded")
        })
    }
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
