//! Response files and configuration files: arguments written in a text.
//!
//! Enters: words and texts. Leaves: words, split by the rules that clang uses (LLVM's
//! `TokenizeGNUCommandLine`, `tokenizeConfigFile` and `ExpansionContext::expandResponseFiles` in
//! `CommandLine.cpp`, described in <https://llvm.org/docs/CommandLine.html#response-files>).
//! Reading is the caller's.

use std::io;

use crate::error::Hinted;

#[cfg(test)]
mod tests;

/// Files inside files, as deep as this; clang knows no limit, but refuses circles.
const MAX_DEPTH: usize = 64;
/// Words in all. The kernel takes about two million bytes of arguments; a response file may hold
/// more.
const MAX_WORDS: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ResponseFileError {
    #[error("cannot read response file `{path}`")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("response file `{path}` includes itself, or others too deeply")]
    TooDeep { path: String },
    #[error("response file `{path}` has too many arguments")]
    TooLong { path: String },
}

impl Hinted for ResponseFileError {}

/// Replaces every `@FILE` by the arguments in it, again and again. `read` gives a file's text.
///
/// # Errors
/// A file is there but cannot be read, files include each other in a circle. One that is not there
/// stays as it is: clang takes the word literally.
pub fn expand_response_files(
    words: &[String],
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<String>, ResponseFileError> {
    let mut expanded = Vec::with_capacity(words.len());
    for word in words {
        expand(word, 0, read, &mut expanded)?;
    }
    Ok(expanded)
}

fn expand(
    word: &str,
    depth: usize,
    read: &mut dyn FnMut(&str) -> io::Result<String>,
    expanded: &mut Vec<String>,
) -> Result<(), ResponseFileError> {
    let Some(path) = word.strip_prefix('@').filter(|path| !path.is_empty()) else {
        expanded.push(word.to_owned());
        return Ok(());
    };
    if depth == MAX_DEPTH {
        return Err(ResponseFileError::TooDeep {
            path: path.to_owned(),
        });
    }
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            expanded.push(word.to_owned());
            return Ok(());
        }
        Err(source) => {
            return Err(ResponseFileError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    for inner in tokenize(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        if expanded.len() >= MAX_WORDS {
            return Err(ResponseFileError::TooLong {
                path: path.to_owned(),
            });
        }
        expand(&inner, depth + 1, read, expanded)?;
    }
    Ok(())
}

/// Splits a text at white space. Outside quotes and inside double ones a backslash takes the next
/// character as it is; inside single ones too, as LLVM does though shells do not; one that ends the
/// text stands for itself. An open quote ends with the text.
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

/// Splits the text of a configuration file: lines that begin with `#` are comments, a backslash at
/// the end of a line joins it with the next one.
#[must_use]
pub fn tokenize_config(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if first.trim_start().starts_with('#') {
            continue;
        }
        let mut line = first.to_owned();
        while line.ends_with('\\') && lines.peek().is_some() {
            line.pop();
            line.extend(lines.next());
        }
        words.extend(tokenize(&line));
    }
    words
}
