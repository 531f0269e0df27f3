//! `relto stats`: prints one line for each recent link, the newest first, in the words of its
//! summary.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indicatif::HumanDuration;

use super::{CommandContext, output};
use crate::error::ExitCode;
use crate::history::{History, LinkRecord};
use crate::report::{Totals, counts_and_time};
use crate::state::{self, State};

/// Links that are shown.
const SHOWN: usize = 20;

pub(super) fn run(context: &CommandContext) -> ExitCode {
    let state = match context.settings.state_dir() {
        Some(dir) => State::at(&dir.join(state::FILE_NAME)),
        None => State::disabled(),
    };
    let links = History::new(Arc::new(state)).recent_links(SHOWN);
    output::print(&table(&links, SystemTime::now()))
}

fn table(links: &[LinkRecord], now: SystemTime) -> String {
    if links.is_empty() {
        return "no links are recorded yet\n".to_owned();
    }
    let mut text = String::new();
    for link in links {
        let age = now.duration_since(link.finished).unwrap_or(Duration::ZERO);
        let totals = Totals::of_record(link.jobs, &link.origins, link.duration);
        let summary = counts_and_time(&totals);
        let _ = writeln!(
            text,
            "{} ago  {}: {summary}",
            HumanDuration(age),
            link.output
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::OriginCounts;

    #[test]
    fn a_link_is_shown_in_the_words_of_its_summary() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let link = LinkRecord {
            finished: now - Duration::from_mins(5),
            output: "app".to_owned(),
            jobs: 3,
            duration: Duration::from_millis(1500),
            origins: OriginCounts {
                disk_cache: 1,
                remote: 2,
                ..OriginCounts::default()
            },
        };
        insta::assert_snapshot!(table(&[link], now), @"5 minutes ago  app: 3 jobs, 1 cached, 2 remote, 1.5 s");
        assert_eq!(table(&[], now), "no links are recorded yet\n");
    }
}
