use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};

use super::*;
use crate::digest::DigestFunction;
use crate::pb::rpc::precondition_failure::Violation;

fn violations(list: &[(&str, String)]) -> Any {
    let violations = list.iter().map(|(kind, subject)| Violation {
        r#type: (*kind).to_owned(),
        subject: subject.clone(),
        description: String::new(),
    });
    Any {
        type_url: "type.googleapis.com/google.rpc.PreconditionFailure".to_owned(),
        value: pb::rpc::PreconditionFailure {
            violations: violations.collect(),
        }
        .encode_to_vec(),
    }
}

fn retry_after(seconds: i64) -> Any {
    let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
    Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: pb::rpc::RetryInfo { retry_delay }.encode_to_vec(),
    }
}

fn called(code: Code, message: &str, details: Vec<Any>) -> FailureKind {
    let inner = pb::rpc::Status {
        code: code as i32,
        message: message.to_owned(),
        details,
    };
    let status = Status::with_details(code, message, inner.encode_to_vec().into());
    Failure::from_call(Rpc::Execute, &status).kind
}

fn ran(code: Code, details: Vec<Any>) -> FailureKind {
    let status = pb::rpc::Status {
        code: code as i32,
        message: "worker said".to_owned(),
        details,
    };
    let failure = Failure::from_execution(Some(&status));
    failure.expect("a failure").kind
}

const TRANSIENT: FailureKind = FailureKind::Transient { retry_after: None };

#[test]
fn codes_mean_the_same_from_every_sender() {
    for (code, kind) in [
        (Code::Unavailable, TRANSIENT),
        (Code::Cancelled, TRANSIENT),
        (Code::DeadlineExceeded, TRANSIENT),
        (Code::DataLoss, TRANSIENT),
        (Code::ResourceExhausted, FailureKind::Overloaded),
        (Code::NotFound, FailureKind::NotFound),
        (Code::Unauthenticated, FailureKind::Unauthenticated),
        (Code::PermissionDenied, FailureKind::Denied),
        (Code::Unimplemented, FailureKind::Unsupported),
        (Code::InvalidArgument, FailureKind::Rejected),
        (Code::FailedPrecondition, FailureKind::Rejected),
    ] {
        assert_eq!(called(code, "", vec![]), kind, "{code:?}");
    }
}

#[test]
fn a_too_large_message_is_distinguished_from_a_quota() {
    for text in [
        "grpc: received message larger than max (5000000 vs. 4194304)",
        "Error, decoded message length too large: found 9 bytes",
    ] {
        assert_eq!(
            called(Code::ResourceExhausted, text, vec![]),
            FailureKind::TooLarge
        );
        assert_eq!(
            called(Code::OutOfRange, text, vec![]),
            FailureKind::TooLarge
        );
    }
    assert_eq!(
        called(Code::OutOfRange, "read_offset", vec![]),
        FailureKind::Rejected
    );
}

#[test]
fn missing_blobs_are_read_from_calls_and_from_executions_in_every_spelling() {
    let (a, b) = (
        DigestFunction::Sha256.digest(b"a"),
        DigestFunction::Sha256.digest(b"b"),
    );
    let both = violations(&[
        ("MISSING", format!("blobs/{a}")),
        ("MISSING", format!("/main/blobs/sha256/{b}")),
    ]);
    let expected = FailureKind::MissingBlobs(vec![a, b]);
    assert_eq!(
        called(Code::FailedPrecondition, "", vec![both.clone()]),
        expected
    );
    assert_eq!(ran(Code::FailedPrecondition, vec![both.clone()]), expected);
    let one_by_one = vec![
        violations(&[("MISSING", format!("blobs/{a}"))]),
        violations(&[("MISSING", format!("blobs/{b}"))]),
    ];
    assert_eq!(ran(Code::FailedPrecondition, one_by_one), expected);
}

#[test]
fn a_violation_of_another_type_is_final_even_beside_a_missing_blob() {
    let a = DigestFunction::Sha256.digest(b"a");
    for list in [
        vec![("INVALID", "environment".to_owned())],
        vec![
            ("MISSING", format!("blobs/{a}")),
            ("INVALID", "order".to_owned()),
        ],
    ] {
        let kind = ran(Code::FailedPrecondition, vec![violations(&list)]);
        assert_eq!(kind, FailureKind::Rejected, "{list:?}");
    }
}

#[test]
fn lost_inputs_without_details_are_guessed_only_for_executions() {
    let unnamed = FailureKind::MissingBlobs(Vec::new());
    let bare = Status::failed_precondition("Blob not found");
    assert_eq!(
        Failure::from_execute_call(Rpc::Execute, &bare).kind,
        unnamed
    );
    assert_eq!(
        Failure::from_call(Rpc::Execute, &bare).kind,
        FailureKind::Rejected
    );
    assert_eq!(ran(Code::NotFound, vec![]), unnamed);
}

#[test]
fn the_servers_own_pause_makes_any_code_worth_a_retry() {
    let kind = called(Code::FailedPrecondition, "", vec![retry_after(7)]);
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(kind, FailureKind::Transient { retry_after });
}

#[test]
fn a_deadline_of_an_execution_is_the_actions_own() {
    assert_eq!(
        ran(Code::DeadlineExceeded, vec![]),
        FailureKind::ActionTimeout
    );
    assert!(Failure::from_execution(Some(&pb::rpc::Status::default())).is_none());
    assert!(Failure::from_execution(None).is_none());
}

#[test]
fn damaged_details_are_ignored() {
    let damaged = Any {
        type_url: "x/google.rpc.PreconditionFailure".to_owned(),
        value: vec![0xff; 9],
    };
    assert_eq!(called(Code::Internal, "", vec![damaged]), TRANSIENT);
    let status = Status::with_details(Code::Internal, "", vec![0xff; 9].into());
    assert_eq!(Failure::from_call(Rpc::Read, &status).kind, TRANSIENT);
}

#[test]
fn text_from_a_server_cannot_control_the_terminal() {
    let status = Status::internal(format!("\u{1b}[2Jline\n{}", "x".repeat(10_000)));
    let failure = Failure::from_call(Rpc::Read, &status);
    assert!(
        failure.message.starts_with("INTERNAL:  [2Jline x"),
        "{failure}"
    );
    assert!(failure.message.len() < 2100);
}

#[test]
fn a_failure_names_method_code_and_deepest_cause() {
    let status = Status::failed_precondition("No workers exist");
    let failure = Failure::from_call(Rpc::Execute, &status);
    assert_eq!(
        failure.to_string(),
        "Execute: FAILED_PRECONDITION: No workers exist"
    );
    let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused by 10.0.0.1");
    let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
    let failure = Failure::from_call(Rpc::Read, &status);
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("10.0.0.1"), "{failure}");
}
