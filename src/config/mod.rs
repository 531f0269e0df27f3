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
mod allow_list;
mod authorities;
mod bazelrc;
mod covered;
mod credential;
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
mod written;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use allow_list::AllowList;
pub(crate) use bazelrc::is_unused_bazel_flag;
pub use daemon::DaemonUse;
pub use environment::Environment;
pub use error::{ConfigError, Warning};
pub use merge::MergedValues;
pub use options::{Class, OPTIONS, Opt, OptionKind};
pub(crate) use options::{nearest, printable};
pub use settings::{Settings, Strategy};
pub use source::{ConfigEntry, ConfigSource, EffectiveValue};
pub use table::{DISK_CACHE, LOCAL_JOBS};
pub use trust::{TrustRequest, shown_addresses};
pub use value::time_span;

use bazelrc::Bazelrc;
use covered::TreeFile;
use find::ConfigFiles;
use source::RawValue;
use table::{BAZELRC, CONFIG};
use trust::{Trust, WithoutTree};

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
    warnings.extend(environment.unused_dirs());
    let mut files = find::read(environment, &mut warnings)?;
    let layers = layers(command_line, environment, &mut files)?;
    let bazelrcs = read_bazelrcs(&layers, environment, false, &mut files, &mut warnings)?;
    let tree = covered_tree(&layers, &mut files, &bazelrcs, environment);
    let mut trust = Trust::new(tree, environment);
    let in_force = in_force(&layers, &files, &bazelrcs, &mut trust, environment)?;
    let mut values = MergedValues::merge(&in_force);
    warnings.extend(trust.warning());
    let mut login = netrc::login(&values, environment, &mut warnings);
    warnings.extend(trust.withhold_credentials(&mut values, &mut login, environment));
    let mut settings = Settings::new(environment, values, files.paths);
    let headers = &mut settings.farm.client.cache_headers;
    headers.extend(login.map(|login| login.header));
    settings.farm_waits = trust.farm_waits();
    for bazelrc in bazelrcs {
        warnings.extend(bazelrc.misspelt);
        settings.ignored_flags.extend(bazelrc.ignored);
    }
    settings.ignored_flags.sort();
    settings.ignored_flags.dedup();
    let settings = resolve::settings(settings, environment)?;
    if settings.has_no_home() && environment.unused_dirs().is_none() {
        warnings.push(no_home());
    }
    Ok(LoadedConfig { settings, warnings })
}

fn no_home() -> Warning {
    Warning {
        text: "nothing is cached, and nothing remembered: there is no home directory".to_owned(),
        hint: Some("set `HOME` or `XDG_CACHE_HOME`, or `disk_cache` to a directory".to_owned()),
    }
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
    let bazelrcs = read_bazelrcs(&layers, environment, true, &mut files, &mut warnings)?;
    let Some(tree) = covered_tree(&layers, &mut files, &bazelrcs, environment) else {
        return Ok((None, warnings));
    };
    let mut trust = Trust::as_if_allowed(Some(tree.clone()));
    let in_force = in_force(&layers, &files, &bazelrcs, &mut trust, environment)?;
    let values = MergedValues::merge(&in_force);
    resolve::check_tree(&values, environment)?;
    // As it is held back: first without tables, then with those that are chosen.
    let own = [&layers[..], &in_force].map(|layers| WithoutTree::of(layers, environment));
    let waits = |entry: &&ConfigEntry| own.iter().any(|own| own.waits(entry));
    let of_tree = entries(&layers, &files, &bazelrcs).filter(waits);
    let login = netrc::login(&values, environment, &mut warnings);
    let request = TrustRequest::new(tree, &values, login, of_tree, environment);
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
    let named = || named_bazelrcs(&layers, environment).into_iter().next();
    let path = files.tree.map(|tree| tree.path);
    Ok(path.or_else(|| named().map(|(path, _)| path)))
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
    bazelrcs: &'a [Bazelrc],
) -> impl Iterator<Item = &'a ConfigEntry> {
    let tables = files.project.tables.values();
    let of_bazelrcs = bazelrcs.iter().flat_map(|it| {
        let groups = it.groups.values();
        groups.chain([&it.plain])
    });
    layers.iter().chain(tables).chain(of_bazelrcs).flatten()
}

/// The tree with all that a decision about it covers.
fn covered_tree(
    layers: &Layers,
    files: &mut ConfigFiles,
    bazelrcs: &[Bazelrc],
    environment: &Environment,
) -> Option<TreeFile> {
    let mut tree = files.tree.take()?;
    let authorities = authorities::covered(entries(layers, files, bazelrcs), environment);
    let written = written::covered(entries(layers, files, bazelrcs), environment);
    tree.covered.extend(authorities.into_iter().chain(written));
    Some(tree)
}

/// What is in force, the strongest layer first, without what is held back.
fn in_force(
    layers: &Layers,
    files: &ConfigFiles,
    bazelrcs: &[Bazelrc],
    trust: &mut Trust,
    environment: &Environment,
) -> Result<Vec<Vec<ConfigEntry>>, ConfigError> {
    let mut layers = layers.clone();
    // First: a tree must not choose a table of the user's, which names a farm for other trees.
    trust.hold_back(&mut layers, environment);
    let tables = chosen_tables(&layers, files, bazelrcs)?;
    let [command_line, variables, project, user] = layers;
    let mut all = vec![command_line, variables];
    all.extend(tables);
    all.extend([project, user]);
    all.extend(bazelrcs.iter().map(|it| it.plain.clone()));
    trust.hold_back(&mut all, environment);
    Ok(all)
}

/// The path of the `.bazelrc` that the strongest source outside `[config.NAME]` tables names, and that
/// source. If it is the tree, then also what the strongest other one names: a tree adds its file, but
/// takes away none.
fn named_bazelrcs(layers: &Layers, environment: &Environment) -> Vec<(PathBuf, ConfigSource)> {
    let strongest = merge::merged(BAZELRC, layers).pop();
    let is_of_tree = |it: &RawValue| it.source.is_tree();
    let own = strongest.as_ref().is_some_and(is_of_tree).then(|| {
        let own = WithoutTree::of(layers, environment);
        merge::merged(BAZELRC, &own.layers).pop()
    });
    let named = strongest.into_iter().chain(own.flatten());
    let located = named.filter(|it| !it.text.is_empty()).map(|it| {
        let base = it.source.base(environment.current_dir());
        let path = value::located_path(&it.text, base, environment);
        (path, it.source)
    });
    located.collect()
}

/// Reads what [`named_bazelrcs`] names, in the same order. What comes with sources counts as a part of
/// the tree's own file: it is allowed with it, or alone where there is none. A file that the tree
/// names `must_be_there` to be allowed; one that is gone later has changed.
fn read_bazelrcs(
    layers: &Layers,
    environment: &Environment,
    must_be_there: bool,
    files: &mut ConfigFiles,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Bazelrc>, ConfigError> {
    let mut all = Vec::new();
    for (path, source) in named_bazelrcs(layers, environment) {
        if source.is_tree() && !must_be_there && !path.exists() {
            continue;
        }
        let found = bazelrc::read(&path, source.is_tree(), environment, warnings)?;
        files.paths.extend(found.paths.iter().cloned());
        if !found.files_in_tree.is_empty() {
            let covered = Vec::new();
            let tree = files.tree.get_or_insert(TreeFile { path, covered });
            tree.covered.extend(found.files_in_tree.iter().cloned());
        }
        all.push(found);
    }
    Ok(all)
}

/// The assignments of the chosen `[config.NAME]` tables and of the groups of a `.bazelrc`, the
/// strongest first: a later name is stronger.
fn chosen_tables(
    layers: &Layers,
    files: &ConfigFiles,
    bazelrcs: &[Bazelrc],
) -> Result<Vec<Vec<ConfigEntry>>, ConfigError> {
    let mut tables = Vec::new();
    let names = merge::merged(CONFIG, layers).into_iter().rev();
    for name in names.filter(|name| !name.text.is_empty()) {
        let of_files = [&files.project.tables, &files.user.tables].into_iter();
        let all = of_files.chain(bazelrcs.iter().map(|it| &it.groups));
        let found: Vec<_> = all.filter_map(|tables| tables.get(&name.text)).collect();
        if found.is_empty() {
            return Err(unknown_config(&name.text, files, bazelrcs));
        }
        tables.extend(found.into_iter().cloned());
    }
    Ok(tables)
}

fn unknown_config(name: &str, files: &ConfigFiles, bazelrcs: &[Bazelrc]) -> ConfigError {
    let tables = files.project.tables.keys().chain(files.user.tables.keys());
    let groups = bazelrcs.iter().flat_map(|it| it.groups.keys());
    let known: BTreeSet<_> = tables.chain(groups).cloned().collect();
    ConfigError::UnknownConfig {
        name: name.to_owned(),
        known: known.into_iter().collect(),
    }
}
