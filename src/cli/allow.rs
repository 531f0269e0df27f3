//! `relto allow [DIR]`, `relto allow --list`, `relto deny [DIR]`: the user's trust in what the
//! `.relto.toml` or `.bazelrc` of a source tree asks for.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::output;
use crate::config::{
    AllowList, ConfigEntry, ConfigError, Environment, TrustRequest, Warning, shown_addresses,
    tree_file, tree_request,
};
use crate::error::{ExitCode, Hinted};
use crate::fs::dir_of;

#[derive(Debug, thiserror::Error)]
enum AllowError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("neither `{}` nor a directory above it has a `.relto.toml` that can be read", dir.display())]
    NoFile { dir: PathBuf },
    #[error("cannot find `{}`", dir.display())]
    NoDirectory {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remember the decision")]
    NotRemembered(#[source] io::Error),
}

impl Hinted for AllowError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.hints(),
            Self::NoFile { .. } | Self::NoDirectory { .. } => Vec::new(),
            Self::NotRemembered(_) => {
                vec!["the directory is `$XDG_STATE_HOME/relto/allowed`".to_owned()]
            }
        }
    }
}

/// Shows what the nearest `.relto.toml` asks for, and allows it.
pub(super) fn allow(
    options: Vec<ConfigEntry>,
    environment: &Environment,
    dir: Option<&Path>,
) -> ExitCode {
    let mut warnings = Vec::new();
    let allowed = in_dir(environment, dir).and_then(|environment| {
        let (request, found) = tree_request(options, &environment)?;
        warnings = found;
        let request = request.ok_or_else(|| AllowError::NoFile {
            dir: environment.current_dir().to_owned(),
        })?;
        let list = AllowList::of(&environment);
        let added = list.add(&request);
        added.map_err(AllowError::NotRemembered)?;
        Ok(shown(&request, environment.current_dir()))
    });
    answer(allowed, &warnings)
}

/// Takes back what was allowed for the nearest tree, by whatever file, also if that is gone or no longer
/// valid.
pub(super) fn deny(
    options: Vec<ConfigEntry>,
    environment: &Environment,
    dir: Option<&Path>,
) -> ExitCode {
    let denied = in_dir(environment, dir).and_then(|environment| {
        let list = AllowList::of(&environment);
        let (in_force, unreadable) = match tree_file(options, &environment) {
            Ok(path) => (path, None),
            Err(error) => (None, Some(error)),
        };
        let dir = environment.current_dir();
        let mut text = String::new();
        for path in in_force.into_iter().chain(list.nearest(dir)) {
            if list.remove(&path).map_err(AllowError::NotRemembered)? {
                let _ = writeln!(text, "`{}` is no longer allowed", path.display());
            }
        }
        match unreadable {
            // What cannot be read may name a tree that is still allowed.
            Some(error) if text.is_empty() => return Err(error.into()),
            _ if text.is_empty() => {
                let _ = writeln!(text, "nothing was allowed for `{}`", dir.display());
            }
            _ => {}
        }
        Ok(text)
    });
    answer(denied, &[])
}

/// What was allowed, one tree a paragraph.
pub(super) fn list(environment: &Environment) -> ExitCode {
    let mut text = String::new();
    for allowed in AllowList::of(environment).all() {
        let _ = writeln!(text, "{}", allowed.path.display());
        let credentials = allowed.credentials.iter().map(|it| &*it.name);
        destinations(&mut text, &allowed.addresses, credentials);
    }
    if text.is_empty() {
        text.push_str("nothing is allowed\n");
    }
    output::print(&text)
}

fn in_dir(environment: &Environment, dir: Option<&Path>) -> Result<Environment, AllowError> {
    let Some(dir) = dir else {
        return Ok(environment.clone());
    };
    let dir = environment.current_dir().join(dir);
    match fs_err::canonicalize(&dir) {
        Ok(found) => Ok(environment.in_dir(found)),
        Err(source) => Err(AllowError::NoDirectory { dir, source }),
    }
}

fn answer(result: Result<String, AllowError>, warnings: &[Warning]) -> ExitCode {
    warnings.iter().for_each(output::warning);
    match result {
        Ok(text) => output::print(&text),
        Err(error) => {
            output::error(&error);
            match error {
                AllowError::Config(_) => ExitCode::Usage,
                _ => ExitCode::Failure,
            }
        }
    }
}

fn shown(request: &TrustRequest, current_dir: &Path) -> String {
    let path = request.tree.path.display();
    if request.settings.is_empty() {
        return format!("`{path}` sets nothing that needs to be allowed\n");
    }
    let mut text = format!("allowed, as long as `{path}` does not change:\n");
    for (name, value) in &request.settings {
        let _ = writeln!(text, "  {name} = {value}");
    }
    let credentials = request.credentials.iter().map(|it| &*it.name);
    destinations(&mut text, &request.addresses, credentials);
    let dir = dir_of(&request.tree.path);
    let _ = if current_dir.starts_with(dir) {
        writeln!(text, "`relto deny` revokes this")
    } else {
        writeln!(text, "`relto deny {}` revokes this", dir.display())
    };
    text
}

/// Which of the user's credentials go where.
fn destinations<'a>(
    text: &mut String,
    addresses: &[String],
    credentials: impl Iterator<Item = &'a str>,
) {
    if addresses.is_empty() {
        return;
    }
    // One name may have two origins.
    let mut names: Vec<_> = credentials.collect();
    names.dedup();
    let credentials = match &names[..] {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let _ = writeln!(
        text,
        "  your credentials that go to {}: {credentials}",
        shown_addresses(addresses)
    );
}
