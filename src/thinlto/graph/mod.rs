//! The graph of a bitcode module: what a ThinLTO backend can see of a module that it imports from.
//!
//! [`ModuleGraph::read`] decodes a module once; the result is small, can be stored, and answers any
//! [`ModuleGraph::slice`]: one digest for the GUIDs that a job imports, which two modules share
//! exactly when the job sees the same of both. The numbering of tables, and definitions to which
//! nothing imported refers, are not part of it.
//!
//! LLVM uniques constants, types and attributes, so they enter by content. Globals enter by name.
//! Distinct metadata keeps its identity: nodes are numbered when a slice first reaches them. So are
//! the locations of inline assembly, whose values count nowhere ([`ModuleView::cookies`]). A
//! module that contains anything unknown is [`Opaque`], and has no slices. A function body that
//! contains anything unknown makes only those slices opaque that need it.

mod attributes;
mod code;
mod constants;
mod encoder;
mod file;
mod function;
mod globals;
mod instruction;
mod metadata;
mod names;
mod numbering;
mod operands;
mod own;
mod reader;
mod slice;
mod tables;
mod types;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bitcode::NotBitcode;
use super::bitstream::BitstreamError;
pub use encoder::Hash;
pub use file::PROVED_RELEASES;
pub use names::namesakes;
pub use numbering::Numbering;

/// Why a module, or a part of it, is taken whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Opaque {
    #[error("it is not a bitstream that LLVM writes")]
    Damaged,
    #[error("its producer is `{0}`")]
    Producer(String),
    #[error("it has debug information")]
    DebugInfo,
    #[error("the file holds several modules, or none")]
    ModuleCount,
    #[error("a block of number {0}, whose meaning is not known")]
    Block(u64),
    #[error("a record of code {code} in a block of number {block}, whose meaning is not known")]
    Record { block: u64, code: u64 },
    #[error("a table that stands there twice, or too late")]
    Place(u64),
    #[error("a global value without a name")]
    Unnamed,
    #[error("`{0}` is data that a compiler makes of names or profiles")]
    Instrumented(String),
    #[error("an ifunc that keeps its local name")]
    LocalIfunc,
    #[error("references that are nested too deeply")]
    Depth,
    #[error("constants that lead to very many globals")]
    References,
}

impl From<NotBitcode> for Opaque {
    fn from(_: NotBitcode) -> Self {
        Self::Damaged
    }
}

impl From<BitstreamError> for Opaque {
    fn from(_: BitstreamError) -> Self {
        Self::Damaged
    }
}

type Decoded<T> = Result<T, Opaque>;

/// A part of the graph: the digest of its content, and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Part {
    digest: Hash,
    /// Globals by their index, at first visit.
    globals: Vec<u32>,
    /// Functions of which a basic block's address is taken: their bodies matter.
    bodies: Vec<u32>,
    /// Metadata nodes whose identity matters, at first visit.
    nodes: Vec<u32>,
    /// See [`ModuleView::cookies`]; at first visit.
    cookies: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum GlobalKind {
    Variable,
    Function,
    Alias,
    Ifunc,
}

/// A body or an initializer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum GlobalContent {
    /// A declaration.
    None,
    Known(Part),
    Unknown(Opaque),
}

/// A global value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Global {
    kind: GlobalKind,
    /// First eight bytes of a hash of the name, by which namesakes are found.
    name: u64,
    guid: u64,
    /// Has local linkage.
    local: bool,
    /// Has appending linkage: `llvm.used` and the like, which every slice holds.
    appending: bool,
    /// The module-level record with its attachments.
    record: Part,
    content: GlobalContent,
}

/// A metadata node that is distinct, refers to one, or refers to a global.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Node {
    /// Content, with places for `refs`.
    digest: Hash,
    refs: Vec<u32>,
    globals: Vec<u32>,
    bodies: Vec<u32>,
}

/// What a job sees of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleView {
    pub digest: Hash,
    /// Whether it has a local value, of which an object may have the promoted name.
    pub locals: bool,
    /// Where the source has the inline assembly of the module, as LLVM's location cookies
    /// (`!srcloc`): a hash of each, in the order in which the job first meets it.
    ///
    /// clang counts such a location in characters of all files read so far, so it differs after any
    /// edit above it, in any header. A backend prints it in messages, and jobs with messages have no
    /// results under slice keys. Besides, passes compare instructions, and to be identical two of
    /// inline assembly must have one node as their location. LLVM makes nodes of equal content one
    /// node, in all modules that a job merges. Therefore the digest says only which places of the
    /// module have equal locations, and a job's key says it for all its modules together.
    pub cookies: Vec<u64>,
}

/// What a job can see of a module, for every choice of imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleGraph {
    /// The release of LLVM that wrote the module.
    release: u32,
    /// The module as its own job reads it; `None` if it counts whole.
    own: Option<ModuleView>,
    /// First eight bytes of a hash of the name of the source file.
    source: u64,
    /// What every job sees: target, flags, named metadata, appending variables, and of the module's
    /// assembly what gives versions to symbols.
    head: Part,
    /// In the order of the module.
    globals: Vec<Global>,
    nodes: Vec<Node>,
    /// Numbers that follow `.llvm.` in any text of the module.
    suffixes: Vec<u64>,
    /// See [`ModuleGraph::depends_on_names`].
    depends_on_names: bool,
}

/// The GUID of a global value that is not local.
#[must_use]
pub fn guid(name: &str) -> u64 {
    globals::guid(name.as_bytes(), None)
}

/// The hash by which [`ModuleGraph::names`] and namesakes go.
#[must_use]
pub fn name_hash(name: &str) -> u64 {
    encoder::short_hash(name.as_bytes())
}

impl ModuleGraph {
    /// Reads a bitcode file.
    ///
    /// # Errors
    /// The file is not a module, or contains something whose meaning is not known for certain.
    pub fn read(bytes: &[u8]) -> Decoded<Self> {
        reader::read(bytes)
    }

    /// The release of LLVM that wrote the module, by its first number.
    #[must_use]
    pub fn release(&self) -> u32 {
        self.release
    }

    /// A number that modules share whose source files have one name: their local values share GUIDs
    /// if they share names.
    #[must_use]
    pub fn source(&self) -> u64 {
        self.source
    }

    /// The GUIDs of local values among `mentioned`, which ascend, each with the hash of its name.
    #[must_use]
    pub fn locals_among(&self, mentioned: &[u64]) -> Vec<(u64, u64)> {
        let locals = self.globals.iter().filter(|global| global.local);
        let locals = locals.filter(|global| mentioned.binary_search(&global.guid).is_ok());
        locals.map(|global| (global.guid, global.name)).collect()
    }

    /// Whether the GUID is that of a name that other modules can refer to.
    #[must_use]
    pub fn has_visible(&self, guid: u64) -> bool {
        let mut globals = self.globals.iter();
        globals.any(|global| !global.local && global.guid == guid)
    }

    /// What a job sees of the module that imports the GUIDs `imported` from it, unless it counts
    /// whole. With `None` the job compiles it, and sees all of it but the directory of its source
    /// file and the locations of inline assembly.
    #[must_use]
    pub fn seen(&self, imported: Option<&BTreeSet<u64>>, namesakes: &[u64]) -> Option<ModuleView> {
        match imported {
            Some(imported) => self.slice_of(imported, namesakes),
            None => self.own.clone(),
        }
    }

    /// Numbers that follow `.llvm.` somewhere in the module's names or texts: such a name looks
    /// like that of a promoted local.
    #[must_use]
    pub fn suffixes(&self) -> &[u64] {
        &self.suffixes
    }

    /// Whether an object may hold more of the names of promoted locals than these names: its assembly
    /// may take them apart, or calls are promoted by their hashes.
    #[must_use]
    pub fn depends_on_names(&self) -> bool {
        self.depends_on_names
    }

    /// Why slices are opaque that need some bodies or initializers.
    pub fn unknown(&self) -> impl Iterator<Item = &Opaque> {
        self.globals
            .iter()
            .filter_map(|global| match &global.content {
                GlobalContent::Unknown(reason) => Some(reason),
                GlobalContent::None | GlobalContent::Known(_) => None,
            })
    }

    /// Bytes of memory that the graph takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let words = |part: &Part| {
            let words = part.globals.len() + part.bodies.len() + part.nodes.len();
            words + 2 * part.cookies.len()
        };
        let globals = self.globals.iter().map(|global| {
            let content = match &global.content {
                GlobalContent::Known(content) => words(content),
                GlobalContent::None | GlobalContent::Unknown(_) => 0,
            };
            size_of::<Global>() + 4 * (words(&global.record) + content)
        });
        let nodes = self.nodes.iter().map(|node| {
            let words = node.refs.len() + node.globals.len() + node.bodies.len();
            size_of::<Node>() + 4 * words
        });
        let own = self.own.as_ref().map_or(0, |own| own.cookies.len());
        let others = 4 * words(&self.head) + 8 * (own + self.suffixes.len());
        size_of::<Self>() + others + globals.sum::<usize>() + nodes.sum::<usize>()
    }
}
