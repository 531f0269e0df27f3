//! Whether a result may be given to lld and kept: the guard behind every run and every cache.

use bytes::Bytes;

use crate::action::canonical::{CanonicalJob, holds_canonical_names};
use crate::action::guard::reported_failure;
use crate::action::kind::{Format, OutputKind, check_extra_output, check_output};
use crate::action::messages::is_stack_usage;
use crate::action::split_dwarf;
use crate::action::whole::check_object;

/// Why a result that looks like success is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsoundResult {
    #[error("the compiler exited with {0}")]
    ExitCode(i32),
    #[error("the compiler was killed by signal {0}")]
    Killed(i32),
    #[error("the compiler exited with 0 but says `{0}`")]
    ReportedFailure(String),
    #[error("the compiler exited with 0 but left no `{0}`")]
    MissingOutput(String),
    #[error("the compiler exited with 0 but {0}")]
    WrongOutput(String),
    /// The real ones would stand there.
    #[error("its output holds names or a directory that only an action has")]
    HoldsNames,
    #[error("it also prints to standard output")]
    Prints,
    #[error("it also writes `{0}`")]
    Undeclared(String),
    /// The compiler alone reads them where they are.
    #[error("copies of its inputs are larger than files may be here (`ulimit -f`)")]
    InputsTooLarge,
    /// Uncached, it may read what it wants.
    #[error("it cannot be confined: {0}")]
    Unconfined(String),
}

impl UnsoundResult {
    /// Whether it says something of this machine and nothing of the job.
    pub fn is_of_this_machine(&self) -> bool {
        matches!(
            self,
            Self::InputsTooLarge | Self::Unconfined(_) | Self::Killed(_)
        )
    }
}

/// The guard behind every run and every cache: exit code, failures that stderr reports, each output there
/// and of its kind. `outputs` gives the contents of each declared output, in the job's order.
///
/// # Errors
/// The fault of the result, which is then neither given to lld nor kept.
pub fn check_result(
    job: &CanonicalJob,
    exit_code: i32,
    stderr: &[u8],
    outputs: &[Option<Bytes>],
) -> Result<(), UnsoundResult> {
    if exit_code != 0 {
        return Err(UnsoundResult::ExitCode(exit_code));
    }
    if let Some(line) = reported_failure(&String::from_utf8_lossy(stderr)) {
        return Err(UnsoundResult::ReportedFailure(line.to_owned()));
    }
    for (number, declared) in job.outputs.iter().enumerate() {
        let contents = outputs.get(number).and_then(Option::as_deref);
        let contents =
            contents.ok_or_else(|| UnsoundResult::MissingOutput(declared.name.clone()))?;
        check_kind(job, number, contents)?;
        // Names in these are replaced when they are written.
        if !is_stack_usage(declared) && holds_canonical_names(contents) {
            return Err(UnsoundResult::HoldsNames);
        }
        if number == 0 {
            check_object(job.kind, job.processor, &job.arguments, contents)
                .map_err(|wrong| UnsoundResult::WrongOutput(wrong.to_string()))?;
        }
    }
    check_dwo(job, outputs)
}

/// Checks that a `.dwo` file is the one of its object.
fn check_dwo(job: &CanonicalJob, outputs: &[Option<Bytes>]) -> Result<(), UnsoundResult> {
    let mut others = job.outputs.iter().zip(outputs).skip(1);
    let dwo = others.find(|(declared, _)| split_dwarf::is_dwo_name(&declared.name));
    let dwo = dwo.and_then(|(_, contents)| contents.as_deref());
    let object = outputs.first().and_then(Option::as_deref);
    match (job.kind, object, dwo) {
        (OutputKind::Object(Format::Elf), Some(object), Some(dwo)) => {
            let checked = split_dwarf::check(object, dwo);
            checked.map_err(|wrong| UnsoundResult::WrongOutput(wrong.to_string()))
        }
        _ => Ok(()),
    }
}

/// Checks output `number` of `job` by its first bytes.
///
/// # Errors
/// It is not what the command line asks for.
pub fn check_kind(job: &CanonicalJob, number: usize, head: &[u8]) -> Result<(), UnsoundResult> {
    let checked = match job.outputs.get(number) {
        Some(output) if number > 0 => check_extra_output(job.kind, &output.name, head),
        _ => check_output(job.kind, head),
    };
    checked.map_err(|wrong| UnsoundResult::WrongOutput(wrong.to_string()))
}
