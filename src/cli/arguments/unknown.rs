//! Options that relto does not have: Bazel's, which mean nothing here, and mistakes.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{CC, LD};
use crate::config::{Opt, is_unused_bazel_flag};

/// The first word that belongs to another program is the program: clap takes an option for it that
/// relto does not have.
pub(super) fn without_unknown_option(
    matches: ArgMatches,
    arguments: &[OsString],
) -> Result<ArgMatches, clap::Error> {
    let Some((CC | LD, command)) = matches.subcommand() else {
        return Ok(matches);
    };
    let words: Vec<_> = command.get_raw("words").into_iter().flatten().collect();
    let [program, after @ ..] = &words[..] else {
        return Ok(matches);
    };
    let before = arguments.len().checked_sub(after.len() + 2);
    let is_separated = before.is_some_and(|before| arguments[before] == "--");
    if is_separated || !program.as_encoded_bytes().starts_with(b"-") {
        return Ok(matches);
    }
    let flag = flag_of(program);
    let mut error = clap::Error::new(ErrorKind::UnknownArgument);
    if let Some(option) = flag.strip_prefix("--").and_then(nearest_flag) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(option));
    }
    error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
    Err(error)
}

fn nearest_flag(name: &str) -> Option<String> {
    let option = Opt::nearest(&name.replace('-', "_")).and_then(Opt::find)?;
    Some(format!("--{}", option.flag()))
}

/// The place of the word that `error` is about, if that is a flag of Bazel which means nothing
/// here: lines copied from a `.bazelrc` have such flags.
pub(super) fn unused_of_bazel(error: &clap::Error, arguments: &[OsString]) -> Option<usize> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(refused)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let refused = flag_of(refused.as_ref());
    if !is_unused_bazel_flag(refused.strip_prefix("--")?) {
        return None;
    }
    arguments.iter().position(|word| flag_of(word) == refused)
}

/// A word without the value behind its `=`.
pub(super) fn flag_of(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let flag = word.split_once('=').map_or(&*word, |(flag, _)| flag);
    flag.to_owned()
}
