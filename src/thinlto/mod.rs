//! ThinLTO index shards and the facts of bitcode modules, without LLVM.
//!
//! Enters: the bytes of a shard (`*.thinlto.bc`) or of a bitcode module. Leaves: the modules that a
//! shard names, the same shard with other names and in canonical order, and the content hashes of a
//! module. Which names are right, and what to do when a hash differs, is for `job` and `action` to
//! say. Reading and writing files is the caller's.

mod bitcode;
mod bitstream;
mod canonical;
mod graph;
mod imports;
mod index;
mod lto_kind;
pub mod module;
mod rewrite;
#[cfg(test)]
mod testing;

pub use bitcode::check_start;
pub use canonical::Obstacle;
pub use graph::{ModuleGraph, guid, name_hash};
pub use imports::suffix;
pub use index::{Index, IndexError, ModuleEntry, ModuleHash};
pub use lto_kind::{LtoKind, count_modules, triple};
pub use module::{ModuleError, ModuleFacts};
pub use rewrite::{Form, RewriteError};
