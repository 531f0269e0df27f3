//! [`Opt`], the type of an entry in the [`table`](super::table) of options.

use std::fmt;

use super::address::{shown_address, with_hidden_login};
use super::field::Field;
use super::source::{ConfigSource, RawValue};
pub use super::table::OPTIONS;
use super::value::{InvalidValue, ValueText, is_pem};
use crate::text::is_control;

/// The prefix of every option's environment variable.
pub(crate) const PREFIX: &str = "RELTO_";

/// A heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Where,
    Farm,
    Security,
    Cache,
    Output,
}

impl Group {
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Where => "Where jobs run",
            Self::Farm => "Talking to the farm",
            Self::Security => "Identity and encryption",
            Self::Cache => "Cache",
            Self::Output => "Output and configuration",
        }
    }
}

/// How often an option may be given, and what a repetition means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `--name`, `--no-name`, `--name=false`; the last one counts.
    Switch,
    /// `--name=VALUE`; the last one counts.
    Value,
    /// `--name=VALUE` any number of times. All sources count, see [`super::merge`].
    List,
    /// Like `List`, of names: each is another item.
    Selection,
}

/// Whether a `.relto.toml`, which is part of a source tree, may set an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Set it: the worst that follows is a slow link of this tree.
    Harmless,
    /// Set it to what takes no more of the machine, the farm or the user's time than what is in force
    /// without the file, and to more once the user has allowed that.
    Lowered,
    /// Set it once the user has allowed the file: the value says where sources or credentials go,
    /// what is written where, or how much of what caches hold is verified.
    Sensitive,
    /// Never set it: the value names a program to run.
    UserOnly,
}

/// Where relto writes what it writes to the path of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// To the file of that name, which is replaced if it is a link.
    File,
    /// Into the directory of that name, or that it leads to.
    Dir,
}

/// The value of an option that no source sets.
#[derive(Debug, Clone, Copy)]
pub(super) enum DefaultValue {
    /// A value, in the form in which a user would write it.
    Value(&'static str),
    /// A description of what happens without a value; or nothing.
    Described(&'static str),
}

/// One option.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a property of its own in the table"
)]
pub struct Opt {
    /// As Bazel and the TOML file spell it, with underscores.
    pub name: &'static str,
    /// The placeholder of the value in the help. Empty for switches.
    pub value_name: &'static str,
    /// One line, without a full stop.
    pub help: &'static str,
    pub group: Group,
    /// Shown by `--help`; the others by `--help-all`.
    pub common: bool,
    pub class: Class,
    /// The value must never be shown.
    pub secret: bool,
    /// It names a server.
    pub(super) address: bool,
    /// It proves to a server who the user is.
    pub(super) credential: bool,
    /// It names something that is written.
    pub(super) written: Option<Written>,
    pub(super) default: DefaultValue,
    pub(super) field: &'static dyn Field,
    /// The parser sees an empty value; for other options it means the default.
    pub(super) empty_is_a_value: bool,
    /// How much a value of a [`Class::Lowered`] option takes.
    pub(super) measure: Option<Measure>,
}

/// A number that is larger for a value that takes more. No value means the default, where no value
/// expresses that.
pub(super) type Measure = fn(Option<&ValueText<'_>>) -> Result<u64, InvalidValue>;

impl fmt::Debug for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opt({})", self.name)
    }
}

impl Opt {
    pub(super) const fn new(
        group: Group,
        name: &'static str,
        value_name: &'static str,
        help: &'static str,
        field: &'static dyn Field,
    ) -> Self {
        Self {
            name,
            value_name,
            help,
            group,
            common: false,
            class: Class::Harmless,
            secret: false,
            address: false,
            credential: false,
            written: None,
            default: DefaultValue::Described(""),
            field,
            empty_is_a_value: false,
            measure: None,
        }
    }

    /// The default, as a user would write it.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = DefaultValue::Value(value);
        self
    }

    /// Describes what happens if no source sets the option and no value expresses it.
    pub(super) const fn otherwise(mut self, description: &'static str) -> Self {
        self.default = DefaultValue::Described(description);
        self
    }

    pub(super) const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Self {
        self.class = Class::Sensitive;
        self
    }

    pub(super) const fn lowered(mut self, measure: Measure) -> Self {
        self.class = Class::Lowered;
        self.measure = Some(measure);
        self
    }

    pub(super) const fn user_only(mut self) -> Self {
        self.class = Class::UserOnly;
        self
    }

    pub(super) const fn address(mut self) -> Self {
        self.address = true;
        self
    }

    pub(super) const fn credential(mut self) -> Self {
        self.credential = true;
        self
    }

    pub(super) const fn written_file(mut self) -> Self {
        self.written = Some(Written::File);
        self
    }

    pub(super) const fn written_dir(mut self) -> Self {
        self.written = Some(Written::Dir);
        self
    }

    pub(super) const fn empty_is_a_value(mut self) -> Self {
        self.empty_is_a_value = true;
        self
    }

    /// How often the option may be given.
    #[must_use]
    pub fn kind(&self) -> OptionKind {
        self.field.kind()
    }

    /// The values that are accepted, where they are a few words.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        self.field.words()
    }

    /// What is in force where no source sets the option; empty where that is nothing.
    #[must_use]
    pub fn default_text(&self) -> &'static str {
        match self.default {
            DefaultValue::Value(text) | DefaultValue::Described(text) => text,
        }
    }

    /// What would be set to get what is in force where no source sets the option; `None` where no
    /// value expresses that.
    pub(super) fn default_value(&self) -> Option<RawValue> {
        match self.default {
            DefaultValue::Value(text) => Some(RawValue {
                text: text.to_owned(),
                source: ConfigSource::Default,
            }),
            DefaultValue::Described(_) => None,
        }
    }

    /// The flag without its dashes: `remote-executor`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The environment variable: `RELTO_REMOTE_EXECUTOR`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_uppercase())
    }

    /// The option of that name, in Bazel's spelling.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name)
    }

    /// The known name that `name` was probably meant to be.
    #[must_use]
    pub fn nearest(name: &str) -> Option<&'static str> {
        nearest(name, OPTIONS.iter().map(|option| option.name))
    }

    /// `text` as it may be shown: only the name of a secret, and no control characters.
    pub(super) fn shown(&self, text: &str) -> String {
        match text.split_once('=') {
            _ if self.address => printable(&shown_address(text)),
            _ if !self.secret && is_pem(text) => "***".to_owned(),
            _ if !self.secret => printable(&with_hidden_login(text)),
            Some((name, _)) => format!("{}=***", printable(name)),
            None if text.is_empty() => String::new(),
            None => "***".to_owned(),
        }
    }

    /// The name of an item of a list: two items of the same name are the same setting. The names of
    /// headers, which alone are secret, have no case.
    pub(super) fn item_name(&self, item: &str) -> String {
        let name = item.split_once('=').map_or("", |(name, _)| name).trim();
        if self.secret {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        }
    }
}

/// `text` with its control characters escaped: a source tree must not move a terminal's cursor over
/// what the user is about to allow, or show it in another order.
pub(crate) fn printable(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        c if is_control(c) => c.escape_default().to_string(),
        c => c.to_string(),
    });
    escaped.collect()
}

/// The candidate that differs least from `name`, if one is close enough.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, candidate),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promised_name_exists() {
        let promised = "remote_executor remote_cache remote_instance_name remote_header remote_cache_header \
            remote_exec_header remote_default_exec_properties remote_timeout remote_retries remote_max_connections \
            remote_cache_compression remote_accept_cached remote_upload_local_results remote_local_fallback \
            tls_certificate tls_client_certificate tls_client_key credential_helper digest_function \
            grpc_keepalive_time disk_cache jobs local_jobs strategy profile execution_log_json_file";
        for name in promised.split_whitespace() {
            assert!(Opt::find(name).is_some(), "`{name}` is missing");
        }
    }

    #[test]
    fn names_are_unique_and_help_lines_are_fragments() {
        for (index, option) in OPTIONS.iter().enumerate() {
            assert!(
                OPTIONS[..index]
                    .iter()
                    .all(|other| other.name != option.name),
                "{}",
                option.name
            );
            assert!(!option.help.ends_with('.'), "{}", option.name);
            assert!(
                !option.name.starts_with("no"),
                "{} looks negated",
                option.name
            );
            assert_eq!(
                option.value_name.is_empty(),
                option.kind() == OptionKind::Switch,
                "{}",
                option.name
            );
        }
    }

    #[test]
    fn control_characters_are_escaped_where_values_are_shown() {
        let option = Opt::find("profile").expect("an option");
        assert_eq!(option.shown("a\u{1b}[2Kb\r"), "a\\u{1b}[2Kb\\r");
        let turned = option.shown("a\u{202e}b");
        assert_eq!(
            turned, "a\\u{202e}b",
            "letters that a terminal would turn round"
        );
    }

    #[test]
    fn a_near_miss_finds_its_name_and_noise_finds_none() {
        assert_eq!(Opt::nearest("remote_executr"), Some("remote_executor"));
        assert_eq!(Opt::nearest("disk_cahce"), Some("disk_cache"));
        assert_eq!(Opt::nearest("frobnicate"), None);
    }
}
