//! The campaign of faults: at each step of the way through a farm, each thing that can go wrong.
//!
//! The tables of cases are in one file for each theme. Each case is played twice, with and without
//! fallback, on a farm that answers by script, and must give right objects or a clear message, in
//! bounded time and memory, with nothing written by the loser. Every run plays a choice, each fault
//! and each step at least twice; `RELTO_TEST_LONG` plays all. The printed table shows what each
//! fault costs; no time is judged, except for a deadline that no case may pass.

mod case;
mod known;
mod play;
mod table;

mod blobs;
mod farms;
mod hostile;
mod network;
mod operations;
mod results;
mod statuses;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use case::{Case, Ends, Step};
use play::{Played, play};
use relto::internals::task::lock;
use table::Row;

use crate::support::campaign::Campaign;
use crate::support::skip::is_long;

/// Cases at a time: they mostly wait.
const AT_A_TIME: usize = 8;

/// Plays `cases` in which every call is answered.
fn campaign_of_answers(cases: Vec<Case>) {
    campaign(cases.into_iter().map(Case::patient).collect());
}

/// Plays `cases`, as far as they belong to this run, and prints their table.
///
/// # Panics
/// With every complaint that there is.
fn campaign(cases: Vec<Case>) {
    let all = is_long();
    let mut record = Campaign::begin("faults", 1);
    let undisturbed = undisturbed();
    let chosen: VecDeque<Case> = cases.into_iter().filter(|c| all || c.always).collect();
    let (queue, rows) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    let next = || lock(&queue).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let row = row(&case, undisturbed);
                    lock(&rows).push(row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    table::print(&rows);
    for row in &rows {
        record.count(row.step.name(), 1);
    }
    let complaints: Vec<_> = rows.iter().flat_map(|row| &row.complaints).collect();
    record.count("complaints", complaints.len() as u64);
    record.count("cases", rows.len() as u64);
    drop(record);
    assert!(complaints.is_empty(), "{}", table::join(&complaints));
}

/// What a link without faults takes.
fn undisturbed() -> Duration {
    let case = Case::new(Step::Execute, "none", Ends::Works);
    let times = (0..2).map(|_| {
        let played = play(&case, true);
        played
            .check_lenient(&case)
            .expect("it works without faults");
        played.elapsed
    });
    times.min().unwrap_or_default()
}

fn row(case: &Case, undisturbed: Duration) -> Row {
    let (lenient, strict): (Played, Played) = (play(case, true), play(case, false));
    let complaints = [lenient.check_lenient(case), strict.check_strict(case)];
    Row {
        step: case.step,
        fault: case.fault.clone(),
        extra: lenient.elapsed.saturating_sub(undisturbed),
        counts: lenient.counts(),
        strict: strict.verdict(),
        strict_extra: strict.elapsed.saturating_sub(undisturbed),
        megabytes: lenient.peak.max(strict.peak) >> 20,
        complaints: complaints.into_iter().filter_map(Result::err).collect(),
    }
}
