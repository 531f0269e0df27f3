//! Turns raw values into [`Settings`]: parses each into its field, then combines the options that
//! depend on one another.

use std::num::NonZeroUsize;

use super::environment::Environment;
use super::error::ConfigError;
use super::identity;
use super::merge::MergedValues;
use super::options::{Opt, OptionKind};
use super::settings::{Settings, Strategy};
use super::source::{ConfigSource, RawValue};
use super::value::{InvalidValue, ValueText};
use crate::compiler::ToolchainSource;
use crate::digest::DigestFunction;
use crate::reapi::{Address, ClientOptions};

/// The likeliest reason why an item of a variable is invalid.
const SPLIT: &str = "commas separate the items of a variable, unless there is one item a line";

/// Parses all values of `settings` into their fields.
///
/// # Errors
/// A value is invalid, or two options contradict each other.
pub(super) fn settings(
    mut settings: Settings,
    environment: &Environment,
) -> Result<Settings, ConfigError> {
    for (option, values) in settings.values.clone().iter() {
        apply(option, values, &mut settings, environment)?;
    }
    settings.farm.platform.sort();
    add_defaults_to_large_platform(&mut settings);
    identify_caller(&mut settings, environment);
    require_both_halves_of_the_identity(&settings)?;
    check_http_cache(&settings)?;
    choose_strategy(&mut settings)?;
    choose_farm(&mut settings);
    choose_bes(&mut settings, environment);
    count_slots(&mut settings);
    Ok(settings)
}

/// Whether links take what the tree sets.
///
/// # Errors
/// A value of the tree is invalid.
pub(super) fn check_tree(
    values: &MergedValues,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let mut settings = Settings::new(environment, values.clone(), Vec::new());
    values.iter().try_for_each(|(option, values)| {
        let of_tree = values.iter().filter(|value| value.source.is_tree());
        let of_tree: Vec<RawValue> = of_tree.cloned().collect();
        match &of_tree[..] {
            [] => Ok(()),
            some => apply(option, some, &mut settings, environment),
        }
    })
}

fn apply(
    option: &'static Opt,
    values: &[RawValue],
    settings: &mut Settings,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let mut set = |value: &RawValue| {
        let input = ValueText {
            text: &value.text,
            base: value.source.base(environment.current_dir()),
            environment,
            in_tree: value.source.is_tree(),
        };
        let set = option.field.set(settings, &input);
        set.map_err(|invalid| error(option, value, invalid))
    };
    // An empty value takes back what a weaker source says.
    let mut values = values
        .iter()
        .filter(|value| !value.text.is_empty() || option.empty_is_a_value)
        .peekable();
    if let (None, Some(default)) = (values.peek(), option.default_value()) {
        return set(&default);
    }
    values.try_for_each(set)
}

fn error(option: &'static Opt, value: &RawValue, invalid: InvalidValue) -> ConfigError {
    let from_variable = matches!(value.source, ConfigSource::Environment(_));
    let split = from_variable && option.kind() == OptionKind::List && invalid.hint.is_none();
    ConfigError::BadValue {
        name: option.name,
        value: option.shown(&value.text),
        source_of_value: value.source.to_string(),
        reason: invalid.reason,
        hint: if split {
            Some(SPLIT.to_owned())
        } else {
            invalid.hint
        },
    }
}

/// A property of large jobs replaces those of its name.
fn add_defaults_to_large_platform(settings: &mut Settings) {
    let farm = &mut settings.farm;
    if farm.large_platform.is_empty() {
        return;
    }
    let is_replaced = |name: &String| farm.large_platform.iter().any(|(other, _)| other == name);
    let kept = farm.platform.iter().filter(|(name, _)| !is_replaced(name));
    let kept: Vec<_> = kept.cloned().collect();
    farm.large_platform.extend(kept);
    farm.large_platform.sort();
}

fn identify_caller(settings: &mut Settings, environment: &Environment) {
    let caller = &mut settings.farm.client.caller;
    if let Some(id) = &settings.invocation_id {
        caller.invocation_id.clone_from(id);
    }
    let named = settings.build_request_id.clone();
    let found = || identity::build_request_id(environment);
    caller.build_request_id = named.or_else(found).unwrap_or_default();
    caller.traceparent = identity::traceparent(environment);
}

fn require_both_halves_of_the_identity(settings: &Settings) -> Result<(), ConfigError> {
    let tls = &settings.farm.client.tls;
    let (certificate, key) = ("tls_client_certificate", "tls_client_key");
    let (name, needs) = match (&tls.client_certificate, &tls.client_key) {
        (Some(_), None) => (certificate, key),
        (None, Some(_)) => (key, certificate),
        _ => return Ok(()),
    };
    Err(ConfigError::Missing { name, needs })
}

/// Workers cannot read an HTTP cache: as Bazel, relto does not combine the two.
fn check_http_cache(settings: &Settings) -> Result<(), ConfigError> {
    let client = &settings.farm.client;
    match (&client.executor, &client.cache) {
        (Some(_), Some(Address::Http { .. })) => Err(ConfigError::Contradiction {
            one: "remote_executor",
            other: "remote_cache=http://",
            hint: "workers take their inputs from the farm's own cache: leave `remote_cache` out",
        }),
        _ => Ok(()),
    }
}

/// With a farm both executors work, as `docs/performance.md` measures, unless the user wants no
/// results of this machine, or the workers have another compiler: objects of two compilers do not
/// belong in one program.
fn choose_strategy(settings: &mut Settings) -> Result<(), ConfigError> {
    let two_compilers = settings.farm.toolchain == ToolchainSource::Worker;
    let executor = settings.farm.client.executor.as_ref();
    settings.strategy = match (settings.chosen_strategy, executor) {
        (Some(Strategy::Dynamic), _) if two_compilers => {
            return Err(ConfigError::Contradiction {
                one: "strategy=dynamic",
                other: "toolchain=worker",
                hint: "one link would mix objects of two compilers; `strategy=remote` does not",
            });
        }
        (None, Some(_)) if two_compilers || !settings.farm.local_fallback => Strategy::Remote,
        (None, Some(_)) => Strategy::Dynamic,
        (None | Some(Strategy::Local), _) => Strategy::Local,
        (Some(strategy), Some(_)) => strategy,
        // The tree that asks for the strategy names the farm, too.
        (Some(_), None) if settings.farm_waits => Strategy::Local,
        (Some(_), None) => {
            return Err(ConfigError::Missing {
                name: "strategy",
                needs: "remote_executor",
            });
        }
    };
    Ok(())
}

/// A farm is used if it executes, unless all jobs are to run here, or if it is only a cache.
fn choose_farm(settings: &mut Settings) {
    let client = &mut settings.farm.client;
    if client.cache == client.executor {
        client.cache = None;
    }
    let used = match settings.strategy {
        Strategy::Local => client.executor.is_none() && client.cache.is_some(),
        Strategy::Remote | Strategy::Dynamic => true,
    };
    settings.link.farm = used.then(|| settings.farm.clone());
    settings.link.dynamic = settings.strategy == Strategy::Dynamic;
}

/// Build events are published wherever the jobs run, as the same invocation.
fn choose_bes(settings: &mut Settings, environment: &Environment) {
    if settings.bes.backend.is_none() {
        return;
    }
    let farm = &settings.farm;
    let client = &farm.client;
    let mut bes = settings.bes.clone();
    bes.transport = ClientOptions {
        tls: client.tls.clone(),
        credential_helpers: client.credential_helpers.clone(),
        keepalive_time: client.keepalive_time,
        caller: client.caller.clone(),
        ..ClientOptions::default()
    };
    bes.status = identity::workspace_status(environment);
    let on = |value: bool| if value { "1" } else { "0" }.to_owned();
    let address = |address: &Option<Address>| address.as_ref().map(ToString::to_string);
    let function = client.digest_function.unwrap_or(DigestFunction::Sha256);
    let remote = settings.link.farm.is_some();
    let shown = [
        (
            "remote_executor",
            address(&client.executor).filter(|_| remote),
        ),
        ("remote_cache", address(&client.cache).filter(|_| remote)),
        (
            "remote_instance_name",
            Some(client.instance_name.clone()).filter(|_| remote),
        ),
        (
            "digest_function",
            Some(function.to_string()).filter(|_| remote),
        ),
        (
            "remote_upload_local_results",
            Some(on(farm.upload_local_results)).filter(|_| remote),
        ),
        (
            "remote_accept_cached",
            Some(on(farm.accept_cached)).filter(|_| remote),
        ),
        ("strategy", Some(settings.strategy.to_string())),
    ];
    bes.shown = shown
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    settings.link.bes = Some(bes);
}

fn count_slots(settings: &mut Settings) {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let local_jobs = settings.local_jobs.unwrap_or(processors);
    settings.link.local_jobs = local_jobs;
    settings.link.machine_jobs = processors.max(local_jobs).get();
}
