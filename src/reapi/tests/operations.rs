//! Messages of scripted executions.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use tonic::Code;

use super::{Blob, ExecuteJob, RequestContext};
use crate::digest::Digest;
use crate::pb;
use crate::pb::longrunning::{Operation, operation};
use crate::pb::reapi::{ActionResult, ExecuteOperationMetadata, ExecuteResponse};
use crate::pb::rpc::precondition_failure::Violation;
use crate::reapi::fixture::SHA;

fn pack(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{name}"),
        value: message.encode_to_vec(),
    }
}

/// A message on the way: stage 2 is QUEUED, 3 EXECUTING.
pub(super) fn at(stage: i32) -> Operation {
    let metadata = ExecuteOperationMetadata {
        stage,
        ..ExecuteOperationMetadata::default()
    };
    Operation {
        name: "operations/1".to_owned(),
        metadata: Some(pack("ExecuteOperationMetadata", &metadata)),
        ..Operation::default()
    }
}

pub(super) fn done(response: &ExecuteResponse) -> Operation {
    Operation {
        name: "operations/1".to_owned(),
        done: true,
        result: Some(operation::Result::Response(pack(
            "ExecuteResponse",
            response,
        ))),
        ..Operation::default()
    }
}

pub(super) fn exit(exit_code: i32) -> Operation {
    done(&ExecuteResponse {
        result: Some(ActionResult {
            exit_code,
            ..ActionResult::default()
        }),
        ..ExecuteResponse::default()
    })
}

pub(super) fn failed(code: Code, message: &str, details: Vec<Any>) -> pb::rpc::Status {
    pb::rpc::Status {
        code: code as i32,
        message: message.to_owned(),
        details,
    }
}

pub(super) fn ended(status: pb::rpc::Status) -> Operation {
    done(&ExecuteResponse {
        status: Some(status),
        ..ExecuteResponse::default()
    })
}

pub(super) fn missing(digests: &[Digest]) -> Vec<Any> {
    let violations = digests.iter().map(|digest| Violation {
        r#type: "MISSING".to_owned(),
        subject: format!("blobs/{digest}"),
        ..Violation::default()
    });
    let failure = pb::rpc::PreconditionFailure {
        violations: violations.collect(),
    };
    vec![Any {
        type_url: "type.googleapis.com/google.rpc.PreconditionFailure".to_owned(),
        value: failure.encode_to_vec(),
    }]
}

pub(super) fn lost(digests: &[Digest]) -> Operation {
    ended(failed(
        Code::FailedPrecondition,
        "inputs are gone",
        missing(digests),
    ))
}

pub(super) fn closure() -> Vec<Blob> {
    let blob =
        |text: &'static str| Blob::from_bytes(SHA.digest(text.as_bytes()), Bytes::from(text));
    vec![
        blob("action"),
        blob("command"),
        blob("root"),
        blob("module"),
    ]
}

pub(super) fn job(blobs: Vec<Blob>) -> ExecuteJob {
    ExecuteJob {
        action: blobs[0].digest,
        skip_cache_lookup: false,
        closure: Arc::new(blobs),
        inline_outputs: vec![],
        context: RequestContext::default(),
    }
}
