//! A trial: one real ThinLTO backend job, through the same engine as any link.
//!
//! Reports where the job ran, how long it took, whether the object is the one that the compiler
//! writes in place, and whether it is found again. Its salt is new each time, so no cache has the
//! result; apart from that only the settings that would hide a failure are changed: the fallback
//! and the disk cache.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use indicatif::HumanBytes;
use tokio_util::sync::CancellationToken;

use super::module::Trial;
use super::toolchain::Compilers;
use super::{Finding, Grade, ReportSection, without_farm};
use crate::compiler::ToolchainSource;
use crate::events::{self, Event, Events, Origin, Stamped};
use crate::link::{Engine, FarmOptions, LinkError, Options};
use crate::process::{Relto, Scratch};

/// The time limit of a trial. A farm without a suitable worker may let a job wait forever.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// How one run of the trial's job ended.
struct TrialRun {
    result: Result<(), LinkError>,
    origin: Option<Origin>,
    /// Bytes sent to the farm.
    up: u64,
    /// Warnings of the link and messages of the compiler.
    said: Vec<String>,
    /// What the link notes in its log.
    notes: Vec<String>,
    elapsed: Duration,
    gave_up: bool,
}

pub(super) async fn section(
    compilers: &Compilers,
    options: &Options,
    strict: bool,
    farm_answers: bool,
) -> ReportSection {
    let findings = findings(compilers, options, strict, farm_answers).await;
    ReportSection::new("Trial", findings.unwrap_or_else(|finding| vec![finding]))
}

async fn findings(
    compilers: &Compilers,
    options: &Options,
    strict: bool,
    farm_answers: bool,
) -> Result<Vec<Finding>, Finding> {
    let dir = Scratch::create(&Relto::itself(), &options.scratch_parent)
        .map_err(|error| Finding::bad(error.to_string(), "set `TMPDIR` to a directory of yours"))?;
    let trial = Trial::make(&compilers.clang, dir.path())?;
    let farm = options.farm.as_ref();
    let grade = farm.map(|farm| without_farm(farm, strict));
    let mut options = for_trial(options, dir.path());
    let mut findings = Vec::new();
    if let (Some(farm), Some(grade)) = (&options.farm, grade) {
        let good = farm_answers && at_farm(&trial, &options, farm, grade, &mut findings).await;
        if good || grade == Grade::Bad {
            return Ok(findings);
        }
    }
    options.farm = None;
    findings.push(here(&trial, &options).await);
    Ok(findings)
}

/// The trial uses neither the disk cache nor the fallback, and leaves no record for `relto stats`.
fn for_trial(options: &Options, dir: &Path) -> Options {
    let mut options = options.clone();
    options.disk_cache = None;
    options.state_dir = Some(dir.to_owned());
    options.salt = format!("{} doctor {}", options.salt, uuid::Uuid::new_v4());
    if let Some(farm) = &mut options.farm {
        farm.local_fallback = false;
    }
    options.dynamic = false;
    options.verify.percent = 0.0;
    options
}

/// Runs the job with the farm, then once more to see whether it is remembered there. Whether it was
/// done.
async fn at_farm(
    trial: &Trial,
    options: &Options,
    farm: &FarmOptions,
    grade: Grade,
    findings: &mut Vec<Finding>,
) -> bool {
    let ran = run(trial, options).await;
    if let Err(error) = &ran.result {
        findings.push(failed(grade, &ran, error));
        return false;
    }
    let sent = HumanBytes(ran.up);
    let elapsed = seconds(ran.elapsed);
    let made = match ran.origin {
        Some(Origin::Remote) => Finding::good(format!(
            "the farm compiled a module in {elapsed}, {sent} sent"
        )),
        Some(Origin::Local) if farm.is_cache_only() => Finding::good(format!(
            "this machine compiled a module in {elapsed}, {sent} sent to the farm's cache"
        )),
        Some(Origin::Local) => not_there(&ran, farm),
        _ => not_hermetic(&ran),
    };
    let as_wished = made.grade == Grade::Good;
    findings.push(made);
    if !as_wished {
        return true;
    }
    findings.push(trial.compare());
    if farm.accept_cached && (!farm.is_cache_only() || farm.upload_local_results) {
        findings.push(found_again(&run(trial, options).await, &ran));
    }
    true
}

async fn here(trial: &Trial, options: &Options) -> Finding {
    let ran = run(trial, options).await;
    match (&ran.result, ran.origin) {
        (Err(error), _) => failed(Grade::Bad, &ran, error),
        (Ok(()), Some(Origin::Local)) => {
            let compared = trial.compare();
            Finding {
                text: format!(
                    "this machine compiled a module in {}; {}",
                    seconds(ran.elapsed),
                    compared.text
                ),
                ..compared
            }
        }
        (Ok(()), _) => not_hermetic(&ran),
    }
}

fn found_again(again: &TrialRun, first: &TrialRun) -> Finding {
    if again.result.is_ok() && again.origin == Some(Origin::RemoteCache) {
        return Finding::good(format!(
            "the farm's action cache returned it the second time, in {}",
            seconds(again.elapsed)
        ));
    }
    let mut text = "the farm's action cache does not return the result".to_owned();
    for said in first.said.iter().chain(&again.said) {
        text.push('\n');
        text.push_str(said);
    }
    Finding::warning(
        text,
        "every link will compile again what others have compiled: may these credentials read and write the cache?",
    )
}

/// The compile failed on the farm and succeeded here.
fn not_there(ran: &TrialRun, farm: &FarmOptions) -> Finding {
    let text = format!(
        "the farm could not compile a module that compiles here:\n{}",
        ran.said.join("\n")
    );
    let hint = if farm.toolchain == ToolchainSource::Worker {
        "the workers need this compiler under the same path; `toolchain=upload` uploads yours"
    } else {
        "do the workers have this machine's architecture? Is their kernel too old for the compiler's C library?"
    };
    Finding::warning(text, hint)
}

fn not_hermetic(ran: &TrialRun) -> Finding {
    let text = format!(
        "the module was compiled in place, not as its action says:\n{}",
        [&ran.notes[..], &ran.said].concat().join("\n")
    );
    Finding::warning(text, "such jobs run on this machine and are never cached")
}

fn failed(grade: Grade, ran: &TrialRun, error: &LinkError) -> Finding {
    let mut finding = Finding::of(grade, error);
    finding.hints = error.hints_without_fallback();
    if ran.gave_up {
        finding.text = format!("no result in {} s", TIME_LIMIT.as_secs());
        finding.hints = vec![
            "does any worker serve these `remote_default_exec_properties`? The farm's own web page may show why it waits"
                .to_owned(),
        ];
    }
    finding.hints.sort();
    finding.hints.dedup();
    finding
}

async fn run(trial: &Trial, options: &Options) -> TrialRun {
    let (events, receiver) = Events::channel();
    let cancel = CancellationToken::new();
    let began = events::now();
    let engine = Engine::single_use(options);
    let linking = engine.run(trial.file.clone(), options, events, cancel.clone());
    tokio::pin!(linking);
    let mut gave_up = false;
    let (result, epilogue) = tokio::select! {
        ended = &mut linking => ended,
        () = tokio::time::sleep(TIME_LIMIT) => {
            gave_up = true;
            cancel.cancel();
            linking.await
        }
    };
    epilogue.write();
    let mut ran = TrialRun {
        result,
        origin: None,
        up: 0,
        said: Vec::new(),
        notes: Vec::new(),
        elapsed: began.elapsed(),
        gave_up,
    };
    ran.record(&receiver);
    ran
}

impl TrialRun {
    /// Takes what is there: the link is over.
    fn record(&mut self, receiver: &Receiver<Stamped>) {
        for stamped in receiver.try_iter() {
            match stamped.event {
                Event::JobFinished { origin, .. } => self.origin = Some(origin),
                Event::Transferred { up, .. } => self.up += up,
                Event::Warning { text, .. } | Event::CompilerMessage { text, .. } => {
                    self.said.push(text);
                }
                Event::Note { text } => self.notes.push(text),
                _ => {}
            }
        }
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f32())
}
