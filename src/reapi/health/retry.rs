//! How long to try, and when to stop asking a farm at all.
//!
//! Enters: failures. Leaves: another attempt after a pause, or the failure. All calls of a link
//! share one budget of attempts and one circuit an address: a dead server is found by the calls
//! that first meet it, and those that come later fail at once. After a while one call may find out
//! whether it is back.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::concurrency::{CallPermit, ConcurrencyLimit};
use crate::reapi::rpc::Rpc;

/// A circuit that has opened lets one call through after this long.
const HALF_OPEN_AFTER: Duration = Duration::from_secs(15);
/// What the budget of a link can hold, in attempts, and what a success adds to it.
const BUDGET: i64 = 500;
const REFUND_PERCENT: i64 = 20;
/// The longest pause that a server's own `RetryInfo` can ask for.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_mins(2);

/// How a link retries.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Attempts after the first.
    pub(crate) retries: u32,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) deadline: Option<Instant>,
}

impl RetryPolicy {
    pub(crate) fn new(retries: u32, deadline: Option<Duration>) -> Self {
        Self {
            retries,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            deadline: deadline.map(|after| Instant::now() + after),
        }
    }

    /// The pause before attempt `attempt + 1`, doubled each time, a fifth more or less so that
    /// calls spread.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first_pause * 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
        let percent = 80 + u32::try_from(RandomState::new().hash_one(attempt) % 41).unwrap_or(20);
        doubled.min(self.longest_pause) * percent / 100
    }

    /// `wanted`, or less if the link ends earlier.
    pub(crate) fn within_deadline(&self, wanted: Duration) -> Duration {
        self.deadline.map_or(wanted, |end| {
            wanted.min(end.saturating_duration_since(Instant::now()))
        })
    }
}

/// The attempts that all calls of a link may make beyond their first.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicI64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicI64::new(BUDGET * 100))
    }
}

impl RetryBudget {
    fn take(&self) -> bool {
        self.0.fetch_sub(100, Ordering::Relaxed) >= 100
    }

    fn refund(&self) {
        let add = |left: i64| Some((left.max(0) + REFUND_PERCENT).min(BUDGET * 100));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// What is known about the health of one address.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    gates: Mutex<HashMap<Scope, Gate>>,
    /// Counts openings, so that calls that pause learn of them.
    openings: watch::Sender<u64>,
    concurrency: ConcurrencyLimit,
}

/// A server that does not answer is dead for all methods, one that answers with an error only for
/// that method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Address,
    Method(Rpc),
}

#[derive(Debug, Default)]
struct Gate {
    last_success: Option<Instant>,
    /// While open: when the next call may try, and why it opened.
    open: Option<(Instant, Failure)>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            gates: Mutex::default(),
            openings: watch::Sender::new(0),
            concurrency: ConcurrencyLimit::default(),
        }
    }
}

impl CircuitBreaker {
    /// Lets a call through, or says why the farm was given up.
    pub(crate) fn admit(&self, rpc: Rpc) -> Result<(), Failure> {
        let mut gates = self.gates.lock().expect("nothing panics while it is held");
        let now = Instant::now();
        for scope in [Scope::Address, Scope::Method(rpc)] {
            let Some((next_try, reason)) =
                gates.get_mut(&scope).and_then(|gate| gate.open.as_mut())
            else {
                continue;
            };
            if now < *next_try {
                let message = format!("the farm was given up after: {reason}");
                return Err(Failure::new(FailureKind::GivenUp, rpc, message));
            }
            // This call tries; others wait for what it finds.
            *next_try = now + HALF_OPEN_AFTER;
        }
        Ok(())
    }

    pub(crate) fn succeeded(&self, rpc: Rpc) {
        let mut gates = self.gates.lock().expect("nothing panics while it is held");
        for scope in [Scope::Address, Scope::Method(rpc)] {
            let gate = gates.entry(scope).or_default();
            gate.last_success = Some(Instant::now());
            gate.open = None;
        }
    }

    /// A call that began at `began` has no attempts left. Opens the circuit if nothing of its kind
    /// succeeded since.
    fn exhausted(&self, began: Instant, failure: &Failure) {
        let scope = match failure.kind {
            FailureKind::Unreachable | FailureKind::Timeout => Scope::Address,
            _ => Scope::Method(failure.rpc),
        };
        let mut gates = self.gates.lock().expect("nothing panics while it is held");
        let gate = gates.entry(scope).or_default();
        if gate.last_success.is_none_or(|at| at <= began) {
            gate.open = Some((Instant::now() + HALF_OPEN_AFTER, failure.clone()));
            self.openings.send_modify(|count| *count += 1);
        }
    }
}

/// The attempts of one call.
pub(crate) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    budget: &'a RetryBudget,
    circuit: &'a CircuitBreaker,
    rpc: Rpc,
    made: u32,
    /// An attempt let its deadline pass.
    silent: bool,
    began: Instant,
    /// While an attempt is under way.
    place: Option<CallPermit<'a>>,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(
        policy: &'a RetryPolicy,
        budget: &'a RetryBudget,
        circuit: &'a CircuitBreaker,
        rpc: Rpc,
    ) -> Self {
        Self {
            policy,
            budget,
            circuit,
            rpc,
            made: 0,
            silent: false,
            began: Instant::now(),
            place: None,
        }
    }

    /// To be asked before each attempt. Returns when the server has room for one call more.
    pub(crate) async fn admit(&mut self) -> Result<(), Failure> {
        let circuit = self.circuit;
        let place = match self.policy.deadline {
            Some(end) if Instant::now() >= end => return Err(Failure::too_late(self.rpc)),
            Some(end) => timeout_at(end, circuit.concurrency.enter())
                .await
                .map_err(|_| Failure::too_late(self.rpc))?,
            None => circuit.concurrency.enter().await,
        };
        circuit.admit(self.rpc)?;
        self.place = Some(place);
        self.made += 1;
        Ok(())
    }

    /// The attempt is over, and another call may take its place.
    pub(crate) fn ended<T>(&mut self, result: &Result<T, Failure>) {
        match (self.place.take(), result) {
            (Some(place), Ok(_)) => place.ended_well(),
            (Some(place), Err(failure)) if failure.kind == FailureKind::Overloaded => {
                place.was_too_many();
            }
            _ => {}
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.circuit.succeeded(self.rpc);
        self.budget.refund();
    }

    /// The call got somewhere: it has all its attempts again. Says nothing of the server's health
    /// now.
    pub(crate) fn progressed(&mut self) {
        (self.made, self.silent, self.began) = (0, false, Instant::now());
    }

    /// Pauses before the next attempt.
    ///
    /// # Errors
    /// `failure` itself, if it is final or there are no attempts left; else that the farm was given
    /// up meanwhile.
    pub(crate) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        let pause = match failure.kind {
            FailureKind::Transient {
                retry_after: Some(asked),
            } => asked.min(LONGEST_ASKED_PAUSE),
            _ if failure.is_transient() => self.policy.pause(self.made.max(1)),
            _ => {
                // An answer, if not the wanted one: the server lives.
                if !matches!(failure.kind, FailureKind::GivenUp | FailureKind::Source) {
                    self.circuit.succeeded(self.rpc);
                }
                return Err(failure);
            }
        };
        let silent = failure.kind == FailureKind::Timeout;
        // After one silence as long as a deadline, another one or no connection says enough.
        let dead = self.silent && (silent || failure.kind == FailureKind::Unreachable);
        self.silent |= silent;
        if self.made > self.policy.retries || dead || !self.budget.take() {
            self.circuit.exhausted(self.began, &failure);
            return Err(failure);
        }
        let mut openings = self.circuit.openings.subscribe();
        openings.mark_unchanged();
        let _ = timeout(self.policy.within_deadline(pause), openings.changed()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
