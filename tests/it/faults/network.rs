//! The network fails: refused, reset, silent, slow, closed with GOAWAY; and the server behind it
//! restarts empty.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::farm::{Effect, Profile};
use crate::support::proxy::{End, Proxy, Way};

use super::campaign;
use super::case::{Case, Ends, Step};

/// A line of 1 KB/s, each way.
const SLOW: Option<u64> = Some(1024);

/// What a user must read when there is no way to the farm, whatever call found it out.
const AWAY: &[&str] = &["relto doctor", "remote_local_fallback"];

const SILENT: &[&str] = &["no answer for", "remote_local_fallback"];

#[test]
fn a_failing_network_costs_only_time() {
    let mut cases = connecting();
    for (number, step) in Step::CALLS.into_iter().enumerate() {
        let faults = at(step).into_iter().enumerate();
        // A diagonal through the product: each step and each fault at least twice.
        cases.extend(faults.map(|(fault, case)| case.always((number + fault) % 4 == 0)));
    }
    campaign(cases);
}

fn connecting() -> Vec<Case> {
    let step = Step::Connect;
    vec![
        Case::says(step, "refused", AWAY).with(|stage| stage.proxy.refuse(true)),
        Case::says(step, "reset", AWAY).with(|stage| stage.farm.kill()),
        Case::works(step, "reset after some bytes, once")
            .with(|stage| stage.proxy.end_after(Way::Up, 100, End::Reset)),
        Case::says(step, "black hole", SILENT).with(|stage| stage.proxy.silence(true)),
        Case::works(step, "slow, 1 KB/s, then well").with(|stage| {
            stage.proxy.bandwidth(SLOW);
            stage.when(Step::LookUp, |proxy| proxy.bandwidth(None));
        }),
    ]
}

/// Everything that can happen to a connection while `step` is under way.
fn at(step: Step) -> Vec<Case> {
    let says = |fault: &str, parts: &[&str]| Case::says(step, fault, parts);
    let works = |fault: &str| Case::works(step, fault);
    vec![
        says("refused from here on", AWAY).with(move |stage| stage.when(step, shut)),
        works("refused for a moment")
            .env("RELTO_REMOTE_RETRIES", "5")
            .with(move |stage| stage.when(step, shut_for_a_moment)),
        works("reset, once").with(move |stage| stage.when(step, |proxy| proxy.reset())),
        says("reset, always", AWAY).effect(Effect::DropConnection, false),
        says("black hole from here on", SILENT)
            .with(move |stage| stage.when(step, |proxy| proxy.silence(true))),
        works("one call is never answered").effect(Effect::Hang, true),
        // Answers are small, what else there is is not: some get through in time.
        Case::new(step, "slow, 1 KB/s, from here on", Ends::Either)
            .with(move |stage| stage.when(step, |proxy| proxy.bandwidth(SLOW))),
        works("GOAWAY while it is under way")
            .env("RELTO_REMOTE_RETRIES", "5")
            .on(Profile {
                connection_age: Some(Duration::from_millis(100)),
                ..Profile::plain()
            })
            .effect(Effect::Delay(Duration::from_millis(300)), false),
        works("the server starts anew, empty")
            .env("RELTO_REMOTE_RETRIES", "5")
            .effect(Effect::Restart, true),
    ]
}

fn shut(proxy: &Arc<Proxy>) {
    proxy.refuse(true);
    proxy.reset();
}

fn shut_for_a_moment(proxy: &Arc<Proxy>) {
    shut(proxy);
    let proxy = Arc::clone(proxy);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        proxy.refuse(false);
    });
}
