//! From flags, environment and files to [`Settings`].
//!
//! The only module that knows how options are spelled and which source is stronger:
//!
//! 1. the command line,
//! 2. `RELTO_...` variables,
//! 3. the tables `[config.NAME]` chosen by `--config=NAME`, of `.relto.toml` before the user's own
//!    file,
//! 4. `.relto.toml` in the current directory or the nearest one above,
//! 5. `$XDG_CONFIG_HOME/relto/config.toml`,
//! 6. the defaults of the table.
//!
//! A chosen table is stronger than what stands outside tables, even in the other file: a user who
//! names it wants all of it, as with a bazelrc.
//!
//! A new option is one entry in [`table`], whose field is where the value is used.

mod address;
mod authorities;
mod bazelrc;
mod daemon;
mod environment;
mod error;
mod field;
mod file;
mod find;
mod identity;
mod merge;
mod netrc;
mod options;
#[cfg(test)]
mod page;
mod resolve;
mod settings;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod trust;
mod value;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub(crate) use bazelrc::is_unused_bazel_flag;
pub use daemon::DaemonUse;
pub use environment::Environment;
pub use error::{ConfigError, Warning};
pub use find::project_paths;
pub use merge::MergedValues;
pub use options::{Class, OPTIONS, Opt, OptionKind};
pub(crate) use options::{nearest, printable};
pub use settings::{Settings, Strategy};
pub use source::{ConfigEntry, ConfigSource, EffectiveValue};
pub use table::LOCAL_JOBS;
pub use trust::{AllowList, TrustRequest};
pub use value::time_span;

use bazelrc::Bazelrc;
use find::ConfigFiles;
use source::RawValue;
use table::{BAZELRC, CONFIG};
use trust::{TreeFile, Trust, WithoutTree};

/// The settings, and warnings about those that were ignored.
#[derive(Debug)]
pub struct LoadedConfig {
    pub settings: Settings,
    pub warnings: Vec<Warning>,
}

/// Reads all sources. Settings that a source tree must not make, or not yet, are ignored with a
/// warning.
///
/// # Errors
/// A source says something that relto does not understand, or the values do not fit together.
pub fn load(
    command_line: Vec<ConfigEntry>,
    environment: &Environment,
) -> Result<LoadedConfig, ConfigError> {
    let mut warnings = environment.unknown_variables();
    warnings.extend(environment.strangers());
    let mut files = find::read(environment, &mut warnings)?;
    let layers = layers(command_line, environment, &mut files)?;
    let bazelrc = read_bazelrc(&layers, environment, &mut files, &mut warnings)?;
    let tree = files.tree.take();
    let tree = tree
        .map(|tree| authorities::covered(tree, entries(&layers, &files, &bazelrc), environment));
    let mut trust = Trust::new(tree, environment);
    let mut values = in_force(&layers, &files, &bazelrc, &mut trust, environment)?;
    warnings.extend(trust.warning());
    let mut login = netrc::login(&values, environment, &mut warnings);
    warnings.extend(trust.withhold_credentials(&mut values, &mut login));
    let mut settings = Settings::new(environment, values, files.paths);
    let headers = &mut settings.farm.client.cache_headers;
    headers.extend(login.map(|login| login.header));
    settings.farm_waits = trust.farm_waits();
    warnings.extend(bazelrc.misspelt);
    settings.ignored_flags = bazelrc.ignored;
    let settings = resolve::settings(settings, environment)?;
    Ok(LoadedConfig { settings, warnings })
}

/// The sensitive settings of the `.relto.toml` that `environment` leads to; `None` if there is no
/// such file.
///
/// # Errors
/// Like [`load`].
pub fn tree_request(
    command_line: Vec<ConfigEntry>,
    environment: &Environment,
) -> Result<(Option<TrustRequest>, Vec<Warning>), ConfigError> {
    let mut warnings = Vec::new();
    let mut files = find::read(environment, &mut warnings)?;
    let layers = layers(command_line, environment, &mut files)?;
    let bazelrc = read_bazelrc(&layers, environment, &mut files, &mut warnings)?;
    let Some(tree) = files.tree.take() else {
        return Ok((None, warnings));
    };
    let tree = authorities::covered(tree, entries(&layers, &files, &bazelrc), environment);
    let mut trust = Trust::as_if_allowed(Some(tree.clone()));
    let values = in_force(&layers, &files, &bazelrc, &mut trust, environment)?;
    let own = WithoutTree::of(&layers, environment);
    let of_tree = entries(&layers, &files, &bazelrc).filter(|entry| own.waits(entry));
    let login = netrc::login(&values, environment, &mut warnings);
    let request = TrustRequest::new(tree, &values, login, of_tree);
    Ok((Some(request), warnings))
}

/// The path under which [`AllowList`] remembers the tree that `environment` leads to. The named
/// `.bazelrc` of a tree without a `.relto.toml` need not be there any more.
///
/// # Errors
/// A configuration file or a variable cannot be read, or a file is not valid.
pub fn tree_file(
    command_line: Vec<ConfigEntry>,
    environment: &Environment,
) -> Result<Option<PathBuf>, ConfigError> {
    let mut files = find::read(environment, &mut Vec::new())?;
    let layers = layers(command_line, environment, &mut files)?;
    Ok(match files.tree {
        Some(tree) => Some(tree.path),
        None => named_bazelrc(&layers, environment).map(|(path, _)| path),
    })
}

/// What each source sets outside `[config.NAME]` tables, without a `.bazelrc`: the command line,
/// variables, `.relto.toml`, and the user's own file.
type Layers = [Vec<ConfigEntry>; 4];

fn layers(
    command_line: Vec<ConfigEntry>,
    environment: &Environment,
    files: &mut ConfigFiles,
) -> Result<Layers, ConfigError> {
    Ok([
        command_line,
        environment.assignments()?,
        std::mem::take(&mut files.project.plain),
        std::mem::take(&mut files.user.plain),
    ])
}

/// What all sources set, in tables of the user's own file excepted, whether or not it is in force.
fn entries<'a>(
    layers: &'a Layers,
    files: &'a ConfigFiles,
    bazelrc: &'a Bazelrc,
) -> impl Iterator<Item = &'a ConfigEntry> {
    let tables = files.project.tables.values();
    let groups = bazelrc.groups.values();
    let all = layers
        .iter()
        .chain(tables)
        .chain([&bazelrc.plain])
        .chain(groups);
    all.flatten()
}

/// The values in force, without those that are held back.
fn in_force(
    layers: &Layers,
    files: &ConfigFiles,
    bazelrc: &Bazelrc,
    trust: &mut Trust,
    environment: &Environment,
) -> Result<MergedValues, ConfigError> {
    let mut layers = layers.clone();
    // First: a tree must not choose a table of the user's, which names a farm for other trees.
    trust.hold_back(&mut layers, environment);
    let tables = chosen_tables(&layers, files, bazelrc)?;
    let [command_line, variables, project, user] = layers;
    let mut all = vec![command_line, variables];
    all.extend(tables);
    all.extend([project, user, bazelrc.plain.clone()]);
    trust.hold_back(&mut all, environment);
    Ok(MergedValues::merge(&all))
}

/// The path of the `.bazelrc` that some source names outside `[config.NAME]` tables, and that
/// source.
fn named_bazelrc(layers: &Layers, environment: &Environment) -> Option<(PathBuf, ConfigSource)> {
    let named = merge::merged(BAZELRC, layers).pop();
    let RawValue { text, source } = named.filter(|it| !it.text.is_empty())?;
    let base = source.base(environment.current_dir());
    Some((value::located_path(&text, base, environment), source))
}

/// Reads the `.bazelrc`. What comes with sources counts as a part of the tree's own file: it is
/// allowed with it, or alone where there is none.
fn read_bazelrc(
    layers: &Layers,
    environment: &Environment,
    files: &mut ConfigFiles,
    warnings: &mut Vec<Warning>,
) -> Result<Bazelrc, ConfigError> {
    let Some((path, source)) = named_bazelrc(layers, environment) else {
        return Ok(Bazelrc::default());
    };
    let found = bazelrc::read(&path, source.is_tree(), environment, warnings)?;
    files.paths.extend(found.paths.iter().cloned());
    if !found.text_in_tree.is_empty() {
        files.tree = Some(match files.tree.take() {
            Some(tree) => tree.with(&found.text_in_tree),
            None => TreeFile::new(path, &found.text_in_tree),
        });
    }
    Ok(found)
}

/// The assignments of the chosen `[config.NAME]` tables and of the groups of a `.bazelrc`, the
/// strongest first: a later name is stronger.
fn chosen_tables(
    layers: &Layers,
    files: &ConfigFiles,
    bazelrc: &Bazelrc,
) -> Result<Vec<Vec<ConfigEntry>>, ConfigError> {
    let mut tables = Vec::new();
    let names = merge::merged(CONFIG, layers).into_iter().rev();
    for name in names.filter(|name| !name.text.is_empty()) {
        let [project, user] = [&files.project, &files.user].map(|file| file.tables.get(&name.text));
        let found = [project, user, bazelrc.groups.get(&name.text)];
        if found.iter().all(Option::is_none) {
            return Err(unknown_config(&name.text, files, bazelrc));
        }
        tables.extend(found.into_iter().flatten().cloned());
    }
    Ok(tables)
}

fn unknown_config(name: &str, files: &ConfigFiles, bazelrc: &Bazelrc) -> ConfigError {
    let tables = files.project.tables.keys().chain(files.user.tables.keys());
    let known: BTreeSet<_> = tables.chain(bazelrc.groups.keys()).cloned().collect();
    ConfigError::UnknownConfig {
        name: name.to_owned(),
        known: known.into_iter().collect(),
    }
}
