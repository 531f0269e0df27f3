//! A database whose rows are right for SQLite and absurd for relto costs time at most.

use std::process::{Command, Output};
use std::sync::Arc;

use fs_err as fs;
use relto::internals::state::State;

use crate::support::built;
use crate::support::link::{Home, Link};
use crate::support::program::generated;
use crate::support::repeat::filled;

/// A record that says it has more entries than there is memory.
const ENDLESS: &str = "x'00ffffffffffffffff7f'";

fn changes(number: i64, blob: &str) -> Vec<String> {
    [
        "estimates SET millis = $N, peak_bytes = $N, used = $N",
        "links SET finished = $N, jobs = $N, millis = $N, disk_cache = $N, remote_cache = $N,
           remote = $N, local = $N, in_place = $N, verified = $N, wrong = $N",
        "link_keys SET finished = $N, digest = $B, repeated = $N, keys = $B",
        "link_timings SET finished = $N, record = $B",
        "files SET size = $N, mtime = $N, ctime = $N, hash = $B, note = $B, used = $N",
        "counters SET value = $N",
        "answers SET answer = CAST(zeroblob(10000000) AS TEXT)",
    ]
    .map(|text| {
        let text = text.replace("$N", &number.to_string()).replace("$B", blob);
        format!("UPDATE {text}")
    })
    .to_vec()
}

fn relto(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(built::relto());
    home.apply(&mut command);
    command.args(arguments).output().expect("relto starts")
}

/// What relto says of its own links must come, whatever it is.
fn asks(home: &Home, arguments: &[&str]) {
    let output = relto(home, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some(), "{arguments:?}: {stderr}");
    for bug in ["panicked", "internal error", "a bug"] {
        assert!(!stderr.contains(bug), "{arguments:?}: {stderr}");
    }
}

#[test]
fn absurd_numbers_and_endless_lists_in_the_database_harm_no_link() {
    let program = generated(3);
    let home = filled(&program);
    let database = home.cache().join("relto/state.db");
    for number in [i64::MAX, i64::MIN, -1] {
        for change in changes(number, ENDLESS) {
            let state = Arc::new(State::at(&database));
            let changed = state.write(|transaction| transaction.execute(&change, []));
            assert!(changed.is_some(), "{change}");
            drop(state);
        }
        asks(&home, &["stats"]);
        asks(&home, &["stats", "--json"]);
        asks(&home, &["explain"]);
        // What is compiled needs estimates.
        for cache in ["off", "default"] {
            let mut link = Link::new(&program).keep_objects();
            if cache == "off" {
                link = link.env("RELTO_DISK_CACHE", "off");
            }
            let outcome = link.run_at(&home).expect_works();
            outcome.assert_identical_objects();
            assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_database_that_cannot_be_used_is_a_warning_and_the_answer_of_what_reads_it() {
    let program = generated(3);
    let (home, with_daemon) = (filled(&program), Home::new());
    let name = "/relto/state.db`";
    for home in [&home, &with_daemon] {
        let database = home.cache().join("relto/state.db");
        let _ = fs::remove_file(&database);
        fs::create_dir_all(&database).expect("made");
    }
    let told = "relto: warning: digests of files are not remembered: cannot use the database ";
    let outcome = Link::new(&program).run_at(&home).expect_works();
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("  hint: "), "{}", outcome.stderr);
    let outcome = Link::new(&program).env("RELTO_DAEMON", "on");
    let outcome = outcome.run_at(&with_daemon).expect_works();
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);

    let asked: [&[&str]; 6] = [
        &["stats"],
        &["stats", "--json"],
        &["stats", "--zero"],
        &["explain"],
        &["explain", "a.o"],
        &["report", "-o", "-"],
    ];
    for arguments in asked {
        let output = relto(&home, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("cannot use the database"),
            "{arguments:?}: {stderr}"
        );
        assert!(!stderr.contains("another link"), "{arguments:?}: {stderr}");
    }
    let findings = relto(&home, &["doctor"]).stdout;
    let findings = String::from_utf8_lossy(&findings);
    let warning = findings.lines().find(|line| line.contains(name));
    assert!(
        warning.is_some_and(|it| it.contains("warning")),
        "{findings}"
    );
}

#[test]
fn a_database_that_is_replaced_is_one_warning() {
    let program = generated(3);
    let home = filled(&program);
    fs::write(home.cache().join("relto/state.db"), "garbage").expect("written");
    for is_told in [true, false] {
        let stderr = Link::new(&program).run_at(&home).expect_works().stderr;
        let told = stderr.contains("was damaged and is replaced by a new one");
        assert_eq!(told, is_told, "{stderr}");
    }
}
