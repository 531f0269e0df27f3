//! Wrong use, said in relto's own way.
//!
//! Enters: clap's errors. Leaves: an error with a hint, or the text that was asked for (`--help`,
//! `--version`).

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config;
use crate::error::Hinted;

/// What a command line that does not lead to a command leads to.
#[derive(Debug)]
pub(super) enum Answer {
    /// Belongs on stdout; the exit code is 0.
    Text(String),
    Error(UsageError),
}

impl UsageError {
    /// A word that is neither a job file nor quite a command.
    pub(super) fn mistyped_command(word: &str, command: &str) -> Self {
        Self {
            message: format!("there is no job file `{word}`"),
            hint: format!("did you mean `relto {command}`?"),
        }
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

pub(super) fn answer(error: &clap::Error) -> Answer {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => Answer::Text(error.render().to_string()),
        _ => Answer::Error(usage_error(error)),
    }
}

fn usage_error(error: &clap::Error) -> UsageError {
    let argument = context(error, ContextKind::InvalidArg);
    let (message, hint) = match (error.kind(), argument) {
        (ErrorKind::UnknownArgument, Some(argument)) => unknown(&argument),
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

/// A value that is missing, or a word that is none of the few that fit.
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
    (format!("`{value}` does not fit here"), hint)
}

/// An option that is none, or a word too many.
fn unknown(argument: &str) -> (String, String) {
    if argument.starts_with('-') && !argument.starts_with("--") {
        let hint = "relto has long options only; `relto --help-all` lists them".to_owned();
        return (format!("unknown option `{argument}`"), hint);
    }
    let Some(name) = argument.strip_prefix("--") else {
        return (
            format!("unexpected argument `{argument}`"),
            "the job file is the last argument, and there is only one".to_owned(),
        );
    };
    let name = name.split('=').next().unwrap_or(name).replace('-', "_");
    let names = config::OPTIONS.iter().map(|option| option.name);
    let nearest = config::nearest(&name, names).and_then(config::Opt::find);
    let hint = match nearest {
        Some(option) => format!("did you mean `--{}`?", option.flag()),
        None => "`relto --help-all` lists every option".to_owned(),
    };
    (format!("unknown option `{argument}`"), hint)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// clap's own words, without what we say in ours.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
