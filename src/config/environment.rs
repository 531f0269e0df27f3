//! The environment variables that relto reads, all at once. No module below this layer reads the
//! environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Warning};
use super::options::{OPTIONS, Opt, OptionKind, PREFIX};
use super::source::{ConfigEntry, ConfigSource};
use crate::client_context::ClientContext;
use crate::fs::{is_trusted_owner, shared_with};
use crate::launcher::{HOLDS_SLOT, LINKER_STARTED_BY, STARTED_BY};

/// What to log, in `tracing`'s filter language: `debug`, `relto::reapi=trace`.
pub const RELTO_LOG: &str = "RELTO_LOG";
/// When set and not empty, no progress bar, whatever stderr is.
pub const RELTO_NO_PROGRESS: &str = "RELTO_NO_PROGRESS";
/// The flags that make passes to its recipes.
pub(super) const MAKEFLAGS: &str = "MAKEFLAGS";
/// The abilities of the terminal; `dumb` ones redraw nothing.
pub(super) const TERM: &str = "TERM";
/// Where a user's configuration lives; `~/.config` when it is not an absolute path.
pub(super) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Where a user's caches live; `~/.cache` when it is not an absolute path.
pub(super) const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Where a user's state lives; `~/.local/state` when it is not an absolute path.
pub(super) const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// Where a user's sockets live while the user is logged in.
pub(super) const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// The file of the user's passwords for servers, instead of `~/.netrc`.
pub(super) const NETRC: &str = "NETRC";
/// The user's own directory.
pub(super) const HOME: &str = "HOME";

/// The prefix of variables that only relto's own tests read.
const OF_TESTS: &str = "RELTO_TEST_";
/// `RELTO_...` variables that are not options.
const OTHERS: [&str; 5] = [
    RELTO_LOG,
    RELTO_NO_PROGRESS,
    HOLDS_SLOT,
    STARTED_BY,
    LINKER_STARTED_BY,
];

/// The environment, and the directory that relative paths start from.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    current_dir: PathBuf,
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// The process's own. Where `HOME` is not set, the user database says what it would be.
    #[must_use]
    pub fn of_process() -> Self {
        let mut variables: BTreeMap<_, _> = std::env::vars_os().collect();
        if !variables.contains_key(OsStr::new(HOME))
            && let Some(home) = std::env::home_dir()
        {
            variables.insert(HOME.into(), home.into());
        }
        Self {
            variables,
            current_dir: ClientContext::default().dir(),
        }
    }

    /// An environment of these variables alone, for tests.
    #[must_use]
    pub fn new(
        current_dir: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            current_dir: current_dir.into(),
        }
    }

    #[must_use]
    pub fn current_dir(&self) -> &Path {
        &self.current_dir
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
    }

    /// Whether a switch in the manner of `NO_COLOR` is on: set and not empty.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_empty())
    }

    /// The user's home; none where it is a relative path, which would be a part of whatever source
    /// tree relto runs in.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.get(HOME)
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
    }

    /// The directory of the user's own configuration file.
    #[must_use]
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.xdg(XDG_CONFIG_HOME, ".config")
    }

    /// The directory of relto's cache, unless the user chooses another. None in the home of another
    /// user, which `sudo -E` keeps: that user could put any object there.
    #[must_use]
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let dir = self.xdg(XDG_CACHE_HOME, ".cache")?;
        self.held_by_another_user(&dir).is_none().then_some(dir)
    }

    /// The directory of what relto remembers of the user's decisions.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        let dir = self.xdg(XDG_STATE_HOME, ".local/state")?;
        self.held_by_another_user(&dir).is_none().then_some(dir)
    }

    /// About the directories that are not used because they belong to another user.
    #[must_use]
    pub(super) fn unused_dirs(&self) -> Option<Warning> {
        let cache = self.xdg(XDG_CACHE_HOME, ".cache");
        let state = self.xdg(XDG_STATE_HOME, ".local/state");
        let mut dirs = cache.into_iter().chain(state);
        let (dir, theirs) = dirs.find_map(|dir| Some((self.held_by_another_user(&dir)?, dir)))?;
        Some(Warning {
            text: format!(
                "`{}` is not used: `{}` belongs to another user",
                theirs.display(),
                dir.display()
            ),
            hint: Some(
                "set `HOME` to your own directory (`sudo -H`); `disk_cache` may name any"
                    .to_owned(),
            ),
        })
    }

    /// The directory that holds `dir`, or itself, if it is another user's.
    fn held_by_another_user(&self, dir: &Path) -> Option<PathBuf> {
        let home = self.home().filter(|home| dir.starts_with(home));
        let places = [Some(dir), dir.parent(), home.as_deref()];
        let theirs = |place: &&Path| {
            fs_err::metadata(place).is_ok_and(|found| !is_trusted_owner(found.uid()))
        };
        places
            .into_iter()
            .flatten()
            .find(theirs)
            .map(Path::to_owned)
    }

    /// The same variables, and another directory that relative paths start from.
    #[must_use]
    pub fn in_dir(&self, current_dir: PathBuf) -> Self {
        Self {
            variables: self.variables.clone(),
            current_dir,
        }
    }

    /// The directory of the daemon: beside the cache where the user has none for sockets, or only
    /// that of another user, which `su` and `sudo -E` keep. Machines may share a home, but not a
    /// daemon.
    #[must_use]
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        let chosen = self.get(XDG_RUNTIME_DIR).map(PathBuf::from);
        match chosen.filter(|dir| dir.is_absolute() && is_own(dir)) {
            Some(dir) => Some(dir.join("relto")),
            None => self
                .cache_dir()
                .map(|dir| dir.join("daemon"))
                .filter(|dir| !is_link(dir))
                .map(|dir| dir.join(crate::fs::host_name())),
        }
    }

    fn xdg(&self, variable: &str, otherwise: &str) -> Option<PathBuf> {
        let chosen = self.get(variable).map(PathBuf::from);
        chosen
            .filter(|dir| dir.is_absolute())
            .or_else(|| self.home().map(|home| home.join(otherwise)))
            .map(|dir| dir.join("relto"))
    }

    /// The options that `RELTO_...` variables set.
    ///
    /// # Errors
    /// A value that is not UTF-8.
    pub(super) fn assignments(&self) -> Result<Vec<ConfigEntry>, ConfigError> {
        OPTIONS
            .iter()
            .filter_map(|option| {
                let variable = option.variable();
                let value = self.get(&variable)?;
                Some(assignment(option, variable, value))
            })
            .collect()
    }

    /// A warning for each `RELTO_...` variable that is unknown.
    pub(super) fn unknown_variables(&self) -> Vec<Warning> {
        self.variables
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with(PREFIX) && !name.starts_with(OF_TESTS))
            .filter(|name| !OTHERS.contains(name))
            .filter_map(|name| {
                let option = name[PREFIX.len()..].to_lowercase();
                (Opt::find(&option).is_none() || option.to_uppercase() != name[PREFIX.len()..])
                    .then(|| unknown_variable(name, &option))
            })
            .collect()
    }
}

/// Whether no other user may put another directory in the place of one in `dir`, which may be missing.
fn is_own(dir: &Path) -> bool {
    let there = dir.ancestors().find(|it| it.symlink_metadata().is_ok());
    there.is_some_and(|it| matches!(shared_with(it), Ok(None)))
}

/// relto makes none below its own directories.
fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|found| found.is_symlink())
}

fn unknown_variable(name: &str, option: &str) -> Warning {
    let hint = Opt::nearest(option).and_then(Opt::find);
    Warning {
        text: format!("unknown environment variable `{name}`"),
        hint: hint.map(|option| format!("did you mean `{}`?", option.variable())),
    }
}

fn assignment(
    option: &'static Opt,
    variable: String,
    value: &OsStr,
) -> Result<ConfigEntry, ConfigError> {
    let Some(text) = value.to_str() else {
        return Err(ConfigError::NotUtf8 { variable });
    };
    let values = match option.kind() {
        OptionKind::Switch | OptionKind::Value => vec![text.to_owned()],
        OptionKind::List | OptionKind::Selection => items(text),
    };
    Ok(ConfigEntry {
        option,
        values,
        source: ConfigSource::Environment(variable),
    })
}

/// The items of a list: one a line, or, without a line break, separated by commas as in other
/// tools' variables. An item that holds a comma therefore needs a line break behind it.
fn items(text: &str) -> Vec<String> {
    let separator = if text.contains('\n') { '\n' } else { ',' };
    let items: Vec<_> = text
        .split(separator)
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect();
    if items.is_empty() {
        return vec![String::new()];
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_lines_or_else_at_commas() {
        assert_eq!(items("a=1, b=2"), ["a=1", "b=2"]);
        assert_eq!(items("a=1,x\nb=2\n"), ["a=1,x", "b=2"]);
        assert_eq!(items("a=1,2\n"), ["a=1,2"]);
        assert_eq!(items(""), [""]);
    }

    #[test]
    fn a_mistyped_variable_is_reported_with_the_nearest_known_one() {
        let environment = Environment::new(
            "/",
            [
                ("RELTO_REMOTE_EXECUTR", String::new()),
                ("RELTO_LOG", String::new()),
                ("RELTO_JOBS", String::new()),
            ],
        );
        let unknown = environment.unknown_variables();
        assert_eq!(unknown.len(), 1);
        assert_eq!(
            unknown[0].hint.as_deref(),
            Some("did you mean `RELTO_REMOTE_EXECUTOR`?")
        );
    }

    #[test]
    fn a_relative_home_would_be_part_of_a_tree_and_does_not_count() {
        for home in ["", ".", "home"] {
            let environment = Environment::new("/src", [("HOME", home.to_owned())]);
            assert_eq!(environment.home(), None);
            assert_eq!(environment.config_dir(), None);
            assert_eq!(environment.cache_dir(), None);
        }
    }

    #[test]
    fn relative_xdg_directories_are_ignored_as_their_specification_asks() {
        let environment = Environment::new(
            "/",
            [
                (HOME, "/home/u".to_owned()),
                (XDG_CACHE_HOME, "relative".to_owned()),
            ],
        );
        assert_eq!(
            environment.cache_dir(),
            Some(PathBuf::from("/home/u/.cache/relto"))
        );
    }

    #[test]
    fn a_link_in_a_cache_is_no_directory_for_the_daemon() {
        let home = tempfile::tempdir().expect("a directory");
        let cache = home.path().join(".cache/relto");
        fs_err::create_dir_all(&cache).expect("made");
        let variables = [(HOME, home.path().display().to_string())];
        let environment = Environment::new("/", variables);
        let daemon = cache.join("daemon");
        let beside = environment.runtime_dir().expect("beside the cache");
        assert!(beside.starts_with(&daemon));
        fs_err::os::unix::fs::symlink(home.path(), &daemon).expect("linked");
        assert_eq!(environment.runtime_dir(), None);
    }
}
