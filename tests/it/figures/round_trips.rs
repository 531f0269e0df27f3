//! How many round trips a link waits for, one after the other.
//!
//! Enters: a line whose delay is long beside all that a machine does meanwhile. Leaves: elapsed time over that of a round
//! trip, beyond the same link on a line without delay. A busy machine can only make it look worse: some attempts.

use std::time::{Duration, Instant};

use crate::support::farm::{Farm, Method, Profile};
use crate::support::outcome::Outcome;
use crate::support::program::{Program, generated};
use crate::support::proxy::Proxy;
use crate::support::remote::{assert_all_cached, assert_all_remote, here, strict};

/// Each way, where the round trips are counted.
const LONG_WAY: Duration = Duration::from_millis(400);
/// Each way, as farms are away.
const USUAL_WAY: Duration = Duration::from_millis(50);

const ATTEMPTS: usize = 3;

struct Line {
    farm: Farm,
    proxy: Proxy,
    program: Program,
}

impl Line {
    /// A farm with the compiler on its workers: uploads are not what is counted.
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

    fn link(&self, each_way: Duration) -> (Outcome, Duration) {
        self.proxy.delay(each_way);
        self.farm.forget_record();
        let mut environment = self.farm.profile().environment(&self.proxy.address());
        environment.push(("RELTO_TOOLCHAIN", "worker".to_owned()));
        let began = Instant::now();
        let outcome = strict(&self.program, &environment)
            .run_at(here())
            .expect_works();
        (outcome, began.elapsed())
    }

    /// Round trips of the best of a few links on the long line. `prepare` comes before each.
    fn round_trips(&self, bar: f64, prepare: impl Fn(&Farm), check: impl Fn(&Outcome)) -> f64 {
        let at = |way| {
            prepare(&self.farm);
            let (outcome, elapsed) = self.link(way);
            check(&outcome);
            elapsed.as_secs_f64()
        };
        let near = at(Duration::ZERO).min(at(Duration::ZERO));
        let trips = |way: Duration| (at(way) - near) / (2.0 * way.as_secs_f64());
        let mut best = f64::INFINITY;
        for _ in 0..ATTEMPTS {
            best = best.min(trips(LONG_WAY));
            if best <= bar {
                break;
            }
        }
        print(&format!(
            "{} jobs: {best:.2} round trips; {near:.2} s near, {:.2} s at {USUAL_WAY:?} each way",
            self.program.modules.len(),
            at(USUAL_WAY),
        ));
        best
    }
}

#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn print(text: &str) {
    println!("{text}");
}

#[test]
fn a_cached_link_waits_for_four_round_trips() {
    let line = Line::new(150);
    line.link(Duration::ZERO);
    let cached = |outcome: &Outcome| assert_all_cached(outcome.counts());
    // Half a round trip for the machine's own moods.
    let trips = line.round_trips(4.5, |_| {}, cached);
    assert!(trips <= 4.5, "{trips} round trips");
}

#[test]
fn a_cold_link_waits_for_eight_round_trips_beyond_its_uploads() {
    let line = Line::new(30);
    let forget = |farm: &Farm| {
        farm.evict_all();
        farm.clear_results();
    };
    let remote = |outcome: &Outcome| {
        assert_all_remote(outcome.counts());
        assert!(line.farm.record().count(Method::BatchUpdateBlobs) > 0);
    };
    // One of them is the upload's own.
    let trips = line.round_trips(8.5, forget, remote);
    assert!(trips <= 8.5, "{trips} round trips");
}
