//! Finds the program that a compiler's name refers to.
//!
//! Everything that is not a compiler is an error: scripts, compiler caches, objects, programs for
//! other machines.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::elf::{self, ElfKind, Image, Machine, ReadError};
use super::{SearchEnvironment, ToolchainError};
use crate::fs::{is_executable, open_regular};

/// Programs that are called in place of a compiler and start it. A link `clang` to one of them is
/// common.
const WRAPPERS: [&str; 8] = [
    "ccache",
    "sccache",
    "distcc",
    "icecc",
    "icerun",
    "buildcache",
    "goma",
    "rewrapper",
];

/// A program that was found and read.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    /// Absolute; symbolic links are not resolved.
    pub(super) called_as: PathBuf,
    /// With symbolic links resolved.
    pub(super) path: PathBuf,
    pub(super) image: Image,
}

impl Program {
    pub(super) fn find(
        compiler: &Path,
        environment: &SearchEnvironment,
    ) -> Result<Self, ToolchainError> {
        if compiler.as_os_str().is_empty() {
            return Err(ToolchainError::EmptyName);
        }
        let called_as = locate(compiler, environment)?;
        let unreadable = |source| ToolchainError::Unreadable {
            path: called_as.clone(),
            source,
        };
        let path = fs::canonicalize(&called_as).map_err(unreadable)?;
        refuse_wrapper(&called_as, &path)?;
        let found = fs::metadata(&path).map_err(unreadable)?;
        if !found.is_file() {
            return Err(not_a_program(&called_as, "it is not a regular file"));
        }
        if found.permissions().mode() & 0o111 == 0 {
            return Err(ToolchainError::NotExecutable { path: called_as });
        }
        let image = match elf::read(&path) {
            Ok(image) => image,
            Err(ReadError::Io(source)) => return Err(unreadable(source)),
            Err(ReadError::Elf { source, .. }) => {
                return Err(refuse_script(&called_as)
                    .unwrap_or_else(|| not_a_program(&called_as, &source.to_string())));
            }
        };
        check_image(&called_as, &image, environment.machine)?;
        Ok(Self {
            name: name_of(&called_as)?,
            called_as,
            path,
            image,
        })
    }
}

/// Looks a name without a directory up in `PATH`, as the shell and lld do.
fn locate(compiler: &Path, environment: &SearchEnvironment) -> Result<PathBuf, ToolchainError> {
    if compiler.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Ok(environment.current_dir.join(compiler));
    }
    environment
        .program_dirs()
        .map(|dir| dir.join(compiler))
        .find(|path| is_executable(path))
        .ok_or_else(|| ToolchainError::NotInPath {
            name: compiler.to_string_lossy().into_owned(),
        })
}

fn refuse_wrapper(called_as: &Path, path: &Path) -> Result<(), ToolchainError> {
    let tool = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if WRAPPERS.contains(&tool) {
        return Err(ToolchainError::Wrapper {
            path: called_as.to_owned(),
            tool: tool.to_owned(),
        });
    }
    Ok(())
}

/// If the file is a script, names the interpreter in its first line.
fn refuse_script(path: &Path) -> Option<ToolchainError> {
    let mut start = Vec::new();
    let file = open_regular(path).ok()?;
    file.take(256).read_to_end(&mut start).ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    Some(ToolchainError::Script {
        path: path.to_owned(),
        interpreter: String::from_utf8_lossy(line).trim().to_owned(),
    })
}

fn check_image(path: &Path, image: &Image, host: Option<Machine>) -> Result<(), ToolchainError> {
    if let Some(host) = host.filter(|host| !host.runs(image.machine)) {
        return Err(ToolchainError::WrongMachine {
            path: path.to_owned(),
            machine: image.machine,
            host,
        });
    }
    match image.kind {
        ElfKind::Program => Ok(()),
        ElfKind::Shared if image.interpreter.is_some() || image.needed.is_empty() => Ok(()),
        ElfKind::Shared => Err(not_a_program(path, "it is a shared library")),
        ElfKind::Other => Err(not_a_program(path, "it is an object file")),
    }
}

fn not_a_program(path: &Path, reason: &str) -> ToolchainError {
    ToolchainError::NotAProgram {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn name_of(path: &Path) -> Result<String, ToolchainError> {
    match path.file_name().map(OsStr::to_str) {
        Some(Some(name)) => Ok(name.to_owned()),
        Some(None) => Err(ToolchainError::NotUtf8 {
            path: path.to_owned(),
        }),
        None => Err(not_a_program(path, "it has no file name")),
    }
}
