//! Reads the messages of an `Execute` stream.
//!
//! Only `done` is believed: stages may go back, and a few servers fill in none.

use std::sync::Arc;

use bytes::Bytes;
use prost::{Message, Name};
use prost_types::Any;

use crate::pb::bounded;
use crate::pb::longrunning::{Operation, operation};
use crate::pb::reapi::execution_stage::Value;
use crate::pb::reapi::{ActionResult, ExecuteOperationMetadata, ExecuteResponse};
use crate::reapi::failure::{Failure, printable};
use crate::reapi::limits::{LONGEST_OPERATION_NAME, PARTIAL_STDERR};
use crate::reapi::rpc::Rpc;

/// How far an execution has got, as far as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Unknown,
    CacheCheck,
    Queued,
    Executing,
    Completed,
}

/// A finished execution. The exit code is in `result` and may be anything.
#[derive(Debug, Clone)]
pub struct Executed {
    pub result: ActionResult,
    /// The server answered from its action cache.
    pub cached: bool,
    /// A message for people, often a link.
    pub message: String,
}

/// The name by which the server knows the operation; `None` if it has none, or one that is too long
/// to be kept.
pub(crate) fn name(operation: &Operation) -> Option<&str> {
    let length = operation.name.len();
    (1..=LONGEST_OPERATION_NAME)
        .contains(&length)
        .then_some(&operation.name)
}

pub(crate) fn stage(operation: &Operation) -> Stage {
    let metadata = operation
        .metadata
        .clone()
        .and_then(|any| unpack::<ExecuteOperationMetadata>(any, "ExecuteOperationMetadata"));
    match metadata.map(|metadata| metadata.stage()) {
        None | Some(Value::Unknown) => Stage::Unknown,
        Some(Value::CacheCheck) => Stage::CacheCheck,
        Some(Value::Queued) => Stage::Queued,
        Some(Value::Executing) => Stage::Executing,
        Some(Value::Completed) => Stage::Completed,
    }
}

/// How a finished operation ended.
pub(crate) fn conclude(operation: Operation) -> Result<Executed, Failure> {
    let transient = |text: &str| Failure::transient(Rpc::Execute, text);
    let response = match operation.result {
        Some(operation::Result::Response(any)) => unpack::<ExecuteResponse>(any, "ExecuteResponse")
            .ok_or_else(|| transient("the operation ended with something unreadable"))?,
        // Forbidden by the protocol and done by servers.
        Some(operation::Result::Error(status)) => {
            return Err(Failure::from_execution(Some(&status))
                .unwrap_or_else(|| transient("the operation ended with an error that says OK")));
        }
        None => return Err(transient("the operation ended without a result")),
    };
    if let Some(mut failure) = Failure::from_execution(response.status.as_ref()) {
        if !response.message.is_empty() {
            failure.message = format!("{} ({})", failure.message, printable(&response.message));
        }
        failure.partial = response.result.map(|result| Arc::new(printed(&result)));
        return Err(failure);
    }
    Ok(Executed {
        result: response
            .result
            .ok_or_else(|| transient("the execution left no result"))?,
        cached: response.cached_result,
        message: printable(&response.message),
    })
}

/// Only what was printed: the failure may be kept for long, and the message is as large as the
/// server likes.
fn printed(result: &ActionResult) -> ActionResult {
    let stderr = &result.stderr_raw[..result.stderr_raw.len().min(PARTIAL_STDERR)];
    ActionResult {
        exit_code: result.exit_code,
        stderr_raw: Bytes::copy_from_slice(stderr),
        ..ActionResult::default()
    }
}

/// Servers differ in the part of the type URL before the name.
fn unpack<M: Message + Name + Default>(any: Any, name: &str) -> Option<M> {
    let found = any.type_url.rsplit(['/', '.']).next()?;
    (found == name).then(|| bounded::decode(any.value.into()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_not_followed_by_a_name_that_is_too_long_to_be_kept() {
        let named = |length: usize| Operation {
            name: "n".repeat(length),
            ..Operation::default()
        };
        assert_eq!(name(&named(0)), None);
        let longest = named(LONGEST_OPERATION_NAME);
        assert_eq!(name(&longest), Some(&longest.name[..]));
        assert_eq!(name(&named(LONGEST_OPERATION_NAME + 1)), None);
    }
}
