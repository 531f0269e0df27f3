//! Stops calls to a server that has been found dead, and notices when it is back.
//!
//! All calls to one address share one [`CircuitBreaker`], in a daemon those of all links: the calls
//! that first meet a dead server discover it, and later ones fail at once. After a while, or when
//! another link begins, one call tries; the others wait for its outcome.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::concurrency::ConcurrencyLimit;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{FIRST_ANSWER, HALF_OPEN_AFTER};
use crate::reapi::rpc::Rpc;
use crate::task::lock;

/// What is known about the health of one address.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    circuits: Mutex<HashMap<Scope, Circuit>>,
    /// Counts openings, so that pausing calls learn of them.
    openings: watch::Sender<u64>,
    /// Counts the ends of trials, so that calls that wait for one learn of it.
    trials_ended: watch::Sender<u64>,
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
    open: Option<Open>,
    service: ServiceSeen,
}

/// Whether a server has a method.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ServiceSeen {
    #[default]
    Never,
    Served,
    /// It has served it, and does not want to now.
    Withdrawn,
}

/// An open circuit.
#[derive(Debug)]
struct Open {
    /// When the next call may try.
    next_try: Instant,
    /// Since when a call tries.
    trial: Option<Instant>,
    /// Why the circuit opened.
    reason: Failure,
}

/// Whether a call may be made.
#[derive(Debug)]
pub(super) enum Admission<'a> {
    /// It may; if the circuit was open, it is the one that tries.
    Granted(Option<Trial<'a>>),
    /// Another call tries until then at most.
    Wait(Instant),
}

/// The turn of the one call that tries a dead server. It goes to another call if this one ends
/// without an outcome.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    circuit: &'a CircuitBreaker,
    rpc: Rpc,
    since: Instant,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            circuits: Mutex::default(),
            openings: watch::Sender::new(0),
            trials_ended: watch::Sender::new(0),
            concurrency: ConcurrencyLimit::default(),
        }
    }
}

fn scopes(rpc: Rpc) -> [Scope; 2] {
    [Scope::Address, Scope::Method(rpc)]
}

impl CircuitBreaker {
    /// Admits a call, or says why the farm was given up.
    pub(super) fn admit(&self, rpc: Rpc) -> Result<Admission<'_>, Failure> {
        let mut circuits = self.circuits();
        let now = Instant::now();
        for scope in scopes(rpc) {
            let open = circuits.get(&scope).and_then(|it| it.open.as_ref());
            let Some(open) = open.filter(|open| now < open.next_try) else {
                continue;
            };
            // A server that does not answer the call that tries is as good as dead.
            return match open.trial.map(|since| since + FIRST_ANSWER) {
                Some(end) if now < end => Ok(Admission::Wait(end)),
                _ => {
                    let message = format!("the farm was given up after: {}", open.reason);
                    Err(Failure::new(FailureKind::GivenUp, rpc, message))
                }
            };
        }
        let mut tries = false;
        for open in open_circuits(&mut circuits, rpc) {
            (open.trial, open.next_try) = (Some(now), now + HALF_OPEN_AFTER);
            tries = true;
        }
        let (circuit, since) = (self, now);
        let trial = || Trial {
            circuit,
            rpc,
            since,
        };
        Ok(Admission::Granted(tries.then(trial)))
    }

    /// Another link begins: the server may be back since it was given up.
    pub(crate) fn try_again(&self) {
        let now = Instant::now();
        for circuit in self.circuits().values_mut() {
            let Some(open) = &mut circuit.open else {
                continue;
            };
            if open.trial.is_none_or(|since| since + FIRST_ANSWER <= now) {
                open.next_try = now;
            }
        }
    }

    pub(crate) fn succeeded(&self, rpc: Rpc) {
        let mut circuits = self.circuits();
        self.close(&mut circuits, rpc);
        let circuit = circuits.entry(Scope::Method(rpc)).or_default();
        circuit.service = ServiceSeen::Served;
    }

    /// The server has answered, if not as wanted.
    pub(super) fn answered(&self, failure: &Failure) {
        let mut circuits = self.circuits();
        if failure.is_transient() {
            // It cannot serve this method now, but it is there.
            let address = circuits.get_mut(&Scope::Address);
            if address.is_some_and(|circuit| circuit.open.take().is_some()) {
                self.trial_ended();
            }
            return;
        }
        self.close(&mut circuits, failure.rpc);
        let circuit = circuits.entry(Scope::Method(failure.rpc)).or_default();
        let refused = matches!(
            failure.kind,
            FailureKind::Rejected | FailureKind::Unsupported
        );
        if refused && circuit.service == ServiceSeen::Served {
            circuit.service = ServiceSeen::Withdrawn;
        }
    }

    /// Whether the server last refused a method that it served before.
    pub(crate) fn has_withdrawn(&self) -> bool {
        let circuits = self.circuits();
        let mut all = circuits.values();
        all.any(|circuit| circuit.service == ServiceSeen::Withdrawn)
    }

    fn close(&self, circuits: &mut HashMap<Scope, Circuit>, rpc: Rpc) {
        let mut closed = false;
        for scope in scopes(rpc) {
            let circuit = circuits.entry(scope).or_default();
            circuit.last_success = Some(Instant::now());
            closed |= circuit.open.take().is_some();
        }
        if closed {
            self.trial_ended();
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
            circuit.open = Some(Open {
                next_try: Instant::now() + HALF_OPEN_AFTER,
                trial: None,
                reason: failure.clone(),
            });
            self.openings.send_modify(|count| *count += 1);
            self.trial_ended();
        }
    }

    /// Resolves when a circuit opens after this call.
    pub(super) async fn opened(&self) {
        let mut openings = self.openings.subscribe();
        openings.mark_unchanged();
        let _ = openings.changed().await;
    }

    /// Subscribe before [`CircuitBreaker::admit`], so that no end is missed.
    pub(super) fn ends_of_trials(&self) -> watch::Receiver<u64> {
        self.trials_ended.subscribe()
    }

    fn trial_ended(&self) {
        self.trials_ended.send_modify(|count| *count += 1);
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<Scope, Circuit>> {
        lock(&self.circuits)
    }
}

fn open_circuits(
    circuits: &mut HashMap<Scope, Circuit>,
    rpc: Rpc,
) -> impl Iterator<Item = &mut Open> {
    let of_call = move |scope: &Scope| scopes(rpc).contains(scope);
    circuits
        .iter_mut()
        .filter(move |(scope, _)| of_call(scope))
        .filter_map(|(_, circuit)| circuit.open.as_mut())
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let mut circuits = self.circuit.circuits();
        let mut without_outcome = false;
        for open in open_circuits(&mut circuits, self.rpc) {
            if open.trial == Some(self.since) {
                (open.trial, open.next_try) = (None, Instant::now());
                without_outcome = true;
            }
        }
        if without_outcome {
            self.circuit.trial_ended();
        }
    }
}
