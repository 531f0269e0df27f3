//! A `.bazelrc` as a source of options: its flags for remote execution are relto's own.
//!
//! Of the lines for `common`, `always` and `build`, and of their `:NAME` groups, only flags about
//! remote execution, TLS, build events and credentials count; those that mean nothing here are left
//! out with one note, those that Bazel does not have are warned of, and all others concern Bazel
//! alone.

mod flags;
mod known;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::covered::CoveredFile;
use super::environment::Environment;
use super::error::{ConfigError, Warning};
use super::source::{ConfigEntry, ConfigSource};
pub(crate) use known::is_unused_bazel_flag;

/// What the root of a workspace holds.
const WORKSPACE_MARKS: [&str; 4] = ["MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE"];

/// Stands for the workspace in paths.
const WORKSPACE: &str = "%workspace%";

/// What a file and those that it imports set.
#[derive(Debug, Clone, Default)]
pub(super) struct Bazelrc {
    pub(super) plain: Vec<ConfigEntry>,
    /// By `NAME` of `build:NAME`.
    pub(super) groups: BTreeMap<String, Vec<ConfigEntry>>,
    pub(super) paths: Vec<PathBuf>,
    /// Those that come with somebody's sources.
    pub(super) files_in_tree: Vec<CoveredFile>,
    /// Flags that mean nothing here, sorted, without their values.
    pub(super) ignored: Vec<String>,
    /// One for each flag that Bazel would refuse.
    pub(super) misspelt: Vec<Warning>,
}

/// Reads the file at `path`. It comes with somebody's sources if `in_tree`, or by its place.
///
/// # Errors
/// It, or a file that it imports, cannot be read, or its groups choose each other too often.
pub(super) fn read(
    path: &Path,
    in_tree: bool,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Bazelrc, ConfigError> {
    let mut reader = BazelrcReader {
        environment,
        workspace: workspace_of(path),
        lines: Vec::new(),
        found: Bazelrc::default(),
    };
    reader.file(path, in_tree, true, warnings)?;
    reader.finish(path)
}

/// The directory that holds the workspace of the file at `path`; else its own.
fn workspace_of(path: &Path) -> PathBuf {
    let dir = path.parent().unwrap_or(path);
    let is_root = |dir: &&Path| WORKSPACE_MARKS.iter().any(|mark| dir.join(mark).exists());
    dir.ancestors().find(is_root).unwrap_or(dir).to_owned()
}

/// The flags of one line.
struct Line {
    /// Empty for lines without `:NAME`.
    group: String,
    /// Bazel reads all lines for every command before those for `build`.
    is_common: bool,
    words: Vec<String>,
    source: ConfigSource,
}

struct BazelrcReader<'a> {
    environment: &'a Environment,
    workspace: PathBuf,
    lines: Vec<Line>,
    found: Bazelrc,
}
