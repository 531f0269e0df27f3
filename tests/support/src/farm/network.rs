//! The simulated network before the farm: how long calls travel, and how many bytes of blobs pass
//! each way in a second. Sockets carry everything else at full speed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relto::internals::task::lock;
use tokio::time::{Instant, sleep, sleep_until};

use super::profile::Profile;

/// What all senders take turns with, as on a real line: no sender waits for all of another's batch.
const TURN: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Network {
    round_trip: Duration,
    pub(super) up: Direction,
    pub(super) down: Direction,
}

/// A sender waits until everything before it has been sent.
#[derive(Debug)]
pub(super) struct Direction {
    bytes_per_second: Mutex<Option<u64>>,
    free: Mutex<Instant>,
    passed: AtomicU64,
}

impl Network {
    pub(super) fn new(profile: &Profile) -> Self {
        Self {
            round_trip: profile.round_trip,
            up: Direction::new(profile.bytes_per_second),
            down: Direction::new(profile.bytes_per_second),
        }
    }

    pub(super) fn limit(&self, bytes_per_second: Option<u64>) {
        for direction in [&self.up, &self.down] {
            *lock(&direction.bytes_per_second) = bytes_per_second;
        }
    }

    pub(super) fn forget(&self) {
        for direction in [&self.up, &self.down] {
            direction.passed.store(0, Ordering::Relaxed);
        }
    }

    pub(super) async fn round_trip(&self) {
        wait(self.round_trip).await;
    }

    pub(super) async fn one_way(&self) {
        wait(self.round_trip / 2).await;
    }
}

/// A sleep of no time could still last until the clock's next tick.
async fn wait(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

impl Direction {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: Mutex::new(bytes_per_second),
            free: Mutex::new(Instant::now()),
            passed: AtomicU64::new(0),
        }
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) async fn pass(&self, bytes: usize) {
        let mut rest = bytes as u64;
        self.passed.fetch_add(rest, Ordering::Relaxed);
        while rest > 0 {
            let turn = rest.min(TURN);
            self.pass_turn(turn).await;
            rest -= turn;
        }
    }

    async fn pass_turn(&self, bytes: u64) {
        let Some(speed) = *lock(&self.bytes_per_second) else {
            return;
        };
        let takes = Duration::from_nanos(bytes * 1_000_000_000 / speed);
        let through = {
            let mut free = lock(&self.free);
            *free = (*free).max(Instant::now()) + takes;
            *free
        };
        // The clock has ticks of a millisecond; what is owed adds up in `free`.
        if through > Instant::now() + Duration::from_millis(1) {
            sleep_until(through).await;
        }
    }
}
