//! Decides how long to retry.
//!
//! All calls of a link share one budget of attempts, so that many jobs that fail alike do not
//! multiply the load on a server in trouble.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::circuit::CircuitBreaker;
use super::concurrency::CallPermit;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{LONGEST_ASKED_PAUSE, RETRY_BUDGET, RETRY_REFUND_PERCENT};
use crate::reapi::rpc::Rpc;

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

    /// The pause before attempt `attempt + 1`: doubled each time, give or take a fifth so that
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

/// The attempts that all calls of a link may make after their first, in hundredths.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicI64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicI64::new(RETRY_BUDGET * 100))
    }
}

impl RetryBudget {
    fn take(&self) -> bool {
        self.0.fetch_sub(100, Ordering::Relaxed) >= 100
    }

    fn refund(&self) {
        let add = |left: i64| Some((left.max(0) + RETRY_REFUND_PERCENT).min(RETRY_BUDGET * 100));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// The attempts of one call.
pub(crate) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    budget: &'a RetryBudget,
    circuit: &'a CircuitBreaker,
    rpc: Rpc,
    made: u32,
    /// An attempt has run into its timeout.
    timed_out: bool,
    began: Instant,
    /// Held while an attempt is under way.
    permit: Option<CallPermit<'a>>,
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
            timed_out: false,
            began: Instant::now(),
            permit: None,
        }
    }

    /// Call before each attempt. Resolves when the server may take one more call.
    pub(crate) async fn admit(&mut self) -> Result<(), Failure> {
        let circuit = self.circuit;
        let acquiring = circuit.concurrency.acquire();
        let permit = match self.policy.deadline {
            Some(end) if Instant::now() >= end => return Err(Failure::too_late(self.rpc)),
            Some(end) => timeout_at(end, acquiring)
                .await
                .map_err(|_| Failure::too_late(self.rpc))?,
            None => acquiring.await,
        };
        circuit.admit(self.rpc)?;
        self.permit = Some(permit);
        self.made += 1;
        Ok(())
    }

    /// The attempt is over: another call may get its permit.
    pub(crate) fn ended<T>(&mut self, result: &Result<T, Failure>) {
        match (self.permit.take(), result) {
            (Some(permit), Ok(_)) => permit.succeeded(),
            (Some(permit), Err(failure)) if failure.kind == FailureKind::Overloaded => {
                permit.overloaded();
            }
            _ => {}
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.circuit.succeeded(self.rpc);
        self.budget.refund();
    }

    /// The call made progress: it has all its attempts again. Says nothing about the server's
    /// health now.
    pub(crate) fn progressed(&mut self) {
        (self.made, self.timed_out, self.began) = (0, false, Instant::now());
    }

    /// Pauses before the next attempt.
    ///
    /// # Errors
    /// `failure` itself, if it is final or no attempts are left.
    pub(crate) async fn after(&mut self, mut failure: Failure) -> Result<(), Failure> {
        let pause = match failure.kind {
            FailureKind::Transient {
                retry_after: Some(asked),
            } if asked > LONGEST_ASKED_PAUSE => {
                let seconds = asked.as_secs();
                let _ = write!(failure.message, " (to be tried again in {seconds} s)");
                self.circuit.exhausted(self.began, &failure);
                return Err(failure);
            }
            FailureKind::Transient {
                retry_after: Some(asked),
            } => asked,
            _ if failure.is_transient() => self.policy.pause(self.made.max(1)),
            _ => {
                // An answer, if not the wanted one: the server lives.
                if !matches!(failure.kind, FailureKind::GivenUp | FailureKind::Source) {
                    self.circuit.succeeded(self.rpc);
                }
                return Err(failure);
            }
        };
        let timed_out = failure.kind == FailureKind::Timeout;
        // After one timeout, another one or no connection says enough.
        let dead = self.timed_out && (timed_out || failure.kind == FailureKind::Unreachable);
        self.timed_out |= timed_out;
        if self.made > self.policy.retries || dead || !self.budget.take() {
            self.circuit.exhausted(self.began, &failure);
            return Err(failure);
        }
        let pause = self.policy.within_deadline(pause);
        let _ = timeout(pause, self.circuit.opened()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
