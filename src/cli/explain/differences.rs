//! Prints the differences between the keys of two links.

use std::fmt::Write as _;

use crate::explain::{Change, Comparison, Difference};

/// Modules that are named where many differ in the same way.
const NAMED: usize = 3;

/// Only what differs, and how many jobs do not.
pub(super) fn differences(comparison: &Comparison) -> String {
    let mut text = String::new();
    if !comparison.common.is_empty() {
        text.push_str("all jobs\n");
        changes(&comparison.common, &mut text);
    }
    for (difference, modules) in &comparison.jobs {
        let shown = match difference {
            // It is said above, once for all of them.
            Difference::Changed(of_job) if of_job.is_empty() => continue,
            difference => described(difference),
        };
        let named = modules.iter().take(NAMED).map(String::as_str);
        text.push_str(&named.collect::<Vec<_>>().join(", "));
        match modules.len().saturating_sub(NAMED) {
            0 => text.push('\n'),
            more => {
                let _ = writeln!(text, " and {more} more");
            }
        }
        text.push_str(&shown);
    }
    let _ = writeln!(
        text,
        "{} of {} jobs have the same key in both links",
        comparison.same, comparison.all
    );
    text
}

pub(super) fn described(difference: &Difference) -> String {
    let mut text = String::new();
    match difference {
        Difference::New => text.push_str("  the earlier link has no such module\n"),
        Difference::NoKeyBefore(reason) => {
            let _ = writeln!(text, "  no key in the earlier link: {reason}");
        }
        Difference::NoKey(reason) => {
            let _ = writeln!(text, "  no key: {reason}");
        }
        Difference::Changed(of_job) => changes(of_job, &mut text),
    }
    text
}

pub(super) fn changes(changes: &[Change], text: &mut String) {
    for change in changes {
        let _ = match change {
            Change::Removed(what) => writeln!(text, "  - {what}"),
            Change::Added(what) => writeln!(text, "  + {what}"),
            Change::Reordered => writeln!(text, "  the same arguments in another order"),
            Change::SourceFileName(what) => writeln!(
                text,
                "  {what}: the module differs in source_filename only (the path by which the compiler was given its source)"
            ),
        };
    }
}
