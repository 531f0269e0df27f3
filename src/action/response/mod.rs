//! Splits the text of response files and configuration files into arguments.
//!
//! The rules are those of LLVM's `TokenizeGNUCommandLine`, `TokenizeWindowsCommandLine`,
//! `tokenizeConfigFile` and `ExpansionContext::expandResponseFiles` in `CommandLine.cpp`, described in
//! <https://llvm.org/docs/CommandLine.html#response-files>. The caller reads the files.

use std::io;

use crate::error::Hinted;

mod windows;

#[cfg(test)]
mod tests;

/// Maximum nesting of response files. clang has no limit, but refuses cycles.
const MAX_DEPTH: usize = 64;
/// Maximum number of words. The kernel accepts about two million bytes of arguments; a response
/// file may hold more.
const MAX_WORDS: usize = 1 << 20;
/// Maximum number of files, each as often as it is named: empty files that name each other would
/// otherwise be read for ever without a single word.
const MAX_FILES: usize = 1 << 14;

#[derive(Debug, thiserror::Error)]
pub enum ResponseFileError {
    #[error("cannot read response file `{path}`")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("response file `{path}` includes itself or is nested too deeply")]
    TooDeep { path: String },
    #[error("response file `{path}` has too many arguments or names too many files")]
    TooLong { path: String },
}

impl Hinted for ResponseFileError {}

/// How response files quote words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// clang's own way.
    Gnu,
    /// The way of `clang-cl`.
    Windows,
}

impl Quoting {
    /// What the last `--rsp-quoting=` of a command line says. clang heeds none that stands in a file.
    fn said(words: &[String]) -> Option<Self> {
        let said = |word: &String| match word.strip_prefix("--rsp-quoting=")? {
            "posix" => Some(Self::Gnu),
            "windows" => Some(Self::Windows),
            _ => None,
        };
        words.iter().rev().find_map(said)
    }

    fn tokenize(self, text: &str) -> Vec<String> {
        match self {
            Self::Gnu => tokenize(text),
            Self::Windows => windows::tokenize(text),
        }
    }
}

/// Replaces every `@FILE` with the arguments in it, recursively. `read` returns a file's text, and
/// `usual` is how the compiler expects it to be quoted if `words` do not say. A file that does not
/// exist is kept as it is, because clang takes the word literally.
///
/// # Errors
/// A file exists but cannot be read, or files include each other in a cycle.
pub fn expand_response_files(
    words: &[String],
    usual: Quoting,
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<String>, ResponseFileError> {
    let mut expansion = Expansion {
        read,
        quoting: Quoting::said(words).unwrap_or(usual),
        files_left: MAX_FILES,
        words: Vec::with_capacity(words.len()),
    };
    for word in words {
        expansion.expand(word, 0)?;
    }
    Ok(expansion.words)
}

struct Expansion<'a> {
    read: &'a mut dyn FnMut(&str) -> io::Result<String>,
    quoting: Quoting,
    files_left: usize,
    words: Vec<String>,
}

impl Expansion<'_> {
    fn expand(&mut self, word: &str, depth: usize) -> Result<(), ResponseFileError> {
        let Some(path) = word.strip_prefix('@').filter(|path| !path.is_empty()) else {
            self.words.push(word.to_owned());
            return Ok(());
        };
        let Some(fewer) = self.files_left.checked_sub(1) else {
            return Err(ResponseFileError::TooLong {
                path: path.to_owned(),
            });
        };
        self.files_left = fewer;
        if depth == MAX_DEPTH {
            return Err(ResponseFileError::TooDeep {
                path: path.to_owned(),
            });
        }
        let text = match (self.read)(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.words.push(word.to_owned());
                return Ok(());
            }
            Err(source) => {
                return Err(ResponseFileError::Unreadable {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for inner in self.quoting.tokenize(text) {
            if self.words.len() >= MAX_WORDS {
                return Err(ResponseFileError::TooLong {
                    path: path.to_owned(),
                });
            }
            self.expand(&inner, depth + 1)?;
        }
        Ok(())
    }
}

/// Splits a text at white space. Outside quotes and inside double quotes a backslash escapes the
/// next character; inside single quotes too, as in LLVM though not in shells. A backslash at the
/// end of the text stands for itself, and an open quote ends with the text.
#[must_use]
pub fn tokenize(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' | '\0' => words.extend(word.take()),
            '\\' => word
                .get_or_insert_default()
                .push(characters.next().unwrap_or('\\')),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = characters.next().filter(|&inner| inner != character) {
                    match inner {
                        '\\' => word.push(characters.next().unwrap_or('\\')),
                        _ => word.push(inner),
                    }
                }
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Whether a backslash at the end is none that another one escapes.
fn is_continued(line: &str) -> bool {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

/// Splits the text of a configuration file. Lines that begin with `#` are comments, and a backslash
/// at the end of a line joins it with the next.
#[must_use]
pub fn tokenize_config(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if first.trim_start().starts_with('#') {
            continue;
        }
        let mut line = first.to_owned();
        while is_continued(&line) && lines.peek().is_some() {
            line.pop();
            line.extend(lines.next());
        }
        words.extend(tokenize(&line));
    }
    words
}
