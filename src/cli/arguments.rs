//! The command line as it was typed.
//!
//! Enters: the arguments of the process. Leaves: an `Invocation`: which command, its own arguments,
//! and the options as `config` takes them. clap's parser is built from `config`'s table of options.
//! What the values mean is not known here.
//!
//! lld puts its job file last and no command name first, so a first word that is no command is a
//! job file; a job file that is named like a command can be given as `./cc`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::help;
use super::options::{assignments, options};
use crate::config::Assignment;
use crate::prefetch::PrefetchRequest;

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
    Index(IndexLook),
    Daemon(DaemonAction),
    /// Show the keys of this link's jobs, or what differs from an earlier one's.
    Explain(PathBuf, Option<PathBuf>),
    /// Run a compiler: it and its arguments.
    Compile(Vec<OsString>),
    /// Run a linker: it and its arguments.
    Wrap(Vec<OsString>),
    /// Send modules to the farm before the link.
    Prefetch(PrefetchRequest, When),
    /// Show every option.
    HelpAll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Now,
    /// When stdin ends, and in the background.
    AfterStdin,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexFormat {
    Text,
    Json,
    /// As lld's `--thinlto-emit-imports-files` has it.
    Imports,
}

/// What is wanted of which index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IndexLook {
    pub(super) action: IndexAction,
    pub(super) file: PathBuf,
    pub(super) format: IndexFormat,
    /// The module that the index is for, where its name does not say so.
    pub(super) module: Option<String>,
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
        Some((LD, inner)) => {
            let words = inner.get_many::<OsString>(LD).into_iter().flatten();
            (Action::Wrap(words.cloned().collect()), Some(inner))
        }
        Some(("explain", inner)) => {
            let earlier = inner.get_one::<PathBuf>("earlier").cloned();
            (Action::Explain(path(inner, "file"), earlier), Some(inner))
        }
        Some((PREFETCH, inner)) => {
            let when = if inner.get_flag(AFTER_STDIN) {
                When::AfterStdin
            } else {
                When::Now
            };
            (Action::Prefetch(wanted(inner), when), Some(inner))
        }
        Some(("daemon", inner)) => (Action::Daemon(daemon_action(inner)), Some(inner)),
        Some(("cache", inner)) => (Action::Cache(cache_action(inner)), Some(inner)),
        Some((_, inner)) => (Action::Index(index_look(inner)), Some(inner)),
    };
    options.extend(inner.iter().flat_map(|matches| assignments(matches)));
    Ok(Invocation { options, action })
}

const HELP_ALL: &str = "help_all";
/// The launcher's name, and the argument that takes the compiler with all of its own.
pub(super) const CC: &str = "cc";
/// The wrapper's name, and the argument that takes the linker with all of its own.
pub(super) const LD: &str = "ld";
pub(super) const PREFETCH: &str = "prefetch";
/// Its flag for who waits for a compiler.
pub(super) const AFTER_STDIN: &str = "after-stdin";

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

fn subcommands() -> [Command; 10] {
    [
        Command::new("help").hide(true),
        subcommand(CC)
            .override_usage("relto cc [OPTIONS] [--] COMPILER [ARGUMENTS]...")
            .arg(program_argument(CC, "COMPILER")),
        subcommand(LD)
            .override_usage("relto ld [OPTIONS] [--] LINKER [ARGUMENTS]...")
            .arg(program_argument(LD, "LINKER")),
        subcommand("doctor").arg(path_argument("compiler", "COMPILER")),
        subcommand("daemon").arg(
            keywords(&["status", "stop"])
                .value_name("status|stop")
                .default_value("status"),
        ),
        subcommand("stats"),
        prefetch_subcommand(),
        subcommand("cache").arg(
            keywords(&["show", "trim", "clear"])
                .value_name("show|trim|clear")
                .default_value("show"),
        ),
        subcommand("explain")
            .arg(path_argument("file", "JOBS.json").required(true))
            .arg(path_argument("earlier", "EARLIER")),
        index_subcommand(),
    ]
}

/// A program with all of its own arguments.
fn program_argument(id: &'static str, name: &'static str) -> Arg {
    Arg::new(id)
        .value_name(name)
        .value_parser(ValueParser::os_string())
        .num_args(1..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .required(true)
}

fn prefetch_subcommand() -> Command {
    subcommand(PREFETCH)
        .arg(
            Arg::new(AFTER_STDIN)
                .long(AFTER_STDIN)
                .action(ArgAction::SetTrue)
                .hide(true),
        )
        .arg(path_argument("files", "FILE").num_args(1..).required(true))
        .arg(
            Arg::new("compiler")
                .long("compiler")
                .value_name("COMPILER")
                .help("send this compiler too, as the link will name it"),
        )
}

fn index_subcommand() -> Command {
    subcommand("index")
        .arg(
            keywords(&["show", "inputs", "check"])
                .value_name("show|inputs|check")
                .required(true),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["text", "json", "imports"])
                .default_value("text")
                .help("imports: as lld writes it, for `inputs`"),
        )
        .arg(
            Arg::new("module")
                .long("module")
                .value_name("NAME")
                .help("for imports: whose index it is"),
        )
        .arg(path_argument("file", "FILE").required(true))
}

/// The first word of a command that does several things.
fn keywords(words: &'static [&'static str]) -> Arg {
    Arg::new("action")
        .value_parser(PossibleValuesParser::new(words))
        .hide_possible_values(true)
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

fn wanted(matches: &ArgMatches) -> PrefetchRequest {
    let files = matches.get_many::<PathBuf>("files").into_iter().flatten();
    PrefetchRequest {
        files: files.cloned().collect(),
        compiler: matches.get_one::<String>("compiler").cloned(),
    }
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

fn index_look(matches: &ArgMatches) -> IndexLook {
    let word = |id: &str| matches.get_one::<String>(id).map(String::as_str);
    IndexLook {
        action: match word("action") {
            Some("inputs") => IndexAction::Inputs,
            Some("check") => IndexAction::Check,
            _ => IndexAction::Show,
        },
        file: path(matches, "file"),
        format: match word("format") {
            Some("json") => IndexFormat::Json,
            Some("imports") => IndexFormat::Imports,
            _ => IndexFormat::Text,
        },
        module: word("module").map(str::to_owned),
    }
}

fn keyword(matches: &ArgMatches) -> Option<&str> {
    matches.get_one::<String>("action").map(String::as_str)
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
