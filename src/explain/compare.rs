//! Compares the keys of two links.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{ActionKey, ExplainedLink, Explanation, Ingredient};
use crate::history::{ModuleNames, shown_name};

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

/// Compares `now` with `earlier`. Jobs and inputs are matched by the modules' names.
#[must_use]
pub fn compare(earlier: &ExplainedLink, now: &ExplainedLink) -> Comparison {
    let jobs = earlier.jobs.iter();
    let jobs = jobs.map(|job| (earlier.names.stable(&job.module), job));
    let before: BTreeMap<Cow<'_, str>, &Explanation> = jobs.collect();
    let names = [&earlier.names, &now.names];
    let mut comparison = Comparison {
        common: ingredients(&earlier.common, &now.common, names),
        all: now.jobs.len(),
        ..Comparison::default()
    };
    let mut numbers: BTreeMap<Difference, usize> = BTreeMap::new();
    for job in &now.jobs {
        let difference = match before.get(&now.names.stable(&job.module)) {
            None => Difference::New,
            Some(old) => match difference(old, job, names) {
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
fn difference(
    old: &Explanation,
    new: &Explanation,
    names: [&ModuleNames; 2],
) -> Option<Difference> {
    match (&old.key, &new.key) {
        (Ok(old), Ok(new)) if old.action == new.action => None,
        (Ok(old), Ok(new)) => Some(Difference::Changed(changes(old, new, names))),
        (Err(old), Err(new)) if old == new => None,
        (_, Err(reason)) => Some(Difference::NoKey(reason.clone())),
        (Err(reason), _) => Some(Difference::NoKeyBefore(reason.clone())),
    }
}

fn changes(old: &ActionKey, new: &ActionKey, names: [&ModuleNames; 2]) -> Vec<Change> {
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
    changes.extend(ingredients(&old.ingredients, &new.ingredients, names));
    changes
}

fn ingredients(
    old: &[Ingredient],
    new: &[Ingredient],
    [old_names, new_names]: [&ModuleNames; 2],
) -> Vec<Change> {
    let (old, new) = (by_identity(old, old_names), by_identity(new, new_names));
    let identities: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for identity in identities {
        match (old.get(identity), new.get(identity)) {
            (Some(old), Some(new)) if old.value == new.value => {}
            (Some(old), Some(new))
                if old.sourceless.is_some() && old.sourceless == new.sourceless =>
            {
                changes.push(Change::SourceFileName(shown(new)));
            }
            (old, new) => {
                changes.extend(old.map(|it| Change::Removed(described(it))));
                changes.extend(new.map(|it| Change::Added(described(it))));
            }
        }
    }
    changes
}

/// By what stays the same in both links. An input's name in the Action is its rank among the others,
/// which moves when another one comes; an output is the same wherever it goes.
fn by_identity<'a>(all: &'a [Ingredient], names: &ModuleNames) -> BTreeMap<String, &'a Ingredient> {
    let identity = |it: &Ingredient| match it.input() {
        Some(name) => format!("input {}", names.stable(name)),
        None => it.name.clone(),
    };
    all.iter().map(|it| (identity(it), it)).collect()
}

fn shown(ingredient: &Ingredient) -> String {
    match ingredient.input() {
        Some(name) => format!("input {}", shown_name(name)),
        None => ingredient.name.clone(),
    }
}

fn described(ingredient: &Ingredient) -> String {
    let mut text = shown(ingredient);
    if !ingredient.value.is_empty() {
        text = format!("{text} {}", ingredient.value);
    }
    match &ingredient.known_as {
        Some(name) if ingredient.input().is_none() => format!("{text}  ({name})"),
        _ => text,
    }
}
