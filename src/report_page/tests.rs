use std::sync::Arc;
use std::time::Duration;

use super::causes::causes;
use super::critical_path::{Activity, critical_path};
use super::*;
use crate::digest::{Digest, DigestFunction};
use crate::events::{JobStep, Origin};
use crate::history::{History, JobKey, KeyFile, KeyParts, LinkKeys, ModuleKey};
use crate::state::State;
use crate::timings::{JobTimings, TimeSpan, TimedAttempt, TimedStep};

fn millis(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn attempt(on_farm: bool, steps: &[(JobStep, u64)], end: u64) -> TimedAttempt {
    let steps = steps.iter().map(|&(step, start)| TimedStep {
        step,
        start: millis(start),
    });
    TimedAttempt {
        on_farm,
        steps: steps.collect(),
        end: millis(end),
        succeeded: true,
    }
}

/// A job that was planned in a millisecond before `ready`.
fn job(module: &str, ready: u64, origin: Origin, attempts: Vec<TimedAttempt>) -> JobTimings {
    let finished = attempts.first().map_or(millis(ready + 1), |it| it.end);
    JobTimings {
        module: module.to_owned(),
        key: Some([1; 8]),
        planned: TimeSpan {
            start: millis(ready - 1),
            end: millis(ready),
        },
        origin: Some(origin),
        finished,
        attempts,
        ..JobTimings::default()
    }
}

fn here(start: u64, end: u64) -> Vec<TimedAttempt> {
    vec![attempt(false, &[(JobStep::Execute, start)], end)]
}

fn link(jobs: Vec<JobTimings>) -> LinkTimings {
    let finished = jobs.iter().map(|job| job.finished).max();
    LinkTimings {
        output: "app".to_owned(),
        duration: finished.unwrap_or_default() + millis(3),
        succeeded: true,
        jobs,
        ..LinkTimings::default()
    }
}

#[test]
fn the_critical_path_goes_back_over_the_slot_that_was_waited_for() {
    let link = link(vec![
        job("first.o", 10, Origin::Local, here(10, 60)),
        job("short.o", 11, Origin::Local, here(11, 20)),
        job("last.o", 12, Origin::Local, here(61, 100)),
        job("hit.o", 13, Origin::DiskCache, Vec::new()),
    ]);
    let path: Vec<_> = critical_path(&link)
        .into_iter()
        .map(|part| (part.activity, part.job, part.span.end))
        .collect();
    let expected = [
        (Activity::Start, None, millis(9)),
        (Activity::Plan, Some(0), millis(10)),
        (Activity::Step(JobStep::Execute), Some(0), millis(60)),
        (Activity::Wait, Some(2), millis(61)),
        (Activity::Step(JobStep::Execute), Some(2), millis(100)),
        (Activity::End, None, millis(103)),
    ];
    assert_eq!(path, expected);
}

#[test]
fn the_critical_path_of_the_farm_has_each_step() {
    let steps = [
        (JobStep::LookUp, 12),
        (JobStep::Upload, 20),
        (JobStep::Queue, 30),
        (JobStep::Execute, 45),
        (JobStep::Fetch, 90),
        (JobStep::Write, 95),
    ];
    let far = vec![attempt(true, &steps, 100)];
    let link = link(vec![job("a.o", 10, Origin::Remote, far)]);
    let path = critical_path(&link);
    let kinds: Vec<_> = path.iter().map(|part| part.activity).collect();
    let mut expected = vec![Activity::Start, Activity::Plan, Activity::Wait];
    expected.extend(steps.map(|(step, _)| Activity::Step(step)));
    expected.push(Activity::End);
    assert_eq!(kinds, expected);
    let gaps = path
        .windows(2)
        .filter(|two| two[0].span.end != two[1].span.start);
    assert_eq!(gaps.count(), 0);
}

#[test]
fn a_link_without_results_has_no_critical_path() {
    let mut failed = job("a.o", 10, Origin::Local, Vec::new());
    failed.origin = None;
    assert!(critical_path(&link(vec![failed])).is_empty());
    assert!(critical_path(&LinkTimings::default()).is_empty());
}

fn digest(text: &str) -> Digest {
    DigestFunction::Sha256.digest(text.as_bytes())
}

/// Keys of `a.o`, which imports from the other files.
fn keys(words: &[&str], files: &[(&str, &str)], index: &str) -> LinkKeys {
    let all = format!("{words:?}{files:?}{index}");
    let file = |&(name, content): &(&str, &str)| KeyFile {
        name: name.to_owned(),
        digest: digest(content),
        sourceless: None,
    };
    LinkKeys {
        output: "app".to_owned(),
        common: Vec::new(),
        words: words.iter().map(|&word| word.to_owned()).collect(),
        files: files.iter().map(file).collect(),
        jobs: vec![JobKey {
            module: "a.o".to_owned(),
            origin: None,
            parts: Ok(KeyParts {
                action: digest(&all),
                index: digest(index),
                words: (0..).take(words.len()).collect(),
                files: (0..).take(files.len()).collect(),
                slice: None,
            }),
        }],
    }
}

fn of_keys(keys: &LinkKeys) -> LinkTimings {
    let parts = keys.jobs[0].parts.as_ref().expect("a key");
    let mut job = job("a.o", 10, Origin::Local, here(10, 20));
    job.key = parts.action.hash.first_chunk().copied();
    link(vec![job])
}

fn why(before: LinkKeys, now: LinkKeys) -> (String, Vec<String>) {
    let (earlier, link) = (of_keys(&before), of_keys(&now));
    let pairs = KeyPairs::made_of(before, now);
    let cause = causes(&link, Some(&earlier), &pairs).remove(0);
    let cause = cause.expect("it ran");
    (cause.text, cause.details)
}

#[test]
fn a_job_ran_because_of_what_differs_in_its_key() {
    let base = || keys(&["-O2"], &[("a.o", "1"), ("b.o", "1"), ("c.o", "1")], "i");
    let cases = [
        (
            keys(&["-O3"], &[("a.o", "1"), ("b.o", "1"), ("c.o", "1")], "i"),
            "changed argument -O3 and 1 more",
        ),
        (
            keys(&["-O2"], &[("a.o", "2"), ("b.o", "2"), ("c.o", "1")], "i"),
            "changed module",
        ),
        (
            keys(&["-O2"], &[("a.o", "1"), ("b.o", "2"), ("c.o", "1")], "j"),
            "changed import b.o",
        ),
        (
            keys(&["-O2"], &[("a.o", "1"), ("b.o", "1"), ("c.o", "1")], "j"),
            "changed summaries: other symbols are imported or exported",
        ),
    ];
    for (now, expected) in cases {
        assert_eq!(why(base(), now).0, expected);
    }
    let (text, details) = why(
        base(),
        keys(&["-O2"], &[("a.o", "1"), ("d.o", "1"), ("c.o", "1")], "i"),
    );
    assert_eq!(text, "changed import d.o and 1 more");
    assert_eq!(
        details,
        [
            "d.o is imported from now",
            "b.o is not imported from any more"
        ]
    );
}

#[test]
fn a_member_that_is_elsewhere_in_its_archive_has_not_changed() {
    let link = |f: &str, [f_at, g_at]: [u32; 2]| {
        let names = [format!("x.a(f.o at {f_at})"), format!("x.a(g.o at {g_at})")];
        keys(
            &["-O2"],
            &[("a.o", "1"), (&names[0], f), (&names[1], "g")],
            "i",
        )
    };
    let (text, details) = why(link("1", [96, 3000]), link("2", [98, 4000]));
    assert_eq!(text, "changed import x.a(f.o at 98)");
    assert_eq!(details, ["x.a(f.o at 98) changed"]);
}

#[test]
fn an_older_link_has_its_reasons_as_long_as_its_keys_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = Arc::new(State::at(&dir.path().join("state.db")));
    let history = History::new(state);
    // The third link is the first again.
    let contents = ["1", "2", "1", "3"];
    let links = contents.map(|content| keys(&["-O2"], &[("a.o", "0"), ("b.o", content)], content));
    for keys in &links {
        history.record_keys(ModuleKey::of(b"app"), keys);
        history.flush();
    }
    for (before, now) in links.iter().zip(&links[1..]) {
        let (earlier, link) = (of_keys(before), of_keys(now));
        let pairs = KeyPairs::of(&link, &history);
        let cause = causes(&link, Some(&earlier), &pairs).remove(0);
        assert_eq!(cause.expect("it ran").text, "changed import b.o");
    }
}

#[test]
fn without_a_change_or_details_a_job_still_has_a_reason() {
    let made = |key: Option<[u8; 8]>, origin| {
        let mut job = job("a.o", 10, origin, here(10, 20));
        job.key = key;
        link(vec![job])
    };
    let why = |earlier: Option<&LinkTimings>, now: &LinkTimings| {
        let cause = causes(now, earlier, &KeyPairs::default()).remove(0);
        cause.expect("it ran").text
    };
    let now = made(Some([1; 8]), Origin::Local);
    assert_eq!(
        why(None, &now),
        "no earlier link of this output is recorded"
    );
    assert_eq!(why(Some(&link(Vec::new())), &now), "new module");
    let same = made(Some([1; 8]), Origin::Remote);
    assert_eq!(
        why(Some(&same), &now),
        "unchanged, but not in a cache any more (evicted)"
    );
    let other = made(Some([2; 8]), Origin::Remote);
    assert_eq!(
        why(Some(&other), &now),
        "changed key, of which no details are recorded"
    );
    let mut in_place = made(None, Origin::InPlace);
    in_place.jobs[0].in_place = Some("-gsplit-dwarf".to_owned());
    assert_eq!(why(Some(&same), &in_place), "never cached: -gsplit-dwarf");
    let hit = made(Some([1; 8]), Origin::DiskCache);
    assert_eq!(causes(&hit, Some(&same), &KeyPairs::default()), [None]);
}

#[test]
fn names_cannot_end_the_data_or_begin_a_script() {
    let hostile = "</script><script>alert(1)</script><!--\u{2028}&amp;{script}{data}";
    let link = link(vec![job(hostile, 10, Origin::DiskCache, Vec::new())]);
    let text = page(&link, None, &KeyPairs::default());
    assert_eq!(text.matches("<script").count(), 2);
    assert_eq!(text.matches("</script>").count(), 2);
    assert!(!text.contains('\u{2028}'));
    let (_, data) = text.split_once("id=\"data\">").expect("the data");
    let (data, _) = data.split_once("</script>").expect("its end");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["modules"][0], hostile);
}

#[test]
fn the_policy_allows_the_script_and_style_of_the_page_only() {
    let text = page(&LinkTimings::default(), None, &KeyPairs::default());
    for (tag, name) in [("script", "script-src"), ("style", "style-src")] {
        let (_, inside) = text.split_once(&format!("<{tag}>")).expect("an element");
        let (inside, _) = inside.split_once(&format!("</{tag}>")).expect("its end");
        assert!(text.contains(&format!("{name} '{}'", source(inside))));
    }
    assert!(text.contains("default-src 'none'"));
    assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
    for forbidden in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!SCRIPT.contains(forbidden), "{forbidden}");
    }
}
