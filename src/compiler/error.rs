//! The errors of finding the compiler and asking it questions.

use std::path::PathBuf;

use crate::error::Hinted;
use crate::toolchain::ToolchainError;
use crate::toolchain::config::CompilerConfigError;

/// Why a compiler cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum CompilerError {
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error("cannot query the compiler")]
    Query(#[from] CompilerConfigError),
    #[error(
        "cannot ask `{compiler}`: it gives no answer in a sandbox, and only a link starts it without one"
    )]
    NotAsked { compiler: PathBuf },
    #[error("the toolchain directory `{dir}` has no `{name}`, neither in `bin` nor in itself")]
    NotInDir { dir: PathBuf, name: String },
    #[error("cannot read a file of the compiler")]
    Unreadable(#[source] std::io::Error),
}

impl Hinted for CompilerError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Toolchain(error) => error.hints(),
            Self::Query(error) => error.hints(),
            Self::NotInDir { .. } => {
                vec![
                    "`toolchain` names the directory of a whole compiler, under the name that the link calls it by"
                        .to_owned(),
                ]
            }
            Self::NotAsked { .. } | Self::Unreadable(_) => Vec::new(),
        }
    }
}
