//! The help: one screen, or everything.
//!
//! Enters: `config`'s table of options. Leaves: text for a terminal of 80 columns; `screen` has
//! fewer than 40 lines. What a single command takes besides is shown by clap (`relto cache
//! --help`).

use std::fmt::Write as _;

use crate::config::{Group, Kind, OPTIONS, Opt};

/// The commands and what they are for.
pub(super) const COMMANDS: [(&str, &str); 9] = [
    (
        "cc",
        "compiler launcher for builds that run ThinLTO backends themselves",
    ),
    (
        "ld",
        "linker wrapper, for linkers without DTLTO: `ld [--] LINKER ARGS...`",
    ),
    (
        "doctor",
        "check configuration, toolchain and farm; say what to change",
    ),
    (
        "prefetch",
        "send modules to the farm before the link: `prefetch FILE...`",
    ),
    (
        "daemon",
        "the process that keeps connections: `daemon status|stop`",
    ),
    ("stats", "what the last links did"),
    (
        "cache",
        "size and hits of the disk cache; `cache trim`, `cache clear`",
    ),
    (
        "explain",
        "what a job's key is made of: `explain JOBS.json [EARLIER]`",
    ),
    (
        "index",
        "look into a ThinLTO index: `index show|inputs|check FILE`",
    ),
];

const WIDTH: usize = 80;
/// Where the explanations begin.
const COLUMN: usize = 32;

/// The common options, on one screen.
#[must_use]
pub(super) fn screen() -> String {
    let mut text = String::from(
        "relto hands the backend jobs of a ThinLTO link to a farm, or runs them here.\n\n\
         Usage: relto [OPTIONS] JOBS.json    (what lld runs: -fthinlto-distributor=relto)\n       \
         relto COMMAND [OPTIONS]\n\nCommands:\n",
    );
    for (name, about) in COMMANDS {
        let _ = writeln!(text, "  {name:<8} {about}");
    }
    options(&mut text, |option| option.common);
    text.push_str(
        "\nAny may be a variable (RELTO_JOBS), or stand in .relto.toml: relto --help-all\n",
    );
    text
}

/// Every option, and where options come from.
#[must_use]
pub(super) fn everything() -> String {
    let mut text = String::from(
        "All options. Names are Bazel's where Bazel has one; --remote_executor works too.\n",
    );
    options(&mut text, |_| true);
    text.push_str(
        "  --help                        the common options\n  \
           --version                     version and features\n",
    );
    text.push_str(SOURCES);
    text
}

const SOURCES: &str = "
Where options come from, the strongest first:
  the command line
  variables: RELTO_REMOTE_EXECUTOR; items of a list one a line, or with commas
  [config.NAME] tables of the files, chosen by --config=NAME
  .relto.toml here or in a parent directory; ignored if others may write it
  $XDG_CONFIG_HOME/relto/config.toml, or ~/.config/relto/config.toml
Repeatable options add up; an empty one (--remote-header=) drops earlier ones.

Other variables:
  RELTO_LOG          what to log to stderr: info, debug, relto::reapi=trace
  RELTO_NO_PROGRESS  no progress bar
  NO_COLOR           no colours
";

/// `--version`: the version, and what this relto can talk to.
#[must_use]
pub(super) fn version() -> &'static str {
    concat!(
        env!("CARGO_PKG_VERSION"),
        "\nREAPI 2.0 and later; SHA256, BLAKE3; zstd; TLS, Unix sockets, credential helpers"
    )
}

fn options(text: &mut String, shown: impl Fn(&Opt) -> bool) {
    for group in Group::ALL {
        let of_group = OPTIONS.iter().filter(|option| option.group == group);
        let mut options = of_group.filter(|option| shown(option)).peekable();
        if options.peek().is_some() {
            let _ = write!(text, "\n{}:\n", group.title());
        }
        options.for_each(|option| line(text, option));
    }
}

fn line(text: &mut String, option: &Opt) {
    let flag = match option.kind() {
        Kind::Switch => format!("--[no-]{}", option.flag()),
        _ => format!("--{}={}", option.flag(), option.value_name),
    };
    let default = match option.default_text() {
        "" => String::new(),
        default => format!(" [{default}]"),
    };
    let about = format!("{}{default}", option.help);
    let mut lines = wrapped(&about, WIDTH - COLUMN).into_iter();
    let left = format!("  {flag}");
    if left.len() + 1 < COLUMN {
        let _ = writeln!(text, "{left:<COLUMN$}{}", lines.next().unwrap_or_default());
    } else {
        let _ = writeln!(text, "{left}");
    }
    for line in lines {
        let _ = writeln!(text, "{:COLUMN$}{line}", "");
    }
}

/// `text` in lines of at most `width` characters, broken at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_one_screen_of_80_by_40() {
        let screen = screen();
        assert!(screen.lines().count() < 40, "{screen}");
        for line in screen.lines().chain(everything().lines()) {
            assert!(line.chars().count() <= WIDTH, "too wide: {line}");
        }
    }

    #[test]
    fn no_option_is_missing_from_the_whole_help() {
        let everything = everything();
        for option in OPTIONS {
            assert!(everything.contains(&option.flag()), "{}", option.name);
        }
    }
}
