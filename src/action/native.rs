//! Replaces `-march=native` with what it means on this machine.
//!
//! `native` is another processor on every machine, so it cannot be part of a key. clang is asked
//! once (`-###` prints the inner command, in which the processor and its features are resolved),
//! and the arguments then mean the same everywhere.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::arguments::{Argument, Meaning};
use crate::error::Hinted;

#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    #[error("cannot run `{compiler}` to resolve `native`")]
    NotStarted {
        compiler: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{compiler}` does not resolve `native`: {message}")]
    NoAnswer { compiler: PathBuf, message: String },
}

impl Hinted for NativeError {
    fn hints(&self) -> Vec<String> {
        vec!["name the processor instead, as in `-march=x86-64-v3`".to_owned()]
    }
}

/// Whether the meaning of the arguments depends on the machine.
#[must_use]
pub fn is_needed(arguments: &[Argument<'_>]) -> bool {
    arguments
        .iter()
        .any(|argument| argument.meaning == Meaning::Machine)
}

/// What `native` is for `compiler`, which gave `output` when it was asked with [`question`]. It holds
/// for the same compiler, question and processor.
///
/// # Errors
/// The compiler could not be started, or does not support `native` for its target. The job can still
/// run in place.
pub fn answer(compiler: &Path, output: io::Result<Output>) -> Result<Vec<String>, NativeError> {
    let output = output.map_err(|source| NativeError::NotStarted {
        compiler: compiler.to_owned(),
        source,
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || NativeError::NoAnswer {
        compiler: compiler.to_owned(),
        message: error_in(&said).to_owned(),
    };
    if !output.status.success() {
        return Err(failed());
    }
    native(&said).ok_or_else(failed)
}

/// The arguments to ask with: all that can affect the processor, and an input that is never read.
#[must_use]
pub fn question(arguments: &[Argument<'_>]) -> Vec<String> {
    let matter = arguments.iter().filter(|argument| {
        matches!(
            argument.meaning,
            Meaning::Plain | Meaning::Machine | Meaning::Target | Meaning::Config
        ) && argument.words[0] != "--"
    });
    let mut words: Vec<_> = matter
        .flat_map(|argument| argument.words)
        .cloned()
        .collect();
    words.extend(["-###", "-c", "-x", "ir", "/dev/null"].map(str::to_owned));
    words
}

/// Removes `native` and puts `replacement` at the end, but before a `--`: the last option wins, as
/// in the inner command.
#[must_use]
pub fn replace(arguments: &[Argument<'_>], replacement: Vec<String>) -> Vec<String> {
    let end = arguments
        .iter()
        .position(|argument| argument.words[0] == "--")
        .unwrap_or(arguments.len());
    let words = |arguments: &[Argument<'_>]| -> Vec<String> {
        let kept = arguments.iter().filter(|it| it.meaning != Meaning::Machine);
        kept.flat_map(|argument| argument.words).cloned().collect()
    };
    let mut all = words(&arguments[..end]);
    all.extend(replacement);
    all.extend(words(&arguments[end..]));
    all
}

/// What hands the word behind it to the inner command.
pub const TO_CLANG: &str = "-Xclang";

/// Whether an option of the inner command, which takes a value, is among those that [`native`] gives.
#[must_use]
pub fn is_of_native(option: &str) -> bool {
    matches!(
        option,
        "-target-cpu" | "-tune-cpu" | "-target-feature" | "-target-abi"
    )
}

/// Extracts the processor from the output of `clang -###`, as `-Xclang` options. Returns `None` if
/// there is none.
#[must_use]
pub fn native(answer: &str) -> Option<Vec<String>> {
    let command = answer.lines().find(|line| line.contains("\"-cc1\""))?;
    if answer.lines().any(|line| line.contains(": error: ")) {
        return None;
    }
    let words = quoted(command);
    let mut replacement = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if is_of_native(word) {
            for part in [word, rest.next()?] {
                replacement.extend([TO_CLANG.to_owned(), part.clone()]);
            }
        }
    }
    (!replacement.is_empty()).then_some(replacement)
}

/// The words in double quotes; a backslash escapes `"`, `\` and `$`.
fn quoted(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = line.chars();
    while characters.any(|character| character == '"') {
        let mut word = String::new();
        while let Some(character) = characters.next().filter(|&character| character != '"') {
            match character {
                '\\' => word.extend(characters.next()),
                _ => word.push(character),
            }
        }
        words.push(word);
    }
    words
}

fn error_in(answer: &str) -> &str {
    let mut lines = answer.lines();
    lines
        .find_map(|line| line.split_once("error: "))
        .map_or("no inner command", |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::arguments;

    const ANSWER: &str = r#"clang version 22
 (in-process)
 "/usr/bin/clang" "-cc1" "-triple" "x" "-target-cpu" "rocketlake" "-target-feature" "+avx" "-D" "a\"b \$c" "-tune-cpu" "generic""#;

    #[test]
    fn processor_and_features_keep_their_order() {
        let native = native(ANSWER).expect("a processor");
        assert_eq!(
            native.join(" "),
            "-Xclang -target-cpu -Xclang rocketlake -Xclang -target-feature -Xclang +avx -Xclang -tune-cpu -Xclang generic"
        );
    }

    #[test]
    fn output_with_an_error_is_not_an_answer() {
        let answer =
            format!("clang: error: unsupported argument 'native' to option '-mcpu='\n{ANSWER}");
        assert_eq!(native(&answer), None);
        assert_eq!(
            error_in(&answer),
            "unsupported argument 'native' to option '-mcpu='"
        );
        assert_eq!(native("clang version 22"), None);
    }

    #[test]
    fn the_question_omits_files_and_the_answer_goes_before_the_inputs() {
        let line = "-O2 -march=native -o x.o -fprofile-use=p -fthinlto-index=i -- m.bc";
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let parsed = arguments::parse(&words);
        assert_eq!(
            question(&parsed).join(" "),
            "-O2 -march=native -### -c -x ir /dev/null"
        );
        let replaced = replace(&parsed, vec!["NEW".to_owned()]).join(" ");
        assert_eq!(
            replaced,
            "-O2 -o x.o -fprofile-use=p -fthinlto-index=i NEW -- m.bc"
        );
    }
}
