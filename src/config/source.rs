//! Raw values, and where each was written.

use std::fmt;
use std::path::{Path, PathBuf};

use super::options::Opt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    CommandLine,
    /// The variable's name.
    Environment(String),
    File {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The file is a `.relto.toml`, which is part of a source tree.
        in_tree: bool,
    },
    Default,
}

impl ConfigSource {
    /// The directory that a relative path of this source starts from.
    pub(super) fn base<'a>(&'a self, current_dir: &'a Path) -> &'a Path {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(current_dir),
            Self::CommandLine | Self::Environment(_) | Self::Default => current_dir,
        }
    }

    pub(super) fn is_tree(&self) -> bool {
        matches!(self, Self::File { in_tree: true, .. })
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("from the command line"),
            Self::Environment(variable) => write!(f, "from the environment variable `{variable}`"),
            Self::File { path, line, .. } => write!(f, "from `{}` line {line}", path.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// One source sets one option. A scalar may occur several times in one source; the last one counts.
#[derive(Clone)]
pub struct ConfigEntry {
    pub option: &'static Opt,
    pub values: Vec<String>,
    pub source: ConfigSource,
}

impl ConfigEntry {
    pub(super) fn raw_values(&self) -> impl Iterator<Item = RawValue> {
        self.values.iter().map(|text| RawValue {
            text: text.clone(),
            source: self.source.clone(),
        })
    }
}

impl fmt::Debug for ConfigEntry {
    /// Secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|text| self.option.shown(text));
        write!(f, "{} = ", self.option.name)?;
        f.debug_list().entries(shown).finish()
    }
}

/// A value before it is parsed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RawValue {
    pub(super) text: String,
    pub(super) source: ConfigSource,
}

/// The value in force of an option, in printable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    pub name: &'static str,
    /// Secrets are masked.
    pub value: String,
    pub source: ConfigSource,
}
