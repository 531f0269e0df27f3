//! Compares the keys of two links.

use std::collections::{BTreeMap, BTreeSet};

use super::{ActionKey, ExplainedLink, Explanation, Ingredient};
use crate::history::stable_name;

/// What differs between two links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In what the keys of all jobs depend on.
    pub common: Vec<Change>,
    /// Jobs of the later link whose keys differ, with all jobs that differ in the same way.
    pub jobs: Vec<(Difference, Vec<String>)>,
    /// Jobs whose keys are the same in both.
    pub same: usize,
    /// Jobs of the later link.
    pub all: usize,
}

/// How a job differs from the one of the same module in the earlier link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The earlier link has no such module.
    New,
    /// The earlier job has no key, for this reason.
    NoKeyBefore(String),
    /// The job has no key, for this reason.
    NoKey(String),
    /// Empty if only something differs that all jobs depend on.
    Changed(Vec<Change>),
}

/// One ingredient, or the lack of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Removed(String),
    Added(String),
    /// The arguments are the same, but in another order.
    Reordered,
    /// This input differs in the name of its source file only.
    SourceFileName(String),
}

/// Compares `now` with `earlier`. Jobs are matched by their modules' names.
#[must_use]
pub fn compare(earlier: &ExplainedLink, now: &ExplainedLink) -> Comparison {
    let before: BTreeMap<&str, &Explanation> = earlier
        .jobs
        .iter()
        .map(|job| (stable_name(&job.module), job))
        .collect();
    let mut comparison = Comparison {
        common: ingredients(&earlier.common, &now.common),
        all: now.jobs.len(),
        ..Comparison::default()
    };
    let mut numbers: BTreeMap<Difference, usize> = BTreeMap::new();
    for job in &now.jobs {
        let difference = match before.get(stable_name(&job.module)) {
            None => Difference::New,
            Some(old) => match difference(old, job) {
                None => {
                    comparison.same += 1;
                    continue;
                }
                Some(difference) => difference,
            },
        };
        let module = job.module.clone();
        if let Some(&number) = numbers.get(&difference) {
            comparison.jobs[number].1.push(module);
        } else {
            numbers.insert(difference.clone(), comparison.jobs.len());
            comparison.jobs.push((difference, vec![module]));
        }
    }
    comparison
}

/// `None` if the keys are the same.
fn difference(old: &Explanation, new: &Explanation) -> Option<Difference> {
    match (&old.key, &new.key) {
        (Ok(old), Ok(new)) if old.action == new.action => None,
        (Ok(old), Ok(new)) => Some(Difference::Changed(changes(old, new))),
        (Err(old), Err(new)) if old == new => None,
        (_, Err(reason)) => Some(Difference::NoKey(reason.clone())),
        (Err(reason), _) => Some(Difference::NoKeyBefore(reason.clone())),
    }
}

fn changes(old: &ActionKey, new: &ActionKey) -> Vec<Change> {
    let mut changes = Vec::new();
    for (words, others, removed) in [
        (&old.command, &new.command, true),
        (&new.command, &old.command, false),
    ] {
        for word in words.iter().filter(|word| !others.contains(word)) {
            let text = format!("argument {}", crate::exec::shell_words(&[word]));
            changes.push(if removed {
                Change::Removed(text)
            } else {
                Change::Added(text)
            });
        }
    }
    if changes.is_empty() && old.command != new.command {
        changes.push(Change::Reordered);
    }
    changes.extend(ingredients(&old.ingredients, &new.ingredients));
    changes
}

fn ingredients(old: &[Ingredient], new: &[Ingredient]) -> Vec<Change> {
    let by_identity = |all: &[Ingredient]| -> BTreeMap<String, Ingredient> {
        all.iter().map(|it| (identity(it), it.clone())).collect()
    };
    let (old, new) = (by_identity(old), by_identity(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old.value == new.value => {}
            (Some(old), Some(new))
                if old.sourceless.is_some() && old.sourceless == new.sourceless =>
            {
                changes.push(Change::SourceFileName(name.clone()));
            }
            (old, new) => {
                changes.extend(old.map(|it| Change::Removed(described(name, it))));
                changes.extend(new.map(|it| Change::Added(described(name, it))));
            }
        }
    }
    changes
}

/// What stays the same in both links. An input's name in the Action is its rank among the others,
/// which moves when another one comes; an output is the same wherever it goes.
fn identity(ingredient: &Ingredient) -> String {
    match &ingredient.known_as {
        Some(name) if ingredient.name.starts_with("input") => {
            format!("input {}", stable_name(name))
        }
        _ => ingredient.name.clone(),
    }
}

fn described(identity: &str, ingredient: &Ingredient) -> String {
    let mut text = identity.to_owned();
    if !ingredient.value.is_empty() {
        text = format!("{text} {}", ingredient.value);
    }
    match &ingredient.known_as {
        Some(name) if !identity.starts_with("input") => format!("{text}  ({name})"),
        _ => text,
    }
}
