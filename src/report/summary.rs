//! The line at the end: `relto: 214 jobs, 190 cached: 100 disk, 90 farm, 20 remote, 4 local, 3.1
//! s`.
//!
//! Scripts read it, so the words and their order must not change. What needs no explanation has
//! none: objects that all come from the disk cache, and a link that had the machine to itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Totals;
use crate::events::OriginCounts;

/// The line that ends a link, without a line break.
pub(super) fn summary(totals: &Totals) -> String {
    format!("relto: {}", counts_and_time(totals))
}

/// `214 jobs, 190 cached, 20 remote, 4 local, 3.1 s`.
#[must_use]
pub fn counts_and_time(totals: &Totals) -> String {
    let time = seconds(totals.elapsed);
    format!("{}, {time}{}", counts(totals), waiting(totals))
}

/// `214 jobs, 190 cached: 100 disk, 90 farm, 20 remote, 4 local, 2 verified`. Origins
/// without jobs are left out, and zero verdicts.
#[must_use]
pub fn counts(totals: &Totals) -> String {
    let noun = if totals.jobs == 1 { "job" } else { "jobs" };
    let mut parts = vec![format!("{} {noun}", totals.jobs)];
    let origins = &totals.origins;
    let counts = [
        (origins.cached(), "cached", places(origins)),
        (origins.remote, "remote", String::new()),
        (origins.local, "local", String::new()),
        (origins.in_place, "in place", causes(totals)),
        (origins.verified, "verified", String::new()),
        (origins.wrong, "wrong", String::new()),
    ];
    let counted = counts.iter().filter(|(count, ..)| *count > 0);
    parts.extend(counted.map(|(count, word, detail)| format!("{count} {word}{detail}")));
    parts.join(", ")
}

/// `: 5 disk, 2 farm`; nothing if all came from the disk cache. A shared object is that of an equal
/// job of the same link.
fn places(origins: &OriginCounts) -> String {
    let places = [
        (origins.disk_cache, "disk"),
        (origins.remote_cache, "farm"),
        (origins.shared, "shared"),
    ];
    if origins.disk_cache == origins.cached() {
        return String::new();
    }
    let counted = places.iter().filter(|(count, _)| *count > 0);
    let counted: Vec<_> = counted
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!(": {}", counted.join(", "))
}

/// `: -gsplit-dwarf`, or each cause with its number if there are several.
fn causes(totals: &Totals) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for cause in totals.in_place_causes.values() {
        *counts.entry(cause).or_default() += 1;
    }
    let mut causes: Vec<_> = counts.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    match causes[..] {
        [] => String::new(),
        [(cause, _)] => format!(": {cause}"),
        _ => {
            let causes: Vec<_> = causes
                .iter()
                .map(|(cause, count)| format!("{cause} ({count})"))
                .collect();
            format!(": {}", causes.join(", "))
        }
    }
}

/// `, 22 s of it waiting for slots of other links`, where that is a noticeable part of the time.
fn waiting(totals: &Totals) -> String {
    let waited = totals.waited.min(totals.elapsed);
    if waited < Duration::from_secs(1) || waited < totals.elapsed / 10 {
        return String::new();
    }
    let time = if waited < Duration::from_secs(10) || waited >= Duration::from_mins(1) {
        seconds(waited)
    } else {
        format!("{:.0} s", waited.as_secs_f64())
    };
    let owner = if totals.waited_for_make {
        "job slots of make"
    } else {
        "slots of other links"
    };
    format!(", {time} of it waiting for {owner}")
}

/// `0.05 s`, `3.1 s`, `2 min 5 s`: as many digits as are meaningful.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 995 {
        return format!("{:.2} s", time.as_secs_f64());
    }
    if millis < 59_950 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    let whole = (millis + 500) / 1000;
    format!("{} min {} s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_place(jobs: usize) -> OriginCounts {
        OriginCounts {
            in_place: jobs,
            ..OriginCounts::default()
        }
    }

    #[test]
    fn the_line_says_where_the_jobs_ran() {
        let totals = Totals {
            jobs: 214,
            origins: OriginCounts {
                disk_cache: 100,
                remote_cache: 90,
                remote: 20,
                local: 4,
                ..OriginCounts::default()
            },
            elapsed: Duration::from_millis(3140),
            ..Totals::default()
        };
        insta::assert_snapshot!(summary(&totals), @"relto: 214 jobs, 190 cached: 100 disk, 90 farm, 20 remote, 4 local, 3.1 s");
        let mut from_disk = totals;
        from_disk.origins.remote_cache = 0;
        insta::assert_snapshot!(summary(&from_disk), @"relto: 214 jobs, 100 cached, 20 remote, 4 local, 3.1 s");
    }

    #[test]
    fn the_line_says_why_jobs_ran_in_place() {
        let cause = |job, cause: &str| (job, cause.to_owned());
        let mut totals = Totals {
            jobs: 39,
            origins: in_place(39),
            in_place_causes: (0..39).map(|job| cause(job, "-gsplit-dwarf")).collect(),
            elapsed: Duration::from_millis(31_700),
            ..Totals::default()
        };
        insta::assert_snapshot!(summary(&totals), @"relto: 39 jobs, 39 in place: -gsplit-dwarf, 31.7 s");
        totals
            .in_place_causes
            .extend([cause(7, "fails in the sandbox")]);
        insta::assert_snapshot!(summary(&totals), @"relto: 39 jobs, 39 in place: -gsplit-dwarf (38), fails in the sandbox (1), 31.7 s");
    }

    #[test]
    fn only_noticeable_waiting_is_shown() {
        let shown = |waited: u64, waited_for_make| {
            let totals = Totals {
                jobs: 2,
                origins: OriginCounts {
                    local: 2,
                    ..OriginCounts::default()
                },
                waited: Duration::from_millis(waited),
                waited_for_make,
                elapsed: Duration::from_millis(31_700),
                ..Totals::default()
            };
            summary(&totals)
        };
        insta::assert_snapshot!(shown(22_000, false), @"relto: 2 jobs, 2 local, 31.7 s, 22 s of it waiting for slots of other links");
        insta::assert_snapshot!(shown(4_500, true), @"relto: 2 jobs, 2 local, 31.7 s, 4.5 s of it waiting for job slots of make");
        insta::assert_snapshot!(shown(3_000, false), @"relto: 2 jobs, 2 local, 31.7 s");
    }

    #[test]
    fn results_that_were_verified_are_counted_behind_the_jobs() {
        let totals = Totals {
            jobs: 3,
            origins: OriginCounts {
                disk_cache: 3,
                verified: 2,
                wrong: 1,
                ..OriginCounts::default()
            },
            ..Totals::default()
        };
        insta::assert_snapshot!(counts(&totals), @"3 jobs, 3 cached, 2 verified, 1 wrong");
    }

    #[test]
    fn zeros_are_left_out_and_one_job_is_singular() {
        let totals = Totals {
            jobs: 1,
            origins: in_place(1),
            elapsed: Duration::from_millis(48),
            ..Totals::default()
        };
        insta::assert_snapshot!(summary(&totals), @"relto: 1 job, 1 in place, 0.05 s");
    }

    #[test]
    fn times_never_round_into_a_form_of_the_next_unit() {
        let shown = |millis| seconds(Duration::from_millis(millis));
        assert_eq!(shown(0), "0.00 s");
        assert_eq!(shown(994), "0.99 s");
        assert_eq!(shown(995), "1.0 s");
        assert_eq!(shown(59_949), "59.9 s");
        assert_eq!(shown(59_950), "1 min 0 s");
        assert_eq!(shown(125_400), "2 min 5 s");
    }
}
