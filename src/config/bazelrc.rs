//! A `.bazelrc` as a source of options: its flags for remote execution are relto's own.
//!
//! Of the lines for `common`, `always` and `build`, and of their `:NAME` groups, only flags about
//! remote execution, TLS, build events and credentials count; those that mean nothing here are left
//! out with one note, and all others concern Bazel alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, Warning};
use super::find::text_of;
use super::options::{Class, Opt, OptionKind};
use super::source::{ConfigEntry, ConfigSource};
use crate::action::response::tokenize;

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

/// What the root of a workspace holds.
const WORKSPACE_MARKS: [&str; 4] = ["MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE"];

/// Stands for the workspace in paths.
const WORKSPACE: &str = "%workspace%";

/// Files that one may import, directly and by others.
const MAX_IMPORTS: usize = 64;

/// Flags that are looked at, each as often as its group is chosen: groups that choose each other
/// could otherwise go on for ever.
const MAX_FLAGS: usize = 100_000;

/// What a file and those that it imports set.
#[derive(Debug, Clone, Default)]
pub(super) struct Bazelrc {
    pub(super) plain: Vec<ConfigEntry>,
    /// By `NAME` of `build:NAME`.
    pub(super) groups: BTreeMap<String, Vec<ConfigEntry>>,
    pub(super) paths: Vec<PathBuf>,
    /// The text of the files that come with somebody's sources.
    pub(super) text_in_tree: String,
    /// Flags that mean nothing here, sorted, without their values.
    pub(super) ignored: Vec<String>,
}

/// Reads the file at `path`. It comes with somebody's sources if `in_tree`, or by its place.
///
/// # Errors
/// It, or a file that it imports, cannot be read.
pub(super) fn read(
    path: &Path,
    in_tree: bool,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Bazelrc, ConfigError> {
    let mut reader = Reader {
        environment,
        workspace: workspace_of(path),
        lines: Vec::new(),
        found: Bazelrc::default(),
    };
    reader.file(path, in_tree, true, warnings)?;
    reader.finish().ok_or_else(|| ConfigError::BazelrcTooLarge {
        path: path.to_owned(),
        most: MAX_FLAGS,
    })
}

/// The directory that holds the workspace of the file at `path`; else its own.
fn workspace_of(path: &Path) -> PathBuf {
    let dir = path.parent().unwrap_or(path);
    let is_root = |dir: &&Path| WORKSPACE_MARKS.iter().any(|mark| dir.join(mark).exists());
    dir.ancestors().find(is_root).unwrap_or(dir).to_owned()
}

/// Whether only the user or the administrator writes there: any other file may come with sources.
fn is_users_own(path: &Path, environment: &Environment) -> bool {
    let of_home = environment.home().map(|home| home.join(".bazelrc"));
    let in_config = environment
        .config_dir()
        .is_some_and(|dir| path.starts_with(dir));
    of_home.as_deref() == Some(path) || in_config || path.starts_with("/etc")
}

/// The flags of one line.
struct Line {
    /// Empty for lines without `:NAME`.
    group: String,
    /// Bazel reads all lines for every command before those for `build`.
    is_common: bool,
    words: Vec<String>,
    source: ConfigSource,
}

/// The lines by their groups, and how far following them has come.
struct Expansion<'a> {
    groups: BTreeMap<&'a str, Vec<&'a Line>>,
    /// Groups that are being followed.
    outer: Vec<String>,
    ignored: Vec<String>,
    flags_left: usize,
}

struct Reader<'a> {
    environment: &'a Environment,
    workspace: PathBuf,
    lines: Vec<Line>,
    found: Bazelrc,
}

impl Reader<'_> {
    fn file(
        &mut self,
        path: &Path,
        in_tree: bool,
        required: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), ConfigError> {
        let in_tree = in_tree || !is_users_own(path, self.environment);
        if self.found.paths.iter().any(|known| known == path) {
            return Ok(());
        }
        let warned = warnings.len();
        let text = match text_of(path, warnings, in_tree)? {
            Some(text) if self.found.paths.len() < MAX_IMPORTS => text,
            None if required && warnings.len() == warned => {
                let path = path.to_owned();
                return Err(ConfigError::NoBazelrc { path });
            }
            _ => return Ok(()),
        };
        self.found.paths.push(path.to_owned());
        if in_tree {
            self.found.text_in_tree.push_str(&text);
        }
        for (line, text) in logical_lines(&text) {
            let words = tokenize(&text);
            let Some((command, words)) = words.split_first() else {
                continue;
            };
            match (command.as_str(), words) {
                ("import" | "try-import", [imported, ..]) => {
                    let imported = imported.replace(WORKSPACE, &self.workspace.to_string_lossy());
                    let imported = self.environment.current_dir().join(imported);
                    self.file(&imported, in_tree, command == "import", warnings)?;
                }
                (command, words) => {
                    let source = ConfigSource::File {
                        path: path.to_owned(),
                        line,
                        in_tree,
                    };
                    self.line(command, words, source);
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, command: &str, words: &[String], source: ConfigSource) {
        let (command, group) = command.split_once(':').unwrap_or((command, ""));
        if let "common" | "always" | "build" = command {
            self.lines.push(Line {
                group: group.to_owned(),
                is_common: command != "build",
                words: words.to_vec(),
                source,
            });
        }
    }

    /// `None` if the groups choose each other too often.
    fn finish(mut self) -> Option<Bazelrc> {
        let lines = std::mem::take(&mut self.lines);
        let mut groups: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &lines {
            groups.entry(&line.group).or_default().push(line);
        }
        for lines in groups.values_mut() {
            lines.sort_by_key(|line| !line.is_common);
        }
        let names: Vec<&str> = groups.keys().copied().collect();
        let mut expansion = Expansion {
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
    fn entries(&self, group: &str, expansion: &mut Expansion<'_>) -> Option<Vec<ConfigEntry>> {
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

/// Lines without comments, with their numbers; a backslash at the end joins the next one.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        let (line, continues) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, joined)) if goes_on => joined.push_str(line),
            _ => lines.push((number + 1, line.to_owned())),
        }
        goes_on = continues;
    }
    for (_, line) in &mut lines {
        *line = without_comment(line).to_owned();
    }
    lines
}

/// A comment begins with a `#` that begins a word.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut previous = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if previous.is_whitespace() => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        previous = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as `name=value`, of a file at `name` below a workspace.
    fn parsed(text: &str, home: bool) -> (Bazelrc, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        fs_err::write(dir.path().join("MODULE.bazel"), "").expect("written");
        fs_err::create_dir(dir.path().join("sub")).expect("made");
        fs_err::write(
            dir.path().join("sub/more.bazelrc"),
            "build --remote_timeout=17\nbuild:slow --remote_timeout=99\n",
        )
        .expect("written");
        let path = dir.path().join(".bazelrc");
        fs_err::write(&path, text).expect("written");
        let variables = home.then(|| ("HOME", dir.path().display().to_string()));
        let environment = Environment::new(dir.path(), variables);
        let found = read(&path, false, &environment, &mut Vec::new()).expect("read");
        (found, dir)
    }

    fn shown(entries: &[ConfigEntry]) -> Vec<String> {
        let entries = entries.iter();
        let pair =
            |entry: &ConfigEntry| format!("{}={}", entry.option.name, entry.values.join("|"));
        entries.map(pair).collect()
    }

    #[test]
    fn flags_of_all_forms_come_in_bazels_order_and_others_are_named_or_none_of_our_business() {
        let (found, dir) = parsed(
            "# a comment\nbuild --remote_executor=farm.example.com --jobs=200 # more\n\
             build --noremote_accept_cached --remote_cache_compression \\\n  --remote_retries 7\n\
             common --remote_instance_name='a b' --remote_download_minimal --c++opt=-std=c++20\n\
             build --experimental_remote_cache_async --remote_cache=https://x/ --google_default_credentials\n\
             build --tls_certificate=%workspace%/ca.pem --remote_max_connections=0\n\
             test --remote_timeout=3\n",
            false,
        );
        let certificate = format!("tls_certificate={}/ca.pem", dir.path().display());
        assert_eq!(
            shown(&found.plain),
            [
                "remote_instance_name=a b",
                "remote_executor=grpcs://farm.example.com",
                "remote_accept_cached=false",
                "remote_cache_compression=true",
                "remote_retries=7",
                &certificate,
            ]
        );
        assert_eq!(
            found.ignored,
            [
                "--experimental_remote_cache_async",
                "--google_default_credentials",
                "--remote_cache",
                "--remote_download_minimal",
                "--remote_max_connections",
            ]
        );
    }

    #[test]
    fn imports_and_groups_stand_where_they_are_named() {
        let (found, _dir) = parsed(
            "import %workspace%/sub/more.bazelrc\ntry-import %workspace%/absent\n\
             build:farm --remote_executor=grpc://f:1 --config=slow\nbuild --config=farm\n\
             build --remote_retries=1\nbuild:loop --config=loop\n",
            false,
        );
        let expected = ["remote_executor=grpc://f:1", "remote_timeout=99"];
        assert_eq!(shown(&found.groups["farm"]), expected);
        assert_eq!(
            shown(&found.plain),
            [
                "remote_timeout=17",
                "remote_executor=grpc://f:1",
                "remote_timeout=99",
                "remote_retries=1",
            ]
        );
        assert_eq!(found.paths.len(), 2);
    }

    #[test]
    fn groups_that_choose_each_other_are_not_followed_for_ever() {
        let mut text = String::from("build --config=c0\nbuild:c20 --remote_header=a=b\n");
        for number in 0..20 {
            let next = format!("--config=c{} ", number + 1).repeat(20);
            text.extend(["build:c", &number.to_string(), " ", &next, "\n"]);
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".bazelrc");
        fs_err::write(&path, text).expect("written");
        let environment = Environment::new(dir.path(), None);
        let refused = read(&path, true, &environment, &mut Vec::new());
        assert!(matches!(refused, Err(ConfigError::BazelrcTooLarge { .. })));
    }

    #[test]
    fn a_helper_program_is_taken_from_the_users_own_file_only() {
        let text = "build --credential_helper=/bin/helper\n";
        let (of_tree, _dir) = parsed(text, false);
        assert!(of_tree.plain.is_empty());
        assert_eq!(of_tree.ignored, ["--credential_helper"]);
        assert_eq!(of_tree.text_in_tree, text);
        let (of_user, _dir) = parsed(text, true);
        assert_eq!(shown(&of_user.plain), ["credential_helper=/bin/helper"]);
        assert!(!of_user.plain[0].source.is_tree());
    }
}
