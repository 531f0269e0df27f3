//! The server answers each call with an error: once, so that another attempt succeeds, or always.

use std::time::Duration;

use tonic::Code;

use crate::support::executable;
use crate::support::farm::{Effect, Failure, Fault, Method};

use super::campaign_of_answers;
use super::case::{Case, Step};

#[test]
fn server_errors_are_retried_and_then_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let helper = dir.path().join("helper");
    executable::write(&helper, HELPER);
    let helper = helper.display().to_string();
    let mut cases = Vec::new();
    for (number, step) in Step::CALLS.into_iter().enumerate() {
        let faults = at(step, &helper).into_iter().enumerate();
        cases.extend(faults.map(|(fault, case)| case.always((number + fault) % 4 == 0)));
    }
    campaign_of_answers(cases);
}

/// A credential helper that any server would like.
const HELPER: &str =
    "#!/bin/sh\nread -r question\necho '{\"headers\":{\"authorization\":[\"Bearer fresh\"]}}'\n";

const FALLBACK: &str = "remote_local_fallback";

fn at(step: Step, helper: &str) -> Vec<Case> {
    let fail = Effect::fail;
    let busy = |after| {
        let failure = Failure::new(Code::ResourceExhausted, "too many of you");
        Effect::Fail(failure.retry_after(Duration::from_millis(after)))
    };
    let says = |fault: &str, parts: &[&str]| Case::says(step, fault, parts);
    let works = |fault: &str| Case::works(step, fault);
    let refused = || fail(Code::Unauthenticated, "token expired");
    vec![
        works("UNAVAILABLE, once").effect(fail(Code::Unavailable, "restarting"), true),
        says(
            "UNAVAILABLE, always",
            &["UNAVAILABLE: restarting", FALLBACK],
        )
        .effect(fail(Code::Unavailable, "restarting"), false),
        works("RESOURCE_EXHAUSTED with RetryInfo, once").effect(busy(200), true),
        says(
            "RESOURCE_EXHAUSTED with RetryInfo, always",
            &["RESOURCE_EXHAUSTED: too many of you", FALLBACK],
        )
        .effect(busy(200), false),
        works("DEADLINE_EXCEEDED, once").effect(fail(Code::DeadlineExceeded, "late"), true),
        says(
            "DEADLINE_EXCEEDED, always",
            &["DEADLINE_EXCEEDED: late", FALLBACK],
        )
        .effect(fail(Code::DeadlineExceeded, "late"), false),
        works("UNAUTHENTICATED, and a helper that refreshes")
            .env("RELTO_CREDENTIAL_HELPER", helper)
            .effect(refused(), true),
        says(
            "UNAUTHENTICATED, always",
            &[
                "UNAUTHENTICATED: token expired",
                "credential_helper",
                FALLBACK,
            ],
        )
        .env("RELTO_CREDENTIAL_HELPER", helper)
        .effect(refused(), false),
        says(
            "PERMISSION_DENIED",
            &["PERMISSION_DENIED: not yours", "credentials", FALLBACK],
        )
        .effect(fail(Code::PermissionDenied, "not yours"), false),
        internal(step),
    ]
}

/// Servers say it of anything; and it may be over soon.
fn internal(step: Step) -> Case {
    let failing = Effect::fail(Code::Internal, "stack trace");
    let two = Fault::at(step.method(), failing).first(2);
    Case::works(step, "INTERNAL, twice").fault(two)
}

/// Every call is refused until the helper has been asked for the second time.
#[test]
fn credentials_that_expire_during_a_link_are_renewed() {
    let methods = [
        Method::GetActionResult,
        Method::FindMissingBlobs,
        Method::BatchUpdateBlobs,
        Method::Execute,
        Method::BatchReadBlobs,
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let helper = dir.path().join("helper");
    executable::write(&helper, HELPER);
    let refused = || Effect::fail(Code::Unauthenticated, "token expired");
    let case = methods.into_iter().fold(
        Case::works(Step::Execute, "UNAUTHENTICATED, once at each method"),
        |case, method| case.fault(Fault::at(method, refused()).call(1)),
    );
    let helper = helper.display().to_string();
    campaign_of_answers(vec![case.env("RELTO_CREDENTIAL_HELPER", helper)]);
}
