//! How many round trips a link waits for, one after the other.
//!
//! The connection's delay is long compared with all that a machine does meanwhile. Two counts come
//! of it. *Waves* are the longest chain of calls each of which began at least a round trip after
//! the one before had ended, plus one for the connection: never fewer than depend on each other,
//! however busy the machine is. *Elapsed time* divided by a round trip, less the same link without
//! delay, also counts what no call shows: windows and handshakes.

use std::time::{Duration, Instant};

use crate::support::farm::{Call, Farm, Method, Profile, Record};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, generated};
use crate::support::proxy::Proxy;
use crate::support::remote::{assert_all_cached, assert_all_remote, here, strict};

/// Each way, where the round trips are counted.
const LONG_WAY: Duration = Duration::from_millis(400);
/// Each way, as farms are away.
const USUAL_WAY: Duration = Duration::from_millis(50);

/// A busy machine can only make it look worse.
const ATTEMPTS: usize = 4;

/// A farm behind a slow network.
struct SlowFarm {
    farm: Farm,
    proxy: Proxy,
    program: Program,
}

/// What one link waited for.
#[derive(Debug, Clone, Copy)]
struct Trips {
    waves: usize,
    elapsed: f64,
}

impl Trips {
    /// Half a trip is left for the machine's own moods.
    fn are_within(self, bar: u16) -> bool {
        self.waves <= usize::from(bar) && self.elapsed <= f64::from(bar) + 0.5
    }
}

impl SlowFarm {
    /// With the compiler on the workers: uploads are not what is counted.
    fn new(jobs: usize) -> Self {
        let farm = Farm::start(Profile::plain());
        let proxy = Proxy::to(farm.port());
        let program = generated(jobs - 1);
        Self {
            farm,
            proxy,
            program,
        }
    }

    fn link(&self, each_way: Duration) -> (LinkOutcome, Duration) {
        self.proxy.delay(each_way);
        self.farm.forget_record();
        let mut environment = self.farm.profile().environment(&self.proxy.address());
        environment.push(("RELTO_TOOLCHAIN", "worker".to_owned()));
        let link = strict(&self.program, &environment);
        let began = Instant::now();
        let outcome = link.run_at(here());
        (outcome.expect_works(), began.elapsed())
    }

    /// The best of a few links over the slow network. `prepare` comes before each.
    fn trips(&self, bar: u16, prepare: impl Fn(&Farm), check: impl Fn(&LinkOutcome)) -> Trips {
        let at = |way| {
            prepare(&self.farm);
            let (outcome, elapsed) = self.link(way);
            check(&outcome);
            elapsed.as_secs_f64()
        };
        let near = at(Duration::ZERO).min(at(Duration::ZERO));
        let round_trip = 2 * LONG_WAY;
        let mut best = None;
        for _ in 0..ATTEMPTS {
            let elapsed = (at(LONG_WAY) - near) / round_trip.as_secs_f64();
            let waves = 1 + waves(&self.farm.record(), round_trip);
            let trips = Trips { waves, elapsed };
            best = Some(trips);
            if trips.are_within(bar) {
                break;
            }
        }
        let best = best.expect("an attempt was made");
        print(&format!(
            "{} jobs: {best:?}; {near:.2} s near, {:.2} s at {USUAL_WAY:?} each way",
            self.program.modules.len(),
            at(USUAL_WAY),
        ));
        best
    }
}

/// The longest chain of calls that may have waited for each other.
fn waves(record: &Record, round_trip: Duration) -> usize {
    // The farm's clock and the line's are the same, but timers are not exact.
    let gap = round_trip.mul_f32(0.95);
    let follows = |call: &Call, before: &Call| {
        let ended = before.ended.unwrap_or(before.began);
        call.began >= ended + gap
    };
    let mut depths: Vec<usize> = Vec::new();
    for call in &record.calls {
        let before = record.calls.iter().zip(&depths);
        let waited_for = before.filter(|(before, _)| follows(call, before));
        let depth = waited_for.map(|(_, depth)| *depth).max().unwrap_or(0);
        depths.push(depth + 1);
    }
    depths.into_iter().max().unwrap_or(0)
}

#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn print(text: &str) {
    println!("{text}");
}

#[test]
fn a_cached_link_waits_for_four_round_trips() {
    let slow = SlowFarm::new(150);
    slow.link(Duration::ZERO);
    let cached = |outcome: &LinkOutcome| assert_all_cached(outcome.counts());
    let trips = slow.trips(4, |_| {}, cached);
    assert!(trips.are_within(4), "{trips:?}");
}

#[test]
fn a_cold_link_waits_for_eight_round_trips_beyond_its_uploads() {
    let slow = SlowFarm::new(30);
    let forget = |farm: &Farm| {
        farm.evict_all();
        farm.clear_results();
    };
    let remote = |outcome: &LinkOutcome| {
        assert_all_remote(outcome.counts());
        assert!(slow.farm.record().count(Method::BatchUpdateBlobs) > 0);
    };
    // Small as they are, the uploads take one.
    let trips = slow.trips(9, forget, remote);
    assert!(trips.are_within(9), "{trips:?}");
}
