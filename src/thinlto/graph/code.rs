//! Numbers of blocks and records (`llvm/Bitcode/LLVMBitCodes.h`).

/// Blocks inside a module.
pub(super) mod block {
    pub(in super::super) const PARAMATTR: u64 = 9;
    pub(in super::super) const PARAMATTR_GROUP: u64 = 10;
    pub(in super::super) const CONSTANTS: u64 = 11;
    pub(in super::super) const FUNCTION: u64 = 12;
    pub(in super::super) const VALUE_SYMTAB: u64 = 14;
    pub(in super::super) const METADATA: u64 = 15;
    pub(in super::super) const METADATA_ATTACHMENT: u64 = 16;
    pub(in super::super) const TYPE: u64 = 17;
    pub(in super::super) const OPERAND_BUNDLE_TAGS: u64 = 21;
    pub(in super::super) const METADATA_KIND: u64 = 22;
    pub(in super::super) const SYNC_SCOPE_NAMES: u64 = 26;
}

/// Records of a module block.
pub(super) mod module {
    pub(in super::super) const VERSION: u64 = 1;
    pub(in super::super) const TRIPLE: u64 = 2;
    pub(in super::super) const DATALAYOUT: u64 = 3;
    pub(in super::super) const ASM: u64 = 4;
    pub(in super::super) const SECTIONNAME: u64 = 5;
    pub(in super::super) const GLOBALVAR: u64 = 7;
    pub(in super::super) const FUNCTION: u64 = 8;
    pub(in super::super) const GCNAME: u64 = 11;
    pub(in super::super) const COMDAT: u64 = 12;
    pub(in super::super) const VSTOFFSET: u64 = 13;
    pub(in super::super) const ALIAS: u64 = 14;
    pub(in super::super) const SOURCE_FILENAME: u64 = 16;
    pub(in super::super) const HASH: u64 = 17;
    pub(in super::super) const IFUNC: u64 = 18;
    /// Since LLVM 23: under which options the assembly that follows was written.
    pub(in super::super) const ASM_PROPERTY: u64 = 19;
    /// Since LLVM 23: the GUIDs of all globals, each as two halves, the high one first.
    pub(in super::super) const GUIDLIST: u64 = 20;
}

/// Records of a metadata block.
pub(super) mod metadata {
    pub(in super::super) const VALUE: u64 = 2;
    pub(in super::super) const NODE: u64 = 3;
    pub(in super::super) const NAME: u64 = 4;
    pub(in super::super) const DISTINCT_NODE: u64 = 5;
    pub(in super::super) const KIND: u64 = 6;
    /// A location of debug information, as 12 to 34, 37 and 40 to 49 are others.
    pub(in super::super) const LOCATION: u64 = 7;
    pub(in super::super) const NAMED_NODE: u64 = 10;
    pub(in super::super) const ATTACHMENT: u64 = 11;
    pub(in super::super) const FIRST_DEBUG: u64 = 12;
    pub(in super::super) const LAST_DEBUG: u64 = 34;
    pub(in super::super) const STRINGS: u64 = 35;
    pub(in super::super) const GLOBAL_DECL_ATTACHMENT: u64 = 36;
    pub(in super::super) const GLOBAL_VARIABLE_EXPRESSION: u64 = 37;
    pub(in super::super) const INDEX_OFFSET: u64 = 38;
    pub(in super::super) const INDEX: u64 = 39;
    pub(in super::super) const FIRST_LATER_DEBUG: u64 = 40;
    pub(in super::super) const LAST_LATER_DEBUG: u64 = 49;
}

/// Records of a constants block.
pub(super) mod constant {
    pub(in super::super) const SETTYPE: u64 = 1;
    pub(in super::super) const NULL: u64 = 2;
    pub(in super::super) const UNDEF: u64 = 3;
    pub(in super::super) const INTEGER: u64 = 4;
    pub(in super::super) const WIDE_INTEGER: u64 = 5;
    pub(in super::super) const FLOAT: u64 = 6;
    pub(in super::super) const AGGREGATE: u64 = 7;
    pub(in super::super) const STRING: u64 = 8;
    pub(in super::super) const CSTRING: u64 = 9;
    pub(in super::super) const CE_BINOP: u64 = 10;
    pub(in super::super) const CE_CAST: u64 = 11;
    pub(in super::super) const CE_EXTRACTELT: u64 = 14;
    pub(in super::super) const CE_INSERTELT: u64 = 15;
    pub(in super::super) const CE_SHUFFLEVEC: u64 = 16;
    pub(in super::super) const CE_SHUFVEC_EX: u64 = 19;
    pub(in super::super) const BLOCKADDRESS: u64 = 21;
    pub(in super::super) const DATA: u64 = 22;
    pub(in super::super) const POISON: u64 = 26;
    pub(in super::super) const DSO_LOCAL_EQUIVALENT: u64 = 27;
    pub(in super::super) const NO_CFI_VALUE: u64 = 29;
    pub(in super::super) const INLINEASM: u64 = 30;
    pub(in super::super) const CE_GEP_WITH_INRANGE: u64 = 31;
    pub(in super::super) const CE_GEP: u64 = 32;
    pub(in super::super) const BYTE: u64 = 35;
    pub(in super::super) const WIDE_BYTE: u64 = 36;
}
