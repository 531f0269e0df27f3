//! `relto prefetch [--compiler=COMPILER] FILE...`: uploads modules to the farm before the link that
//! needs them.
//!
//! The files that are ThinLTO modules are uploaded and their digests remembered on this machine.
//! Skipped files and a summary go to stdout, failures to stderr; the exit code is 1 if there was
//! one. [`prefetch`] does the work.

use std::fmt::Write as _;
use std::path::Path;

use indicatif::HumanBytes;

use super::runtime::runtime;
use super::{CommandContext, CommandError, engine, output};
use crate::error::ExitCode;
use crate::events::{Event, Events};
use crate::prefetch::{self, PrefetchError, PrefetchOutcome, PrefetchRequest};
use crate::report::OneJob;

/// How many files had which outcome.
#[derive(Debug, Default)]
struct Tally {
    hashed: usize,
    sent: usize,
    sent_bytes: u64,
    there: usize,
    skipped: usize,
    failed: usize,
}

pub(super) fn run(
    context: &CommandContext,
    wanted: PrefetchRequest,
) -> Result<ExitCode, CommandError> {
    let quiet = context.settings.style.quiet;
    let options = engine::options(&context.settings);
    let (events, receiver) = Events::channel();
    let reporter = OneJob::start(receiver, |_| true);
    let mut tally = Tally::default();
    let mut show = |file: &Path, outcome: Result<PrefetchOutcome, PrefetchError>| {
        if let Some(line) = tally.add(file, outcome).filter(|_| !quiet) {
            output::print(&line);
        }
    };
    let runtime = runtime().map_err(|error| Box::new(error) as CommandError)?;
    let sent = runtime.block_on(prefetch::send(wanted, &options, events.clone(), &mut show));
    events.send(Event::LinkFinished);
    drop(events);
    reporter.finish();
    sent.map_err(|error| Box::new(error) as CommandError)?;
    if !quiet {
        output::print(&tally.summary());
    }
    Ok(match tally.failed {
        0 => ExitCode::Success,
        _ => ExitCode::Failure,
    })
}

impl Tally {
    /// Returns the message for a skipped file.
    fn add(
        &mut self,
        file: &Path,
        outcome: Result<PrefetchOutcome, PrefetchError>,
    ) -> Option<String> {
        match outcome {
            Ok(PrefetchOutcome::Hashed(_)) => self.hashed += 1,
            Ok(PrefetchOutcome::Sent(size)) => {
                self.sent += 1;
                self.sent_bytes += size;
            }
            Ok(PrefetchOutcome::Present(_)) => self.there += 1,
            Ok(PrefetchOutcome::NotAModule(reason)) => {
                self.skipped += 1;
                return Some(format!("skipped `{}`: {reason}\n", file.display()));
            }
            Err(error) => {
                self.failed += 1;
                output::error(&error);
            }
        }
        None
    }

    fn summary(&self) -> String {
        let modules = self.hashed + self.sent + self.there;
        let mut text = format!("{modules} module{}", if modules == 1 { "" } else { "s" });
        if self.hashed > 0 {
            text.push_str(" hashed; there is no farm to send to");
        }
        if self.sent > 0 {
            let _ = write!(
                text,
                ", {} sent ({})",
                self.sent,
                HumanBytes(self.sent_bytes)
            );
        }
        for (count, what) in [
            (self.there, "there already"),
            (self.skipped, "skipped"),
            (self.failed, "failed"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_many_went_where() {
        let mut tally = Tally::default();
        let file = Path::new("a.o");
        for outcome in [
            PrefetchOutcome::Sent(1 << 20),
            PrefetchOutcome::Sent(1 << 20),
            PrefetchOutcome::Present(7),
        ] {
            assert_eq!(tally.add(file, Ok(outcome)), None);
        }
        let skipped = tally.add(
            file,
            Ok(PrefetchOutcome::NotAModule("it is text".to_owned())),
        );
        assert_eq!(skipped.as_deref(), Some("skipped `a.o`: it is text\n"));
        assert_eq!(
            tally.summary(),
            "3 modules, 2 sent (2.00 MiB), 1 there already, 1 skipped\n"
        );
        let mut tally = Tally::default();
        tally.add(file, Ok(PrefetchOutcome::Hashed(7)));
        assert_eq!(
            tally.summary(),
            "1 module hashed; there is no farm to send to\n"
        );
    }
}
