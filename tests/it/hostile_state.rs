//! A database whose rows are right for SQLite and absurd for relto costs time at most.

use std::process::Command;
use std::sync::Arc;

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

/// What relto says of its own links must come, whatever it is.
fn asks(home: &Home, arguments: &[&str]) {
    let mut command = Command::new(built::relto());
    home.apply(&mut command);
    let output = command.args(arguments).output().expect("relto starts");
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
