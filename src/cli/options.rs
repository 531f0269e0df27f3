//! `config`'s options as arguments of the command line.
//!
//! Enters: the table of options, and what clap has matched. Leaves: clap's arguments for the
//! parser, and assignments for `config`. Every spelling that Bazel has for a switch is one of ours.

use clap::{Arg, ArgAction, ArgMatches};

use crate::config::{Assignment, Kind, OPTIONS, Opt, Source};

pub(super) fn options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().flat_map(|option| match option.kind() {
        Kind::Switch => switch(option),
        Kind::Value => vec![valued(option).action(ArgAction::Set)],
        Kind::List | Kind::Selection => vec![valued(option).action(ArgAction::Append)],
    })
}

fn valued(option: &'static Opt) -> Arg {
    Arg::new(option.name)
        .long(option.flag())
        .aliases([option.name.to_owned()])
        .value_name(option.value_name)
        .hide(true)
}

/// `--x`, `--x=false`, and in Bazel's way `--nox`. Of all of them the last one counts.
fn switch(option: &'static Opt) -> Vec<Arg> {
    let negative = negative(option);
    let positive = Arg::new(option.name)
        .long(option.flag())
        .aliases([option.name.to_owned()])
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .overrides_with(&negative)
        .hide(true);
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
    format!("no-{}", option.name)
}

pub(super) fn assignments(matches: &ArgMatches) -> Vec<Assignment> {
    let assignment = |option: &'static Opt| {
        let negated = option.kind() == Kind::Switch && matches.get_flag(&negative(option));
        let values: Vec<String> = if negated {
            vec!["false".to_owned()]
        } else {
            let typed = matches.get_many::<String>(option.name);
            typed.into_iter().flatten().cloned().collect()
        };
        (!values.is_empty()).then_some(Assignment {
            option,
            values,
            source: Source::CommandLine,
        })
    };
    OPTIONS.iter().filter_map(assignment).collect()
}
