//! Reports a panic to the user as a bug in relto.

use std::panic::PanicHookInfo;

use super::output;
use crate::error::Hinted;

#[derive(Debug, thiserror::Error)]
#[error("internal error of relto {}: {what} ({place})", env!("CARGO_PKG_VERSION"))]
struct Bug {
    what: String,
    place: String,
}

impl Hinted for Bug {
    fn hints(&self) -> Vec<String> {
        vec![
            "this is a bug: please report this line to relto's developers, with what you did"
                .to_owned(),
        ]
    }
}

/// Has every panic reported as one line with a hint; with `RUST_BACKTRACE` the usual report
/// follows.
pub(super) fn set_hook() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        output::error(&bug(info));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            usual(info);
        }
    }));
}

/// Has the bug that a test asks for: `relto __panic here`, or in another thread.
#[cfg(debug_assertions)]
pub(super) fn provoked(arguments: &[std::ffi::OsString]) {
    let [command, thread] = arguments else { return };
    if command != "__panic" {
        return;
    }
    let bug = || panic!("a test wants it");
    if thread == "here" {
        bug();
    }
    // An owned task passes its panic on.
    let runtime = super::runtime::small_runtime().expect("a runtime");
    runtime.block_on(async { crate::task::spawn_blocking(bug).await });
}

fn bug(info: &PanicHookInfo<'_>) -> Bug {
    let text = info.payload_as_str().unwrap_or("no message");
    Bug {
        what: text.replace('\n', "; "),
        place: info
            .location()
            .map_or_else(String::new, ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rendered;

    #[test]
    fn a_bug_is_one_line_with_the_version_and_where_to_report_it() {
        let bug = Bug {
            what: "index out of bounds".to_owned(),
            place: "src/a.rs:1:2".to_owned(),
        };
        let text = Rendered(&bug).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains(env!("CARGO_PKG_VERSION")), "{text}");
        assert!(
            lines[1].starts_with("  hint: ") && lines.len() == 2,
            "{text}"
        );
    }
}
