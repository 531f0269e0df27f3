//! Compares the last two links of one output, from what they recorded.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use indicatif::HumanDuration;

use super::differences::{changes, described, differences};
use super::text::made_of;
use crate::cli::{self, CommandContext, CommandError, output};
use crate::digest::Digest;
use crate::error::{ExitCode, Hinted};
use crate::events::Origin;
use crate::explain::{Comparison, ExplainedLink, compare};
use crate::history::{
    History, JobKey, KeyParts, LinkKeys, RecordedLink, shown_name, without_place,
};

/// There is no record of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("no link that was recorded has a module `{0}`")]
struct UnknownModule(String);

impl Hinted for UnknownModule {
    fn hints(&self) -> Vec<String> {
        vec!["a module is named as the linker was given it, or by the end of that path".to_owned()]
    }
}

/// Explains the newest link, or one module of the newest link that has it.
pub(super) fn run(
    context: &CommandContext,
    module: Option<&str>,
) -> Result<ExitCode, CommandError> {
    let state = Arc::new(context.settings.link.open_state_to_show());
    let history = History::new(Arc::clone(&state));
    let has_module = |keys: &LinkKeys| {
        module.is_none_or(|module| keys.jobs.iter().any(|job| is_meant(&job.module, module)))
    };
    let now = SystemTime::now();
    let found = history.last_two_links(has_module);
    if found.is_none() {
        cli::usable(&state)?;
    }
    let text = match (found, module) {
        (None, None) => "no link is recorded yet\n".to_owned(),
        (None, Some(module)) => return Err(Box::new(UnknownModule(module.to_owned()))),
        (Some((newest, before)), None) => link(&newest, before.as_ref(), now),
        (Some((newest, before)), Some(module)) => one_module(&newest, before.as_ref(), module, now),
    };
    Ok(output::print(&text))
}

/// Whether `known` is the module that the user calls `asked`.
fn is_meant(known: &str, asked: &str) -> bool {
    let asked = shown_name(asked);
    cli::is_meant(known, asked) || cli::is_meant(&without_place(known), asked)
}

fn age(link: &RecordedLink, now: SystemTime) -> String {
    let age = now.duration_since(link.finished).unwrap_or_default();
    format!("{} ago", HumanDuration(age))
}

fn heading(newest: &RecordedLink, before: Option<&RecordedLink>, now: SystemTime) -> String {
    let output = &newest.keys.output;
    match before {
        Some(before) if newest.repeated => format!(
            "{output}: the link of {}, whose keys are those of the link before it, against the one of {}\n",
            age(newest, now),
            age(before, now)
        ),
        Some(before) => format!(
            "{output}: the link of {} against the one of {}\n",
            age(newest, now),
            age(before, now)
        ),
        None => format!(
            "{output}: the link of {}; no earlier one with other keys is recorded\n",
            age(newest, now)
        ),
    }
}

fn link(newest: &RecordedLink, before: Option<&RecordedLink>, now: SystemTime) -> String {
    let mut text = heading(newest, before, now);
    if let Some(before) = before {
        text.push_str(&differences(&comparison(before, newest, |_| true)));
    }
    text
}

/// Compares the jobs of the newest link that are wanted. Only those that differ are spelled out.
fn comparison(
    before: &RecordedLink,
    newest: &RecordedLink,
    is_wanted: impl Fn(&JobKey) -> bool,
) -> Comparison {
    let (before, newest) = (&before.keys, &newest.keys);
    // By which jobs of two links belong together.
    let names = (before.names(), newest.names());
    let action = |job: &JobKey| job.parts.as_ref().ok().map(|parts| parts.action);
    let earlier = before.jobs.iter();
    let earlier = earlier.map(|job| (names.0.stable(&job.module), action(job)));
    let actions: HashMap<Cow<'_, str>, Option<Digest>> = earlier.collect();
    let is_same = |job: &JobKey| {
        let earlier = || actions.get(&names.1.stable(&job.module));
        action(job).is_some_and(|action| earlier() == Some(&Some(action)))
    };
    let differs = |job: &JobKey| is_wanted(job) && !is_same(job);
    let differing = newest.jobs.iter().filter(|job| differs(job));
    let differing = differing.map(|job| names.1.stable(&job.module));
    let differing: HashSet<Cow<'_, str>> = differing.collect();
    let compared = compare(
        &ExplainedLink::of_record(before, |job| {
            differing.contains(&names.0.stable(&job.module))
        }),
        &ExplainedLink::of_record(newest, differs),
    );
    Comparison {
        same: compared.same + newest.jobs.iter().filter(|job| is_same(job)).count(),
        all: newest.jobs.len(),
        ..compared
    }
}

/// Where the object of each module that is meant came from, and what changed its key.
fn one_module(
    newest: &RecordedLink,
    before: Option<&RecordedLink>,
    module: &str,
    now: SystemTime,
) -> String {
    let mut text = heading(newest, before, now);
    let is_meant = |job: &JobKey| is_meant(&job.module, module);
    let compared = before.map(|before| comparison(before, newest, is_meant));
    for job in newest.keys.jobs.iter().filter(|job| is_meant(job)) {
        let place = job.origin.map_or("it is not known from where", place);
        let _ = writeln!(text, "{}\n  object: {place}", job.module);
        if let Err(reason) = &job.parts {
            let _ = writeln!(text, "  no key: {reason}");
            continue;
        }
        if let Ok(parts) = &job.parts {
            slice_key(&newest.keys, parts, &mut text);
        }
        let differing = compared.iter().filter(|_| !newest.repeated);
        let found = differing.flat_map(|compared| &compared.jobs);
        let mut found = found.filter(|(_, modules)| modules.contains(&job.module));
        match (found.next(), &compared) {
            (Some((difference, _)), Some(compared)) => {
                changes(&compared.common, &mut text);
                text.push_str(&described(difference));
            }
            (None, None) if !newest.repeated => {}
            _ if job.origin.is_some_and(|origin| !origin.is_cached()) => text.push_str(
                "  the key is that of the link before: its result was not in a cache, or not any more\n",
            ),
            _ => text.push_str("  the key is that of the link before\n"),
        }
    }
    text
}

/// The second key of a job, what it was made of, and in what it differs from the one before.
fn slice_key(keys: &LinkKeys, parts: &KeyParts, text: &mut String) {
    let Some(slice) = &parts.slice else {
        return;
    };
    let found = if slice.found {
        "its object was found by this key"
    } else {
        "nothing was found by it"
    };
    let _ = writeln!(
        text,
        "  slice key {}: {found}\n    {}",
        slice.key,
        made_of(slice.sliced, slice.whole)
    );
    let Some(changes) = &slice.changes else {
        text.push_str("    no earlier slice key of the job is known\n");
        return;
    };
    if changes.is_empty() {
        text.push_str("    it is that of the link before\n");
    }
    for change in keys.words_for(changes) {
        let _ = writeln!(text, "    changed: {change}");
    }
}

fn place(origin: Origin) -> &'static str {
    match origin {
        Origin::DiskCache => "from the disk cache",
        Origin::RemoteCache => "from the farm's cache",
        Origin::Shared => "that of an equal job of the link",
        Origin::Remote => "compiled by the farm",
        Origin::Local => "compiled here",
        Origin::InPlace => "compiled here, in place and uncached",
    }
}
