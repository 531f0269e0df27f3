//! Farms that are not available here, scripted from their code and documents, each with its typical
//! faults.

use std::time::Duration;

use tonic::Code;

use crate::support::farm::{Effect, Failure, Fault, Method, Profile};

use super::campaign;
use super::case::{Case, Step};

#[test]
fn a_link_survives_the_failures_of_every_kind_of_farm() {
    let mut cases: Vec<Case> = Profile::all()
        .into_iter()
        .filter(|profile| profile.executes)
        .flat_map(|profile| bad_hours(&profile))
        .collect();
    cases.extend(own_ways());
    campaign(cases);
}

/// What happens to any farm, each time in its own manner of speaking.
fn bad_hours(profile: &Profile) -> Vec<Case> {
    let name = profile.name;
    let often = ["buildbuddy", "engflow", "google_rbe", "buildfarm"].contains(&name);
    let works = |step, fault: &str| {
        let case = Case::works(step, format!("{name}: {fault}"));
        case.on(profile.clone()).always(often)
    };
    let busy = Failure::new(Code::ResourceExhausted, "quota").retry_after(Duration::ZERO);
    vec![
        works(Step::Execute, "inputs evicted").effect(Effect::EvictAll, true),
        works(Step::Execute, "starts anew, empty").effect(Effect::Restart, true),
        works(Step::DownloadBatch, "outputs evicted")
            .fault(Fault::at(Method::Execute, Effect::Evict(Vec::new())).call(1)),
        works(Step::UploadBatch, "over its quota, once").effect(Effect::Fail(busy), true),
    ]
}

fn own_ways() -> Vec<Case> {
    let step = Step::Execute;
    let platform = "platform properties sent";
    vec![
        Case::says(
            step,
            "buildbuddy: no executors",
            &["No registered executors"],
        )
        .on(Profile::buildbuddy("secret"))
        .effect(
            Effect::fail(Code::Unavailable, "No registered executors in pool"),
            false,
        ),
        Case::says(
            step,
            "buildbuddy: a key that may only read",
            &["does not keep them", "may these credentials write"],
        )
        .on(Profile::buildbuddy_read_only("secret")),
        Case::says(
            Step::Capabilities,
            "buildbuddy: a wrong key",
            &["UNAUTHENTICATED", "remote_header"],
        )
        .on(Profile::buildbuddy("secret"))
        .env("RELTO_REMOTE_HEADER", "x-buildbuddy-api-key=wrong"),
        Case::says(
            step,
            "engflow: no image",
            &["No matching action runner", platform],
        )
        .on(Profile::engflow("secret"))
        .effect(
            Effect::fail(Code::InvalidArgument, "No matching action runner found"),
            false,
        ),
        Case::works(Step::UploadStream, "engflow: checksum, once")
            .on(Profile::engflow("secret"))
            .effect(Effect::fail(Code::DataLoss, "checksum mismatch"), true),
        Case::says(step, "google_rbe: a bad image", &["cannot pull"])
            .on(Profile::google_rbe("secret"))
            .effect(
                Effect::RunStatus(Failure::new(Code::PermissionDenied, "cannot pull image")),
                false,
            ),
        Case::says(step, "buildfarm: INVALID", &["not correctly sorted"])
            .on(Profile::buildfarm())
            .effect(
                Effect::Fail(Failure::invalid("arguments are not correctly sorted")),
                false,
            ),
        Case::works(Step::UploadStream, "buildfarm: committed size -1").on(Profile::buildfarm()),
        Case::says(
            step,
            "buildbarn: no workers of this platform",
            &["no workers exist", platform, "OSFamily=beos"],
        )
        .on(Profile::buildbarn())
        .env("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", "OSFamily=beos"),
    ]
}
