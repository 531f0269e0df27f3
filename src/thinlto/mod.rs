//! Reads and rewrites `ThinLTO` index shards (`*.thinlto.bc`) and reads bitcode modules, without
//! LLVM.
//!
//! [`action`](crate::action) decides which names are right and what to do when a hash differs.
//! Nothing here opens files.

mod bitcode;
mod bitstream;
mod canonical;
mod graph;
mod imports;
mod index;
mod lto_kind;
pub mod module;
mod processor;
mod rewrite;
mod summary_code;
mod symbols;
#[cfg(test)]
mod testing;

pub use bitcode::check_start;
pub use canonical::Obstacle;
pub use graph::{ModuleGraph, ModuleView, Numbering, PROVED_RELEASES, guid, name_hash, namesakes};
pub use imports::{PROMOTED, suffix};
pub use index::{Index, IndexError, ModuleEntry, ModuleHash};
pub use lto_kind::{LtoKind, count_modules, triple};
pub use module::{ModuleError, ModuleFacts};
pub use processor::{is_aarch64, names_processors};
pub use rewrite::{Form, RewriteError};
pub use symbols::{Symbol, SymbolTable, Visibility, symbols, without_modules};
