//! `relto stats`: what the last links did, in the summary's words or in JSON.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::HumanDuration;
use serde_json::{Value, json};

use super::arguments::{Since, StatsRequest};
use super::{CommandContext, CommandError, output, usable};
use crate::error::{ExitCode, Hinted};
use crate::events::OriginCounts;
use crate::history::{History, LinkRecord};
use crate::report::{Totals, counts_and_time};
use crate::state::StateError;

/// `--zero` cannot do what it should.
#[derive(Debug, thiserror::Error)]
#[error("the record of links cannot be changed")]
struct NotForgotten(#[source] Option<StateError>);

impl Hinted for NotForgotten {
    fn hints(&self) -> Vec<String> {
        match &self.0 {
            Some(trouble) if !trouble.is_passing() => trouble.hints(),
            _ => vec!["another link may be writing to it: try again".to_owned()],
        }
    }
}

pub(super) fn run(
    context: &CommandContext,
    wanted: &StatsRequest,
) -> Result<ExitCode, CommandError> {
    let link = &context.settings.link;
    let state = Arc::new(if wanted.zero {
        link.open_state()
    } else {
        link.open_state_to_show()
    });
    let history = History::new(Arc::clone(&state));
    if wanted.zero {
        if !history.forget_links() {
            return Err(Box::new(NotForgotten(state.take_trouble())));
        }
        return Ok(output::print("all links are forgotten\n"));
    }
    let now = SystemTime::now();
    let mut links = history.recent_links(usize::MAX);
    if links.is_empty() {
        usable(&state)?;
    }
    if let Some(since) = wanted.since {
        let first = since.time(now);
        links.retain(|link| link.finished >= first);
    }
    let text = if wanted.json {
        format!("{:#}\n", in_json(&links, wanted.last))
    } else {
        table(&links, wanted.last, now)
    };
    Ok(output::print(&text))
}

impl Since {
    fn time(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Ago(time) => now.checked_sub(time).unwrap_or(UNIX_EPOCH),
            Self::At(seconds) => UNIX_EPOCH + Duration::from_secs(seconds.into()),
        }
    }
}

/// Whether a build system made this link only to see whether one works: autoconf's `conftest`,
/// `try_compile` of `CMake`, Meson's sanity checks.
fn is_probe(link: &LinkRecord) -> bool {
    let name = link.output.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    stem == "conftest"
        || name.starts_with("cmTC_")
        || name.starts_with("cmTryCompileExec")
        || name.starts_with("sanitycheck")
        || link.output.contains("meson-private/")
}

/// The sum of several links.
fn sum<'a>(links: impl IntoIterator<Item = &'a LinkRecord>) -> Totals {
    let (mut jobs, mut elapsed, mut origins) = (0, Duration::ZERO, OriginCounts::default());
    for link in links {
        jobs += link.jobs;
        elapsed += link.duration;
        origins += &link.origins;
    }
    Totals::of_record(jobs, &origins, elapsed)
}

/// The share of jobs whose object was found in a cache, in percent.
fn hit_rate(totals: &Totals) -> f64 {
    let count = |jobs: usize| u32::try_from(jobs).map_or(f64::MAX, f64::from);
    100.0 * count(totals.origins.cached()) / count(totals.jobs.max(1))
}

/// One line a link, `last` at most, then the sum of all `links`.
fn table(links: &[LinkRecord], last: usize, now: SystemTime) -> String {
    if links.is_empty() {
        return "no links are recorded yet\n".to_owned();
    }
    let mut text = String::new();
    let of_one_kind = links.chunk_by(|one, next| is_probe(one) && is_probe(next));
    for group in of_one_kind.take(last) {
        let newest = &group[0];
        let age = now.duration_since(newest.finished).unwrap_or_default();
        let name = match group {
            [link] => link.output.clone(),
            _ => format!("{} probing links of a build system", group.len()),
        };
        let summary = counts_and_time(&sum(group));
        let _ = writeln!(text, "{} ago  {name}: {summary}", HumanDuration(age));
    }
    let counted: Vec<_> = links.iter().filter(|link| !is_probe(link)).collect();
    if counted.len() > 1 {
        let totals = sum(counted.iter().copied());
        let (summary, rate) = (counts_and_time(&totals), hit_rate(&totals));
        let _ = writeln!(text, "{} links: {summary}; {rate:.0} % hits", counted.len());
    }
    text
}

/// The same for programs. Times are seconds, and moments are seconds since 1970.
fn in_json(links: &[LinkRecord], last: usize) -> Value {
    let counts = |totals: &Totals| {
        let origins = &totals.origins;
        json!({
            "jobs": totals.jobs,
            "disk_cache": origins.disk_cache,
            "remote_cache": origins.remote_cache,
            "shared": origins.shared,
            "remote": origins.remote,
            "local": origins.local,
            "in_place": origins.in_place,
            "verified": origins.verified,
            "wrong": origins.wrong,
            "seconds": totals.elapsed.as_secs_f64(),
        })
    };
    let listed = links.iter().take(last).map(|link| {
        let mut object = counts(&sum([link]));
        let finished = link.finished.duration_since(UNIX_EPOCH).unwrap_or_default();
        object["output"] = json!(link.output);
        object["finished"] = json!(finished.as_secs());
        object["probe"] = json!(is_probe(link));
        object
    });
    let counted: Vec<_> = links.iter().filter(|link| !is_probe(link)).collect();
    let all = sum(counted.iter().copied());
    let mut totals = counts(&all);
    totals["links"] = json!(counted.len());
    totals["probing_links"] = json!(links.len() - counted.len());
    totals["hit_rate"] = json!(hit_rate(&all) / 100.0);
    json!({ "links": listed.collect::<Vec<_>>(), "totals": totals })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn link(output: &str, minutes: u64, origins: OriginCounts) -> LinkRecord {
        LinkRecord {
            finished: UNIX_EPOCH + DAY - Duration::from_mins(minutes),
            output: output.to_owned(),
            jobs: origins.total(),
            duration: Duration::from_millis(1500),
            origins,
        }
    }

    fn links() -> Vec<LinkRecord> {
        let counts = |disk_cache, remote| OriginCounts {
            disk_cache,
            remote,
            ..OriginCounts::default()
        };
        vec![
            link("app", 5, counts(3, 1)),
            link("CMakeFiles/x/cmTC_01234", 6, counts(0, 1)),
            link("conftest", 6, counts(1, 0)),
            link("app", 90, counts(0, 4)),
        ]
    }

    #[test]
    fn a_link_is_shown_in_the_words_of_its_summary() {
        let told = table(&links()[..1], 20, UNIX_EPOCH + DAY);
        insta::assert_snapshot!(told, @"5 minutes ago  app: 4 jobs, 3 cached, 1 remote, 1.5 s");
        let told = table(&[], 20, UNIX_EPOCH + DAY);
        assert_eq!(told, "no links are recorded yet\n");
    }

    #[test]
    fn probing_links_share_a_line_and_do_not_count_in_the_sum() {
        insta::assert_snapshot!(table(&links(), 20, UNIX_EPOCH + DAY), @r"
        5 minutes ago  app: 4 jobs, 3 cached, 1 remote, 1.5 s
        6 minutes ago  2 probing links of a build system: 2 jobs, 1 cached, 1 remote, 3.0 s
        2 hours ago  app: 4 jobs, 4 remote, 1.5 s
        2 links: 8 jobs, 3 cached, 5 remote, 3.0 s; 38 % hits
        ");
    }

    #[test]
    fn json_lists_the_newest_links_and_sums_up_all() {
        let told = in_json(&links(), 1);
        let newest = json!([{
            "output": "app", "finished": 86_100, "probe": false, "jobs": 4, "disk_cache": 3,
            "remote_cache": 0, "shared": 0, "remote": 1, "local": 0, "in_place": 0, "verified": 0, "wrong": 0,
            "seconds": 1.5,
        }]);
        assert_eq!(told["links"], newest);
        let totals = json!({
            "links": 2, "probing_links": 2, "hit_rate": 0.375, "jobs": 8, "disk_cache": 3,
            "remote_cache": 0, "shared": 0, "remote": 5, "local": 0, "in_place": 0, "verified": 0, "wrong": 0,
            "seconds": 3.0,
        });
        assert_eq!(told["totals"], totals);
    }
}
