//! Decides which command lines are links that can be made in three steps.

use std::ffi::OsString;

use super::{Flavour, LinkPlan, Refusal, command_line, inputs};
use crate::action::response::{Quoting, expand_response_files};
use crate::fs;

/// What to do with a command line.
#[derive(Debug)]
pub enum LinkDecision {
    /// The linker has nothing to do that relto could help with.
    PassThrough,
    /// There are ThinLTO modules, but this link cannot be taken apart.
    Refused(Refusal),
    Wrapped(Box<LinkPlan>),
}

/// Decides what to do with `words`, the arguments of a linker of `flavour`.
#[must_use]
pub fn decide(flavour: Flavour, words: &[OsString]) -> LinkDecision {
    let words = match expanded(flavour, words) {
        Ok(words) => words,
        Err(refusal) => return LinkDecision::without_options(words, refusal),
    };
    let items = match command_line::parse(&words, command_line::OptionTable::of(flavour)) {
        Ok(items) => items,
        Err(refusal) => {
            let words: Vec<_> = words.into_iter().map(OsString::from).collect();
            return LinkDecision::without_options(&words, refusal);
        }
    };
    if items.iter().any(command_line::Item::passes_through) {
        return LinkDecision::PassThrough;
    }
    match LinkPlan::new(flavour, items) {
        Ok(Some(plan)) => LinkDecision::Wrapped(Box::new(plan)),
        Ok(None) => LinkDecision::PassThrough,
        Err(refusal) => LinkDecision::Refused(refusal),
    }
}

/// `words` with those of response files and lists of files.
///
/// # Errors
/// One is not UTF-8, or a file cannot be read.
fn expanded(flavour: Flavour, words: &[OsString]) -> Result<Vec<String>, Refusal> {
    let words = words.iter().map(|word| word.to_str().map(str::to_owned));
    let words = words.collect::<Option<Vec<_>>>();
    let words = words.ok_or_else(|| Refusal::new("its command line is not UTF-8"))?;
    let words = expand_response_files(&words, Quoting::Gnu, &mut |path| {
        fs::read_regular_to_string(path)
    });
    let words = words.map_err(|error| Refusal::new(error.to_string()))?;
    match flavour {
        Flavour::Elf | Flavour::Wasm => Ok(words),
        Flavour::MachO => inputs::with_file_lists(words),
    }
}

impl LinkDecision {
    /// Of `words` that are not understood. Which of them are inputs is a guess; good enough to tell
    /// whether the `refusal` matters.
    fn without_options(words: &[OsString], refusal: Refusal) -> Self {
        if inputs::may_have_thinlto(words) {
            Self::Refused(refusal)
        } else {
            Self::PassThrough
        }
    }
}
