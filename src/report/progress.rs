//! The progress bar: one line at the bottom of the terminal, redrawn a few times a second and
//! removed at the end.
//!
//! A link that ends at once shows none.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Totals;
use super::summary::seconds;
use crate::events::{self, Event, JobId, Origin};

/// A shorter link shows no bar, which would only flicker.
const DELAY: Duration = Duration::from_millis(200);
/// How often the clock in the bar moves when nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// Characters of the link's name that are shown.
const LONGEST_NAME: usize = 64;
const TEMPLATE: &str = "relto {prefix} [{bar:24}] {pos}/{len}{wide_msg}";

pub(super) struct Progress {
    wanted: bool,
    started: Instant,
    bar: Option<ProgressBar>,
    running: HashSet<(JobId, Origin)>,
    verifying: HashSet<JobId>,
}

impl Progress {
    pub(super) fn new(wanted: bool, started: Instant) -> Self {
        Self {
            wanted,
            started,
            bar: None,
            running: HashSet::new(),
            verifying: HashSet::new(),
        }
    }

    /// How long to wait for the next event before the bar needs redrawing; `None` without a bar.
    pub(super) fn redraw_interval(&self) -> Option<Duration> {
        self.wanted.then(|| {
            let early = DELAY.saturating_sub(self.started.elapsed());
            early.max(TICK)
        })
    }

    /// Counts what begins and ends.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::JobStarted { job, origin } => {
                self.running.insert((*job, *origin));
            }
            Event::JobStopped { job, origin } => {
                self.running.remove(&(*job, *origin));
            }
            // Other attempts at this job have been given up.
            Event::JobFinished { job, .. } => self.running.retain(|(other, _)| other != job),
            Event::VerifyStarted { job } => {
                self.verifying.insert(*job);
            }
            Event::Verified { job, .. } => {
                self.verifying.remove(job);
            }
            _ => {}
        }
    }

    /// Attempts running on the farm, and on this machine.
    fn running(&self) -> (usize, usize) {
        let remote = |(_, origin): &&(JobId, Origin)| *origin == Origin::Remote;
        let far = self.running.iter().filter(remote).count();
        (far, self.running.len() - far)
    }

    /// Updates the bar.
    pub(super) fn show(&mut self, link: &str, totals: &Totals) {
        let elapsed = events::now().saturating_duration_since(self.started);
        if !self.wanted || elapsed < DELAY || totals.jobs == 0 {
            return;
        }
        let message = message(
            totals.origins.cached(),
            self.running(),
            self.verifying.len(),
            elapsed,
        );
        let bar = self.bar.get_or_insert_with(bar);
        bar.set_length(totals.jobs as u64);
        let name = link.rsplit('/').next().unwrap_or(link);
        bar.set_prefix(crate::text::one_line(name, LONGEST_NAME));
        bar.set_position(totals.origins.total() as u64);
        bar.set_message(message);
    }

    /// Writes something else while the bar is hidden.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn erase(&mut self) {
        self.wanted = false;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE)
        .expect("the template is a constant that is tested")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}

/// The text after the numbers: `, 90 cached, 20 running remotely, 4 here, 3.1 s`.
fn message(
    cached: usize,
    (far, here): (usize, usize),
    verifying: usize,
    elapsed: Duration,
) -> String {
    let mut message = String::new();
    for (count, words) in [
        (cached, "cached"),
        (far, "running remotely"),
        (here, "running here"),
        (verifying, "being verified"),
    ] {
        if count > 0 {
            let _ = write!(message, ", {count} {words}");
        }
    }
    message + ", " + &seconds(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_good() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn running_jobs_are_counted_until_they_have_an_object() {
        let (remote, local) = (Origin::Remote, Origin::Local);
        let mut progress = Progress::new(false, events::now());
        for (job, origin) in [(0, remote), (0, local), (1, remote)] {
            progress.note(&Event::JobStarted { job, origin });
        }
        progress.note(&Event::JobStopped {
            job: 1,
            origin: remote,
        });
        assert_eq!(progress.running(), (1, 1));
        progress.note(&Event::JobFinished {
            job: 0,
            origin: local,
        });
        assert_eq!(progress.running(), (0, 0));
    }

    #[test]
    fn the_message_omits_zeros() {
        let after = Duration::from_secs(2);
        assert_eq!(
            message(1, (2, 3), 0, after),
            ", 1 cached, 2 running remotely, 3 running here, 2.0 s"
        );
        assert_eq!(
            message(0, (0, 1), 4, after),
            ", 1 running here, 4 being verified, 2.0 s"
        );
    }

    #[test]
    fn without_a_bar_the_thread_is_not_woken() {
        let progress = Progress::new(false, events::now());
        assert_eq!(progress.redraw_interval(), None);
    }
}
