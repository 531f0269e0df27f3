//! The command line as it was typed: which command, and which options.
//!
//! clap's parser is made of the commands here and of `config`'s table of options, which every
//! command takes. lld puts its job file last and no command name first, so a first word that is not
//! a command is a job file; a job file that is named like a command can be given as `./cc`.

mod options;
#[cfg(test)]
mod tests;
mod unknown;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{
    Arg, ArgAction, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    ValueEnum,
};
use clap_complete::Shell;

use self::unknown::{flag_of, unused_of_bazel, without_unknown_option};
use super::help;
use crate::config::{ConfigEntry, nearest, time_span};

/// The launcher's name.
pub(super) const CC: &str = "cc";
/// The linker wrapper's name.
pub(super) const LD: &str = "ld";
pub(super) const PREFETCH: &str = "prefetch";
/// The flag of `prefetch` that makes it wait for a compiler.
pub(super) const AFTER_STDIN: &str = "after-stdin";

/// What the user asks for.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) options: Vec<ConfigEntry>,
    pub(super) command: Command,
    /// Flags of Bazel that mean nothing here, without their values.
    pub(super) ignored: Vec<String>,
}

#[derive(Debug, Parser)]
#[command(
    name = "relto",
    version,
    long_version = help::VERSION,
    about = "Hands the backend jobs of a ThinLTO link to a farm, or runs them here.",
    after_help = help::MORE,
    after_long_help = help::SOURCES,
    override_usage = help::USAGE,
    args_override_self = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "COMMAND",
    disable_help_flag = true,
    max_term_width = 80
)]
struct CommandLine {
    #[arg(value_name = "JOBS.json", required = true, hide = true)]
    job_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// Run the jobs of this file: what lld wants.
    #[command(skip)]
    Distribute(PathBuf),

    /// Compiler launcher for builds that run ThinLTO backends themselves
    #[command(override_usage = "relto cc [OPTIONS] [--] COMPILER [ARGUMENTS]...")]
    Cc {
        /// Compiler, and all of its own arguments
        #[arg(value_name = "COMPILER", required = true, trailing_var_arg = true)]
        #[arg(allow_hyphen_values = true)]
        words: Vec<OsString>,
    },

    /// Linker wrapper, for linkers without DTLTO
    #[command(override_usage = "relto ld [OPTIONS] [--] LINKER [ARGUMENTS]...")]
    Ld {
        /// Linker, and all of its own arguments
        #[arg(value_name = "LINKER", required = true, trailing_var_arg = true)]
        #[arg(allow_hyphen_values = true)]
        words: Vec<OsString>,
    },

    /// Check configuration, toolchain and farm; say what to change
    Doctor {
        /// Compiler to check, else the `clang` of `PATH`
        compiler: Option<PathBuf>,
        /// Compile what caches hold of these links again and compare: job files, as
        /// `-Wl,--save-temps` leaves them
        #[arg(long = "verify", value_name = "FILE", num_args = 1.., conflicts_with = "compiler")]
        job_files: Vec<PathBuf>,
        /// Exit with 1 also if a farm is set and cannot be used
        #[arg(long)]
        strict: bool,
    },

    /// Show the settings in force and where they come from
    Config,

    /// Allow what the .relto.toml of a source tree asks for
    Allow {
        /// Show what was allowed
        #[arg(long, conflicts_with = "dir")]
        list: bool,
        /// The tree, else the current directory
        dir: Option<PathBuf>,
    },

    /// Take back what was allowed
    Deny {
        /// The tree, else the current directory
        dir: Option<PathBuf>,
    },

    /// Send modules to the farm before the link
    Prefetch {
        #[arg(long = AFTER_STDIN, hide = true)]
        after_stdin: bool,
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Send this compiler too, as the link will name it
        #[arg(long, value_name = "COMPILER")]
        compiler: Option<String>,
    },

    /// The process that keeps connections: `daemon status|stop`
    Daemon {
        #[arg(value_name = "status|stop", default_value = "status")]
        #[arg(hide_possible_values = true)]
        action: DaemonAction,
    },

    /// What the last links did
    Stats(StatsRequest),

    /// A page of the last link: what ran where, when and why
    #[command(override_usage = "relto report [--last N] [OUTPUT|JOBS.json] [-o FILE]")]
    Report(ReportRequest),

    /// The disk cache: `cache show|trim|clear`
    Cache {
        #[arg(value_name = "show|trim|clear", default_value = "show")]
        #[arg(hide_possible_values = true)]
        action: CacheAction,
    },

    /// Why jobs ran: what made the keys of the last link others
    #[command(
        override_usage = "relto explain [--last] [MODULE]\n       relto explain JOBS.json [EARLIER]"
    )]
    Explain(ExplainRequest),

    /// Look into a ThinLTO index: `index show|inputs|check FILE`
    Index(IndexLook),

    /// Print shell completions
    Completions { shell: Shell },

    /// Write the manual pages into a directory
    Man {
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },

    /// Show the version, as --version does
    Version,
}

/// Which keys to explain.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ExplainRequest {
    /// Module of the last link; or a job file, whose whole keys are shown
    #[arg(value_name = "MODULE|JOBS.json")]
    pub(super) subject: Option<PathBuf>,
    /// Job file of an earlier link, or what this command wrote of it: only differences are shown
    #[arg(requires = "subject", conflicts_with = "last")]
    pub(super) earlier: Option<PathBuf>,
    /// Compare the last two links of one output, as without a job file
    #[arg(long, value_name = "MODULE", num_args = 0..=1, default_missing_value = "")]
    pub(super) last: Option<String>,
}

/// The moment from which links count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// This long before now.
    Ago(Duration),
    /// Seconds since 1970.
    At(u32),
}

fn since(text: &str) -> Result<Since, String> {
    match text.strip_prefix('@') {
        Some(seconds) => {
            let seconds = seconds.parse();
            seconds.map(Since::At).map_err(|error| error.to_string())
        }
        None => time_span(text).map(Since::Ago).map_err(|error| {
            format!("{error}; a moment is @ and the seconds since 1970, as `date -d yesterday +@%s` prints it")
        }),
    }
}

/// Which links to show, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct StatsRequest {
    /// Links to list, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(super) last: usize,
    /// Only links that ended so long ago at most (2h, 7d), or after @SECONDS since 1970
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) since: Option<Since>,
    /// Answer in JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Forget all links that were recorded, also for `report` and `explain`
    #[arg(long, conflicts_with_all = ["last", "since", "json"])]
    pub(super) zero: bool,
}

/// Which link to make a page of.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ReportRequest {
    /// Output of the link, or its job file; else the last link of all
    #[arg(value_name = "OUTPUT|JOBS.json")]
    pub(super) subject: Option<PathBuf>,
    /// The Nth newest of those links
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) last: u32,
    /// Where to write the page; `-` for standard output
    #[arg(short, long, value_name = "FILE", default_value = "relto-report.html")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CacheAction {
    Show,
    Trim,
    Clear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DaemonAction {
    Status,
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum IndexAction {
    Show,
    Inputs,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum IndexFormat {
    Text,
    Json,
    /// As lld's `--thinlto-emit-imports-files` has it; for `inputs`
    Imports,
}

/// What is wanted of which index.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct IndexLook {
    #[arg(value_name = "show|inputs|check", hide_possible_values = true)]
    pub(super) action: IndexAction,
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: IndexFormat,
    /// For imports: the module that the index is for, where its name does not say so
    #[arg(long, value_name = "NAME")]
    pub(super) module: Option<String>,
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// Reads `arguments`, the first of which is the program's own name.
///
/// # Errors
/// clap's own, a request for help or version among them.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    shorten_help(&mut arguments);
    let mut ignored = Vec::new();
    let matches = loop {
        // Giving a command its sixty options takes longer than all else that a cached compile does.
        let may_be_used = |name: &str| arguments.iter().any(|word| word == name);
        let read = parser_with(may_be_used).try_get_matches_from(&arguments);
        match read.and_then(|matches| without_unknown_option(matches, &arguments)) {
            Ok(matches) => break matches,
            Err(error) => match unused_of_bazel(&error, &arguments) {
                Some(at) => ignored.push(flag_of(&arguments.remove(at))),
                None => return Err(error),
            },
        }
    };
    let mut options = options::assignments(&matches);
    if let Some((_, inner)) = matches.subcommand() {
        options.extend(options::assignments(inner));
    }
    let command = command(&matches)?;
    Ok(Invocation {
        options,
        command,
        ignored,
    })
}

/// Makes `relto help COMMAND` ask for what `relto COMMAND --help` says: of itself it lists every option.
fn shorten_help(arguments: &mut Vec<OsString>) {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    match words[words.len().min(1)..] {
        ["help"] => arguments[1] = "--help".into(),
        ["help", "-h" | "--help" | "--help-all"] => {
            arguments.remove(1);
        }
        ["help", command] if is_command(command) => {
            arguments.remove(1);
            arguments.push("--help".into());
        }
        _ => {}
    }
}

fn command(matches: &ArgMatches) -> Result<Command, clap::Error> {
    let line = CommandLine::from_arg_matches(matches)?;
    match (line.command, line.job_file) {
        (Some(command), _) => Ok(command),
        (None, Some(jobs)) => Ok(Command::Distribute(jobs)),
        (None, None) => Err(parser().error(
            ErrorKind::MissingRequiredArgument,
            "the job file is missing",
        )),
    }
}

/// The parser, whole.
pub(super) fn parser() -> clap::Command {
    parser_with(|_| true)
}

/// The parser for manual pages: that of relto tells of every option, and those of commands refer to
/// it.
pub(super) fn manual_parser() -> clap::Command {
    let told = |arg: Arg| match arg.get_help().cloned() {
        Some(help) => arg.long_help(help),
        None => arg,
    };
    let see_relto = "It also accepts the options of relto(1).";
    parser_with(|_| false)
        .mut_args(told)
        .mut_subcommands(|command| command.after_help(see_relto))
}

/// The parser, in which only the commands that may be used take relto's options.
fn parser_with(may_be_used: impl Fn(&str) -> bool) -> clap::Command {
    let takes_options = |command: clap::Command| {
        // An argument of the command's own goes before the option of that name.
        let own: Vec<_> = command
            .get_arguments()
            .filter_map(|arg| arg.get_long().map(str::to_owned))
            .collect();
        let is_free = |arg: &Arg| {
            arg.get_long()
                .is_none_or(|long| own.iter().all(|it| it != long))
        };
        let options: Vec<_> = options::options().filter(is_free).collect();
        command.args(options).args(help())
    };
    takes_options(CommandLine::command()).mut_subcommands(|command| {
        if !may_be_used(command.get_name()) {
            return command;
        }
        let command = command
            .disable_help_flag(true)
            .args_override_self(true)
            .after_help("It also accepts relto's options: --help-all lists them.")
            .after_long_help("`relto --help-all` also says where options come from.");
        takes_options(command).mut_args(|arg| {
            let is_own = !options::is_option(&arg);
            if is_own {
                arg
            } else {
                arg.hide_short_help(true)
            }
        })
    })
}

/// The common options, or all of them.
fn help() -> [Arg; 2] {
    [
        Arg::new("help")
            .short('h')
            .long("help")
            .help("The common options")
            .action(ArgAction::HelpShort),
        Arg::new("help-all")
            .long("help-all")
            .help("Every option, and where options come from")
            .action(ArgAction::HelpLong),
    ]
}

/// The parser without relto's options: what is known of the program and its commands.
pub(super) fn bare_parser() -> clap::Command {
    CommandLine::command()
}

pub(super) fn is_command(word: &str) -> bool {
    bare_parser().find_subcommand(word).is_some()
}

/// The command that `word` was probably meant to be.
pub(super) fn nearest_command(word: &str) -> Option<String> {
    let parser = bare_parser();
    let names = parser.get_subcommands().map(clap::Command::get_name);
    nearest(word, names).map(str::to_owned)
}
