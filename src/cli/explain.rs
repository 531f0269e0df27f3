//! `relto explain JOBS.json [EARLIER]`: what the key of each job is made of, and what changed it.
//!
//! The job file is one that lld leaves when told to keep its temporary files. By the time of the
//! next link its modules have changed, so `EARLIER` is not a job file but the output of this
//! command at that time; only the differences are printed then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;

use super::{CommandContext, CommandError, engine, output};
use crate::action::response::tokenize;
use crate::error::{ExitCode, Hinted};
use crate::exec::shell_words;
use crate::explain::{ActionKey, Explanation, Ingredient, explain};
use crate::job::JobFile;

pub(super) fn run(
    context: &CommandContext,
    jobs: &Path,
    earlier: Option<&Path>,
) -> Result<ExitCode, CommandError> {
    let options = engine::options(&context.settings);
    let file = JobFile::read(jobs).map_err(|error| Box::new(error) as CommandError)?;
    let now = explain(&file, &options).map_err(|error| Box::new(error) as CommandError)?;
    let text = match earlier {
        None => now.iter().map(whole).collect(),
        Some(earlier) => differences(&read(earlier)?, &now),
    };
    Ok(output::print(&text))
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read what was explained earlier")]
struct Unreadable(#[source] std::io::Error);

impl Hinted for Unreadable {
    fn hints(&self) -> Vec<String> {
        vec!["write it with `relto explain JOBS.json > EARLIER` after the earlier link".to_owned()]
    }
}

fn read(earlier: &Path) -> Result<Vec<Explanation>, CommandError> {
    let text =
        fs::read_to_string(earlier).map_err(|error| Box::new(Unreadable(error)) as CommandError)?;
    Ok(parse(&text))
}

/// Reads what [`whole`] writes; other lines mean nothing.
fn parse(text: &str) -> Vec<Explanation> {
    let mut jobs: Vec<Explanation> = Vec::new();
    for line in text.lines() {
        let Some(fact) = line.strip_prefix("  ") else {
            let module = line.to_owned();
            let key = Err("it was not written down".to_owned());
            jobs.push(Explanation { module, key });
            continue;
        };
        let Some(job) = jobs.last_mut() else { continue };
        match (fact.split_once(' ').unwrap_or((fact, "")), &mut job.key) {
            (("no", reason), key) => *key = Err(reason.trim_start_matches("key: ").to_owned()),
            (("action", action), key) => {
                *key = Ok(ActionKey {
                    action: action.to_owned(),
                    command: Vec::new(),
                    ingredients: Vec::new(),
                });
            }
            (("command", words), Ok(key)) => key.command = tokenize(words),
            (_, Ok(key)) => key.ingredients.push(ingredient(fact)),
            (_, Err(_)) => {}
        }
    }
    jobs
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
    }
}

fn whole(job: &Explanation) -> String {
    let mut text = format!("{}\n", job.module);
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
        }
    }
    text
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

/// Jobs are told apart by their modules' names.
fn differences(earlier: &[Explanation], now: &[Explanation]) -> String {
    let before: BTreeMap<&str, &Explanation> = earlier
        .iter()
        .map(|job| (job.module.as_str(), job))
        .collect();
    let mut text = String::new();
    let mut same = 0;
    for job in now {
        match before.get(job.module.as_str()) {
            None => {
                let _ = writeln!(
                    text,
                    "{}\n  the earlier link has no such module",
                    job.module
                );
            }
            Some(old) => match difference(old, job) {
                None => same += 1,
                Some(difference) => {
                    let _ = write!(text, "{}\n{difference}", job.module);
                }
            },
        }
    }
    let _ = writeln!(
        text,
        "{same} of {} jobs have the same key in both links",
        now.len()
    );
    text
}

/// `None` if the keys are the same.
fn difference(old: &Explanation, new: &Explanation) -> Option<String> {
    let (old, new) = match (&old.key, &new.key) {
        (Ok(old), Ok(new)) if old.action == new.action => return None,
        (Ok(old), Ok(new)) => (old, new),
        (Err(reason), _) => return Some(format!("  no key in the earlier link: {reason}\n")),
        (_, Err(reason)) => return Some(format!("  no key: {reason}\n")),
    };
    let mut text = words_that_differ(&old.command, &new.command);
    let names: BTreeSet<&str> = names(old).chain(names(new)).collect();
    for name in names {
        match (find(old, name), find(new, name)) {
            (Some(old), Some(new)) if old.value == new.value => {}
            (old, new) => {
                for (sign, ingredient) in [('-', old), ('+', new)] {
                    if let Some(ingredient) = ingredient {
                        let _ = writeln!(text, "  {sign} {}", line(ingredient));
                    }
                }
            }
        }
    }
    Some(text)
}

fn names(key: &ActionKey) -> impl Iterator<Item = &str> {
    key.ingredients.iter().map(|it| it.name.as_str())
}

fn find<'a>(key: &'a ActionKey, name: &str) -> Option<&'a Ingredient> {
    key.ingredients.iter().find(|it| it.name == name)
}

fn words_that_differ(old: &[String], new: &[String]) -> String {
    let mut text = String::new();
    for (sign, words, others) in [('-', old, new), ('+', new, old)] {
        for word in words.iter().filter(|word| !others.contains(word)) {
            let _ = writeln!(text, "  {sign} argument {}", shell_words(&[word]));
        }
    }
    if text.is_empty() && old != new {
        text.push_str("  the same arguments in another order\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;

    fn job(module: &str, command: &str, inputs: &[(&str, &str)]) -> Explanation {
        let ingredient = |&(name, value): &(&str, &str)| Ingredient {
            name: format!("input {name}"),
            value: value.to_owned(),
            known_as: Some(format!("{value}.o")),
        };
        let text = format!("{command}{inputs:?}");
        Explanation {
            module: module.to_owned(),
            key: Ok(ActionKey {
                action: DigestFunction::Sha256.digest(text.as_bytes()).to_string(),
                command: command.split(' ').map(str::to_owned).collect(),
                ingredients: inputs.iter().map(ingredient).collect(),
            }),
        }
    }

    #[test]
    fn a_written_explanation_is_read_back() {
        let mut jobs = vec![
            job("a b.o", "clang -O2 -DX='y z' -c", &[("m/0", "x")]),
            job("b.o", "clang", &[]),
        ];
        if let Ok(key) = &mut jobs[0].key {
            for (name, value) in [
                ("salt", "of two words"),
                ("variable X", "a  b"),
                ("output o", ""),
            ] {
                key.ingredients.push(Ingredient {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    known_as: None,
                });
            }
        }
        jobs.push(Explanation {
            module: "c.o".to_owned(),
            key: Err("it runs in place".to_owned()),
        });
        let text: String = jobs.iter().map(whole).collect();
        assert_eq!(parse(&text), jobs, "{text}");
        assert_eq!(
            differences(&parse(&text), &jobs[..2]),
            "2 of 2 jobs have the same key in both links\n"
        );
    }

    #[test]
    fn only_what_changed_a_key_is_shown() {
        let earlier = [
            job("a.o", "clang -O2 -c", &[("m/0", "x"), ("m/1", "y")]),
            job("b.o", "clang -O2 -c", &[("m/0", "x")]),
            job("d.o", "clang -c -O2", &[("m/0", "x")]),
        ];
        let now = [
            job(
                "a.o",
                "clang -O3 -c",
                &[("m/0", "x"), ("m/1", "z"), ("m/2", "w")],
            ),
            job("b.o", "clang -O2 -c", &[("m/0", "x")]),
            job("c.o", "clang -O2 -c", &[]),
            job("d.o", "clang -O2 -c", &[("m/0", "x")]),
        ];
        insta::assert_snapshot!(differences(&earlier, &now), @r"
        a.o
          - argument -O2
          + argument -O3
          - input m/1 y  (y.o)
          + input m/1 z  (z.o)
          + input m/2 w  (w.o)
        c.o
          the earlier link has no such module
        d.o
          the same arguments in another order
        1 of 4 jobs have the same key in both links
        ");
    }
}
