//! The authorities that the system trusts, which a library reads.

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;

use fs_err as fs;

use super::{TlsFault, TlsFileError};
use crate::fs::read_regular_at_most;
use crate::reapi::limits::LARGEST_TLS_FILE;

/// The variables that lead to them: to a file, and to directories.
const SYSTEM_FILE: &str = "SSL_CERT_FILE";
const SYSTEM_DIRS: &str = "SSL_CERT_DIR";

/// The authorities of the system where no option names others: as variables say, else as it has them.
#[derive(Debug, Default)]
pub(super) struct SystemAuthorities {
    file: Option<PathBuf>,
    dirs: Vec<PathBuf>,
}

impl SystemAuthorities {
    pub(super) fn of_process() -> Self {
        let dirs = std::env::var_os(SYSTEM_DIRS).unwrap_or_default();
        Self {
            file: std::env::var_os(SYSTEM_FILE).map(PathBuf::from),
            dirs: std::env::split_paths(&dirs).collect(),
        }
    }

    /// The library that reads them would wait for a pipe, or fill the memory from a file without an end,
    /// and a thread that does so holds up the end of the process.
    ///
    /// # Errors
    /// A variable leads to such a file.
    pub(super) fn check(&self) -> Result<(), TlsFileError> {
        let of_dirs = self.dirs.iter().flat_map(|dir| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| (SYSTEM_DIRS, entry.path()))
        });
        // It reads nothing there but regular files.
        let is_giant = |found: Metadata| found.is_file() && found.len() > LARGEST_TLS_FILE;
        let of_dirs = of_dirs.filter(|(_, path)| fs::metadata(path).is_ok_and(is_giant));
        let file = self.file.iter().map(|path| (SYSTEM_FILE, path.clone()));
        for (option, path) in file.chain(of_dirs) {
            let Err(error) = read_regular_at_most(&path, LARGEST_TLS_FILE) else {
                continue;
            };
            let (too_large, no_file) = (io::ErrorKind::FileTooLarge, io::ErrorKind::InvalidInput);
            if error.kind() == too_large || error.kind() == no_file {
                let fault = TlsFault::Unreadable(error);
                return Err(TlsFileError {
                    option,
                    path,
                    fault,
                });
            }
            // The library knows what to do with a file that is not there.
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Hinted as _;

    fn of(file: Option<PathBuf>, dirs: Vec<PathBuf>) -> Result<(), TlsFileError> {
        SystemAuthorities { file, dirs }.check()
    }

    #[test]
    fn pipes_and_giant_files_that_variables_lead_to_are_neither_waited_for_nor_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (pipe, giant) = (dir.path().join("pipe"), dir.path().join("giant"));
        let dirs = vec![PathBuf::from("/nowhere"), dir.path().to_owned()];
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(of(Some(pipe), Vec::new()).is_err());
        assert!(of(Some(PathBuf::from("/nowhere")), dirs.clone()).is_ok());
        let file = fs::File::create(&giant).expect("made");
        file.set_len(1 << 40).expect("lengthened");
        for (checked, variable) in [
            (of(Some(giant), Vec::new()), SYSTEM_FILE),
            (of(None, dirs), SYSTEM_DIRS),
        ] {
            let error = checked.expect_err("giant");
            let said = format!("{error}: {}; {}", error.fault, error.hints().join(" "));
            for word in [variable, "/giant", "longer than 16 MiB", "some KiB"] {
                assert!(said.contains(word), "{said}");
            }
        }
    }
}
