//! Why jobs ran: what made their keys others than in the link before.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use super::keys::{JobKeyPair, KeyPairs, NamedKeys, short};
use crate::events::Origin;
use crate::history::{KeyFile, KeyParts, LinkKeys, ModuleNames, shown_name};
use crate::timings::{JobTimings, LinkTimings};

/// Changes that a short text names.
const NAMED: usize = 1;

/// Why a job ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// A few words, equal for jobs that ran for the same reason.
    pub(super) text: String,
    /// What exactly differs, one line each.
    pub(super) details: Vec<String>,
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self {
            text,
            details: Vec::new(),
        }
    }
}

/// For each job of `link` that ran, why it did.
pub(super) fn causes(
    link: &LinkTimings,
    earlier: Option<&LinkTimings>,
    keys: &KeyPairs,
) -> Vec<Option<Cause>> {
    let (then, now) = (earlier.map(names), names(link));
    let before = earlier.zip(then.as_ref()).map(|(earlier, names)| {
        let jobs = earlier.jobs.iter();
        let jobs = jobs.map(|job| (names.stable(&job.module), job));
        jobs.collect::<HashMap<Cow<'_, str>, &JobTimings>>()
    });
    let pairs = keys.jobs();
    let causes = link.jobs.iter().map(|job| {
        ran(job).then(|| match &before {
            None => "no earlier link of this output is recorded".into(),
            Some(before) => {
                let before = before.get(&now.stable(&job.module));
                cause(job, before.copied(), pairs.get(shown_name(&job.module)))
            }
        })
    });
    causes.collect()
}

fn names(link: &LinkTimings) -> ModuleNames {
    ModuleNames::recorded(link.jobs.iter().map(|job| &*job.module))
}

fn ran(job: &JobTimings) -> bool {
    job.origin.is_some_and(|origin| !origin.is_cached())
}

fn cause(job: &JobTimings, before: Option<&JobTimings>, pair: Option<&JobKeyPair<'_>>) -> Cause {
    let Some(before) = before else {
        return "new module".into();
    };
    let Some(key) = job.key else {
        let reason = job.in_place.as_deref().unwrap_or("it has no key");
        return format!("never cached: {reason}").into();
    };
    match before.key {
        Some(earlier) if earlier == key => unchanged(job, before),
        Some(earlier) => {
            let is_known = |pair: &&JobKeyPair<'_>| {
                short(pair.before.1) == Some(earlier) && short(pair.now.1) == Some(key)
            };
            pair.filter(is_known).map_or_else(
                || "changed key, of which no details are recorded".into(),
                |pair| changed(&job.module, pair),
            )
        }
        None => "it had no key before".into(),
    }
}

/// The key is the same, but the result was not found.
fn unchanged(job: &JobTimings, before: &JobTimings) -> Cause {
    match (&job.in_place, before.origin) {
        (Some(reason), _) => format!("not cached: {reason}").into(),
        (None, None) => "unchanged, but the earlier link has no result".into(),
        (None, Some(Origin::InPlace)) => "unchanged, but the earlier result was not cached".into(),
        (None, Some(_)) => "unchanged, but not in a cache any more (evicted)".into(),
    }
}

/// What differs, the farthest-reaching first: its kind is the short text.
fn changed(module: &str, pair: &JobKeyPair<'_>) -> Cause {
    let kinds = [
        ("changed", common(pair)),
        ("changed argument", arguments(pair)),
        ("changed module", of_module(module, pair, ModuleRole::Own)),
        (
            "changed import",
            of_module(module, pair, ModuleRole::Imports),
        ),
    ];
    let kinds = kinds.into_iter();
    let found: Vec<_> = kinds.filter(|(_, differ)| !differ.is_empty()).collect();
    let Some((kind, first)) = found.first() else {
        let (before, now) = (pair.before.1, pair.now.1);
        return if before.index == now.index {
            "changed order of its inputs".into()
        } else {
            "changed summaries: other symbols are imported or exported".into()
        };
    };
    let mut text = match *kind {
        "changed module" => (*kind).to_owned(),
        kind => format!("{kind} {}", first[0].name),
    };
    let more = first.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    let lines = found.iter().flat_map(|(_, differences)| differences);
    let lines = lines.map(|it| it.line.clone());
    Cause {
        text,
        details: lines.chain(of_slice_key(pair.now)).collect(),
    }
}

/// Why nothing was found by what the job sees of its imports either.
fn of_slice_key((named, parts): (&NamedKeys, &KeyParts)) -> Vec<String> {
    match parts.slice.as_ref().map(|slice| slice.changes.as_deref()) {
        None => Vec::new(),
        Some(None) => vec!["slice key: the first one that is known".to_owned()],
        Some(Some([])) => vec!["slice key: the same, but its result is not there".to_owned()],
        Some(Some(changes)) => named
            .keys
            .words_for(changes)
            .map(|change| format!("slice key: {change} changed"))
            .collect(),
    }
}

/// One thing that differs.
struct KeyDifference {
    name: String,
    line: String,
}

fn difference(name: &str, line: String) -> KeyDifference {
    KeyDifference {
        name: name.to_owned(),
        line,
    }
}

/// Toolchain, salt and environment.
fn common<'a>(pair: &JobKeyPair<'a>) -> Vec<KeyDifference> {
    let by_name = |keys: &'a LinkKeys| -> BTreeMap<&'a str, &'a str> {
        let values = keys.common.iter();
        values.map(|it| (&*it.name, &*it.value)).collect()
    };
    let (before, now) = (by_name(&pair.before.0.keys), by_name(&pair.now.0.keys));
    let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    let differ = names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name));
    let differences = differ.map(|name| difference(name, format!("{name} changed")));
    differences.collect()
}

fn arguments<'a>(pair: &JobKeyPair<'a>) -> Vec<KeyDifference> {
    let words = |(named, parts): (&'a NamedKeys, &'a KeyParts)| -> Vec<&'a String> {
        named.keys.words_of(parts).collect()
    };
    let (before, now) = (words(pair.before), words(pair.now));
    let in_before: HashSet<&String> = before.iter().copied().collect();
    let in_now: HashSet<&String> = now.iter().copied().collect();
    let added = now.iter().filter(|word| !in_before.contains(*word));
    let added = added.map(|word| difference(word, format!("argument {word} added")));
    let removed = before.iter().filter(|word| !in_now.contains(*word));
    let removed = removed.map(|word| difference(word, format!("argument {word} removed")));
    let mut differences: Vec<_> = added.chain(removed).collect();
    if differences.is_empty() && before != now {
        let line = "the same arguments in another order".to_owned();
        differences.push(difference("order", line));
    }
    differences
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ModuleRole {
    Own,
    Imports,
}

/// The module itself, or the modules that it imports from.
fn of_module<'a>(module: &str, pair: &JobKeyPair<'a>, part: ModuleRole) -> Vec<KeyDifference> {
    let own = pair.now.0.names.stable(module);
    let files = |(named, parts): (&'a NamedKeys, &'a KeyParts)| {
        let files = named.keys.files_of(parts);
        let files = files.map(|file| (named.names.stable(&file.name), file));
        let wanted = files.filter(|(name, _)| (*name == own) == (part == ModuleRole::Own));
        wanted.collect::<BTreeMap<Cow<'a, str>, &'a KeyFile>>()
    };
    let (before, now) = (files(pair.before), files(pair.now));
    let mut differences = Vec::new();
    for (name, file) in &now {
        let shown = &file.name;
        match before.get(name) {
            Some(earlier) if earlier.digest.hash == file.digest.hash => {}
            Some(_) => differences.push(difference(shown, format!("{shown} changed"))),
            None => differences.push(difference(shown, format!("{shown} is imported from now"))),
        }
    }
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    for (_, file) in gone {
        let line = format!("{} is not imported from any more", file.name);
        differences.push(difference(&file.name, line));
    }
    differences
}
