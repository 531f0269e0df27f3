//! Makes clap arguments of `config`'s table of options, with every spelling that Bazel accepts for
//! a switch.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, ValueHint};

use crate::config::{ConfigEntry, ConfigSource, OPTIONS, Opt, OptionKind};

pub(super) fn options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().flat_map(|option| match option.kind() {
        OptionKind::Switch => switch(option),
        OptionKind::Value => vec![valued(option).action(ArgAction::Set)],
        OptionKind::List | OptionKind::Selection => vec![valued(option).action(ArgAction::Append)],
    })
}

/// Whether `arg` is an entry of the table or its negation.
pub(super) fn is_option(arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    Opt::find(id.strip_prefix(NEGATIVE).unwrap_or(id)).is_some()
}

/// What the identifier of a switch's negation begins with.
const NEGATIVE: &str = "no-";

fn named(option: &'static Opt) -> Arg {
    let help = match option.default_text() {
        "" => option.help.to_owned(),
        default => format!("{} [{default}]", option.help),
    };
    Arg::new(option.name)
        .long(option.flag())
        .alias(option.name)
        .help(help)
        .help_heading(option.group.title())
        .hide_short_help(!option.common)
}

fn valued(option: &'static Opt) -> Arg {
    let hint = match option.value_name {
        "FILE" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        _ => ValueHint::Unknown,
    };
    named(option)
        .value_name(option.value_name)
        .value_hint(hint)
        .value_parser(Text(option.words()))
        .hide_possible_values(true)
}

/// `--x`, `--x=false`, and in Bazel's way `--nox`. Of all of them the last one counts.
fn switch(option: &'static Opt) -> Vec<Arg> {
    let negative = negative(option);
    let positive = named(option)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .default_missing_value("true")
        .overrides_with(&negative);
    let spellings = [
        format!("no{}", option.name),
        format!("no_{}", option.name),
        format!("no{}", option.flag()),
    ];
    let negated = Arg::new(negative)
        .long(format!("no-{}", option.flag()))
        .aliases(spellings)
        .action(ArgAction::SetTrue)
        .overrides_with(option.name)
        .hide(true);
    vec![positive, negated]
}

fn negative(option: &Opt) -> String {
    format!("{NEGATIVE}{}", option.name)
}

/// Any text: `config` parses values, in one way for all sources. The words are for completions.
#[derive(Clone)]
struct Text(Vec<&'static str>);

impl TypedValueParser for Text {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = self.0.iter().map(PossibleValue::new);
        (!self.0.is_empty()).then(|| Box::new(words) as Box<dyn Iterator<Item = PossibleValue>>)
    }
}

pub(super) fn assignments(matches: &ArgMatches) -> Vec<ConfigEntry> {
    let assignment = |option: &'static Opt| {
        let negated = option.kind() == OptionKind::Switch && matches.get_flag(&negative(option));
        let values: Vec<String> = if negated {
            vec!["false".to_owned()]
        } else {
            // A command that has an argument of that name does not take the option.
            let typed = matches.try_get_many::<String>(option.name);
            typed
                .ok()
                .flatten()
                .into_iter()
                .flatten()
                .cloned()
                .collect()
        };
        (!values.is_empty()).then_some(ConfigEntry {
            option,
            values,
            source: ConfigSource::CommandLine,
        })
    };
    OPTIONS.iter().filter_map(assignment).collect()
}
