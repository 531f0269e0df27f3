//! `relto report` and `timings`: a page of a link, from what it recorded or right after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::ReportRequest;
use super::{CommandContext, CommandError, is_meant, kept_job_file, output, usable};
use crate::config::{Settings, Warning, printable};
use crate::error::{ExitCode, Hinted};
use crate::events::{self, Events};
use crate::fs::write_whole;
use crate::history::History;
use crate::link::Options;
use crate::report_page::{KeyPairs, page};
use crate::state::State;
use crate::timings::{LinkTimings, TimingsRecorder, TimingsStore};

/// There is no page.
#[derive(Debug, thiserror::Error)]
enum NoReport {
    #[error("no link is recorded yet")]
    Nothing,
    #[error("no link of `{0}` is recorded")]
    Unknown(String),
    #[error("there are fewer than {0} links on record")]
    TooFew(usize),
    #[error("cannot write the page")]
    Unwritable(#[source] std::io::Error),
}

impl Hinted for NoReport {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Nothing => "links record themselves; `relto config` shows the settings in force",
            Self::Unknown(_) => {
                "an output is named as the linker was given it, or by the end of that path"
            }
            Self::TooFew(_) => "`--last 1` is the newest; the oldest are forgotten",
            Self::Unwritable(_) => "`-o` names another file",
        };
        vec![hint.to_owned()]
    }
}

pub(super) fn run(
    context: &CommandContext,
    wanted: &ReportRequest,
) -> Result<ExitCode, CommandError> {
    let state = Arc::new(context.settings.link.open_state_to_show());
    let subject = wanted.subject.as_deref().map(output_name).transpose()?;
    let store = TimingsStore::new(Arc::clone(&state));
    let number = usize::try_from(wanted.last).unwrap_or(usize::MAX);
    let is_wanted = |output: &str| {
        subject
            .as_deref()
            .is_none_or(|asked| is_meant(output, asked))
    };
    let Some(link) = store.newest(number, is_wanted) else {
        usable(&state)?;
        let has_any = number > 1 && store.newest(1, is_wanted).is_some();
        return Err(Box::new(match subject {
            _ if has_any => NoReport::TooFew(number),
            Some(subject) => NoReport::Unknown(subject),
            None => NoReport::Nothing,
        }));
    };
    let earlier = store.before(&link).map(|earlier| earlier.timings);
    let text = page_of(&link.timings, earlier.as_ref(), state);
    if wanted.output == Path::new("-") {
        return Ok(output::print(&text));
    }
    if let Err(error) = write_whole(&wanted.output, text.as_bytes()) {
        return Err(Box::new(NoReport::Unwritable(error)));
    }
    let (link, path) = (&link.timings.output, wanted.output.display());
    let told = format!("{}: {path}\n", printable(link));
    Ok(output::print(&told))
}

/// The output of a job file, or the name of an output.
fn output_name(subject: &Path) -> Result<String, CommandError> {
    if subject
        .extension()
        .is_none_or(|extension| extension != "json")
    {
        return Ok(subject.to_string_lossy().into_owned());
    }
    Ok(kept_job_file(subject)?.linker_output)
}

fn page_of(link: &LinkTimings, earlier: Option<&LinkTimings>, state: Arc<State>) -> String {
    let keys = match earlier {
        Some(_) => KeyPairs::of(link, &History::new(state)),
        None => KeyPairs::default(),
    };
    page(link, earlier, &keys)
}

/// The page of a link that is running, if one is wanted.
pub(super) struct TimingsPage(Option<RunningPage>);

struct RunningPage {
    path: PathBuf,
    options: Options,
    recorder: Arc<TimingsRecorder>,
    began: std::time::Instant,
}

impl TimingsPage {
    pub(super) fn wanted(settings: &Settings, options: &Options) -> Self {
        Self(settings.timings.clone().map(|path| RunningPage {
            path,
            options: options.clone(),
            recorder: Arc::default(),
            began: events::now(),
        }))
    }

    /// The events, of which the page takes note.
    pub(super) fn observed(&self, events: Events) -> Events {
        match &self.0 {
            Some(page) => page.recorder.observed(events),
            None => events,
        }
    }

    /// Writes the page. That it cannot be written is a warning.
    pub(super) fn write(self, succeeded: bool) {
        let Some(page) = self.0 else { return };
        let mut link = page.recorder.take(page.began.elapsed(), succeeded);
        link.linker = page.options.record.linker_age;
        let state = Arc::new(page.options.open_state());
        let store = TimingsStore::new(Arc::clone(&state));
        // The newest record is that of this link itself.
        let newest = store.newest(1, |output| output == link.output);
        let is_own = |it: &LinkTimings| {
            it.jobs
                .iter()
                .map(|job| job.key)
                .eq(link.jobs.iter().map(|job| job.key))
        };
        let earlier = newest.and_then(|newest| {
            if is_own(&newest.timings) {
                store.before(&newest)
            } else {
                Some(newest)
            }
        });
        let text = page_of(&link, earlier.map(|it| it.timings).as_ref(), state);
        if let Err(error) = write_whole(&page.path, text.as_bytes()) {
            output::warning(&Warning {
                text: format!("`timings` is not written: {error}"),
                hint: None,
            });
        }
    }
}
