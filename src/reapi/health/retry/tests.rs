use super::*;
use crate::reapi::limits::HALF_OPEN_AFTER;

struct Link {
    policy: RetryPolicy,
    budget: RetryBudget,
    circuit: CircuitBreaker,
}

fn link(deadline: Option<Duration>) -> Link {
    Link {
        policy: RetryPolicy::new(5, deadline),
        budget: RetryBudget::default(),
        circuit: CircuitBreaker::default(),
    }
}

impl Link {
    fn attempts(&self, rpc: Rpc) -> Attempts<'_> {
        Attempts::new(&self.policy, &self.budget, &self.circuit, rpc)
    }

    /// Fails each attempt with `kind`; gives the number of attempts and the failure that came out.
    async fn fail(&self, rpc: Rpc, kind: FailureKind) -> (u32, Failure) {
        let mut attempts = self.attempts(rpc);
        let mut made = 0;
        loop {
            if let Err(failure) = attempts.admit().await {
                return (made, failure);
            }
            made += 1;
            let failure = Failure::new(kind.clone(), rpc, "scripted");
            if let Err(failure) = attempts.after(failure).await {
                return (made, failure);
            }
        }
    }
}

const TRANSIENT: FailureKind = FailureKind::Transient { retry_after: None };

#[tokio::test(start_paused = true)]
async fn pauses_double_and_the_attempts_end() {
    let link = link(None);
    let began = Instant::now();
    let (made, failure) = link.fail(Rpc::Read, TRANSIENT).await;
    assert_eq!((made, failure.kind), (6, TRANSIENT));
    // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s, a fifth more or less
    let total = began.elapsed().as_secs_f64();
    assert!((2.4..3.8).contains(&total), "{total}");
}

#[tokio::test(start_paused = true)]
async fn final_failures_are_not_retried() {
    for kind in [
        FailureKind::Rejected,
        FailureKind::Denied,
        FailureKind::NotFound,
        FailureKind::Source,
    ] {
        let link = link(None);
        assert_eq!(link.fail(Rpc::Read, kind).await.0, 1);
        assert!(link.circuit.admit(Rpc::Read).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn all_calls_together_discover_a_dead_server_once() {
    let link = link(None);
    let began = Instant::now();
    let calls = (0..272).map(|_| link.fail(Rpc::GetActionResult, FailureKind::Unreachable));
    futures_util::future::join_all(calls).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let began = Instant::now();
    let (made, failure) = link
        .fail(Rpc::FindMissingBlobs, FailureKind::Unreachable)
        .await;
    assert_eq!((made, &failure.kind), (0, &FailureKind::GivenUp));
    assert!(failure.message.contains("scripted"), "{failure}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_call_probes_whether_the_server_is_back() {
    let link = link(None);
    link.fail(Rpc::Read, FailureKind::Unreachable).await;
    tokio::time::sleep(HALF_OPEN_AFTER).await;
    let mut probe = link.attempts(Rpc::Read);
    assert!(probe.admit().await.is_ok());
    assert!(link.circuit.admit(Rpc::Write).is_err(), "only one may try");
    probe.succeeded();
    assert!(link.circuit.admit(Rpc::Write).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_method_that_always_fails_does_not_stop_the_others() {
    let link = link(None);
    link.fail(Rpc::Execute, TRANSIENT).await;
    assert!(link.circuit.admit(Rpc::Execute).is_err());
    assert!(link.circuit.admit(Rpc::Read).is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_bad_call_among_good_ones_opens_nothing() {
    let link = link(None);
    let good = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            link.circuit.succeeded(Rpc::Execute);
        }
    };
    let ((made, _), ()) = tokio::join!(link.fail(Rpc::Execute, TRANSIENT), good);
    assert_eq!(made, 6);
    assert!(link.circuit.admit(Rpc::Execute).is_ok());
}

impl Link {
    /// How long the call waits for its next attempt when the server asks for this pause.
    async fn pause_asked(&self, asked: u64) -> Result<u64, Failure> {
        let mut attempts = self.attempts(Rpc::Execute);
        attempts.admit().await.expect("admitted");
        let retry_after = Some(Duration::from_secs(asked));
        let failure = Failure::new(FailureKind::Transient { retry_after }, Rpc::Execute, "busy");
        let began = Instant::now();
        attempts.after(failure).await?;
        Ok(began.elapsed().as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_pause_is_kept() {
    for asked in [7, 120] {
        assert_eq!(link(None).pause_asked(asked).await.ok(), Some(asked));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_no_link_waits_for_ends_the_attempts_of_all_calls() {
    let link = link(None);
    let began = Instant::now();
    let failure = link.pause_asked(3600).await.expect_err("too long");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(failure.message, "busy (to be tried again in 3600 s)");
    assert!(link.circuit.admit(Rpc::Execute).is_err());
    assert!(link.circuit.admit(Rpc::Read).is_ok());
}

#[tokio::test(start_paused = true)]
async fn silence_is_retried_only_once() {
    assert_eq!(link(None).fail(Rpc::Read, FailureKind::Timeout).await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_link_ends_all_attempts() {
    let link = link(Some(Duration::from_secs(1)));
    let (_, failure) = link.fail(Rpc::Read, TRANSIENT).await;
    assert_eq!(failure.kind, FailureKind::GivenUp);
    assert_eq!(
        link.policy.within_deadline(Duration::from_secs(9)),
        Duration::ZERO
    );
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_link_is_shared() {
    let link = link(None);
    while link.budget.take() {}
    assert_eq!(link.fail(Rpc::Read, TRANSIENT).await.0, 1);
    for _ in 0..5 {
        link.budget.refund();
    }
    link.circuit.succeeded(Rpc::Read);
    assert_eq!(link.fail(Rpc::Read, TRANSIENT).await.0, 2);
}
