//! Operations are lost: stages come twice, backwards or not at all, streams end, operations are
//! forgotten or never end.

use tonic::Code;

use crate::support::farm::{Break, Effect, Failure, Fault, Method, Profile};

use super::campaign;
use super::case::{Case, Step};

#[test]
fn lost_operations_cost_only_time() {
    let mut cases = stages();
    cases.extend(streams());
    cases.extend(endings());
    campaign(cases);
}

fn stages() -> Vec<Case> {
    let works = |fault: &str| Case::works(Step::Execute, fault);
    vec![
        works("stages twice").effect(Effect::Stages(vec![2, 2, 3, 3, 2, 2]), false),
        works("stages backwards").effect(Effect::Stages(vec![4, 3, 2, 1, 0]), false),
        works("stages that nobody knows").effect(Effect::Stages(vec![77, -5]), false),
        works("no stages").effect(Effect::Stages(Vec::new()), false),
        works("no metadata").effect(Effect::WithoutMetadata, false),
        Case::says(
            Step::Execute,
            "an operation that never ends",
            &["remote_deadline"],
        )
        .env("RELTO_REMOTE_DEADLINE", "6s")
        .effect(Effect::NeverEnds, false),
        Case::says(
            Step::Execute,
            "an operation that never ends, once",
            &["remote_deadline"],
        )
        .env("RELTO_REMOTE_DEADLINE", "6s")
        .effect(Effect::NeverEnds, true),
    ]
}

fn streams() -> Vec<Case> {
    let step = Step::WaitExecution;
    let cut = |how| Effect::BreakAfter(1, how);
    let unknown = |code| Effect::fail(code, "no such operation");
    vec![
        Case::works(Step::Execute, "the stream ends with OK, once").effect(cut(Break::End), true),
        Case::works(Step::Execute, "the connection goes after a message, once")
            .effect(cut(Break::Drop), true),
        Case::works(Step::Execute, "silence after a message").effect(cut(Break::Stall), false),
        // It answered before, so the operation is looked up by name; that gets no answer.
        Case::says(step, "black hole after a message", &["no answer for"])
            .with(move |stage| stage.when(step, |proxy| proxy.silence(true))),
        Case::works(Step::Execute, "silence before any message, once")
            .effect(Effect::BreakAfter(0, Break::Stall), true),
        Case::says(
            Step::Execute,
            "silence before any message, always",
            &["no answer for"],
        )
        .effect(Effect::BreakAfter(0, Break::Stall), false),
        Case::says(
            Step::Execute,
            "each stream breaks before its first message",
            &["before the execution did"],
        )
        .effect(Effect::BreakAfter(0, Break::End), false),
        Case::works(step, "the operation is forgotten, NOT_FOUND, once")
            .effect(unknown(Code::NotFound), true),
        Case::works(step, "the operation is forgotten, INVALID_ARGUMENT, once")
            .effect(unknown(Code::InvalidArgument), true),
        Case::says(
            step,
            "each operation is forgotten",
            &["no such operation", "remote_local_fallback"],
        )
        .effect(unknown(Code::NotFound), false),
        Case::says(step, "no WaitExecution, each stream breaks", &["not here"])
            .effect(Effect::fail(Code::Unimplemented, "not here"), false),
    ]
}

fn endings() -> Vec<Case> {
    let lost = || Failure::new(Code::Unavailable, "worker lost");
    let (run, error) = (Effect::RunStatus, Effect::OperationError);
    let works = |fault: &str| Case::works(Step::Execute, fault);
    let says = |fault: &str, parts: &[&str]| Case::says(Step::Execute, fault, parts);
    let late = || Failure::new(Code::DeadlineExceeded, "action timeout");
    let once_uncached = Profile {
        execute_uses_cache: false,
        ..Profile::plain()
    };
    vec![
        works("the worker is lost, once").effect(run(lost()), true),
        says("each worker is lost", &["UNAVAILABLE: worker lost"]).effect(run(lost()), false),
        works("the operation ends with an error, once").effect(error(lost()), true),
        says("each operation ends with an error", &["worker lost"]).effect(error(lost()), false),
        works("done without a response, once").effect(Effect::DoneWithoutResponse, true),
        says("done without a response, always", &["without a result"])
            .effect(Effect::DoneWithoutResponse, false),
        says(
            "the action's time is over",
            &["DEADLINE_EXCEEDED: action timeout"],
        )
        .effect(run(late()), false),
        says(
            "INVALID violations",
            &["unsorted", "remote_default_exec_properties"],
        )
        .effect(Effect::Fail(Failure::invalid("unsorted")), false),
        works("a server that never looks into its cache")
            .on(once_uncached)
            .fault(Fault::at(Method::Execute, Effect::BreakAfter(1, Break::End)).call(1)),
    ]
}
