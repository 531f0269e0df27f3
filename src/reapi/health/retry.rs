//! Decides how long to retry.
//!
//! All calls of a link share one budget of attempts, so that many jobs that fail alike do not
//! multiply the load on a server in trouble.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::circuit::{Admission, CircuitBreaker, Trial};
use super::concurrency::CallPermit;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{
    FIRST_RETRIES, LONGEST_ASKED_PAUSE, RETRY_BUDGET, RETRY_REFUND_PERCENT,
};
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
    /// Set if this call finds out whether the server is back.
    trial: Option<Trial<'a>>,
    /// The first failure of an attempt that has met another kind of server.
    of_another_server: Option<Box<Failure>>,
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
            trial: None,
            of_another_server: None,
        }
    }

    /// Call before each attempt. Resolves when the server may take one more call.
    pub(crate) async fn admit(&mut self) -> Result<(), Failure> {
        loop {
            let mut ends_of_trials = self.circuit.ends_of_trials();
            let permit = self.by_deadline(self.circuit.concurrency.acquire()).await?;
            let end = match &self.trial {
                Some(_) => None,
                None => match self.circuit.admit(self.rpc)? {
                    Admission::Granted(trial) => {
                        self.trial = trial;
                        None
                    }
                    Admission::Wait(end) => Some(end),
                },
            };
            let Some(end) = end else {
                self.permit = Some(permit);
                self.made += 1;
                return Ok(());
            };
            // The call that tries needs a permit for each attempt.
            drop(permit);
            // On the heap: this is rare, and every call would carry its state.
            let outcome = Box::pin(timeout_at(end, ends_of_trials.changed()));
            let _ = self.by_deadline(outcome).await?;
        }
    }

    async fn by_deadline<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Failure> {
        match self.policy.deadline {
            Some(end) if Instant::now() >= end => Err(Failure::too_late(self.rpc)),
            Some(end) => timeout_at(end, waiting)
                .await
                .map_err(|_| Failure::too_late(self.rpc)),
            None => Ok(waiting.await),
        }
    }

    /// Whether other calls wait for the outcome of this one.
    pub(crate) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The attempt is over: another call may get its permit.
    pub(crate) fn ended<T>(&mut self, result: &Result<T, Failure>) {
        let permit = self.permit.take();
        let Err(failure) = result else {
            permit.into_iter().for_each(CallPermit::succeeded);
            return;
        };
        if failure.kind == FailureKind::Overloaded {
            permit.into_iter().for_each(CallPermit::overloaded);
        }
        if failure.is_answer() {
            self.circuit.answered(failure);
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.circuit.succeeded(self.rpc);
        self.trial = None;
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
                if failure.is_answer() {
                    self.circuit.answered(&failure);
                }
                return Err(failure);
            }
        };
        let timed_out = failure.kind == FailureKind::Timeout;
        let is_trial = self.is_trial();
        // After one timeout, another one or no connection says enough.
        let dead = (self.timed_out || is_trial && timed_out)
            && (timed_out || failure.kind == FailureKind::Unreachable);
        self.timed_out |= timed_out;
        let mut retries = self.policy.retries;
        if is_trial {
            // Others wait for the outcome.
            retries = retries.min(FIRST_RETRIES);
        }
        if failure.is_of_another_server() {
            self.of_another_server
                .get_or_insert_with(|| Box::new(failure.clone()));
        }
        if self.made > retries || dead || !self.budget.take() {
            let failure = failure.or_earlier(self.of_another_server.take().map(|it| *it));
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
