//! Codes of the records in a shard's summary (`GlobalValueSummarySymtabCodes`).
//!
//! Not listed are per-module summaries (1-3, 7, 19, 22, 23), records of whole-program indices (9),
//! and records with indices that depend on the order of a traversal (26-33, heap profiles).

/// As `COMBINED_PROFILE`, but `n x callee id`: up to LLVM 18, where no call is hot or cold.
pub(super) const COMBINED: u64 = 4;
/// `[id, module, flags, instructions, function flags, entry count, refs, read-only refs,
/// write-only refs, refs x id, n x (callee id, hotness)]`
pub(super) const COMBINED_PROFILE: u64 = 5;
/// `[id, module, flags, variable flags, n x id]`
pub(super) const COMBINED_GLOBALVAR_INIT_REFS: u64 = 6;
/// `[id, module, flags, aliasee id]`
pub(super) const COMBINED_ALIAS: u64 = 8;
pub(super) const VERSION: u64 = 10;
/// Type tests and virtual calls: GUIDs and offsets, no ids.
pub(super) const TYPE_TESTS: u64 = 11;
pub(super) const TYPE_CHECKED_LOAD_CONST_VCALL: u64 = 15;
/// `[id, upper, lower]`, or `[id, GUID]` up to LLVM 19.
pub(super) const VALUE_GUID: u64 = 16;
/// Functions with jump tables: strings.
pub(super) const CFI_FUNCTION_DEFS: u64 = 17;
pub(super) const CFI_FUNCTION_DECLS: u64 = 18;
pub(super) const FLAGS: u64 = 20;
/// Strings, GUIDs and numbers.
pub(super) const TYPE_ID: u64 = 21;
pub(super) const BLOCK_COUNT: u64 = 24;
/// `n x [parameter, lower, upper, calls, calls x (parameter, callee id, lower, upper)]`
pub(super) const PARAM_ACCESS: u64 = 25;
