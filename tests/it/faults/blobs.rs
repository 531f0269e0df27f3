//! Blobs are lost, damaged, truncated, too long or endless; uploads are answered in every way.

use tonic::Code;

use crate::support::farm::{Break, Effect, Failure, Fault, Method, Profile};

use super::campaign;
use super::case::{Case, Step};

#[test]
fn lost_or_damaged_blobs_are_never_accepted() {
    let mut cases = lost();
    for step in [Step::DownloadBatch, Step::DownloadStream] {
        cases.extend(damaged(step));
    }
    cases.extend(broken());
    cases.extend(uploads());
    campaign(cases);
}

fn lost() -> Vec<Case> {
    let outputs = || Effect::Evict(Vec::new());
    let lost = "NOT_FOUND";
    vec![
        Case::works(Step::Execute, "all evicted after FindMissing, once")
            .effect(Effect::EvictAll, true),
        Case::says(
            Step::Execute,
            "all evicted before each Execute",
            &["does not keep them", "remote_local_fallback"],
        )
        .effect(Effect::EvictAll, false),
        Case::works(Step::Execute, "all evicted, and not said which blobs")
            .on(Profile {
                missing: crate::support::farm::Missing::Bare(Code::Internal),
                ..Profile::plain()
            })
            .effect(Effect::EvictAll, true),
        Case::works(Step::DownloadBatch, "outputs evicted after Execute, once")
            .fault(Fault::at(Method::Execute, outputs()).call(1)),
        Case::says(
            Step::DownloadBatch,
            "outputs evicted after each Execute",
            &[lost],
        )
        .fault(Fault::at(Method::Execute, outputs())),
        Case::works(Step::CachedResult, "outputs evicted after each hit")
            .fault(Fault::at(Method::GetActionResult, outputs())),
        Case::works(Step::CachedResult, "outputs of all hits are gone")
            .fault(Fault::at(Method::GetActionResult, Effect::EvictAll)),
    ]
}

/// A stream has nothing behind it: where it is always bad, there is no object.
fn damaged(step: Step) -> Vec<Case> {
    let each = |fault: &str, effect: Effect| {
        let always = format!("{fault}, always");
        let always = match step {
            // The batch is bad, the stream behind it is good.
            Step::DownloadBatch => Case::works(step, always),
            _ => Case::says(step, always, &["the server sent something other than"]),
        };
        [
            always.effect(effect.clone(), false),
            Case::works(step, format!("{fault}, once")).effect(effect, true),
        ]
    };
    let mut cases = Vec::new();
    cases.extend(each("corrupted", Effect::WrongBytes));
    cases.extend(each("too short", Effect::Shorten(1)));
    cases.extend(each("too long", Effect::Lengthen(1 << 20)));
    if step == Step::DownloadStream {
        cases.extend(each("endless", Effect::Endless));
    } else {
        cases.push(Case::works(step, "blobs left out").effect(Effect::ForgetBlob, false));
        cases.push(Case::works(step, "in another order").effect(Effect::Shuffle, false));
    }
    cases
}

fn broken() -> Vec<Case> {
    let step = Step::DownloadStream;
    let internal = || Break::Fail(Failure::new(Code::Internal, "half way"));
    let breaks = [
        ("OK", Break::End, "the server sent something other"),
        ("INTERNAL", internal(), "INTERNAL: half way"),
        ("a reset", Break::Drop, "relto doctor"),
        ("silence", Break::Stall, "no answer for"),
    ];
    let cases = breaks.into_iter().flat_map(|(name, how, says)| {
        let cut = |how: &Break| Effect::BreakAfter(100, how.clone());
        [
            Case::works(step, format!("ends too early with {name}, once")).effect(cut(&how), true),
            Case::says(step, format!("ends too early with {name}, always"), &[says])
                .effect(cut(&how), false),
        ]
    });
    cases.collect()
}

fn uploads() -> Vec<Case> {
    let (batch, stream) = (Step::UploadBatch, Step::UploadStream);
    let blob = |code, text: &str| Effect::FailBlob(Failure::new(code, text));
    vec![
        Case::works(batch, "each blob fails, streams do not")
            .effect(blob(Code::Internal, "disk"), false),
        Case::works(batch, "blobs are not answered").effect(Effect::ForgetBlob, false),
        Case::works(batch, "answered in another order").effect(Effect::Shuffle, false),
        Case::says(
            batch,
            "no blob may be written",
            &["PERMISSION_DENIED: read only"],
        )
        .effect(blob(Code::PermissionDenied, "read only"), false),
        Case::works(batch, "taken, and lost at once").effect(Effect::Evict(Vec::new()), true),
        Case::works(stream, "answered early").effect(Effect::EarlyReturn(None), true),
        Case::works(stream, "committed size -1, once").effect(Effect::CommittedSize(-1), true),
        Case::says(stream, "committed size of another blob", &["Write: "])
            .effect(Effect::CommittedSize(3), false),
        Case::says(stream, "slow, 1 KB/s, and a deadline", &["remote_deadline"])
            .env("RELTO_REMOTE_TIMEOUT", "60s")
            .env("RELTO_REMOTE_DEADLINE", "5s")
            .with(move |stage| stage.when(stream, |proxy| proxy.bandwidth(Some(1024)))),
        Case::works(stream, "taken, and lost at once").effect(Effect::Evict(Vec::new()), true),
        Case::says(
            stream,
            "refused for good",
            &["INVALID_ARGUMENT: no", "Write"],
        )
        .effect(Effect::fail(Code::InvalidArgument, "no"), false),
        Case::works(Step::FindMissing, "says that all is there, once")
            .effect(Effect::ForgetBlob, true),
        Case::says(
            Step::FindMissing,
            "refused for good",
            &["remote_local_fallback"],
        )
        .effect(
            Effect::fail(Code::FailedPrecondition, "FindMissing is closed"),
            false,
        ),
        Case::says(
            Step::FindMissing,
            "a key that may only read",
            &["does not keep them"],
        )
        .on(Profile {
            pretends_to_store: true,
            ..Profile::plain()
        }),
    ]
}
