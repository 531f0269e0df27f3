//! Jobs do not wait for what they do not need, and no work is done twice.

use std::time::Duration;

use fs_err as fs;
use relto::internals::digest::DigestFunction;

use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::farm::{Effect, Farm, Fault, Method, Profile};
use crate::support::program::generated;
use crate::support::saved::Saved;

/// A link with a small compiler, so that a new farm soon has it.
fn saved() -> Saved {
    let mut saved = Saved::new(&generated(30));
    let compiler = saved.path("clang");
    executable::copy(fake_clang("object(ET_REL); return 0;"), &compiler);
    saved.compile_with(&compiler);
    saved
}

fn link(saved: &Saved, farm: &Farm) {
    let mut command = saved.command();
    command
        .envs(farm.environment())
        .env("RELTO_STRATEGY", "remote");
    let output = command.output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
fn jobs_run_as_soon_as_their_inputs_are_uploaded() {
    let limit = 4 << 10;
    let farm = Farm::start(Profile {
        max_batch: limit,
        ..Profile::plain()
    });
    let saved = saved();
    let module = fs::read(saved.path("main.o")).expect("a module");
    let module = DigestFunction::Sha256.digest(&module);
    assert!(module.size > limit, "it goes by a call of its own");
    let late = Effect::Delay(Duration::from_secs(5));
    farm.fault(Fault::at(Method::Write, late).digest(module));
    link(&saved, &farm);
    let record = farm.record();
    let began = record.of(Method::Execute).map(|call| call.began);
    let mut uploads = record.of(Method::Write);
    let late = uploads.find(|call| call.digests.contains(&module));
    let late = late.expect("it was sent").ended.expect("it was taken");
    assert!(began.min() < Some(late), "every job waited for one upload");
    record.assert_nothing_twice();
}

#[test]
fn jobs_that_are_the_same_are_looked_up_and_executed_under_one_name() {
    let farm = Farm::start(Profile::plain());
    let mut saved = saved();
    let jobs = saved.link["jobs"].as_array_mut().expect("a list");
    let count = jobs.len();
    for at in 0..count {
        let mut copy = jobs[at].clone();
        let output = copy["outputs"][0].as_str().expect("a name").to_owned();
        let renamed = format!("copy-{output}");
        copy["outputs"][0] = renamed.as_str().into();
        for word in copy["args"].as_array_mut().expect("a list") {
            if word.as_str() == Some(&output) {
                *word = renamed.as_str().into();
            }
        }
        jobs.push(copy);
    }
    link(&saved, &farm);
    let record = farm.record();
    record.assert_nothing_twice();
    assert_eq!(record.executed.len(), count, "each action ran once");
    assert!(saved.objects().iter().all(|object| object.exists()));
}
