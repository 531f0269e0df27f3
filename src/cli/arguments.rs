//! The command line as it was typed.
//!
//! Enters: the arguments of the process. Leaves: an `Invocation`: which command, its own arguments, and the options as
//! `config` takes them. clap's parser is built from `config`'s table of options. What the values mean is not known here.
//!
//! lld puts its job file last and no command name first, so a first word that is no command is a job file; a job file
//! that is named like a command can be given as `./cc`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::help;
use super::options::{assignments, options};
use crate::config::Assignment;

/// What the user asks for.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) options: Vec<Assignment>,
    pub(super) action: Action,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Run the jobs of this file: what lld wants.
    Distribute(PathBuf),
    /// Look at this compiler; without one at the `clang` of `PATH`.
    Doctor(Option<PathBuf>),
    Stats,
    Cache(CacheAction),
    Index(IndexAction, PathBuf),
    Daemon(DaemonAction),
    /// Show the keys of this link's jobs, or what differs from an earlier one's.
    Explain(PathBuf, Option<PathBuf>),
    /// Run a compiler: it and its arguments.
    Compile(Vec<OsString>),
    /// Show every option.
    HelpAll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheAction {
    Show,
    Trim,
    Clear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DaemonAction {
    Status,
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexAction {
    Show,
    Inputs,
    Check,
}

/// Reads `arguments`, the first of which is the program's own name.
///
/// # Errors
/// clap's own, a request for help or version among them.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut options = assignments(&matches);
    let (action, inner) = match matches.subcommand() {
        None if matches.get_flag(HELP_ALL) => (Action::HelpAll, None),
        Some(("help", _)) => (Action::HelpAll, None),
        None => (Action::Distribute(path(&matches, "jobs_file")), None),
        Some(("doctor", inner)) => {
            let compiler = inner.get_one::<PathBuf>("compiler").cloned();
            (Action::Doctor(compiler), Some(inner))
        }
        Some(("stats", inner)) => (Action::Stats, Some(inner)),
        Some((CC, inner)) => {
            let words = inner.get_many::<OsString>(CC).into_iter().flatten();
            (Action::Compile(words.cloned().collect()), Some(inner))
        }
        Some(("explain", inner)) => {
            let earlier = inner.get_one::<PathBuf>("earlier").cloned();
            (Action::Explain(path(inner, "file"), earlier), Some(inner))
        }
        Some(("daemon", inner)) => (Action::Daemon(daemon_action(inner)), Some(inner)),
        Some(("cache", inner)) => (Action::Cache(cache_action(inner)), Some(inner)),
        Some((_, inner)) => (
            Action::Index(index_action(inner), path(inner, "file")),
            Some(inner),
        ),
    };
    options.extend(inner.iter().flat_map(|matches| assignments(matches)));
    Ok(Invocation { options, action })
}

const HELP_ALL: &str = "help_all";
/// The launcher's name, and the argument that takes the compiler with all of its own.
pub(super) const CC: &str = "cc";

/// The parser, whole.
fn command() -> Command {
    Command::new("relto")
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(help::version())
        .override_help(help::screen())
        .override_usage("relto [OPTIONS] JOBS.json\n       relto COMMAND [OPTIONS]")
        .args_override_self(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .args(options())
        .arg(
            Arg::new(HELP_ALL)
                .long("help-all")
                .action(ArgAction::SetTrue),
        )
        .arg(path_argument("jobs_file", "JOBS.json").required_unless_present(HELP_ALL))
        .subcommands(subcommands())
}

fn subcommands() -> [Command; 8] {
    let keyword = |words: &'static [&'static str]| {
        let parser = PossibleValuesParser::new(words);
        Arg::new("action")
            .value_parser(parser)
            .hide_possible_values(true)
    };
    [
        Command::new("help").hide(true),
        subcommand(CC)
            .override_usage("relto cc [OPTIONS] [--] COMPILER [ARGUMENTS]...")
            .arg(
                Arg::new(CC)
                    .value_name("COMPILER")
                    .value_parser(ValueParser::os_string())
                    .num_args(1..)
                    .trailing_var_arg(true)
                    .allow_hyphen_values(true)
                    .required(true),
            ),
        subcommand("doctor").arg(path_argument("compiler", "COMPILER")),
        subcommand("daemon").arg(
            keyword(&["status", "stop"])
                .value_name("status|stop")
                .default_value("status"),
        ),
        subcommand("stats"),
        subcommand("cache").arg(
            keyword(&["show", "trim", "clear"])
                .value_name("show|trim|clear")
                .default_value("show"),
        ),
        subcommand("explain")
            .arg(path_argument("file", "JOBS.json").required(true))
            .arg(path_argument("earlier", "EARLIER")),
        subcommand("index")
            .arg(
                keyword(&["show", "inputs", "check"])
                    .value_name("show|inputs|check")
                    .required(true),
            )
            .arg(path_argument("file", "FILE").required(true)),
    ]
}

fn subcommand(name: &'static str) -> Command {
    let about = help::COMMANDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, about)| *about);
    Command::new(name)
        .about(about.unwrap_or_default())
        .after_help("The options of `relto --help-all` are accepted too.")
        .args_override_self(true)
        .args(options())
}

fn path_argument(id: &'static str, name: &'static str) -> Arg {
    Arg::new(id)
        .value_name(name)
        .value_parser(ValueParser::path_buf())
}

fn path(matches: &ArgMatches, id: &str) -> PathBuf {
    let path = matches.get_one::<PathBuf>(id);
    path.cloned().expect("clap has seen to it that it is there")
}

fn daemon_action(matches: &ArgMatches) -> DaemonAction {
    match keyword(matches) {
        Some("stop") => DaemonAction::Stop,
        _ => DaemonAction::Status,
    }
}

fn cache_action(matches: &ArgMatches) -> CacheAction {
    match keyword(matches) {
        Some("trim") => CacheAction::Trim,
        Some("clear") => CacheAction::Clear,
        _ => CacheAction::Show,
    }
}

fn keyword(matches: &ArgMatches) -> Option<&str> {
    matches.get_one::<String>("action").map(String::as_str)
}

fn index_action(matches: &ArgMatches) -> IndexAction {
    match keyword(matches) {
        Some("inputs") => IndexAction::Inputs,
        Some("check") => IndexAction::Check,
        _ => IndexAction::Show,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Invocation {
        let words = std::iter::once("relto").chain(line.split_whitespace());
        parse(words.map(OsString::from)).expect(line)
    }

    fn set(line: &str) -> Vec<String> {
        let invocation = parsed(&format!("{line} j.json"));
        assert_eq!(invocation.action, Action::Distribute("j.json".into()));
        let options = invocation.options.iter();
        options
            .map(|option| format!("{}={}", option.option.name, option.values.join("|")))
            .collect()
    }

    #[test]
    fn the_parser_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn bazels_spellings_and_ours_mean_the_same() {
        for line in [
            "--remote-executor=grpc://f:1",
            "--remote-executor grpc://f:1",
            "--remote_executor=grpc://f:1",
            "--remote_executor grpc://f:1",
            "--remote-executor=x --remote_executor=grpc://f:1",
        ] {
            assert_eq!(set(line), ["remote_executor=grpc://f:1"], "{line}");
        }
    }

    #[test]
    fn a_switch_has_all_of_bazels_forms_and_the_last_one_counts() {
        for (line, value) in [
            ("--remote_accept_cached", "true"),
            ("--remote-accept-cached=no", "no"),
            ("--noremote_accept_cached", "false"),
            ("--no-remote-accept-cached", "false"),
            ("--no_remote_accept_cached", "false"),
            ("--noremote_accept_cached --remote-accept-cached", "true"),
            ("--remote-accept-cached --noremote_accept_cached", "false"),
        ] {
            assert_eq!(
                set(line),
                [format!("remote_accept_cached={value}")],
                "{line}"
            );
        }
    }

    #[test]
    fn lists_keep_every_item_with_its_commas() {
        assert_eq!(
            set("--remote_header=a=1,2 --remote-header b=3"),
            ["remote_header=a=1,2|b=3"]
        );
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let invocation = parsed("--jobs=3 cache trim --quiet");
        assert_eq!(invocation.action, Action::Cache(CacheAction::Trim));
        assert_eq!(invocation.options.len(), 2);
    }

    #[test]
    fn a_job_file_named_like_a_command_needs_its_folder() {
        assert_eq!(parsed("./cc").action, Action::Distribute("./cc".into()));
        for line in ["--help-all", "help"] {
            assert_eq!(parsed(line).action, Action::HelpAll);
        }
    }
}
