//! Follows the flags of a `.bazelrc` through their groups, and takes them as options.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Bazelrc, BazelrcReader, Line, WORKSPACE, known};
use crate::config::error::{ConfigError, Warning};
use crate::config::options::{Class, Opt, OptionKind};
use crate::config::source::{ConfigEntry, ConfigSource};

/// What the names of flags about remote execution begin with, in releases to come and where they
/// are misspelt.
const PREFIXES: [&str; 7] = [
    "remote_",
    "experimental_remote_",
    "incompatible_remote_",
    "tls_",
    "bes_",
    "credential_",
    "grpc_",
];

/// Flags that are looked at, each as often as its group is chosen: groups that choose each other
/// could otherwise go on for ever.
const MAX_FLAGS: usize = 100_000;

/// Groups that choose each other in a chain: each takes a part of the stack.
const MAX_DEPTH: usize = 64;

/// The lines by their groups, and how far following them has come.
struct GroupExpansion<'a> {
    /// The first of the files, for messages.
    path: &'a Path,
    groups: BTreeMap<&'a str, Vec<&'a Line>>,
    /// Groups that are being followed.
    outer: Vec<String>,
    ignored: Vec<String>,
    /// Flags that Bazel would refuse, by their names.
    misspelt: BTreeMap<String, Warning>,
    flags_left: usize,
}

impl GroupExpansion<'_> {
    fn enter(&mut self, group: &str) -> Result<(), ConfigError> {
        // The lines outside groups are the first of them.
        if self.outer.len() > MAX_DEPTH {
            return Err(ConfigError::BazelrcTooDeep {
                path: self.path.to_owned(),
                most: MAX_DEPTH,
            });
        }
        self.outer.push(group.to_owned());
        Ok(())
    }

    fn count_flag(&mut self) -> Result<(), ConfigError> {
        let left = self.flags_left.checked_sub(1);
        self.flags_left = left.ok_or_else(|| ConfigError::BazelrcTooLarge {
            path: self.path.to_owned(),
            most: MAX_FLAGS,
        })?;
        Ok(())
    }
}

/// What becomes of a flag.
enum Taken {
    AsOption(ConfigEntry),
    /// It is about remote execution, and means nothing here.
    Ignored,
    /// No release of Bazel has it, but one with nearly this name.
    Misspelt {
        meant: &'static str,
    },
    /// It concerns Bazel alone.
    NotOurs,
}

impl BazelrcReader<'_> {
    /// # Errors
    /// The groups choose each other too often, or in too long a chain. `path` names the file in that
    /// case.
    pub(super) fn finish(mut self, path: &Path) -> Result<Bazelrc, ConfigError> {
        let lines = std::mem::take(&mut self.lines);
        let mut groups: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &lines {
            groups.entry(&line.group).or_default().push(line);
        }
        for lines in groups.values_mut() {
            lines.sort_by_key(|line| !line.is_common);
        }
        let names: Vec<&str> = groups.keys().copied().collect();
        let mut expansion = GroupExpansion {
            path,
            groups,
            outer: Vec::new(),
            ignored: Vec::new(),
            misspelt: BTreeMap::new(),
            flags_left: MAX_FLAGS,
        };
        for group in names {
            let entries = self.entries(group, &mut expansion)?;
            if group.is_empty() {
                self.found.plain = entries;
            } else {
                self.found.groups.insert(group.to_owned(), entries);
            }
        }
        self.found.ignored = expansion.ignored;
        self.found.ignored.sort();
        self.found.ignored.dedup();
        self.found.misspelt = expansion.misspelt.into_values().collect();
        Ok(self.found)
    }

    /// What a group sets, with the groups that its flags choose in their places.
    fn entries(
        &self,
        group: &str,
        expansion: &mut GroupExpansion<'_>,
    ) -> Result<Vec<ConfigEntry>, ConfigError> {
        // A group that chooses itself has nothing to add.
        if expansion.outer.iter().any(|known| known == group) {
            return Ok(Vec::new());
        }
        expansion.enter(group)?;
        let lines = expansion.groups.get(group).cloned().unwrap_or_default();
        let mut entries = Vec::new();
        for line in lines {
            let mut words = line.words.iter().map(String::as_str).peekable();
            while let Some(word) = words.next() {
                expansion.count_flag()?;
                let Some(flag) = word.strip_prefix("--") else {
                    continue;
                };
                let (name, mut value) = match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (flag, None),
                };
                let takes_next = |name: &str| {
                    let option = known::find(name).and_then(|flag| Opt::find(flag.name));
                    name == "config" || option.is_some_and(|it| it.kind() != OptionKind::Switch)
                };
                if value.is_none() && takes_next(name) {
                    value = words.next_if(|next| !next.starts_with("--"));
                }
                match (name, value) {
                    ("config", Some(group)) => entries.extend(self.entries(group, expansion)?),
                    ("enable_platform_specific_config", None | Some("1" | "true" | "yes")) => {
                        entries.extend(self.entries("linux", expansion)?);
                    }
                    _ => match self.taken(name, value, &line.source) {
                        Taken::AsOption(entry) => entries.push(entry),
                        Taken::Ignored => expansion.ignored.push(format!("--{name}")),
                        Taken::Misspelt { meant } => {
                            let warning = || misspelt(name, meant, &line.source);
                            expansion
                                .misspelt
                                .entry(name.to_owned())
                                .or_insert_with(warning);
                        }
                        Taken::NotOurs => {}
                    },
                }
            }
        }
        expansion.outer.pop();
        Ok(entries)
    }

    fn taken(&self, name: &str, value: Option<&str>, source: &ConfigSource) -> Taken {
        let positive = name.strip_prefix("no");
        let (flag, negated) = match known::find(name) {
            Some(flag) => (Some(flag), false),
            None => (positive.and_then(known::find), true),
        };
        let Some(flag) = flag else {
            return unknown(positive.filter(|it| is_ours(it)).unwrap_or(name));
        };
        let option = Opt::find(flag.name).filter(|_| !flag.is_bazels_own);
        let Some(option) = option else {
            return Taken::Ignored;
        };
        let is_switch = option.kind() == OptionKind::Switch;
        if option.class == Class::UserOnly && source.is_tree() || negated && !is_switch {
            return Taken::Ignored;
        }
        let text = match value {
            Some(value) => value.replace(WORKSPACE, &self.workspace.to_string_lossy()),
            None if is_switch => (!negated).to_string(),
            None => return Taken::Ignored,
        };
        match translated(option, text) {
            Some(text) => Taken::AsOption(ConfigEntry {
                option,
                values: vec![text],
                source: source.clone(),
            }),
            None => Taken::Ignored,
        }
    }
}

fn is_ours(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A flag that Bazel 7 to 9 do not have: of a later release, misspelt, or none of relto's business.
fn unknown(name: &str) -> Taken {
    match known::meant(name).filter(|_| is_ours(name)) {
        Some(meant) => Taken::Misspelt { meant },
        None if is_ours(name) => Taken::Ignored,
        None => Taken::NotOurs,
    }
}

fn misspelt(name: &str, meant: &str, source: &ConfigSource) -> Warning {
    Warning {
        text: format!("Bazel has no flag `--{name}` ({source})"),
        hint: Some(format!("did you mean `--{meant}`?")),
    }
}

/// The value as relto spells it; `None` if it has no meaning here.
fn translated(option: &Opt, text: String) -> Option<String> {
    match option.name {
        "remote_executor" | "remote_cache" | "bes_backend" => match text.split_once("://") {
            Some(_) => Some(text),
            // Bazel encrypts where no scheme says otherwise.
            None if text.is_empty() || text.starts_with("unix:") => Some(text),
            None => Some(format!("grpcs://{text}")),
        },
        // No limit.
        "remote_max_connections" if text == "0" => None,
        _ => Some(text),
    }
}
