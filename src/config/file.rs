//! One configuration file: what it sets, with line numbers, and its `[config.NAME]` tables.
//!
//! Every key is an option of the table; an unknown key is an error, since a mistyped option must
//! not be silently without effect. Which files are read is decided in `find`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::options::{Class, Opt, OptionKind};
use super::source::{ConfigEntry, ConfigSource};
use super::table::{BAZELRC, CONFIG};

/// What one file sets.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFile {
    pub(super) plain: Vec<ConfigEntry>,
    /// By `NAME` of `[config.NAME]`.
    pub(super) tables: BTreeMap<String, Vec<ConfigEntry>>,
}

/// The file that is parsed, for messages.
struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    in_tree: bool,
}

/// Reads the text of the file at `path`, which is a `.relto.toml` if `in_tree`.
///
/// # Errors
/// The text is not TOML, a key is unknown or not allowed here, or a value is of the wrong type.
pub(super) fn parse(path: &Path, text: &str, in_tree: bool) -> Result<ConfigFile, ConfigError> {
    let document = Document {
        path,
        text,
        in_tree,
    };
    let root = DeTable::parse(text).map_err(|error| document.not_toml(&error))?;
    let mut file = ConfigFile::default();
    for (key, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Table(tables) if key.get_ref() == "config" => {
                file.tables = config_tables(&document, tables)?;
            }
            _ => file.plain.push(assignment(&document, key, value)?),
        }
    }
    Ok(file)
}

type TomlKey<'a> = Spanned<std::borrow::Cow<'a, str>>;

fn config_tables(
    document: &Document<'_>,
    tables: &DeTable<'_>,
) -> Result<BTreeMap<String, Vec<ConfigEntry>>, ConfigError> {
    let mut found = BTreeMap::new();
    for (name, table) in tables {
        let DeValue::Table(keys) = table.get_ref() else {
            let key = format!("config.{}", name.get_ref());
            return Err(document.wrong_type(&key, table, "a table"));
        };
        let mut assignments = Vec::new();
        for (key, value) in keys {
            // Both are read before any table is chosen.
            if [CONFIG.name, BAZELRC.name].contains(&&**key.get_ref()) {
                return Err(ConfigError::InTable {
                    path: document.path.to_owned(),
                    line: document.line(&key.span()),
                    key: key.get_ref().to_string(),
                });
            }
            assignments.push(assignment(document, key, value)?);
        }
        found.insert(name.get_ref().to_string(), assignments);
    }
    Ok(found)
}

fn assignment(
    document: &Document<'_>,
    key: &TomlKey<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Result<ConfigEntry, ConfigError> {
    let Some(option) = Opt::find(key.get_ref()) else {
        return Err(document.unknown(key, Opt::nearest(key.get_ref())));
    };
    if document.in_tree && option.class == Class::UserOnly {
        return Err(ConfigError::NotInTree {
            path: document.path.to_owned(),
            line: document.line(&key.span()),
            key: option.name,
        });
    }
    let values = match option.kind() {
        OptionKind::List => list(document, option, value)?,
        OptionKind::Selection => items(document, option, value)?,
        OptionKind::Switch | OptionKind::Value => vec![scalar(document, option.name, value)?],
    };
    Ok(ConfigEntry {
        option,
        values,
        source: ConfigSource::File {
            path: document.path.to_owned(),
            line: document.line(&key.span()),
            in_tree: document.in_tree,
        },
    })
}

/// `["k=v"]`, `{ k = "v" }` or a single `"k=v"`.
fn list(
    document: &Document<'_>,
    option: &Opt,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, ConfigError> {
    match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| {
                let name = format!("{}.{}", option.name, key.get_ref());
                Ok(format!(
                    "{}={}",
                    key.get_ref(),
                    scalar(document, &name, value)?
                ))
            })
            .collect(),
        _ => items(document, option, value),
    }
}

fn items(
    document: &Document<'_>,
    option: &Opt,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, ConfigError> {
    match value.get_ref() {
        DeValue::Array(items) => items
            .iter()
            .map(|item| scalar(document, option.name, item))
            .collect(),
        _ => Ok(vec![scalar(document, option.name, value)?]),
    }
}

/// A value as text: it is parsed later, in one way for all sources.
fn scalar(
    document: &Document<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<String, ConfigError> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        _ => Err(document.wrong_type(key, value, "a string, a number or a boolean")),
    }
}

impl Document<'_> {
    /// The line, counted from 1, on which `span` begins.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn not_toml(&self, error: &toml::de::Error) -> ConfigError {
        let path = self.path.to_owned();
        let line = self.line(&error.span().unwrap_or_default());
        let (root, _) = DeTable::parse_recoverable(self.text);
        let chooses = root.get_ref().get(CONFIG.name);
        let chooses = chooses.is_some_and(|it| !matches!(it.get_ref(), DeValue::Table(_)));
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        if chooses && text.trim_start_matches(['[', ' ']).starts_with("config") {
            return ConfigError::ConfigAndTables { path, line };
        }
        ConfigError::NotToml {
            path,
            line,
            reason: error.message().replace('\n', ", "),
        }
    }

    fn unknown(&self, key: &TomlKey<'_>, nearest: Option<&'static str>) -> ConfigError {
        ConfigError::UnknownKey {
            path: self.path.to_owned(),
            line: self.line(&key.span()),
            key: key.get_ref().to_string(),
            nearest,
        }
    }

    fn wrong_type(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
    ) -> ConfigError {
        ConfigError::WrongType {
            path: self.path.to_owned(),
            line: self.line(&value.span()),
            key: key.to_owned(),
            found: value.get_ref().type_str(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rendered;

    fn refused(text: &str) -> String {
        let error = parse(Path::new("/p/.relto.toml"), text, true).expect_err("refused");
        Rendered(&error).to_string()
    }

    #[test]
    fn a_file_whose_values_or_tables_nest_deeply_is_an_error_and_no_stack_overflow() {
        let parts = "a.".repeat(100_000);
        for text in [
            format!("jobs = {}", "[".repeat(500_000)),
            format!("jobs = {}", "{a=".repeat(300_000)),
            format!("{parts}a = 1\n"),
            format!("[config.{parts}a]\njobs = 1\n"),
        ] {
            refused(&text);
        }
    }

    #[test]
    fn every_shape_of_a_value_becomes_the_text_that_a_flag_would_have() {
        let text = "jobs = 7\nverify = 2.5\nremote_accept_cached = false\nremote_timeout = \"2m\"\n\
            remote_default_exec_properties = { OSFamily = \"linux\" }\nremote_header = [\"a=1\", \"b=2\"]\n\
            [config.farm]\nremote_executor = \"grpc://f:1\"\n";
        let file = parse(Path::new("/p/c.toml"), text, false).expect("good");
        let mut shown: Vec<_> = file
            .plain
            .iter()
            .map(|set| format!("{}:{:?}", set.option.name, set.values))
            .collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                r#"jobs:["7"]"#,
                r#"remote_accept_cached:["false"]"#,
                r#"remote_default_exec_properties:["OSFamily=linux"]"#,
                r#"remote_header:["a=1", "b=2"]"#,
                r#"remote_timeout:["2m"]"#,
                r#"verify:["2.5"]"#,
            ]
        );
        assert_eq!(
            file.tables["farm"][0].source.to_string(),
            "from `/p/c.toml` line 8"
        );
    }

    #[test]
    fn mistakes_name_file_key_line_and_neighbour() {
        insta::assert_snapshot!(refused("jobs = 1\nremote_executr = \"x\"\n"), @r"
        `/p/.relto.toml` line 2: unknown key `remote_executr`
          hint: did you mean `remote_executor`?
        ");
        insta::assert_snapshot!(refused("jobs = [[1]]\n"), @"`/p/.relto.toml` line 1: `jobs` is array, but must be a string, a number or a boolean");
        insta::assert_snapshot!(refused("[config.farm]\n\njob = 1\n"), @r"
        `/p/.relto.toml` line 3: unknown key `job`
          hint: did you mean `jobs`?
        ");
        insta::assert_snapshot!(refused("config.farm = 1"), @"`/p/.relto.toml` line 1: `config.farm` is integer, but must be a table");
        insta::assert_snapshot!(refused("jobs = \n"), @"`/p/.relto.toml` line 1 is not valid TOML: string values must be quoted, expected literal string");
    }

    #[test]
    fn what_chooses_tables_and_files_stands_outside_of_tables() {
        insta::assert_snapshot!(refused("[config.a]\njobs = 1\nbazelrc = \"x\"\n"), @r"
        `/p/.relto.toml` line 3: `bazelrc` must stand outside of `[config.NAME]` tables
          hint: write it above the first table
        ");
        insta::assert_snapshot!(refused("[config.a]\nconfig = \"b\"\n"), @r"
        `/p/.relto.toml` line 2: `config` must stand outside of `[config.NAME]` tables
          hint: write it above the first table
        ");
        for chosen in ["\"a\"", "[\"a\"]"] {
            let said = refused(&format!("config = {chosen}\n\n[config.a]\njobs = 2\n"));
            let expected = "a file with a `[config.NAME]` table cannot set `config`";
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_source_tree_may_not_name_programs_to_run() {
        insta::assert_snapshot!(refused("credential_helper = \"./steal\"\n"), @r"
        `/p/.relto.toml` line 1: a `.relto.toml` must not set `credential_helper`
          hint: the file comes with a source tree; use the command line, the environment or your own `config.toml`
        ");
    }

    #[test]
    fn a_flood_of_unknown_keys_is_one_short_message() {
        let keys = |name: &str| {
            let lines: Vec<_> = (0..60_000).map(|at| format!("{name}{at} = 1")).collect();
            lines.join("\n")
        };
        for text in [keys("x"), format!("[config.a]\n{}", keys("job"))] {
            let said = refused(&text);
            assert!(said.contains("unknown key"), "{said}");
            assert!(said.len() < 1000, "{}", said.len());
        }
    }
}
