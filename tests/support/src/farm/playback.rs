//! Executions whose every message a test has written, whatever the action is.

use futures_util::StreamExt as _;
use relto::internals::pb::longrunning::{Operation, operation::Result as Ending};
use relto::internals::pb::reapi::{ActionResult, ExecuteOperationMetadata, ExecuteResponse};
use tonic::Response;
use tonic::Status;
use tonic::codegen::BoxStream;

use super::execution::reapi_any;
use super::failure::Failure;
use super::gate::Entry;

/// What an `Execute` or `WaitExecution` answers.
#[derive(Debug, Clone)]
pub enum Playback {
    /// The call itself fails.
    Refuse(Failure),
    /// These messages, then the end of the stream, or the failure.
    Send(Vec<Operation>, Option<Failure>),
    /// These messages, then silence.
    Hang(Vec<Operation>),
}

impl Playback {
    pub(super) fn answer(self, entry: Entry) -> Result<Response<BoxStream<Operation>>, Status> {
        let (messages, end, hangs) = match self {
            Self::Refuse(failure) => return entry.answer(Err(failure.to_call())),
            Self::Send(messages, end) => (messages, end, false),
            Self::Hang(messages) => (messages, None, true),
        };
        let end = end.map(|failure| Err(failure.to_call()));
        let messages: Vec<_> = messages.into_iter().map(Ok).chain(end).collect();
        let rest = if hangs {
            futures_util::stream::pending().left_stream()
        } else {
            futures_util::stream::empty().right_stream()
        };
        // The call goes on as long as its stream.
        let messages = futures_util::stream::iter(messages).chain(rest);
        let stream = messages.inspect(move |_| {
            let _ = &entry;
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Messages of operations.
pub mod operation {
    use super::{
        ActionResult, Ending, ExecuteOperationMetadata, ExecuteResponse, Failure, Operation,
        reapi_any,
    };

    /// A message on the way: stage 2 is QUEUED, 3 EXECUTING.
    pub fn at(stage: i32) -> Operation {
        let metadata = ExecuteOperationMetadata {
            stage,
            ..ExecuteOperationMetadata::default()
        };
        Operation {
            name: "operations/1".to_owned(),
            metadata: Some(reapi_any("ExecuteOperationMetadata", &metadata)),
            ..Operation::default()
        }
    }

    /// The last message, as it ended.
    pub fn ending(result: Option<Ending>) -> Operation {
        Operation {
            name: "operations/1".to_owned(),
            done: true,
            result,
            ..Operation::default()
        }
    }

    pub fn done(response: &ExecuteResponse) -> Operation {
        ending(Some(Ending::Response(reapi_any(
            "ExecuteResponse",
            response,
        ))))
    }

    pub fn exit(exit_code: i32) -> Operation {
        done(&ExecuteResponse {
            result: Some(ActionResult {
                exit_code,
                ..ActionResult::default()
            }),
            ..ExecuteResponse::default()
        })
    }

    /// Done, with `failure` in the response.
    pub fn failed(failure: &Failure) -> Operation {
        done(&ExecuteResponse {
            status: Some(failure.to_pb()),
            ..ExecuteResponse::default()
        })
    }
}
