//! Executions: followed to their end through broken streams, silence and lost inputs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use relto::internals::digest::Digest;
use relto::internals::pb::longrunning::{Operation, operation};
use relto::internals::pb::reapi::{ActionResult, ExecuteResponse};
use relto::internals::reapi::limits::LONGEST_STAGE;
use relto::internals::reapi::{
    Blob, CallerIdentity, ClientOptions, CredentialHelper, ExecuteJob, Executed, Failure,
    FailureKind, RequestContext, Stage,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Fixture, blob};
use crate::support::executable;
use crate::support::farm::operation::{at, done, ending, exit, failed};
use crate::support::farm::{Failure as Said, Method, Playback, Profile};

fn closure() -> Vec<Blob> {
    ["action", "command", "root", "module"].map(blob).to_vec()
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

fn said(status: &Status) -> Said {
    Said::new(status.code(), status.message())
}

pub(super) fn lost(digests: &[Digest]) -> Operation {
    failed(&Said::missing(digests))
}

/// Plays `playbacks` against one execution; one that is not asked for is an error.
async fn play(fixture: &Fixture, playbacks: Vec<Playback>) -> Result<Executed, Failure> {
    for playback in playbacks {
        fixture.farm.play(playback);
    }
    let executed = fixture.client.execute(&job(closure()), &|_| ()).await;
    assert_eq!(fixture.farm.unplayed(), 0, "not asked for");
    executed
}

#[tokio::test]
async fn an_execution_has_the_priorities_of_its_link_and_none_by_default() {
    for (execution_priority, result_cache_priority, sent) in
        [(-3, 7, (Some(-3), Some(7))), (0, 0, (None, None))]
    {
        let options = ClientOptions {
            caller: CallerIdentity {
                execution_priority,
                result_cache_priority,
                ..CallerIdentity::default()
            },
            ..ClientOptions::default()
        };
        let fixture = Fixture::of(Profile::plain(), &options).await;
        let scripts = vec![Playback::Send(vec![exit(0)], None)];
        assert_eq!(code(play(&fixture, scripts).await), 0);
        let requests = fixture.farm.record().execute_requests;
        let execution = requests[0].execution_policy.map(|policy| policy.priority);
        let cache = requests[0]
            .results_cache_policy
            .map(|policy| policy.priority);
        assert_eq!((execution, cache), sent);
    }
}

fn code(executed: Result<Executed, Failure>) -> i32 {
    executed.expect("executed").result.exit_code
}

#[tokio::test]
async fn an_execution_is_followed_to_its_end_and_each_stage_is_told_once_whatever_they_do() {
    let fixture = Fixture::new().await;
    let stages = Mutex::new(Vec::new());
    let mut stages_sent: Vec<_> = [at(2), at(3)].into_iter().cycle().take(1000).collect();
    stages_sent.push(exit(7));
    fixture.farm.play(Playback::Send(stages_sent, None));
    let progress = |stage| stages.lock().expect("not poisoned").push(stage);
    let executed = fixture.client.execute(&job(closure()), &progress).await;
    assert_eq!(code(executed), 7);
    let told = [Stage::Queued, Stage::Executing];
    assert_eq!(*stages.lock().expect("not poisoned"), told);
    fixture.client.close().await;
    assert!(
        fixture.farm.record().cancelled.is_empty(),
        "nothing to cancel"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_resumed_by_name() {
    let fixture = Fixture::new().await;
    let broken = Some(said(&Status::unavailable("proxy")));
    let scripts = vec![
        Playback::Send(vec![at(2)], broken),
        Playback::Send(vec![at(3)], None),
        Playback::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert_eq!(
        fixture.farm.record().waited,
        ["operations/1", "operations/1"]
    );
    assert_eq!(fixture.count(Method::Execute), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_the_server_forgot_is_executed_again() {
    // Buildbarn answers INVALID_ARGUMENT, others NOT_FOUND, a few have no such method.
    for status in [
        Status::not_found("unknown"),
        Status::invalid_argument("unknown"),
        Status::unimplemented("unknown"),
    ] {
        let fixture = Fixture::new().await;
        let scripts = vec![
            Playback::Send(vec![at(2)], None),
            Playback::Refuse(said(&status)),
            Playback::Send(vec![exit(0)], None),
        ];
        assert_eq!(code(play(&fixture, scripts).await), 0);
        assert_eq!(fixture.count(Method::Execute), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_before_its_first_message_is_executed_again_a_few_times() {
    let fixture = Fixture::new().await;
    let refused = || Playback::Refuse(said(&Status::unavailable("starting")));
    let scripts = vec![refused(), refused(), Playback::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let scripts = (0..6).map(|_| refused()).collect();
    let failure = play(&fixture, scripts).await.expect_err("never starts");
    assert!(failure.message.contains("starting"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn silence_leads_to_another_connection_and_a_long_queue_is_waited_for() {
    let fixture = Fixture::new().await;
    let mut scripts: Vec<Playback> = (0..20).map(|_| Playback::Hang(vec![at(2)])).collect();
    scripts.push(Playback::Send(vec![exit(0)], None));
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert_eq!(fixture.farm.record().waited.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_silent_after_a_message_is_given_up() {
    let fixture = Fixture::new().await;
    let scripts = vec![Playback::Hang(vec![at(3)]), Playback::Hang(vec![])];
    let failure = play(&fixture, scripts).await.expect_err("silence");
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(fixture.farm.record().waited.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_never_finishes_is_cancelled_after_hours() {
    let fixture = Fixture::new().await;
    let began = Instant::now();
    // Each is silent for 75 s.
    for _ in 0..=96 {
        fixture.farm.play(Playback::Hang(vec![at(3)]));
    }
    let failure = fixture.client.execute(&job(closure()), &|_| ()).await;
    let failure = failure.expect_err("no end");
    assert_eq!(failure.kind, FailureKind::GivenUp, "{failure}");
    assert!(began.elapsed() < LONGEST_STAGE + Duration::from_mins(2));
    fixture.client.close().await;
    assert_eq!(fixture.farm.record().cancelled, ["operations/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_says_anything_is_given_up() {
    let fixture = Fixture::new().await;
    let scripts = vec![Playback::Hang(vec![]), Playback::Hang(vec![])];
    let failure = play(&fixture, scripts).await.expect_err("silence");
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_every_stream_is_given_up() {
    let fixture = Fixture::new().await;
    let broken = |_| Playback::Send(vec![at(2)], Some(said(&Status::internal("reset"))));
    // The first stream made progress, the five after it did not.
    let failure = play(&fixture, (0..6).map(broken).collect()).await;
    assert!(failure.expect_err("no end").is_transient());
}

#[tokio::test]
async fn lost_inputs_are_sent_again_one_at_a_time_if_need_be() {
    let fixture = Fixture::new().await;
    let blobs = closure();
    fixture.upload(&blobs).await;
    fixture.farm.evict_all();
    // The second question finds what the first had not named.
    let scripts = vec![
        Playback::Send(vec![at(2), lost(&[blobs[1].digest])], None),
        Playback::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert!(fixture.has_all(&blobs));
}

#[tokio::test]
async fn inputs_that_a_call_lacks_are_sent_with_and_without_names() {
    let blobs = closure();
    for failure in [
        Said::missing(&[blobs[0].digest]),
        said(&Status::failed_precondition("no blob")),
        said(&Status::not_found("action")),
    ] {
        let fixture = Fixture::new().await;
        let scripts = vec![
            Playback::Refuse(failure),
            Playback::Send(vec![exit(0)], None),
        ];
        assert_eq!(code(play(&fixture, scripts).await), 0);
    }
}

#[tokio::test]
async fn a_farm_that_forgets_its_uploads_is_given_up_soon() {
    let profile = Profile {
        pretends_to_store: true,
        ..Profile::plain()
    };
    let fixture = Fixture::of(profile, &ClientOptions::default()).await;
    let blobs = closure();
    let scripts = (0..3).map(|_| Playback::Send(vec![lost(&[blobs[3].digest])], None));
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
    let fixture = Fixture::new().await;
    fixture.upload(&closure()).await;
    let status = Status::failed_precondition("No workers exist for platform");
    let failure = play(&fixture, vec![Playback::Refuse(said(&status))])
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
        let fixture = Fixture::new().await;
        let response = ExecuteResponse {
            status: Some(Said::new(code, "no").to_pb()),
            message: "see http://farm/1".to_owned(),
            result: Some(ActionResult {
                stderr_raw: Bytes::from_static(b"so far"),
                ..ActionResult::default()
            }),
            ..ExecuteResponse::default()
        };
        let scripts = vec![Playback::Send(vec![done(&response)], None)];
        let failure = play(&fixture, scripts).await.expect_err("final");
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains("http://farm/1"), "{failure}");
        let partial = failure.partial.expect("what was printed");
        assert_eq!(&partial.stderr_raw[..], b"so far");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_replaced_and_lost_inputs_that_look_like_it_are_sent() {
    let fixture = Fixture::new().await;
    let blobs = closure();
    let internal = || failed(&Said::new(Code::Internal, "tree is not complete"));
    let scripts = vec![
        Playback::Send(vec![internal()], None),
        Playback::Send(vec![exit(0)], None),
    ];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    assert!(fixture.has_all(&blobs));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_kills_every_worker_is_given_up_and_others_go_on() {
    let fixture = Fixture::new().await;
    let died = |_| {
        let failure = Said::new(Code::Unavailable, "worker disappeared");
        Playback::Send(vec![failed(&failure)], None)
    };
    let failure = play(&fixture, (0..6).map(died).collect())
        .await
        .expect_err("no result");
    assert!(failure.is_transient());
    let scripts = vec![Playback::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
}

#[tokio::test(start_paused = true)]
async fn results_that_the_protocol_forbids_are_retried() {
    for strange in [
        ending(None),
        ending(Some(operation::Result::Error(
            Said::new(Code::Aborted, "").to_pb(),
        ))),
        done(&ExecuteResponse::default()),
    ] {
        let fixture = Fixture::new().await;
        let scripts = vec![
            Playback::Send(vec![strange], None),
            Playback::Send(vec![exit(0)], None),
        ];
        assert_eq!(code(play(&fixture, scripts).await), 0);
    }
}

#[tokio::test]
async fn dropping_an_execution_cancels_it_on_the_farm() {
    let fixture = Fixture::new().await;
    fixture.farm.play(Playback::Hang(vec![at(3)]));
    let running = tokio::sync::Notify::new();
    let progress = |_| running.notify_one();
    let job = job(closure());
    tokio::select! {
        ended = fixture.client.execute(&job, &progress) => panic!("{ended:?}"),
        () = running.notified() => {}
    }
    fixture.client.close().await;
    assert_eq!(fixture.farm.record().cancelled, ["operations/1"]);
}

#[tokio::test]
async fn credentials_that_are_refused_are_renewed_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("helper");
    let script = "#!/bin/sh\necho x >> \"$0.log\"\n\
        echo \"{\\\"headers\\\":{\\\"authorization\\\":[\\\"$(wc -l < \"$0.log\")\\\"]}}\"\n";
    executable::write(&program, script);
    let options = ClientOptions {
        credential_helpers: vec![CredentialHelper {
            host: None,
            program,
        }],
        ..ClientOptions::default()
    };
    let fixture = Fixture::of(Profile::plain(), &options).await;
    let expired = || Playback::Refuse(said(&Status::unauthenticated("expired")));
    let scripts = vec![expired(), Playback::Send(vec![exit(0)], None)];
    assert_eq!(code(play(&fixture, scripts).await), 0);
    let record = fixture.farm.record();
    let sent: Vec<_> = record
        .calls
        .iter()
        .filter_map(|call| call.headers.get("authorization"))
        .collect();
    assert_eq!(sent, ["1", "1", "2"], "capabilities, refused, renewed");
    let failure = play(&fixture, vec![expired(), expired()])
        .await
        .expect_err("refused twice");
    assert_eq!(failure.kind, FailureKind::Unauthenticated);
}
