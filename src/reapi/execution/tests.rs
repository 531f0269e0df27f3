use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::ExecutionContext;
use super::operation::{Executed, Stage};
use crate::pb::longrunning::{Operation, operation};
use crate::pb::reapi::{ActionResult, ExecuteResponse};
use crate::reapi::ClientOptions;
use crate::reapi::failure::Failure;
use crate::reapi::failure::FailureKind;
use crate::reapi::fixture::{Fixture, Script, able, farm, farm_with};
use crate::reapi::limits::LONGEST_STAGE;
use crate::reapi::operations::{at, closure, done, ended, exit, failed, job, lost, missing};
use crate::reapi::options::{CallerIdentity, CredentialHelper};
use crate::reapi::rpc::Rpc;

/// Plays `scripts` against one execution; a script that is not asked for is an error.
async fn play(fixture: &Fixture, scripts: Vec<Script>) -> Result<Executed, Failure> {
    for script in scripts {
        fixture.fake.script(script);
    }
    let executed = fixture.client.execute(&job(closure()), &|_| ()).await;
    assert!(
        fixture.fake.state().scripts.is_empty(),
        "all scripts were played"
    );
    executed
}

#[tokio::test]
async fn an_execution_has_the_priorities_of_its_link_and_none_by_default() {
    let options = |execution_priority, result_cache_priority| ClientOptions {
        caller: CallerIdentity {
            execution_priority,
            result_cache_priority,
            ..CallerIdentity::nobody()
        },
        ..ClientOptions::default()
    };
    let request = |fixture: &Fixture| {
        let inner = &fixture.client.inner;
        let executor = ExecutionContext {
            session: &inner.session,
            uploader: &inner.uploader,
            canceller: &inner.canceller,
        };
        let request = executor.request(&job(closure()));
        let execution = request.execution_policy.map(|policy| policy.priority);
        let cache = request.results_cache_policy.map(|policy| policy.priority);
        (execution, cache)
    };
    let fixture = farm_with(able(), &options(-3, 7)).await;
    assert_eq!(request(&fixture), (Some(-3), Some(7)));
    let fixture = farm_with(able(), &options(0, 0)).await;
    assert_eq!(request(&fixture), (None, None));
}

fn code(executed: Result<Executed, Failure>) -> i32 {
    executed.expect("executed").result.exit_code
}

#[tokio::test]
async fn an_execution_is_followed_to_its_end_whatever_its_stages_do() {
    let fixture = farm().await;
    let stages = Mutex::new(Vec::new());
    fixture.fake.script(Script::Send(
        vec![at(2), at(3), at(2), at(3), exit(7)],
        None,
    ));
    let progress = |stage| stages.lock().expect("not poisoned").push(stage);
    let executed = fixture.client.execute(&job(closure()), &progress).await;
    assert_eq!(code(executed), 7);
    let seen = [
        Stage::Queued,
        Stage::Executing,
        Stage::Queued,
        Stage::Executing,
    ];
    assert_eq!(*stages.lock().expect("not poisoned"), seen);
    fixture.client.close().await;
    assert!(
        fixture.fake.state().cancelled.is_empty(),
        "nothing to cancel"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_resumed_by_name() {
    let fixture = farm().await;
    let broken = Some(Status::unavailable("proxy"));
    let scripts = vec![
        Script::Send(vec![at(2)], broken),
        Script::Send(vec![at(3)], None),
        Script::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert_eq!(
        fixture.fake.state().waited,
        ["operations/1", "operations/1"]
    );
    assert_eq!(fixture.fake.count(Rpc::Execute), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_the_server_forgot_is_executed_again() {
    // Buildbarn answers INVALID_ARGUMENT, others NOT_FOUND, a few have no such method.
    for status in [
        Status::not_found("unknown"),
        Status::invalid_argument("unknown"),
        Status::unimplemented("unknown"),
    ] {
        let fixture = farm().await;
        let scripts = vec![
            Script::Send(vec![at(2)], None),
            Script::Refuse(status),
            Script::Send(vec![exit(0)], None),
        ];
        assert_eq!(code(play(&fixture, scripts).await), 0);
        assert_eq!(fixture.fake.count(Rpc::Execute), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_before_its_first_message_is_executed_again_a_few_times() {
    let fixture = farm().await;
    let refused = || Script::Refuse(Status::unavailable("starting"));
    let scripts = vec![refused(), refused(), Script::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let scripts = (0..6).map(|_| refused()).collect();
    let failure = play(&fixture, scripts).await.expect_err("never starts");
    assert!(failure.message.contains("starting"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn silence_leads_to_another_connection_and_a_long_queue_is_waited_for() {
    let fixture = farm().await;
    let mut scripts: Vec<Script> = (0..20).map(|_| Script::Hang(vec![at(2)])).collect();
    scripts.push(Script::Send(vec![exit(0)], None));
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert_eq!(fixture.fake.state().waited.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_silent_after_a_message_is_given_up() {
    let fixture = farm().await;
    let scripts = vec![Script::Hang(vec![at(3)]), Script::Hang(vec![])];
    let failure = play(&fixture, scripts).await.expect_err("silence");
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(fixture.fake.state().waited.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_never_finishes_is_cancelled_after_hours() {
    let fixture = farm().await;
    let began = Instant::now();
    // Each is silent for 75 s.
    for _ in 0..=96 {
        fixture.fake.script(Script::Hang(vec![at(3)]));
    }
    let failure = fixture.client.execute(&job(closure()), &|_| ()).await;
    let failure = failure.expect_err("no end");
    assert_eq!(failure.kind, FailureKind::GivenUp, "{failure}");
    assert!(began.elapsed() < LONGEST_STAGE + Duration::from_mins(2));
    fixture.client.close().await;
    assert_eq!(fixture.fake.state().cancelled, ["operations/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_says_anything_is_given_up() {
    let fixture = farm().await;
    let scripts = vec![Script::Hang(vec![]), Script::Hang(vec![])];
    let failure = play(&fixture, scripts).await.expect_err("silence");
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_every_stream_is_given_up() {
    let fixture = farm().await;
    let broken = |_| Script::Send(vec![at(2)], Some(Status::internal("reset")));
    // The first stream made progress, the five after it did not.
    let failure = play(&fixture, (0..6).map(broken).collect()).await;
    assert!(failure.expect_err("no end").is_transient());
}

#[tokio::test]
async fn lost_inputs_are_sent_again_one_at_a_time_if_need_be() {
    let fixture = farm().await;
    let blobs = closure();
    fixture
        .client
        .ensure_uploaded(&blobs)
        .await
        .expect("uploaded");
    fixture.fake.state().blobs.clear();
    // The second question finds what the first had not named.
    let scripts = vec![
        Script::Send(vec![at(2), lost(&[blobs[1].digest])], None),
        Script::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let state = fixture.fake.state();
    assert!(
        blobs
            .iter()
            .all(|blob| state.blobs.contains_key(&blob.digest))
    );
}

#[tokio::test]
async fn inputs_that_a_call_lacks_are_sent_with_and_without_names() {
    let blobs = closure();
    let named = failed(Code::FailedPrecondition, "", missing(&[blobs[0].digest]));
    let named = Status::with_details(Code::FailedPrecondition, "", named.encode_to_vec().into());
    for status in [
        named,
        Status::failed_precondition("no blob"),
        Status::not_found("action"),
    ] {
        let fixture = farm().await;
        let scripts = vec![Script::Refuse(status), Script::Send(vec![exit(0)], None)];
        assert_eq!(code(play(&fixture, scripts).await), 0);
    }
}

#[tokio::test]
async fn a_farm_that_forgets_its_uploads_is_given_up_soon() {
    let fixture = farm().await;
    fixture.fake.state().swallow = true;
    let blobs = closure();
    let scripts = (0..3).map(|_| Script::Send(vec![lost(&[blobs[3].digest])], None));
    let failure = play(&fixture, scripts.collect())
        .await
        .expect_err("a read-only key");
    assert_eq!(
        failure.kind,
        FailureKind::MissingBlobs(vec![blobs[3].digest])
    );
}

#[tokio::test]
async fn a_precondition_that_names_nothing_and_lacks_nothing_is_final() {
    let fixture = farm().await;
    fixture
        .client
        .ensure_uploaded(&closure())
        .await
        .expect("uploaded");
    let status = Status::failed_precondition("No workers exist for platform");
    let failure = play(&fixture, vec![Script::Refuse(status)])
        .await
        .expect_err("final");
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("No workers exist"), "{failure}");
}

#[tokio::test]
async fn an_invalid_action_and_a_timeout_are_final_and_keep_what_was_printed() {
    for (code, kind) in [
        (Code::InvalidArgument, FailureKind::Rejected),
        (Code::DeadlineExceeded, FailureKind::ActionTimeout),
        (Code::PermissionDenied, FailureKind::Denied),
    ] {
        let fixture = farm().await;
        let response = ExecuteResponse {
            status: Some(failed(code, "no", vec![])),
            message: "see http://farm/1".to_owned(),
            result: Some(ActionResult {
                stderr_raw: Bytes::from_static(b"so far"),
                ..ActionResult::default()
            }),
            ..ExecuteResponse::default()
        };
        let scripts = vec![Script::Send(vec![done(&response)], None)];
        let failure = play(&fixture, scripts).await.expect_err("final");
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains("http://farm/1"), "{failure}");
        let partial = failure.partial.expect("what was printed");
        assert_eq!(&partial.stderr_raw[..], b"so far");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_replaced_and_lost_inputs_that_look_like_it_are_sent() {
    let fixture = farm().await;
    let blobs = closure();
    let internal = || ended(failed(Code::Internal, "tree is not complete", vec![]));
    let scripts = vec![
        Script::Send(vec![internal()], None),
        Script::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let state = fixture.fake.state();
    assert!(
        blobs
            .iter()
            .all(|blob| state.blobs.contains_key(&blob.digest))
    );
}

#[tokio::test(start_paused = true)]
async fn an_action_that_kills_every_worker_is_given_up_and_others_go_on() {
    let fixture = farm().await;
    let died = |_| {
        let status = failed(Code::Unavailable, "worker disappeared", vec![]);
        Script::Send(vec![ended(status)], None)
    };
    let failure = play(&fixture, (0..6).map(died).collect())
        .await
        .expect_err("no result");
    assert!(failure.is_transient());
    let scripts = vec![Script::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
}

#[tokio::test(start_paused = true)]
async fn results_that_the_protocol_forbids_are_retried() {
    for strange in [
        Operation {
            done: true,
            ..Operation::default()
        },
        Operation {
            done: true,
            result: Some(operation::Result::Error(failed(Code::Aborted, "", vec![]))),
            ..Operation::default()
        },
        done(&ExecuteResponse::default()),
    ] {
        let fixture = farm().await;
        let scripts = vec![
            Script::Send(vec![strange], None),
            Script::Send(vec![exit(0)], None),
        ];
        assert_eq!(code(play(&fixture, scripts).await), 0);
    }
}

#[tokio::test]
async fn dropping_an_execution_cancels_it_on_the_farm() {
    let fixture = farm().await;
    fixture.fake.script(Script::Hang(vec![at(3)]));
    let running = tokio::sync::Notify::new();
    let progress = |_| running.notify_one();
    let job = job(closure());
    tokio::select! {
        ended = fixture.client.execute(&job, &progress) => panic!("{ended:?}"),
        () = running.notified() => {}
    }
    fixture.client.close().await;
    assert_eq!(fixture.fake.state().cancelled, ["operations/1"]);
}

#[tokio::test]
async fn credentials_that_are_refused_are_renewed_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("helper");
    let script = "#!/bin/sh\necho x >> \"$0.log\"\n\
        echo \"{\\\"headers\\\":{\\\"authorization\\\":[\\\"$(wc -l < \"$0.log\")\\\"]}}\"\n";
    fs_err::write(&program, script).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(&program, mode).expect("executable");
    let options = ClientOptions {
        credential_helpers: vec![CredentialHelper {
            host: None,
            program,
        }],
        ..ClientOptions::default()
    };
    let fixture = farm_with(able(), &options).await;
    let expired = || Script::Refuse(Status::unauthenticated("expired"));
    let scripts = vec![expired(), Script::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let sent = fixture.fake.state().authorizations.clone();
    assert_eq!(sent, ["1", "1", "2"], "capabilities, refused, renewed");
    let failure = play(&fixture, vec![expired(), expired()])
        .await
        .expect_err("refused twice");
    assert_eq!(failure.kind, FailureKind::Unauthenticated);
}
