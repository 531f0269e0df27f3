//! Actions in the scripted farm: run, checked, merged, cancelled, and answered with every lie.

use prost::Message as _;
use relto::internals::pb::longrunning::CancelOperationRequest;
use relto::internals::pb::longrunning::operations_client::OperationsClient;
use relto::internals::pb::reapi::execution_client::ExecutionClient;
use relto::internals::pb::reapi::{Directory, ExecuteOperationMetadata, WaitExecutionRequest};
use relto::internals::pb::rpc;
use tonic::Code;

use crate::support::farm::{Break, Effect, Failure, Farm, Fault, Method, Outcome, Profile};
use crate::support::raw::{self, SHA256};

use super::{code, file};

#[tokio::test]
async fn a_command_really_runs_with_its_inputs_and_its_environment_only() {
    let farm = Farm::start(Profile::plain());
    let root = Directory {
        files: vec![file("in", farm.put("input"))],
        ..Directory::default()
    };
    let script = [
        "/bin/sh",
        "-c",
        "cat in >out; echo ${HOME-none} >&2; exit 3",
    ];
    let action = raw::put_action_on(&farm, &script, &root);
    let response = raw::run(&farm.channel(), action).await.expect("executed");
    let result = response.result.expect("a result");
    assert_eq!(result.exit_code, 3);
    let output = result.output_files[0].digest.as_ref().expect("a digest");
    assert_eq!(*output, SHA256.digest(b"input").to_pb());
    let log = result.stderr_digest.expect("a log");
    assert_eq!(log, SHA256.digest(b"none\n").to_pb());
    assert!(farm.results().is_empty(), "a failure is not cached");
}

#[tokio::test]
async fn the_second_execution_comes_from_the_cache_unless_the_server_never_looks() {
    for (profile, cached) in [(Profile::plain(), true), (Profile::kajiya(), true)] {
        let farm = Farm::scripted(profile, |job| Outcome::object(job, "object"));
        let action = raw::put_action(&farm, &["cc"]);
        for expected in [false, cached] {
            let response = raw::run(&farm.channel(), action).await.expect("executed");
            assert_eq!(response.cached_result, expected, "{}", farm.profile().name);
            assert_eq!(response.result.expect("a result").output_files.len(), 1);
        }
        assert_eq!(farm.record().executed, [action]);
    }
}

#[tokio::test]
async fn an_unsorted_directory_is_refused_and_noted() {
    let farm = Farm::scripted(Profile::buildfarm(), |job| Outcome::object(job, "object"));
    let blob = farm.put("x");
    let root = Directory {
        files: vec![file("b", blob), file("a", blob)],
        ..Directory::default()
    };
    let action = raw::put_action_on(&farm, &["cc"], &root);
    let status = raw::run(&farm.channel(), action)
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = rpc::Status::decode(status.details()).expect("details");
    let failure = rpc::PreconditionFailure::decode(details.details[0].value.as_slice());
    assert_eq!(failure.expect("violations").violations[0].r#type, "INVALID");
    assert!(farm.record().violations[0].contains("not sorted"));
}

#[tokio::test]
async fn a_missing_input_is_named_in_the_response_and_a_missing_action_in_the_call() {
    let farm = Farm::scripted(Profile::plain(), |job| Outcome::object(job, "object"));
    let gone = farm.put("input");
    let root = Directory {
        files: vec![file("in", gone)],
        ..Directory::default()
    };
    let action = raw::put_action_on(&farm, &["cc"], &root);
    farm.evict(&gone);
    let response = raw::run(&farm.channel(), action).await.expect("a response");
    let status = response.status.expect("a status");
    assert_eq!(code(&status), Code::FailedPrecondition);
    let failure = rpc::PreconditionFailure::decode(status.details[0].value.as_slice());
    let violations = failure.expect("violations").violations;
    assert_eq!(violations[0].subject, format!("blobs/{gone}"));

    farm.evict(&action);
    let status = raw::run(&farm.channel(), action)
        .await
        .expect_err("no action");
    assert!(!status.details().is_empty());
}

#[tokio::test]
async fn operations_go_backwards_break_and_are_found_again() {
    let farm = Farm::scripted(Profile::plain(), |job| Outcome::object(job, "object"));
    let channel = farm.channel();
    let action = raw::put_action(&farm, &["cc"]);
    farm.fault(Fault::at(Method::Execute, Effect::Stages(vec![3, 2, 2])));
    farm.fault(Fault::at(
        Method::Execute,
        Effect::BreakAfter(3, Break::End),
    ));
    let mut stream = raw::execute(&channel, action).await.expect("begun");
    let (mut stages, mut name) = (Vec::new(), String::new());
    while let Some(message) = stream.message().await.expect("no failure") {
        let metadata = message.metadata.expect("a stage").value;
        let metadata = ExecuteOperationMetadata::decode(metadata.as_slice());
        stages.push(metadata.expect("a stage").stage);
        name = message.name;
    }
    assert_eq!(stages, [3, 2, 2]);
    let mut client = ExecutionClient::new(channel);
    let wait = raw::request(WaitExecutionRequest { name });
    let mut stream = client
        .wait_execution(wait)
        .await
        .expect("found")
        .into_inner();
    let mut done = false;
    while let Some(message) = stream.message().await.expect("no failure") {
        done = message.done;
    }
    assert!(done);
}

#[tokio::test]
async fn scripted_results_are_wrong_in_every_requested_way() {
    let farm = Farm::scripted(Profile::buildbarn(), |job| Outcome::object(job, "object"));
    let channel = farm.channel();
    let mut profile = Profile::plain();
    profile.execute_uses_cache = false;
    let farm_plain = Farm::scripted(profile, |job| Outcome::object(job, "object"));
    let action = raw::put_action(&farm, &["cc"]);
    let refused = raw::run(&channel, action).await.expect_err("no platform");
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let farm = farm_plain;
    let action = raw::put_action(&farm, &["cc"]);
    let run = async |effect: Effect| {
        farm.clear_faults();
        farm.fault(Fault::at(Method::Execute, effect));
        raw::run(&farm.channel(), action).await
    };
    let result = async |effect| {
        run(effect)
            .await
            .expect("executed")
            .result
            .expect("a result")
    };
    assert_eq!(result(Effect::missing_output()).await.output_files.len(), 0);
    let empty = result(Effect::empty_output()).await;
    assert_eq!(
        empty.output_files[0].digest,
        Some(SHA256.digest(b"").to_pb())
    );
    assert_eq!(
        result(Effect::extra_output("../x"))
            .await
            .output_files
            .len(),
        2
    );
    assert_eq!(result(Effect::exit_code(9)).await.exit_code, 9);
    let lost = Failure::new(Code::Unavailable, "worker lost");
    let response = run(Effect::RunStatus(lost.clone()))
        .await
        .expect("a response");
    assert_eq!(response.status.as_ref().map(code), Some(Code::Unavailable));
    let status = run(Effect::OperationError(lost))
        .await
        .expect_err("an error");
    assert_eq!(status.code(), Code::Unavailable);
    let status = run(Effect::DoneWithoutResponse).await.expect_err("nothing");
    assert_eq!(status.code(), Code::DataLoss);
}

#[tokio::test]
async fn a_program_out_of_the_input_root_runs() {
    let farm = Farm::start(Profile::plain());
    let mut program = file("tool", farm.put("#!/bin/sh\necho $1 >out\n"));
    program.is_executable = true;
    let root = Directory {
        files: vec![program],
        ..Directory::default()
    };
    let action = raw::put_action_on(&farm, &["./tool", "made"], &root);
    let response = raw::run(&farm.channel(), action).await.expect("executed");
    let outputs = response.result.expect("a result").output_files;
    assert_eq!(outputs[0].digest, Some(SHA256.digest(b"made\n").to_pb()));
}

#[tokio::test]
async fn a_script_that_panics_ends_its_operation() {
    let farm = Farm::scripted(Profile::plain(), |_| panic!("on purpose"));
    let action = raw::put_action(&farm, &["cc"]);
    let response = raw::run(&farm.channel(), action).await.expect("a response");
    assert_eq!(response.status.as_ref().map(code), Some(Code::Internal));
}

#[tokio::test]
async fn equal_actions_in_flight_are_one_operation_which_can_be_cancelled() {
    let farm = Farm::scripted(Profile::plain(), |job| Outcome::object(job, "object"));
    farm.fault(Fault::at(Method::Execute, Effect::NeverEnds));
    let action = raw::put_action(&farm, &["cc"]);
    let mut names = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = raw::execute(&farm.channel(), action).await.expect("begun");
        let message = stream.message().await.expect("a message");
        names.push(message.expect("a message").name);
        streams.push(stream);
    }
    assert_eq!(names[0], names[1]);
    assert_eq!(farm.record().max_concurrent(Method::Execute), 2);
    let name = names.remove(0);
    let cancel = raw::request(CancelOperationRequest { name: name.clone() });
    let mut client = OperationsClient::new(farm.channel());
    client.cancel_operation(cancel).await.expect("known");
    for mut stream in streams {
        let mut done = false;
        while let Some(message) = stream.message().await.expect("no failure") {
            done = message.done;
        }
        assert!(done);
    }
    assert_eq!(farm.record().cancelled, [name]);
    assert!(farm.record().executed.is_empty(), "it was queued for ever");
}
