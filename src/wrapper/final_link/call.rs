//! The linker's call that makes the program, and what it prints and lists, with the linker's own names.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Dependencies, RenamedFiles};
use crate::fs;
use crate::wrapper::{Refusal, messages};

/// The link that makes the program.
#[derive(Debug)]
pub struct FinalLink {
    /// Of the linker.
    pub arguments: Vec<OsString>,
    pub(in crate::wrapper) files: RenamedFiles,
    /// Where the linker says what is where in the program.
    pub(in crate::wrapper) map: Option<PathBuf>,
    /// The list of files that the program was made of, where the linker writes one.
    pub(in crate::wrapper) dependencies: Option<Dependencies>,
}

impl FinalLink {
    /// What the linker prints, with its own names for files.
    #[must_use]
    pub fn restored(&self, printed: &[u8]) -> Vec<u8> {
        self.files.restored(printed)
    }

    /// The messages of both links of `linker`, as its own LTO would show them.
    #[must_use]
    pub fn messages(&self, linker: &OsStr, thin: &[u8], last: &[u8]) -> Vec<u8> {
        let name = Path::new(linker).file_name().unwrap_or(linker);
        messages::merged(&name.to_string_lossy(), thin, &self.restored(last))
    }

    /// The arguments of a link that fails as this one does, and names symbols as files have them.
    #[must_use]
    pub fn arguments_for_symbols(&self) -> Vec<OsString> {
        let more = ["--no-demangle", "--no-color-diagnostics"].map(OsString::from);
        self.arguments.iter().cloned().chain(more).collect()
    }

    /// Gives the files in the map the linker's own names. A map that cannot be changed stays.
    pub fn restore_map(&self) {
        let Some(path) = &self.map else { return };
        if let Ok(map) = fs::read_regular(path) {
            // Written in place, as the linker does.
            let _ = fs_err::write(path, self.restored(&map));
        }
    }

    /// Names the inputs of the whole link in the list of dependencies, in place of those that only
    /// the final link has. The linker writes the list of a link that fails, too.
    ///
    /// # Errors
    /// The list cannot be read or written, or has another form.
    pub fn correct_dependencies(&self) -> Result<(), Refusal> {
        match &self.dependencies {
            Some(dependencies) => dependencies.correct(),
            None => Ok(()),
        }
    }
}
