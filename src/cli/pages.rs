//! `relto completions SHELL` and `relto man DIR`, what packages install besides the program, and
//! `relto version`.

use std::io;
use std::path::Path;

use clap_complete::Shell;

use super::{CommandError, arguments, output};
use crate::error::{ExitCode, Hinted};

#[derive(Debug, thiserror::Error)]
#[error("cannot write the manual pages to `{dir}`")]
struct NoManual {
    dir: String,
    #[source]
    source: io::Error,
}

impl Hinted for NoManual {}

pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut arguments::parser(), "relto", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

/// What `--version` prints.
pub(super) fn version() -> ExitCode {
    output::print(&arguments::bare_parser().render_long_version())
}

/// A page for relto, and one for each command.
pub(super) fn man(dir: &Path) -> Result<ExitCode, CommandError> {
    let written = fs_err::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(arguments::manual_parser(), dir));
    match written {
        Ok(()) => Ok(ExitCode::Success),
        Err(source) => Err(Box::new(NoManual {
            dir: dir.display().to_string(),
            source,
        })),
    }
}
