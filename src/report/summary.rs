//! The line at the end: `relto: 214 jobs, 190 cached, 20 remote, 4 local, 3.1 s`.
//!
//! Scripts read it, so the words and their order must not change.

use std::time::Duration;

use super::Totals;

/// The line that ends a link, without a line break.
pub(super) fn summary(totals: &Totals) -> String {
    format!("relto: {}", counts_and_time(totals))
}

/// `214 jobs, 190 cached, 20 remote, 4 local, 3.1 s`.
#[must_use]
pub fn counts_and_time(totals: &Totals) -> String {
    format!("{}, {}", counts(totals), seconds(totals.elapsed))
}

/// `214 jobs, 190 cached, 20 remote, 4 local`. Where no job ran is left out.
#[must_use]
pub fn counts(totals: &Totals) -> String {
    let noun = if totals.jobs == 1 { "job" } else { "jobs" };
    let mut parts = vec![format!("{} {noun}", totals.jobs)];
    let counts = [
        (totals.cached(), "cached"),
        (totals.remote, "remote"),
        (totals.local, "local"),
        (totals.in_place, "in place"),
    ];
    let counted = counts.iter().filter(|(count, _)| *count > 0);
    parts.extend(counted.map(|(count, word)| format!("{count} {word}")));
    parts.join(", ")
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

    #[test]
    fn the_line_says_where_the_jobs_ran() {
        let totals = Totals {
            jobs: 214,
            disk_cache: 100,
            remote_cache: 90,
            remote: 20,
            local: 4,
            elapsed: Duration::from_millis(3140),
            ..Totals::default()
        };
        insta::assert_snapshot!(summary(&totals), @"relto: 214 jobs, 190 cached, 20 remote, 4 local, 3.1 s");
    }

    #[test]
    fn zeros_are_left_out_and_one_job_is_singular() {
        let totals = Totals {
            jobs: 1,
            in_place: 1,
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
