//! The compiler of a link: which program it is, which files travel with it, and what it says about
//! itself.
//!
//! [`toolchain`](crate::toolchain) knows ELF files and search paths, and [`action`](crate::action)
//! knows arguments; this module puts both together and is the only one that asks the compiler
//! questions. Answers are kept in the state database, so a warm link starts no process.

mod ask;
mod error;
mod probe;
mod probe_cache;
mod resolve;

pub use self::error::CompilerError;
pub use self::resolve::{CompilerRequest, Purpose, ResolvedToolchain, ToolchainSource};
