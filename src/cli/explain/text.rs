//! Prints the keys of a link as text, and reads that text back, which users keep from an earlier
//! link.

use std::fmt::Write as _;

use crate::action::response::tokenize;
use crate::exec::shell_words;
use crate::explain::{ActionKey, ExplainedLink, ExplainedSlice, Explanation, Ingredient};

/// The heading of what all jobs have in common.
const COMMON: &str = "all jobs";
/// Before the second key of a job.
const SLICE: &str = "  slice key ";

/// All jobs with all that their keys depend on.
pub(super) fn whole(link: &ExplainedLink) -> String {
    let mut text = String::new();
    if !link.common.is_empty() {
        let _ = writeln!(text, "{COMMON}");
        for ingredient in &link.common {
            let _ = writeln!(text, "  {}", line(ingredient));
        }
    }
    for job in &link.jobs {
        show(job, &mut text);
    }
    text
}

fn show(job: &Explanation, text: &mut String) {
    let _ = writeln!(text, "{}", job.module);
    match &job.key {
        Err(reason) => {
            let _ = writeln!(text, "  no key: {reason}");
        }
        Ok(key) => {
            let _ = writeln!(text, "  action {}", key.action);
            let _ = writeln!(text, "  command {}", shell_words(&key.command));
            for ingredient in &key.ingredients {
                let _ = writeln!(text, "  {}", line(ingredient));
            }
            match &key.slice {
                None => {}
                Some(Err(reason)) => {
                    let _ = writeln!(text, "{SLICE}none: {reason}");
                }
                Some(Ok(slice)) => show_slice(slice, text),
            }
        }
    }
}

/// What a link would do with the second key.
fn show_slice(slice: &ExplainedSlice, text: &mut String) {
    let found = match (slice.found_whole, slice.found) {
        (true, _) => "not asked for, the disk cache has the object under the action",
        (false, true) => "the disk cache has the object under this key",
        (false, false) => "the disk cache has nothing under it, nor under the action",
    };
    let _ = writeln!(text, "{SLICE}{}: {found}", slice.key);
    let _ = writeln!(text, "    {}", made_of(slice.sliced, slice.whole));
    match &slice.changes {
        None => text.push_str("    no earlier slice key of the job is known\n"),
        Some(changes) if changes.is_empty() => {
            text.push_str("    it is the one that was looked up last\n");
        }
        Some(changes) => {
            for change in changes {
                let _ = writeln!(text, "    changed: {change}");
            }
        }
    }
}

/// What a slice key consists of.
pub(super) fn made_of(sliced: u32, whole: u32) -> String {
    format!(
        "it is made of the arguments, the module, its shard without hashes, {sliced} imports as the job sees them, {whole} whole"
    )
}

fn line(ingredient: &Ingredient) -> String {
    let mut text = ingredient.name.clone();
    if !ingredient.value.is_empty() {
        let _ = write!(text, " {}", ingredient.value);
    }
    if let Some(known_as) = &ingredient.known_as {
        let _ = write!(text, "  ({known_as})");
    }
    text
}

/// Reads what [`whole`] writes; other lines mean nothing, and slice keys depend on what the cache
/// had. `None` if no job is among them.
pub(super) fn parse(text: &str) -> Option<ExplainedLink> {
    let (mut common, mut jobs) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with(SLICE) || line.starts_with("    ") {
            continue;
        }
        let Some(fact) = line.strip_prefix("  ") else {
            if line != COMMON {
                jobs.push(Explanation {
                    module: line.to_owned(),
                    key: Err("it was not written down".to_owned()),
                    origin: None,
                });
            }
            continue;
        };
        let Some(job) = jobs.last_mut() else {
            common.push(ingredient(fact));
            continue;
        };
        match (fact.split_once(' ').unwrap_or((fact, "")), &mut job.key) {
            (("no", reason), key) => *key = Err(reason.trim_start_matches("key: ").to_owned()),
            (("action", action), key) => {
                *key = Ok(ActionKey {
                    action: action.to_owned(),
                    command: Vec::new(),
                    ingredients: Vec::new(),
                    slice: None,
                });
            }
            (("command", words), Ok(key)) => key.command = tokenize(words),
            (_, Ok(key)) => key.ingredients.push(ingredient(fact)),
            (_, Err(_)) => {}
        }
    }
    let has_keys = jobs.iter().any(|job| job.key.is_ok());
    let says_why = text.contains("\n  no key: ");
    (has_keys || says_why).then(|| ExplainedLink::new(common, jobs))
}

fn ingredient(fact: &str) -> Ingredient {
    let (fact, known_as) = match fact.split_once("  (") {
        Some((fact, name)) => (fact, name.strip_suffix(')').map(str::to_owned)),
        None => (fact, None),
    };
    let mut words = fact.splitn(3, ' ');
    let kind = words.next().unwrap_or_default();
    // The salt alone has no name.
    let (name, value) = match kind {
        "salt" => (kind.to_owned(), fact.strip_prefix("salt ")),
        _ => (
            format!("{kind} {}", words.next().unwrap_or_default()),
            words.next(),
        ),
    };
    Ingredient {
        name,
        value: value.unwrap_or_default().to_owned(),
        known_as,
        sourceless: None,
    }
}
