//! A made-up link, told to the reporter.

use std::sync::{Arc, Mutex};

use super::*;
use crate::events::{Events, JobStep, Origin};

/// What the reporter wrote, for the test to read after it is done.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("nobody panics").clone();
        let text = String::from_utf8(bytes).expect("text");
        anstream::adapter::strip_str(&text).to_string()
    }
}

fn started() -> Event {
    Event::LinkStarted {
        link: "app".to_owned(),
        modules: vec!["a.o".to_owned(), "lib.a(b.o)".to_owned()],
    }
}

fn link(style: Style, succeeded: bool, tell: impl FnOnce(&Events)) -> (Totals, String) {
    let paper = Paper::default();
    let (events, receiver) = Events::channel();
    let reporter = Reporter::start_with(receiver, style, Box::new(paper.clone()));
    tell(&events);
    drop(events);
    let totals = reporter.finish(succeeded);
    (totals, paper.text())
}

#[test]
fn messages_are_whole_warnings_shown_once_and_the_summary_is_last() {
    let (totals, text) = link(Style::default(), true, |events| {
        events.send(started());
        events.warning("the farm is slow", Some("wait"));
        events.send(Event::CompilerMessage {
            job: 1,
            text: "b.c:1: warning: x\n".to_owned(),
        });
        events.warning("the farm is slow", Some("wait"));
        for (job, origin) in [(0, Origin::DiskCache), (1, Origin::Local)] {
            events.send(Event::JobFinished { job, origin });
        }
        events.note("not shown");
    });
    assert_eq!(totals.origins.total(), 2);
    let (before, summary) = text
        .trim_end()
        .rsplit_once('\n')
        .expect("more than one line");
    insta::assert_snapshot!(before, @r"
    relto: warning: the farm is slow
      hint: wait
    relto: messages for `lib.a(b.o)`:
    b.c:1: warning: x
    ");
    assert!(
        summary.starts_with("relto: 2 jobs, 1 cached, 1 local, "),
        "{summary}"
    );
}

#[test]
fn an_open_channel_does_not_delay_the_end_of_a_report() {
    let (events, receiver) = Events::channel();
    let reporter = Reporter::start_with(receiver, Style::default(), Box::new(Paper::default()));
    events.send(Event::LinkFinished);
    reporter.finish(true);
    events.note("too late");
}

#[test]
fn quiet_and_failed_links_have_no_summary_but_keep_their_warnings() {
    let quiet = Style {
        quiet: true,
        ..Style::default()
    };
    for (style, succeeded) in [(quiet, true), (Style::default(), false)] {
        let (_, text) = link(style, succeeded, |events| {
            events.send(started());
            events.warning("w", None);
        });
        assert_eq!(text, "relto: warning: w\n");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let style = Style {
        quiet: true,
        profile: Some("/proc/nonexistent/p.json".into()),
        ..Style::default()
    };
    let (_, text) = link(style, true, |events| events.send(started()));
    assert!(
        text.starts_with("relto: warning: `profile` is not written: "),
        "{text}"
    );
}

/// A link with a race, a retry, a hit and a job that nobody finished.
fn story() -> Vec<Stamped> {
    let told = |at, event| Stamped {
        at: std::time::Duration::from_millis(at),
        event,
    };
    let (remote, local) = (Origin::Remote, Origin::Local);
    vec![
        told(0, started()),
        told(
            1,
            Event::ActionBuilt {
                job: 0,
                action: "ab/12".to_owned(),
            },
        ),
        told(
            2,
            Event::JobStarted {
                job: 0,
                origin: remote,
            },
        ),
        told(
            3,
            Event::JobStarted {
                job: 0,
                origin: local,
            },
        ),
        told(4, Event::Transferred { up: 10, down: 0 }),
        told(
            5,
            Event::JobStopped {
                job: 0,
                origin: local,
            },
        ),
        told(6, Event::Transferred { up: 1, down: 7 }),
        told(
            8,
            Event::JobFinished {
                job: 0,
                origin: remote,
            },
        ),
        told(
            9,
            Event::JobStarted {
                job: 1,
                origin: remote,
            },
        ),
        told(
            10,
            Event::JobStopped {
                job: 1,
                origin: remote,
            },
        ),
    ]
}

/// The record grows with the jobs of a link, not with what is said of each.
#[test]
fn the_record_holds_nothing_that_only_timings_are_made_from() {
    let style = Style {
        profile: Some("profile.json".into()),
        ..Style::default()
    };
    let mut report = Report::new(style, Box::new(Paper::default()), events::now());
    let advanced = Event::JobAdvanced {
        job: 0,
        on_farm: true,
        step: JobStep::Execute,
    };
    for event in [started(), advanced.clone(), advanced] {
        let at = std::time::Duration::ZERO;
        report.take(Stamped { at, event });
    }
    let recorded: Vec<_> = report.recorded.iter().map(|it| &it.event).collect();
    assert_eq!(recorded, [&started()]);
}

#[test]
fn the_execution_log_has_one_line_for_each_job() {
    let modules = ["a.o".to_owned(), "b.o".to_owned()];
    insta::assert_snapshot!(log::execution_log(&modules, &story()), @r#"
    {"attempts":2,"cacheHit":false,"digest":{"hash":"ab","sizeBytes":"12"},"metrics":{"startOffset":"0.002000s","totalTime":"0.006000s"},"mnemonic":"ThinLTOBackend","runner":"remote","targetLabel":"a.o"}
    {"attempts":1,"mnemonic":"ThinLTOBackend","status":"FAILED","targetLabel":"b.o"}
    "#);
}

#[test]
fn the_trace_has_one_lane_for_each_slot_and_no_overlaps() {
    let modules = ["a.o".to_owned(), "b.o".to_owned()];
    let text = trace::trace("app", &modules, &story());
    let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let lines: Vec<_> = trace["traceEvents"]
        .as_array()
        .expect("events")
        .iter()
        .map(serde_json::Value::to_string)
        .collect();
    // BuildBuddy's viewer looks for entries by their lines.
    let (_, entries) = text
        .split_once("\"traceEvents\":[\n")
        .expect("a line before the first entry");
    let entries = entries.strip_suffix("\n]}\n").expect("a line at the end");
    for (entry, line) in entries.split(",\n").zip(&lines) {
        assert_eq!(entry, line);
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"args":{"name":"this machine 1"},"name":"thread_name","ph":"M","pid":2,"tid":200001}
    {"args":{"name":"farm 1"},"name":"thread_name","ph":"M","pid":3,"tid":300001}
    {"args":{"name":"cache"},"name":"process_name","ph":"M","pid":1}
    {"args":{"name":"this machine"},"name":"process_name","ph":"M","pid":2}
    {"args":{"name":"farm"},"name":"process_name","ph":"M","pid":3}
    {"args":{"job":0,"runner":"remote","succeeded":true},"cat":"remote","dur":6000,"name":"a.o","ph":"X","pid":3,"tid":300001,"ts":2000}
    {"args":{"job":0,"runner":"local","succeeded":false},"cat":"local","dur":2000,"name":"a.o","ph":"X","pid":2,"tid":200001,"ts":3000}
    {"args":{"job":1,"runner":"remote","succeeded":false},"cat":"remote","dur":1000,"name":"b.o","ph":"X","pid":3,"tid":300001,"ts":9000}
    {"args":{"received":0,"sent":10},"name":"transferred","ph":"C","pid":3,"ts":4000}
    {"args":{"received":7,"sent":11},"name":"transferred","ph":"C","pid":3,"ts":6000}
    "#);
}
