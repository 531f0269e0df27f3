//! What a link costs a farm and the connection to it: requests, bytes, round trips, memory.
//!
//! Links of many jobs run cold, with a warm CAS, and with all results cached. All figures are
//! printed; those that are counts have bounds. Round trips are counted on a connection so slow that
//! everything else is small in comparison.

mod memory;
mod round_trips;

use std::collections::BTreeMap;

use crate::support::farm::{Farm, Method, Profile, Record};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, generated, zstd};
use crate::support::remote::{assert_all_cached, assert_all_remote, here, strict};
use crate::support::skip::is_long;

/// Bytes on the wire for each byte that must go over it: framing, headers, requests.
const MOST_OVERHEAD: f64 = 1.02;

/// What one link cost.
struct Cost {
    record: Record,
    /// Sum of the sizes of all objects.
    objects: u64,
    jobs: usize,
}

impl Cost {
    fn of(farm: &Farm, outcome: &LinkOutcome) -> Self {
        Self {
            record: farm.record(),
            objects: outcome
                .objects()
                .iter()
                .map(|object| object.len() as u64)
                .sum(),
            jobs: outcome.counts().jobs,
        }
    }

    fn count(&self, method: Method) -> usize {
        self.record.count(method)
    }

    #[expect(clippy::print_stdout, reason = "the figures are for people")]
    fn print(&self, title: &str) {
        let mut counts: BTreeMap<Method, usize> = BTreeMap::new();
        for call in &self.record.calls {
            *counts.entry(call.method).or_default() += 1;
        }
        println!(
            "{title}: {} jobs, {counts:?}, {} connections; blobs up {} B, wire up {} B; objects {} B, wire down {} B",
            self.jobs,
            self.record.connections,
            self.record.uploaded_bytes(),
            self.record.bytes_up,
            self.objects,
            self.record.bytes_down,
        );
    }
}

fn links(program: &Program) -> (Farm, [Cost; 3]) {
    let farm = Farm::start(Profile::plain());
    let link = || {
        farm.forget_record();
        let link = strict(program, &farm.environment()).keep_objects();
        link.run_at(here()).expect_works()
    };
    let cold = link();
    assert_all_remote(cold.counts());
    let cold = Cost::of(&farm, &cold);
    farm.clear_results();
    let warm = link();
    assert_all_remote(warm.counts());
    let warm = Cost::of(&farm, &warm);
    let cached = link();
    assert_all_cached(cached.counts());
    let cached = Cost::of(&farm, &cached);
    for (cost, title) in [
        (&cold, "cold"),
        (&warm, "warm CAS"),
        (&cached, "all cached"),
    ] {
        cost.record.assert_no_violations();
        cost.record.assert_nothing_twice();
        cost.print(&format!("{}, {title}", program.name));
    }
    (farm, [cold, warm, cached])
}

#[test]
fn a_link_makes_no_more_calls_and_uploads_no_more_bytes_than_necessary() {
    let mut programs = vec![zstd()];
    if is_long() {
        programs.push(generated(149));
    }
    for program in programs {
        let (farm, [cold, warm, cached]) = links(&program);
        // Every digest was asked about once, and what was missing is what the farm has now, but for
        // its own objects.
        let asked: usize = cold
            .record
            .of(Method::FindMissingBlobs)
            .map(|c| c.digests.len())
            .sum();
        assert_eq!(asked, cold.record.uploads.len());
        assert!(farm.digests().len() >= asked);
        for cost in [&cold, &warm, &cached] {
            assert_eq!(cost.count(Method::GetCapabilities), 1);
            assert_eq!(cost.count(Method::GetActionResult), cost.jobs);
            // Objects come with the results.
            assert_eq!(
                cost.count(Method::BatchReadBlobs) + cost.count(Method::Read),
                0
            );
        }
        assert_eq!(cold.count(Method::Execute), cold.jobs);
        assert_eq!(warm.record.uploads.len(), 0);
        assert_eq!(cached.record.count_all(), cached.jobs);
        let up = ratio(cold.record.bytes_up, cold.record.uploaded_bytes());
        assert!(up <= MOST_OVERHEAD, "up: {up}");
        // Where objects are as large as real ones.
        let down = ratio(cached.record.bytes_down, cached.objects);
        assert!(
            down <= MOST_OVERHEAD || program.name != "zstd",
            "down: {down}"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(bytes: u64, needed: u64) -> f64 {
    bytes as f64 / needed as f64
}
