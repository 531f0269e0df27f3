//! Results are wrong: outputs are missing, empty, too large or too many; the compiler supposedly
//! failed.

use crate::support::farm::{Effect, Fault, Method};

use super::campaign;
use super::case::{Case, Step};

#[test]
fn a_lying_result_is_never_accepted() {
    let mut cases = Vec::new();
    for (fault, effect, says) in lies() {
        let once = format!("{fault}, once");
        cases.push(Case::works(Step::Execute, once).effect(effect(), true));
        let always = format!("{fault}, always");
        cases.push(Case::says(Step::Execute, always, &[says]).effect(effect(), false));
        // A hit is not the last word: the farm is asked to make it anew.
        let cached = format!("{fault}, in the action cache");
        cases.push(Case::works(Step::CachedResult, cached).effect(effect(), false));
    }
    cases.extend(harmless());
    campaign(cases);
}

type Lie = (&'static str, fn() -> Effect, &'static str);

fn lies() -> [Lie; 5] {
    [
        ("an output is missing", Effect::missing_output, "left no"),
        ("an output is empty", Effect::empty_output, "is empty"),
        (
            "an output of 2 TB",
            || Effect::oversized_output(2 << 40),
            "is said to have",
        ),
        (
            "an output of negative size",
            || Effect::oversized_output(-1),
            "o`: malformed digest",
        ),
        (
            "stderr admits a failure",
            || Effect::stderr("error: Error running ThinLTO backend: no\n"),
            "Error running ThinLTO backend",
        ),
    ]
}

/// What is wrong, but not with what we take.
fn harmless() -> Vec<Case> {
    let paths = ["../../escaped", "/tmp/relto-escaped", "relto/other.o"];
    let mut cases = Vec::new();
    for path in paths {
        for step in [Step::Execute, Step::CachedResult] {
            let fault = format!("an extra output `{path}`");
            cases.push(Case::works(step, fault).effect(Effect::extra_output(path), false));
        }
    }
    cases.push(
        Case::works(Step::CachedResult, "a failure is in the action cache")
            .effect(Effect::exit_code(1), false),
    );
    // What is lost here was never asked for.
    let stray = Fault::at(Method::Read, Effect::Hang);
    cases.push(Case::works(Step::DownloadBatch, "streams hang, batches do not").fault(stray));
    cases
}
