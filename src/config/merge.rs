//! Which of several sources wins.
//!
//! Enters: what each source sets, as text. Leaves: `Values`, the text that counts for every option
//! and where it was written. What the text means is the business of `settings`.
//!
//! The strongest source that sets an option decides. Lists are gathered from all sources; an item
//! with the same key as one from a weaker source replaces it, and an empty item
//! (`--remote-header=`) drops all that came before it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::options::{Kind, OPTIONS, Opt};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    CommandLine,
    /// The variable's name.
    Environment(String),
    File {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// It is a `.relto.toml`.
        project: bool,
    },
    Default,
}

impl Source {
    /// The directory that a relative path of this source starts from.
    pub(super) fn base<'a>(&'a self, current_dir: &'a Path) -> &'a Path {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(current_dir),
            Self::CommandLine | Self::Environment(_) | Self::Default => current_dir,
        }
    }

    pub(super) fn is_project(&self) -> bool {
        matches!(self, Self::File { project: true, .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("from the command line"),
            Self::Environment(variable) => write!(f, "from the environment variable `{variable}`"),
            Self::File { path, line, .. } => write!(f, "from `{}` line {line}", path.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// One source sets one option. Scalars have one value, the last one given.
#[derive(Clone)]
pub struct Assignment {
    pub option: &'static Opt,
    pub values: Vec<String>,
    pub source: Source,
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|text| shown(self.option, text));
        write!(f, "{} = ", self.option.name)?;
        f.debug_list().entries(shown).finish()
    }
}

/// One text that counts, and where it was written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) source: Source,
}

/// For each option of the table, in its order, the texts that count. None where nobody set it.
#[derive(Clone)]
pub struct Values(Vec<Vec<Text>>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.described()).finish()
    }
}

/// An option that somebody set, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: &'static str,
    /// Secrets are masked.
    pub value: String,
    pub source: Source,
}

impl Values {
    /// `layers` stand in order, the strongest first.
    pub(super) fn merge(layers: &[Vec<Assignment>]) -> Self {
        let of = |option: &'static Opt| {
            let of_layer = |layer: &[Assignment]| -> Vec<Text> {
                layer
                    .iter()
                    .filter(|assignment| assignment.option.name == option.name)
                    .flat_map(texts)
                    .collect()
            };
            let by_strength = layers.iter().map(|layer| of_layer(layer));
            match option.kind {
                Kind::Bool | Kind::Value => strongest(by_strength).pop().into_iter().collect(),
                Kind::Choice => strongest(by_strength),
                Kind::List => gathered(option, by_strength.rev()),
            }
        };
        Self(OPTIONS.iter().map(of).collect())
    }

    /// The one text of a scalar option.
    ///
    /// # Panics
    /// There is no such option: a slip in this program, not in its input.
    pub(super) fn one(&self, name: &str) -> Option<&Text> {
        self.all(name).1.last()
    }

    /// The option and all its texts.
    ///
    /// # Panics
    /// As `one`.
    pub(super) fn all(&self, name: &str) -> (&'static Opt, &[Text]) {
        let index = OPTIONS
            .iter()
            .position(|option| option.name == name)
            .expect("settings asks only for names of the table");
        (&OPTIONS[index], &self.0[index])
    }

    /// All that somebody set, in the order of the table.
    pub fn described(&self) -> impl Iterator<Item = Described> {
        let pairs = OPTIONS.iter().zip(&self.0);
        pairs.flat_map(|(option, texts)| {
            texts.iter().map(|text| Described {
                name: option.name,
                value: shown(option, &text.text),
                source: text.source.clone(),
            })
        })
    }
}

fn texts(assignment: &Assignment) -> impl Iterator<Item = Text> {
    assignment.values.iter().map(|text| Text {
        text: text.clone(),
        source: assignment.source.clone(),
    })
}

fn strongest(mut by_strength: impl Iterator<Item = Vec<Text>>) -> Vec<Text> {
    by_strength
        .find(|texts| !texts.is_empty())
        .unwrap_or_default()
}

fn gathered(option: &Opt, from_weakest: impl Iterator<Item = Vec<Text>>) -> Vec<Text> {
    let key = |text: &Text| key(option, &text.text);
    let mut gathered: Vec<Text> = Vec::new();
    for mut layer in from_weakest {
        if let Some(last_clear) = layer.iter().rposition(|item| item.text.is_empty()) {
            gathered.clear();
            layer.drain(..=last_clear);
        }
        gathered.retain(|old| layer.iter().all(|new| key(new) != key(old)));
        gathered.append(&mut layer);
    }
    gathered
}

/// What makes two items the same setting: the name, which for headers has no case.
fn key(option: &Opt, item: &str) -> String {
    let name = item.split_once('=').map_or("", |(name, _)| name).trim();
    if option.secret {
        name.to_ascii_lowercase()
    } else {
        name.to_owned()
    }
}

/// `text` as it may be shown: of a secret only its name.
pub(super) fn shown(option: &Opt, text: &str) -> String {
    match text.split_once('=') {
        _ if !option.secret => text.to_owned(),
        Some((name, _)) => format!("{name}=***"),
        None if text.is_empty() => String::new(),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, values: &[&str]) -> Assignment {
        Assignment {
            option: Opt::find(name).expect("an option"),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            source: Source::CommandLine,
        }
    }

    fn merged(name: &str, layers: &[&[&str]]) -> Vec<String> {
        let layers: Vec<_> = layers
            .iter()
            .map(|values| vec![set(name, values)])
            .collect();
        let values = Values::merge(&layers);
        let (_, texts) = values.all(name);
        texts.iter().map(|text| text.text.clone()).collect()
    }

    #[test]
    fn a_scalar_is_the_last_one_of_the_strongest_source() {
        assert_eq!(merged("jobs", &[&["1", "2"], &["3"]]), ["2"]);
    }

    #[test]
    fn lists_are_gathered_and_equal_keys_replaced() {
        let name = "remote_default_exec_properties";
        assert_eq!(merged(name, &[&["b=2"], &["a=1", "b=1"]]), ["a=1", "b=2"]);
        assert_eq!(merged(name, &[&["", "c=3"], &["a=1"]]), ["c=3"]);
        assert_eq!(
            merged("remote_header", &[&["X-A=2"], &["x-a=1"]]),
            ["X-A=2"]
        );
    }

    #[test]
    fn repeated_headers_of_one_source_all_count() {
        assert_eq!(merged("remote_header", &[&["a=1", "a=2"]]), ["a=1", "a=2"]);
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_shown() {
        let layers = [vec![set(
            "remote_header",
            &["authorization=Bearer hunter2"],
        )]];
        assert!(!format!("{layers:?}").contains("hunter2"));
        let values = Values::merge(&layers);
        assert!(!format!("{values:?}").contains("hunter2"));
        assert!(format!("{values:?}").contains("authorization=***"));
    }
}
