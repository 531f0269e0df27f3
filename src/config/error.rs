//! What can be wrong with a configuration, and the way out: errors that end the program with exit
//! code 2, and warnings that do not. Each names the place where the user wrote the value.

use std::path::PathBuf;

use super::value::USE_OWN_SOURCE;
use crate::error::Hinted;

/// A setting that relto ignores although it was meant to have an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub text: String,
    pub hint: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration")]
    Unreadable(#[source] std::io::Error),
    #[error("`{}` is not valid UTF-8", path.display())]
    FileNotUtf8 { path: PathBuf },
    #[error("`{}` is longer than 1 MiB: no configuration is", path.display())]
    TooLong { path: PathBuf },
    #[error("`{}` line {line} is not valid TOML: {reason}", path.display())]
    NotToml {
        path: PathBuf,
        line: usize,
        reason: String,
    },
    #[error("`{}` line {line}: unknown key `{key}`", path.display())]
    UnknownKey {
        path: PathBuf,
        line: usize,
        key: String,
        nearest: Option<&'static str>,
    },
    #[error("`{}` line {line}: `{key}` must stand outside of `[config.NAME]` tables", path.display())]
    InTable {
        path: PathBuf,
        line: usize,
        key: String,
    },
    #[error("`{}` line {line}: a file with a `[config.NAME]` table cannot set `config`", path.display())]
    ConfigAndTables { path: PathBuf, line: usize },
    #[error("`{}` line {line}: `{key}` is {found}, but must be {expected}", path.display())]
    WrongType {
        path: PathBuf,
        line: usize,
        key: String,
        found: &'static str,
        expected: &'static str,
    },
    #[error("`{}` line {line}: a `.relto.toml` must not set `{key}`", path.display())]
    NotInTree {
        path: PathBuf,
        line: usize,
        key: &'static str,
    },
    #[error("`bazelrc` names `{}`, which is not there", path.display())]
    NoBazelrc { path: PathBuf },
    #[error("`{}` and what it imports have more than {most} flags to follow", path.display())]
    BazelrcTooLarge { path: PathBuf, most: usize },
    #[error("groups of `{}` and what it imports choose each other more than {most} deep", path.display())]
    BazelrcTooDeep { path: PathBuf, most: usize },
    #[error("the environment variable `{variable}` is not valid UTF-8")]
    NotUtf8 { variable: String },
    /// `value` is fit to be shown.
    #[error("invalid value `{value}` for `{name}` ({source_of_value}): {reason}")]
    BadValue {
        name: &'static str,
        value: String,
        source_of_value: String,
        reason: String,
        hint: Option<String>,
    },
    #[error("no configuration file has a table `[config.{name}]`")]
    UnknownConfig { name: String, known: Vec<String> },
    #[error("`{one}` and `{other}` cannot be used together")]
    Contradiction {
        one: &'static str,
        other: &'static str,
        hint: &'static str,
    },
    #[error("`{name}` needs `{needs}`")]
    Missing {
        name: &'static str,
        needs: &'static str,
    },
}

impl Hinted for ConfigError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::UnknownKey { nearest, .. } => match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`relto --help-all` lists every option; keys are spelled with underscores"
                    .to_owned(),
            },
            Self::NotInTree { .. } => USE_OWN_SOURCE.to_owned(),
            Self::InTable { .. } => "write it above the first table".to_owned(),
            Self::ConfigAndTables { .. } => {
                "in TOML one name is a value or a table: choose the table with `--config=NAME` or `RELTO_CONFIG`, or write its settings outside of it"
                    .to_owned()
            }
            Self::BadValue {
                hint: Some(hint), ..
            } => hint.clone(),
            Self::UnknownConfig { known, .. } if known.is_empty() => {
                "no file that was read has a `[config.NAME]` table".to_owned()
            }
            Self::UnknownConfig { known, .. } => format!("the files have {}", listed(known)),
            Self::Contradiction { hint, .. } => (*hint).to_owned(),
            Self::Missing { needs, .. } => format!("set `{needs}` too"),
            Self::BazelrcTooLarge { .. } => {
                "groups that choose each other with `--config` again and again are followed each time"
                    .to_owned()
            }
            Self::Unreadable(_)
            | Self::FileNotUtf8 { .. }
            | Self::TooLong { .. }
            | Self::NotToml { .. }
            | Self::WrongType { .. }
            | Self::NotUtf8 { .. }
            | Self::NoBazelrc { .. }
            | Self::BazelrcTooDeep { .. }
            | Self::BadValue { hint: None, .. } => return Vec::new(),
        };
        vec![hint]
    }
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
