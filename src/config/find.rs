//! Which configuration files are read: the user's own and the nearest `.relto.toml` that can be
//! trusted. The others are ignored with a warning.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::covered::{CoveredFile, FileKind, TreeFile};
use super::environment::Environment;
use super::error::{ConfigError, Warning};
use super::file::{self, ConfigFile};
use crate::fs::{file_writable_by_others, is_trusted_owner, open_regular};

const PROJECT_FILE: &str = ".relto.toml";
const USER_FILE: &str = "config.toml";

/// No configuration is this long; a longer file may be a device or a mistake.
const LARGEST_FILE: u64 = 1 << 20;

/// The files of one invocation.
#[derive(Debug, Default)]
pub(super) struct ConfigFiles {
    pub(super) project: ConfigFile,
    pub(super) user: ConfigFile,
    /// The `.relto.toml` that was read.
    pub(super) tree: Option<TreeFile>,
    /// All files that were read.
    pub(super) paths: Vec<PathBuf>,
}

/// Reads the files that `environment` leads to. A missing file sets nothing.
///
/// # Errors
/// A file exists but cannot be read, or its contents are wrong.
pub(super) fn read(
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<ConfigFiles, ConfigError> {
    let mut files = ConfigFiles::default();
    for path in project_paths(environment) {
        if let Some(text) = text_of(&path, warnings, true)? {
            files.project = file::parse(&path, &text, true)?;
            files.tree = Some(TreeFile {
                path: path.clone(),
                covered: vec![CoveredFile::new(FileKind::Settings, &path, text.as_bytes())],
            });
            files.paths.push(path);
            break;
        }
    }
    if let Some(path) = environment.config_dir().map(|dir| dir.join(USER_FILE))
        && let Some(text) = text_of(&path, warnings, false)?
    {
        files.user = file::parse(&path, &text, false)?;
        files.paths.push(path);
    }
    Ok(files)
}

/// Where a `.relto.toml` may be, the nearest place first.
fn project_paths(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    let dirs = environment.current_dir().ancestors();
    dirs.map(|dir| dir.join(PROJECT_FILE))
}

/// The text of a file, if it is there and only the user or root could have written it.
pub(super) fn text_of(
    path: &Path,
    warnings: &mut Vec<Warning>,
    in_tree: bool,
) -> Result<Option<String>, ConfigError> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        // The file of a tree, or of another user, that this one may not read is not meant for it.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && (in_tree || !is_of_user(path)) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(path, error)),
    };
    // Of the open file: what is checked is what is read.
    let writable = file_writable_by_others(file.file()).map_err(ConfigError::Unreadable)?;
    let named = fs_err::symlink_metadata(path).map_err(ConfigError::Unreadable)?;
    // A link has no mode of its own, and says which file is read.
    let reason = (!is_trusted_owner(named.uid()))
        .then_some("it belongs to another user")
        .or(writable);
    if let Some(reason) = reason {
        warnings.push(Warning {
            text: format!("ignored `{}`: {reason}", path.display()),
            hint: Some("only you or root may own it, and no other user may write it".to_owned()),
        });
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(ConfigError::Unreadable)?;
    // Its settings would be lost behind the place where it is cut off, and that one be another.
    if bytes.len() as u64 > LARGEST_FILE {
        let path = path.to_owned();
        return Err(ConfigError::TooLong { path });
    }
    let text = String::from_utf8(bytes);
    let path = path.to_owned();
    text.map(Some)
        .map_err(|_| ConfigError::FileNotUtf8 { path })
}

/// Whether `path` is this user's, as far as can be seen: `HOME` may be that of another user who lets
/// nobody in.
fn is_of_user(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    fs_err::symlink_metadata(path).is_ok_and(|found| found.uid() == me)
}

/// A directory that must not be searched has no file for us, a name that is too long has none, and
/// what is not a regular file holds no configuration.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(
        error.kind(),
        NotFound | NotADirectory | InvalidInput | InvalidFilename
    )
}

/// Names the file also where [`open_regular`] returns the system's error as it is, for links that
/// form a loop.
fn unreadable(path: &Path, error: io::Error) -> ConfigError {
    ConfigError::Unreadable(match error.raw_os_error() {
        Some(_) => {
            let text = format!("cannot open `{}`: {error}", path.display());
            io::Error::new(error.kind(), text)
        }
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for_and_a_file_other_than_text_is_named() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let path = top.path().join(PROJECT_FILE);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
        let read = || read(&Environment::new(top.path(), []), &mut Vec::new());
        assert!(read().expect("read").paths.is_empty());
        fs_err::remove_file(&path).expect("removed");
        fs_err::write(&path, b"quiet = true # \xff\n").expect("written");
        let error = read().expect_err("refused").to_string();
        assert!(error.contains(".relto.toml"), "{error}");
    }

    #[test]
    fn a_directory_whose_name_no_file_system_takes_has_no_file() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let long = format!("/{}", "x".repeat(5000));
        let environment = Environment::new(top.path(), [("XDG_CONFIG_HOME", long)]);
        let files = read(&environment, &mut Vec::new()).expect("nothing is read");
        assert!(files.paths.is_empty());
    }

    #[test]
    fn a_file_that_is_too_long_is_an_error_and_not_read_in_part() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let path = top.path().join(PROJECT_FILE);
        let mut text = "jobs = 3\n".to_owned();
        let length = usize::try_from(LARGEST_FILE).expect("small");
        text.push_str(&"#".repeat(length - text.len()));
        let read = || read(&Environment::new(top.path(), []), &mut Vec::new());
        fs_err::write(&path, &text).expect("written");
        assert_eq!(read().expect("read").project.plain[0].values, ["3"]);
        text.push('4');
        fs_err::write(&path, &text).expect("written");
        let error = read().expect_err("refused");
        assert!(matches!(error, ConfigError::TooLong { .. }), "{error}");
    }

    #[test]
    fn links_that_form_a_loop_are_an_error_that_names_the_file() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let path = top.path().join(PROJECT_FILE);
        fs_err::os::unix::fs::symlink(PROJECT_FILE, &path).expect("linked");
        let error = read(&Environment::new(top.path(), []), &mut Vec::new()).expect_err("refused");
        let text = crate::error::Rendered(&error).to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }

    #[test]
    fn the_nearest_trusted_file_counts_and_the_others_are_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let top = tempfile::tempdir().expect("a temporary directory");
        let below = top.path().join("a/b");
        fs_err::create_dir_all(&below).expect("created");
        fs_err::write(top.path().join("a/.relto.toml"), "jobs = 3\n").expect("written");
        let bad = below.join(".relto.toml");
        fs_err::write(&bad, "jobs = 4\n").expect("written");
        fs_err::set_permissions(&bad, std::fs::Permissions::from_mode(0o666)).expect("changed");

        let mut warnings = Vec::new();
        let files = read(&Environment::new(below, []), &mut warnings).expect("read");
        assert_eq!(files.project.plain[0].values, ["3"]);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].text.contains("every user may write it"),
            "{warnings:?}"
        );
    }
}
