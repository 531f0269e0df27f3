use super::*;
use crate::events::{Origin, Verdict};
use crate::state::counter;

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("state.db");
    (dir, path)
}

fn history(path: &std::path::Path) -> History {
    History::new(Arc::new(State::at(path)))
}

fn estimate(millis: u64) -> Estimate {
    Estimate {
        duration: Duration::from_millis(millis),
        peak_memory: Some(millis << 20),
    }
}

fn link(number: usize) -> LinkRecord {
    let mut origins = OriginCounts::default();
    origins.add(Origin::DiskCache);
    origins.add(Origin::Local);
    origins.add(Origin::Local);
    origins.add_verdict(Verdict::Equal);
    origins.add_verdict(Verdict::Wrong);
    LinkRecord {
        finished: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        output: format!("app {number} \u{1f980}"),
        jobs: 3,
        duration: Duration::from_millis(1234),
        origins,
    }
}

#[test]
fn the_last_compile_is_the_estimate_for_the_next() {
    let (_dir, path) = place();
    let (a, b, c) = (
        ModuleKey::of(b"a"),
        ModuleKey::of(b"b"),
        ModuleKey::of(b"c"),
    );
    let first = history(&path);
    first.record(a, estimate(10));
    first.record(a, estimate(20));
    let unmeasured = Estimate {
        duration: Duration::from_secs(3),
        peak_memory: None,
    };
    first.record(b, unmeasured);
    assert!(first.estimates(&[a]).is_empty(), "not before the end");
    first.flush();
    let second = history(&path).estimates(&[a, b, c]);
    let expected = HashMap::from([(a, estimate(20)), (b, unmeasured)]);
    assert_eq!(second, expected);
}

#[test]
fn a_compile_elsewhere_leaves_the_memory_that_was_measured_here() {
    let (_dir, path) = place();
    let (module, history) = (ModuleKey::of(b"a"), history(&path));
    history.record(module, estimate(20));
    let elsewhere = Estimate {
        duration: Duration::from_millis(7),
        peak_memory: None,
    };
    history.record(module, elsewhere);
    history.flush();
    let expected = Estimate {
        peak_memory: estimate(20).peak_memory,
        ..elsewhere
    };
    assert_eq!(
        history.estimates(&[module]),
        HashMap::from([(module, expected)])
    );
}

#[test]
fn links_are_listed_newest_first_and_complete() {
    let (_dir, path) = place();
    let first = history(&path);
    for number in 0..3 {
        first.record_link(link(number));
    }
    first.flush();
    let second = history(&path);
    assert_eq!(second.recent_links(2), [link(2), link(1)]);
    assert_eq!(second.recent_links(usize::MAX).len(), 3);
    assert_eq!(link(0).origins.local, 2);
}

#[test]
fn old_links_and_estimates_are_forgotten() {
    let (_dir, path) = place();
    let history = history(&path);
    for number in 0..1005 {
        history.record_link(link(number));
    }
    history.flush();
    let kept = history.recent_links(usize::MAX);
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept[999], link(5));

    let (old, new) = (ModuleKey::of(b"old"), ModuleKey::of(b"new"));
    let at = |module, now| {
        let pending = PendingRecords {
            jobs: Vec::new(),
            estimates: vec![(module, estimate(1))],
            links: Vec::new(),
            keys: Vec::new(),
        };
        let stored = history
            .state
            .write(|transaction| store(transaction, &pending, now));
        assert!(stored.is_some());
    };
    at(old, 1);
    at(new, 2);
    history
        .state
        .write(|transaction| keep_estimates(transaction, 1))
        .expect("trimmed");
    let left = history.estimates(&[old, new]);
    assert_eq!(left.into_keys().collect::<Vec<_>>(), [new]);
}

#[test]
fn without_a_database_there_is_no_history_and_no_failure() {
    let history = History::new(Arc::new(State::disabled()));
    history.record(ModuleKey::of(b"a"), estimate(1));
    history.record_link(link(0));
    history.flush();
    assert!(history.estimates(&[ModuleKey::of(b"a")]).is_empty());
    assert!(history.recent_links(9).is_empty());
}

fn keys(output: &str, action: &str) -> LinkKeys {
    LinkKeys {
        output: output.to_owned(),
        common: Vec::new(),
        words: vec!["clang".to_owned()],
        files: Vec::new(),
        jobs: vec![JobKey {
            module: "a.o".to_owned(),
            origin: Some(Origin::Local),
            parts: Err(action.to_owned()),
        }],
    }
}

#[test]
fn large_and_small_records_come_back_whole() {
    let (_dir, path) = place();
    let history = history(&path);
    let mut large = keys("large", "1");
    large.words = (0..10_000).map(|number| format!("word {number}")).collect();
    for keys in [&large, &keys("small", "1")] {
        history.record_keys(ModuleKey::of(keys.output.as_bytes()), keys);
        history.flush();
        let found = history.last_two_links(|it| it.output == keys.output);
        assert_eq!(&found.expect("recorded").0.keys, keys);
    }
}

#[test]
fn a_link_is_compared_with_the_last_different_one_of_its_output() {
    let (_dir, path) = place();
    let history = history(&path);
    let link = |output: &str, action: &str| {
        history.record_keys(ModuleKey::of(output.as_bytes()), &keys(output, action));
        history.flush();
    };
    let last_two = |output: &str| {
        let found = history.last_two_links(|keys| keys.output == output);
        let (newest, before) = found.expect("recorded");
        let action = |link: &RecordedLink| link.keys.jobs[0].parts.clone().expect_err("no parts");
        (
            action(&newest),
            newest.repeated,
            before.as_ref().map(action),
        )
    };
    let text = str::to_owned;
    link("app", "1");
    assert_eq!(last_two("app"), (text("1"), false, None));
    link("app", "2");
    link("other", "1");
    assert_eq!(last_two("app"), (text("2"), false, Some(text("1"))));
    link("app", "2");
    assert_eq!(last_two("app"), (text("2"), true, Some(text("1"))));
    link("app", "3");
    assert_eq!(last_two("app"), (text("3"), false, Some(text("2"))));
    assert_eq!(last_two("other"), (text("1"), false, None));
    history
        .state
        .write(|transaction| keys::TABLE.keep(transaction, 1))
        .expect("trimmed");
    assert!(history.last_two_links(|_| true).is_none());
}

#[test]
fn eight_links_of_an_output_are_kept_or_as_many_as_have_room() {
    let (_dir, path) = place();
    let history = history(&path);
    let kept = |output: &str| {
        let mut kept = Vec::new();
        history.visit_keys(|_, link| {
            if link.keys.output == output {
                kept.push(link.keys.jobs[0].parts.clone().expect_err("no parts"));
            }
            true
        });
        kept
    };
    let link = |keys: &LinkKeys| {
        history.record_keys(ModuleKey::of(keys.output.as_bytes()), keys);
        history.flush();
    };
    for number in 0..20 {
        link(&keys("small", &number.to_string()));
    }
    let newest: Vec<String> = (12..20).rev().map(|number| number.to_string()).collect();
    assert_eq!(kept("small"), newest);
    // Six megabytes that do not become smaller.
    let mut random = blake3::Hasher::new().finalize_xof();
    let mut bytes = vec![0; 3 << 20];
    random.fill(&mut bytes);
    let word = crate::digest::hex(&bytes);
    for number in 0..4 {
        let mut large = keys("large", &number.to_string());
        large.words = vec![word.clone(), word.clone()];
        link(&large);
    }
    assert!(
        (2..4).contains(&kept("large").len()),
        "{:?}",
        kept("large").len()
    );
    assert_eq!(kept("small"), newest);
}

#[test]
fn keys_are_counted_when_their_sum_is_too_large() {
    let (_dir, path) = place();
    let history = history(&path);
    let sum = |change: i64| {
        let sum = |transaction: &Transaction<'_>| counter::add(transaction, b"link_keys", change);
        history.state.write(sum).flatten().expect("counted before")
    };
    let link = |action: &str| {
        history.record_keys(ModuleKey::of(b"app"), &keys("app", action));
        history.flush();
    };
    link("1");
    let one = sum(0);
    link("2");
    assert_eq!(sum(1 << 40), 2 * one + (1 << 40));
    link("3");
    // Those that are there, and not what was added.
    assert_eq!(sum(0), 3 * one);
    assert!(history.last_two_links(|_| true).is_some());
}

/// The outputs and job counts of all records, the newest first.
fn listed(history: &History) -> Vec<(String, usize)> {
    let links = history.recent_links(usize::MAX).into_iter();
    links.map(|it| (it.output, it.jobs)).collect()
}

fn launch(history: &History, build: Option<&str>, dir: &str, minutes: u64) {
    let mut job = link(0);
    job.output = dir.to_owned();
    job.jobs = 1;
    job.finished += Duration::from_mins(minutes);
    history.record_job(build, job);
    history.flush();
}

#[test]
fn builds_that_launch_compilers_at_the_same_time_or_one_after_another_have_a_record_each() {
    let (_dir, path) = place();
    let history = history(&path);
    for _ in 0..3 {
        launch(&history, Some("one"), "d1", 0);
        launch(&history, Some("two"), "d2", 0);
    }
    history.record_link(link(7));
    history.flush();
    launch(&history, Some("one"), "d1", 60);
    launch(&history, Some("three"), "d1", 60);
    let text = str::to_owned;
    let expected = [
        (text("d1"), 1),
        (text("d1"), 4),
        (link(7).output, 3),
        (text("d2"), 3),
    ];
    assert_eq!(listed(&history), expected);
}

#[test]
fn compilers_that_no_build_tool_launches_belong_together_for_two_minutes() {
    let (_dir, path) = place();
    let history = history(&path);
    for (dir, minutes) in [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 4)] {
        launch(&history, None, dir, minutes);
    }
    let text = str::to_owned;
    let expected = [(text("a"), 1), (text("b"), 2), (text("a"), 2)];
    assert_eq!(listed(&history), expected);
}

#[test]
fn where_no_links_are_made_the_records_of_builds_are_forgotten_too() {
    let (_dir, path) = place();
    let history = history(&path);
    for number in 0..1010 {
        let build = format!("build {number}");
        for dir in ["a", "b"] {
            let mut job = link(number);
            job.output = dir.to_owned();
            history.record_job(Some(&build), job);
        }
        if number % 5 == 4 {
            history.flush();
        }
    }
    assert_eq!(listed(&history).len(), 1000);
}
