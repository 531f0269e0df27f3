use super::*;
use crate::reapi::limits::{FIRST_ANSWER, HALF_OPEN_AFTER};

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
            attempts.ended(&Err::<(), _>(failure.clone()));
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

/// Begins a call that tries whether a server is back that was found dead.
async fn trial(link: &Link) -> Attempts<'_> {
    link.fail(Rpc::Read, FailureKind::Unreachable).await;
    tokio::time::sleep(HALF_OPEN_AFTER).await;
    let mut trial = link.attempts(Rpc::Read);
    trial.admit().await.expect("one may try");
    trial
}

#[tokio::test(start_paused = true)]
async fn one_call_tries_whether_the_server_is_back_and_the_others_wait_for_it() {
    let link = link(None);
    let mut trial = trial(&link).await;
    let mut other = link.attempts(Rpc::Write);
    let outcome = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        trial.succeeded();
    };
    let (admitted, ()) = tokio::join!(other.admit(), outcome);
    admitted.expect("the server is back");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_still_dead_costs_one_call_and_the_others_a_moment() {
    let link = link(None);
    let mut trial = trial(&link).await;
    let began = Instant::now();
    let others = (0..20).map(|_| link.fail(Rpc::Write, FailureKind::Unreachable));
    let fails = async {
        loop {
            let failure = Failure::new(FailureKind::Unreachable, Rpc::Read, "scripted");
            trial.ended(&Err::<(), _>(failure.clone()));
            if trial.after(failure).await.is_err() {
                break;
            }
            trial.admit().await.expect("its turn again");
        }
    };
    let (others, ()) = tokio::join!(futures_util::future::join_all(others), fails);
    assert!(others.iter().all(|(made, _)| *made == 0));
    assert_eq!(trial.made, 1 + FIRST_RETRIES);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_the_trial_is_not_waited_for_longer() {
    let link = link(None);
    let _trial = trial(&link).await;
    let began = Instant::now();
    let (made, failure) = link.fail(Rpc::Write, FailureKind::Unreachable).await;
    assert_eq!((made, failure.kind), (0, FailureKind::GivenUp));
    assert_eq!(began.elapsed(), FIRST_ANSWER);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_trial_gives_its_turn_to_a_call_that_waits() {
    let link = link(None);
    let trial = trial(&link).await;
    let (mut second, mut third) = (link.attempts(Rpc::Write), link.attempts(Rpc::Read));
    let (first_of_both, ()) = tokio::join!(second.admit(), async { drop(trial) });
    first_of_both.expect("it tries now");
    let waiting = timeout(Duration::from_secs(1), third.admit()).await;
    assert!(waiting.is_err(), "only one may try");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_trial_leaves_it_the_only_permit() {
    let link = link(None);
    link.circuit.concurrency.acquire().await.overloaded();
    let mut trial = trial(&link).await;
    let lost = Failure::new(FailureKind::Unreachable, Rpc::Read, "lost");
    let mut other = link.attempts(Rpc::Write);
    let outcome = async {
        trial.ended(&Err::<(), _>(lost.clone()));
        trial.after(lost).await.expect("again");
        trial.admit().await.expect("a permit");
        trial.ended(&Ok(()));
        trial.succeeded();
    };
    let (admitted, ()) = tokio::join!(other.admit(), outcome);
    admitted.expect("the server is back");
}

/// The connection may be closed before an attempt has seen why.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_met_another_kind_of_server_is_the_one_that_is_told() {
    let link = link(None);
    let mut attempts = link.attempts(Rpc::Read);
    let mut said = ["frame with invalid size"].into_iter();
    let told = loop {
        attempts.admit().await.expect("no circuit is open");
        let text = said.next().unwrap_or("connection closed");
        let failure = Failure::new(FailureKind::Unreachable, Rpc::Read, text);
        attempts.ended(&Err::<(), _>(failure.clone()));
        if let Err(told) = attempts.after(failure).await {
            break told;
        }
    };
    assert!(attempts.made > 1);
    assert_eq!(told.message, "frame with invalid size");
}

#[tokio::test(start_paused = true)]
async fn another_link_tries_at_once() {
    let link = link(None);
    link.fail(Rpc::Read, FailureKind::Unreachable).await;
    assert_eq!(link.fail(Rpc::Read, FailureKind::Unreachable).await.0, 0);
    link.circuit.try_again();
    assert!(link.attempts(Rpc::Read).admit().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_those_that_wait_that_the_server_is_back() {
    let link = link(None);
    let mut trial = trial(&link).await;
    trial.ended(&Err::<(), _>(Failure::transient(Rpc::Read, "busy")));
    link.attempts(Rpc::Write).admit().await.expect("it answers");
}

#[tokio::test(start_paused = true)]
async fn a_method_that_was_served_and_is_refused_now_is_withdrawn() {
    let link = link(None);
    link.fail(Rpc::GetActionResult, FailureKind::Unsupported)
        .await;
    assert!(!link.circuit.has_withdrawn(), "it never had that");
    link.circuit.succeeded(Rpc::Execute);
    link.fail(Rpc::Execute, TRANSIENT).await;
    assert!(!link.circuit.has_withdrawn(), "it is only busy");
    link.circuit.succeeded(Rpc::Execute);
    link.fail(Rpc::Execute, FailureKind::Rejected).await;
    assert!(link.circuit.has_withdrawn());
    link.circuit.succeeded(Rpc::Execute);
    assert!(!link.circuit.has_withdrawn(), "that was one job");
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
