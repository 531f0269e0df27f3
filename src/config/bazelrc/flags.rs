//! Follows the flags of a `.bazelrc` through their groups, and takes them as options.

use std::collections::BTreeMap;

use super::{Bazelrc, BazelrcReader, Line, WORKSPACE};
use crate::config::options::{Class, Opt, OptionKind};
use crate::config::source::{ConfigEntry, ConfigSource};

/// What the names of flags that may concern relto begin with.
const PREFIXES: [&str; 9] = [
    "remote_",
    "experimental_remote_",
    "incompatible_remote_",
    "tls_",
    "bes_",
    "credential_helper",
    "experimental_credential_helper",
    "google_",
    "grpc_keepalive_",
];

/// Names of earlier releases.
const RENAMED: [(&str, &str); 2] = [
    (
        "experimental_remote_cache_compression",
        "remote_cache_compression",
    ),
    ("experimental_credential_helper", "credential_helper"),
];

/// Flags that are looked at, each as often as its group is chosen: groups that choose each other
/// could otherwise go on for ever.
pub(super) const MAX_FLAGS: usize = 100_000;

/// The lines by their groups, and how far following them has come.
struct GroupExpansion<'a> {
    groups: BTreeMap<&'a str, Vec<&'a Line>>,
    /// Groups that are being followed.
    outer: Vec<String>,
    ignored: Vec<String>,
    flags_left: usize,
}

impl BazelrcReader<'_> {
    /// `None` if the groups choose each other too often.
    pub(super) fn finish(mut self) -> Option<Bazelrc> {
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
            groups,
            outer: Vec::new(),
            ignored: Vec::new(),
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
        Some(self.found)
    }

    /// What a group sets, with the groups that its flags choose in their places.
    fn entries(&self, group: &str, expansion: &mut GroupExpansion<'_>) -> Option<Vec<ConfigEntry>> {
        // A group that chooses itself has nothing to add.
        if expansion.outer.iter().any(|known| known == group) {
            return Some(Vec::new());
        }
        expansion.outer.push(group.to_owned());
        let lines = expansion.groups.get(group).cloned().unwrap_or_default();
        let mut entries = Vec::new();
        for line in lines {
            let mut words = line.words.iter().map(String::as_str).peekable();
            while let Some(word) = words.next() {
                expansion.flags_left = expansion.flags_left.checked_sub(1)?;
                let Some(flag) = word.strip_prefix("--") else {
                    continue;
                };
                let (name, mut value) = match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (flag, None),
                };
                let takes_next = |name: &str| {
                    let option = Opt::find(name);
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
                    _ => match self.entry(name, value, &line.source) {
                        Ok(entry) => entries.push(entry),
                        Err(Some(name)) => expansion.ignored.push(name),
                        Err(None) => {}
                    },
                }
            }
        }
        expansion.outer.pop();
        Some(entries)
    }

    /// One flag as an option; or its name, if it concerns remote execution and means nothing here.
    fn entry(
        &self,
        name: &str,
        value: Option<&str>,
        source: &ConfigSource,
    ) -> Result<ConfigEntry, Option<String>> {
        let (positive, negated) = match name.strip_prefix("no") {
            Some(positive) if concerns_us(positive) => (positive, true),
            _ => (name, false),
        };
        if !concerns_us(positive) {
            return Err(None);
        }
        let renamed = RENAMED.iter().find(|(earlier, _)| *earlier == positive);
        let positive = renamed.map_or(positive, |(_, now)| now);
        let ignored = || Some(format!("--{name}"));
        let option = Opt::find(positive).ok_or_else(ignored)?;
        let is_switch = option.kind() == OptionKind::Switch;
        if option.class == Class::UserOnly && source.is_tree() || negated && !is_switch {
            return Err(ignored());
        }
        let text = match value {
            Some(value) => value.replace(WORKSPACE, &self.workspace.to_string_lossy()),
            None if is_switch => (!negated).to_string(),
            None => return Err(ignored()),
        };
        Ok(ConfigEntry {
            option,
            values: vec![translated(option, text).ok_or_else(ignored)?],
            source: source.clone(),
        })
    }
}

fn concerns_us(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The value as relto spells it; `None` if it has no meaning here.
fn translated(option: &Opt, text: String) -> Option<String> {
    match option.name {
        "remote_executor" | "remote_cache" | "bes_backend" => match text.split_once("://") {
            Some(("http" | "https", _)) => None,
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
