//! Reads the lines of a `.bazelrc` and of the files that it imports.

use std::path::Path;

use super::{BazelrcReader, Line, WORKSPACE};
use crate::action::response::tokenize;
use crate::config::covered::{CoveredFile, FileKind};
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Warning};
use crate::config::find::text_of;
use crate::config::source::ConfigSource;

/// Files that one may import, directly and by others.
const MAX_IMPORTS: usize = 64;

impl BazelrcReader<'_> {
    pub(super) fn file(
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
            let file = CoveredFile::new(FileKind::Bazelrc, path, text.as_bytes());
            self.found.files_in_tree.push(file);
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
}

/// Whether only the user or the administrator writes there: any other file may come with sources.
fn is_users_own(path: &Path, environment: &Environment) -> bool {
    let of_home = environment.home().map(|home| home.join(".bazelrc"));
    let in_config = environment
        .config_dir()
        .is_some_and(|dir| path.starts_with(dir));
    of_home.as_deref() == Some(path) || in_config || path.starts_with("/etc")
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
