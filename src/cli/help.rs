//! The parts of the help besides commands and options.

/// `--version`: the version, the commit of a release build, and what this relto can talk to.
pub(super) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    env!("RELTO_ORIGIN"),
    "\nREAPI 2.0 and later; SHA256, BLAKE3; zstd; TLS, Unix sockets, credential helpers"
);

/// What `relto` alone says on a terminal.
pub(super) const FIRST_STEPS: &str = "\
relto runs the backend jobs of ThinLTO links: from a cache, on a farm, or here.

  relto doctor    is my toolchain fit, and the farm?
  clang -flto=thin -fuse-ld=lld -fthinlto-distributor=$(command -v relto) ...
                  link through relto
  relto stats     what the last links did

relto --help shows the other commands and the common options.
";

pub(super) const USAGE: &str = "\
relto [OPTIONS] JOBS.json    (what lld runs: -fthinlto-distributor=relto)
       relto COMMAND [OPTIONS]";

pub(super) const MORE: &str =
    "Each may be a variable (RELTO_JOBS), or stand in .relto.toml: relto --help-all";

pub(super) const SOURCES: &str = "\
Names are Bazel's where Bazel has one; --remote_executor and --noquiet work, too.

Where options come from, the strongest first:
  the command line
  variables: RELTO_REMOTE_EXECUTOR; items of a list one a line, or with commas
  [config.NAME] tables of the files, chosen by --config=NAME
  .relto.toml here or in a parent directory; ignored if others may write it,
    and its sensitive settings wait for `relto allow`
  $XDG_CONFIG_HOME/relto/config.toml, or ~/.config/relto/config.toml
Repeatable options add up; an empty one (--remote-header=) drops earlier ones.

Other variables:
  RELTO_LOG          what to log to stderr: info, debug, relto::reapi=trace
  RELTO_NO_PROGRESS  no progress bar
  NO_COLOR           no colours";
