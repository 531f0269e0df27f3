//! `relto explain`: what the key of each job is made of, and what changed it.
//!
//! Without a job file it compares the last two links of one output, from what they recorded. With a
//! job file, which lld leaves when told to keep its temporary files, it prints whole keys, or
//! compares them with an earlier link: its job file, or the text that this command printed for it.

mod differences;
mod last;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use self::differences::differences;
use super::arguments::ExplainRequest;
use super::{CommandContext, CommandError, engine, kept_job_file, output};
use crate::error::{ExitCode, Hinted};
use crate::explain::{ExplainedLink, compare, explain};
use crate::fs::{read_at_most, read_regular};
use crate::link::Options;

/// Bytes of what is known of an earlier link; with ten thousands of jobs it has some hundred MiB.
const LARGEST_EXPLANATION: u64 = 1 << 30;

/// What is to be explained cannot be read.
#[derive(Debug, thiserror::Error)]
enum NotExplainable {
    #[error("cannot read the earlier explanation")]
    Earlier(#[source] std::io::Error),
    #[error("`{0}` is neither a job file nor what `relto explain` wrote")]
    Strange(String),
    #[error("nothing that `{0}` names is there any more: {1}")]
    Gone(String, String),
}

/// Only links can be compared.
#[derive(Debug, thiserror::Error)]
#[error("unexpected argument `{0}`")]
struct OneModule(String);

impl Hinted for OneModule {
    fn hints(&self) -> Vec<String> {
        vec!["name one module, or two job files to compare".to_owned()]
    }
}

impl Hinted for NotExplainable {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Earlier(_) | Self::Strange(_) => {
                "write it with `relto explain JOBS.json > EARLIER` after the earlier link"
            }
            Self::Gone(..) => {
                "without a job file `relto explain` compares the last two links from what they recorded"
            }
        };
        vec![hint.to_owned()]
    }
}

pub(super) fn run(
    context: &CommandContext,
    wanted: &ExplainRequest,
) -> Result<ExitCode, CommandError> {
    let subject = wanted.subject.as_deref();
    let jobs = match (&wanted.last, subject) {
        (None, Some(subject)) if is_job_file(subject) => subject,
        (last, subject) => {
            if let Some(more) = one_too_many(wanted) {
                output::error(&OneModule(more));
                return Ok(ExitCode::Usage);
            }
            let named = last.as_deref().filter(|module| !module.is_empty());
            let subject = subject.map(|subject| subject.to_string_lossy());
            return last::run(context, named.or(subject.as_deref()));
        }
    };
    let options = engine::options(&context.settings);
    let now = explained(jobs, &options)?;
    let text = match &wanted.earlier {
        None => text::whole(&now),
        Some(earlier) => differences(&compare(&read(earlier, &options)?, &now)),
    };
    Ok(output::print(&text))
}

/// A second word where only one module can be explained.
fn one_too_many(wanted: &ExplainRequest) -> Option<String> {
    let last = wanted.last.as_deref().filter(|last| !last.is_empty());
    let more = wanted
        .earlier
        .as_ref()
        .or(last.and(wanted.subject.as_ref()));
    more.map(|more| more.display().to_string())
}

/// Anything else is the name of a module.
fn is_job_file(path: &Path) -> bool {
    let is_named_so = path
        .extension()
        .is_some_and(|extension| extension == "json");
    is_named_so || read_regular(path).is_ok_and(|bytes| looks_like_json(&bytes))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

fn explained(jobs: &Path, options: &Options) -> Result<ExplainedLink, CommandError> {
    let file = kept_job_file(jobs)?;
    explain(&file, options).map_err(|error| Box::new(error) as CommandError)
}

/// Reads what is known of an earlier link.
fn read(earlier: &Path, options: &Options) -> Result<ExplainedLink, CommandError> {
    let failed = |error: NotExplainable| Box::new(error) as CommandError;
    let bytes = read_at_most(earlier, LARGEST_EXPLANATION);
    let bytes = bytes.map_err(|error| failed(NotExplainable::Earlier(error)))?;
    let name = || earlier.display().to_string();
    if !looks_like_json(&bytes) {
        let link = text::parse(&String::from_utf8_lossy(&bytes));
        return link.ok_or_else(|| failed(NotExplainable::Strange(name())));
    }
    let link = explained(earlier, options)?;
    let reasons: Option<Vec<&String>> =
        link.jobs.iter().map(|job| job.key.as_ref().err()).collect();
    match reasons.as_deref() {
        Some([reason, ..]) => {
            let reason = (*reason).clone();
            Err(failed(NotExplainable::Gone(name(), reason)))
        }
        _ => Ok(link),
    }
}
