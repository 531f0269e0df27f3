//! Stops calls to a server that has been found dead, and notices when it is back.
//!
//! All calls of a link share one [`CircuitBreaker`] for each address: the calls that first meet a
//! dead server discover it, and later ones fail at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::concurrency::ConcurrencyLimit;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::HALF_OPEN_AFTER;
use crate::reapi::rpc::Rpc;
use crate::task::lock;

/// What is known about the health of one address.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    circuits: Mutex<HashMap<Scope, Circuit>>,
    /// Counts openings, so that pausing calls learn of them.
    openings: watch::Sender<u64>,
    pub(super) concurrency: ConcurrencyLimit,
}

/// A server that does not answer is dead for all methods; one that answers with an error, only for
/// that method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Address,
    Method(Rpc),
}

#[derive(Debug, Default)]
struct Circuit {
    last_success: Option<Instant>,
    /// While open: when the next call may try, and why the circuit opened.
    open: Option<(Instant, Failure)>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            circuits: Mutex::default(),
            openings: watch::Sender::new(0),
            concurrency: ConcurrencyLimit::default(),
        }
    }
}

impl CircuitBreaker {
    /// Admits a call, or says why the farm was given up.
    pub(crate) fn admit(&self, rpc: Rpc) -> Result<(), Failure> {
        let mut circuits = self.circuits();
        let now = Instant::now();
        for scope in [Scope::Address, Scope::Method(rpc)] {
            let circuit = circuits.get_mut(&scope);
            let Some((next_try, reason)) = circuit.and_then(|circuit| circuit.open.as_mut()) else {
                continue;
            };
            if now < *next_try {
                let message = format!("the farm was given up after: {reason}");
                return Err(Failure::new(FailureKind::GivenUp, rpc, message));
            }
            // This call tries; the others wait for its outcome.
            *next_try = now + HALF_OPEN_AFTER;
        }
        Ok(())
    }

    pub(crate) fn succeeded(&self, rpc: Rpc) {
        let mut circuits = self.circuits();
        for scope in [Scope::Address, Scope::Method(rpc)] {
            let circuit = circuits.entry(scope).or_default();
            circuit.last_success = Some(Instant::now());
            circuit.open = None;
        }
    }

    /// A call that began at `began` has no attempts left. Opens the circuit unless a call in its
    /// scope has succeeded since.
    pub(super) fn exhausted(&self, began: Instant, failure: &Failure) {
        let scope = match failure.kind {
            FailureKind::Unreachable | FailureKind::Timeout => Scope::Address,
            _ => Scope::Method(failure.rpc),
        };
        let mut circuits = self.circuits();
        let circuit = circuits.entry(scope).or_default();
        if circuit.last_success.is_none_or(|at| at <= began) {
            circuit.open = Some((Instant::now() + HALF_OPEN_AFTER, failure.clone()));
            self.openings.send_modify(|count| *count += 1);
        }
    }

    /// Resolves when a circuit opens after this call.
    pub(super) async fn opened(&self) {
        let mut openings = self.openings.subscribe();
        openings.mark_unchanged();
        let _ = openings.changed().await;
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<Scope, Circuit>> {
        lock(&self.circuits)
    }
}
