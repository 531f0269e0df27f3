//! Splits the text of response files and configuration files into arguments.
//!
//! The rules are those of LLVM's `TokenizeGNUCommandLine`, `TokenizeWindowsCommandLine`,
//! `tokenizeConfigFile` and `ExpansionContext::expandResponseFiles` in `CommandLine.cpp`, described in
//! <https://llvm.org/docs/CommandLine.html#response-files>. The caller reads the files.

use std::io;

use crate::error::Hinted;

mod config;
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

pub use config::{expand_config, tokenize_config};

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
    /// No argument of a process holds one, and compilers cut words there.
    #[error("response file `{path}` holds a NUL")]
    Nul { path: String },
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
/// A file exists but cannot be read or is no text, or files include each other in a cycle.
pub fn expand_response_files(
    words: &[String],
    usual: Quoting,
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<String>, ResponseFileError> {
    let mut expansion = Expansion {
        files: Files::new(read),
        quoting: Quoting::said(words).unwrap_or(usual),
        words: Vec::with_capacity(words.len()),
    };
    for word in words {
        expansion.expand(word, 0)?;
    }
    Ok(expansion.words)
}

struct Expansion<'a> {
    files: Files<'a>,
    quoting: Quoting,
    words: Vec<String>,
}

impl Expansion<'_> {
    fn expand(&mut self, word: &str, depth: usize) -> Result<(), ResponseFileError> {
        let Some(path) = word.strip_prefix('@').filter(|path| !path.is_empty()) else {
            self.words.push(word.to_owned());
            return Ok(());
        };
        let Some(text) = self.files.text(path, depth)? else {
            self.words.push(word.to_owned());
            return Ok(());
        };
        for inner in self.quoting.tokenize(&text) {
            check_length(&self.words, path)?;
            self.expand(&inner, depth + 1)?;
        }
        Ok(())
    }
}

/// The files that an expansion reads, so that it ends.
struct Files<'a> {
    read: &'a mut dyn FnMut(&str) -> io::Result<String>,
    left: usize,
}

impl<'a> Files<'a> {
    fn new(read: &'a mut dyn FnMut(&str) -> io::Result<String>) -> Self {
        Self {
            read,
            left: MAX_FILES,
        }
    }

    /// The text of a file, named `depth` files deep. `None` if it does not exist.
    fn text(&mut self, path: &str, depth: usize) -> Result<Option<String>, ResponseFileError> {
        let Some(left) = self.left.checked_sub(1) else {
            let path = path.to_owned();
            return Err(ResponseFileError::TooLong { path });
        };
        self.left = left;
        if depth == MAX_DEPTH {
            let path = path.to_owned();
            return Err(ResponseFileError::TooDeep { path });
        }
        let text = match (self.read)(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = path.to_owned();
                return Err(ResponseFileError::Unreadable { path, source });
            }
        };
        if text.contains('\0') {
            let path = path.to_owned();
            return Err(ResponseFileError::Nul { path });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(Some(text.to_owned()))
    }
}

fn check_length(words: &[String], path: &str) -> Result<(), ResponseFileError> {
    match words.len() {
        ..MAX_WORDS => Ok(()),
        _ => Err(ResponseFileError::TooLong {
            path: path.to_owned(),
        }),
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
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
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
