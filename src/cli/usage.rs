//! Reports wrong use like every other error of relto: clap's findings, with a hint.
//!
//! clap also returns requested output (`--help`, `--version`) as an error.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::arguments::{is_command, nearest_command};
use crate::error::Hinted;

/// What a command line is answered with that leads to no command.
#[derive(Debug)]
pub(super) enum Answer {
    /// Belongs on stdout; the exit code is 0.
    Text(String),
    Error(UsageError),
}

impl UsageError {
    /// A word without a dot or a slash that names no file was meant as a command: `relto docter`.
    pub(super) fn unknown_command(word: &Path) -> Option<Self> {
        let exists = word.exists();
        let word = word.to_str()?;
        if exists || word.contains(['.', '/']) || word.starts_with('-') {
            return None;
        }
        let hint = match nearest_command(word) {
            Some(command) if command == word => return None,
            Some(command) => format!("did you mean `relto {command}`?"),
            None => {
                "`relto --help` lists the commands; a job file is named like `JOBS.json`".to_owned()
            }
        };
        Some(Self {
            message: format!("unknown command `{word}`"),
            hint,
        })
    }
}

/// The command line cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct UsageError {
    message: String,
    hint: String,
}

impl Hinted for UsageError {
    fn hints(&self) -> Vec<String> {
        vec![self.hint.clone()]
    }
}

const SEE_HELP: &str = "`relto --help` shows the usage";

/// `first` is the first word of the command line.
pub(super) fn answer(error: &clap::Error, first: Option<&OsString>) -> Answer {
    let unexpected = matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
    );
    if unexpected
        && let Some(word) = first
        && let Some(error) = UsageError::unknown_command(Path::new(word))
    {
        return Answer::Error(error);
    }
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => Answer::Text(error.render().to_string()),
        _ => Answer::Error(usage_error(error, first.and_then(|word| word.to_str()))),
    }
}

fn usage_error(error: &clap::Error, first: Option<&str>) -> UsageError {
    let argument = context(error, ContextKind::InvalidArg);
    let (message, hint) = match (error.kind(), argument) {
        (ErrorKind::UnknownArgument, Some(argument)) => unknown(error, &argument, first),
        (ErrorKind::InvalidSubcommand, _) => {
            let word = context(error, ContextKind::InvalidSubcommand);
            unknown(error, &word.unwrap_or_default(), first)
        }
        (ErrorKind::InvalidValue, Some(argument)) => invalid(error, &argument),
        (ErrorKind::MissingRequiredArgument, Some(argument)) => {
            (format!("missing argument {argument}"), SEE_HELP.to_owned())
        }
        (ErrorKind::InvalidUtf8, _) => (
            "an option's value is not valid UTF-8".to_owned(),
            SEE_HELP.to_owned(),
        ),
        _ => (first_line(error), SEE_HELP.to_owned()),
    };
    UsageError { message, hint }
}

/// A missing value, or a word that is not one of the few that are accepted.
fn invalid(error: &clap::Error, argument: &str) -> (String, String) {
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    if value.is_empty() {
        let option = argument.split(' ').next().unwrap_or(argument);
        let hint = format!(
            "write {}",
            argument
                .replace([' ', '<', '>'], "")
                .replacen(option, &format!("{option}="), 1)
        );
        return (format!("`{option}` needs a value"), hint);
    }
    let hint = match context(error, ContextKind::ValidValue) {
        Some(valid) => format!("choose among {valid}"),
        None => SEE_HELP.to_owned(),
    };
    (format!("invalid value `{value}` for {argument}"), hint)
}

/// An unknown option, or a word too many.
fn unknown(error: &clap::Error, argument: &str, first: Option<&str>) -> (String, String) {
    if argument.starts_with('-') && !argument.starts_with("--") {
        let hint = "relto has long options only; `relto --help-all` lists them".to_owned();
        return (format!("unknown option `{argument}`"), hint);
    }
    let Some(name) = argument.strip_prefix("--") else {
        let hint = match first.filter(|word| is_command(word)) {
            Some(command) => format!("`relto {command} --help` shows the usage"),
            None => "the job file is the last argument, and there is only one".to_owned(),
        };
        return (format!("unexpected argument `{argument}`"), hint);
    };
    let hint = match context(error, ContextKind::SuggestedArg) {
        Some(option) => format!("did you mean `{option}`?"),
        None => "`relto --help-all` lists every option".to_owned(),
    };
    (format!("unknown option `--{name}`"), hint)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// clap's own message, without its prefix.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
