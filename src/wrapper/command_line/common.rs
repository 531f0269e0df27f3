//! The options that `ld.lld` and `wasm-ld` share.

use super::BackendOption::{
    CodegenLevel, Llvm, NoPic, OptimizationLevel, Partitions, Pic, Relocatable,
};
use super::Role;
use super::Role::{
    Backend, Drop, FinalOnly, Keep, Library, LibraryPath, Output, PassThrough, Refuse, State,
    ThinOnly,
};
use super::StateOption::{EndLib, SharedLibraries, StartLib, StaticLibraries, WholeArchive};

/// Why an option is refused.
pub(super) const SHOWS: Role =
    Refuse("shows how the inputs were linked, which three steps would distort");
pub(super) const INTERNALS: Role = Refuse("shows or changes the linker's own LTO");
pub(super) const DISTRIBUTED: Role =
    Refuse("belongs to a build that distributes its backends itself");
pub(super) const INPUTS: Role = Refuse("changes what inputs mean");

pub(super) const FLAGS: &[(&str, Role)] = &[
    ("Bstatic", State(StaticLibraries)),
    ("static", State(StaticLibraries)),
    ("dn", State(StaticLibraries)),
    ("non_shared", State(StaticLibraries)),
    ("Bdynamic", State(SharedLibraries)),
    ("dy", State(SharedLibraries)),
    ("call_shared", State(SharedLibraries)),
    ("whole-archive", State(WholeArchive(true))),
    ("no-whole-archive", State(WholeArchive(false))),
    ("start-lib", State(StartLib)),
    ("end-lib", State(EndLib)),
    ("pie", Backend(Pic)),
    ("shared", Backend(Pic)),
    ("no-pie", Backend(NoPic)),
    ("r", Backend(Relocatable)),
    ("relocatable", Backend(Relocatable)),
    ("lto-debug-pass-manager", INTERNALS),
    ("lto-legacy-pass-manager", INTERNALS),
    ("no-lto-legacy-pass-manager", Keep),
    ("disable-verify", Keep),
    ("save-temps", INTERNALS),
    ("thinlto-index-only", PassThrough),
    ("thinlto-emit-index-files", DISTRIBUTED),
    ("thinlto-emit-imports-files", DISTRIBUTED),
    ("t", SHOWS),
    ("trace", SHOWS),
    ("verbose", SHOWS),
    ("version", PassThrough),
    ("help", PassThrough),
    ("print-gc-sections", FinalOnly),
    ("no-print-gc-sections", Keep),
    ("print-map", FinalOnly),
    ("M", FinalOnly),
    ("Bsymbolic", Keep),
    ("E", Keep),
    ("S", Keep),
    ("s", Keep),
    ("allow-multiple-definition", Keep),
    ("build-id", Keep),
    ("color-diagnostics", Keep),
    ("demangle", Keep),
    ("emit-relocs", Keep),
    ("error-unresolved-symbols", Keep),
    ("export-dynamic", Keep),
    ("fatal-warnings", Keep),
    ("gc-sections", Keep),
    ("no-allow-multiple-definition", Keep),
    ("no-color-diagnostics", Keep),
    ("no-demangle", Keep),
    ("no-export-dynamic", Keep),
    ("no-fatal-warnings", Keep),
    ("no-gc-sections", Keep),
    ("noinhibit-exec", Keep),
    ("strip-all", Keep),
    ("strip-debug", Keep),
    ("warn-unresolved-symbols", Keep),
];

pub(super) const VALUES: &[(&str, Role)] = &[
    ("output", Output),
    ("library", Library),
    ("library-path", LibraryPath),
    ("lto-partitions", Backend(Partitions)),
    ("mllvm", Backend(Llvm)),
    ("thinlto-cache-dir", Drop),
    ("thinlto-cache-policy", ThinOnly),
    ("thinlto-jobs", ThinOnly),
    ("thinlto-object-suffix-replace", DISTRIBUTED),
    ("thinlto-prefix-replace", DISTRIBUTED),
    ("lto-obj-path", DISTRIBUTED),
    ("load-pass-plugin", INTERNALS),
    ("trace-symbol", SHOWS),
    ("why-extract", SHOWS),
    ("reproduce", SHOWS),
    ("rsp-quoting", INPUTS),
    ("Map", FinalOnly),
    ("entry", Keep),
    ("error-limit", Keep),
    ("rpath", Keep),
    ("soname", Keep),
    ("threads", Keep),
    ("undefined", Keep),
    ("wrap", Keep),
];

pub(super) const SHORT: &[(&str, Role)] = &[
    ("L", LibraryPath),
    ("l", Library),
    ("o", Output),
    ("O", Keep),
    ("e", Keep),
    ("m", Keep),
    ("u", Keep),
    ("y", SHOWS),
    ("z", Keep),
];

pub(super) const JOINED: &[(&str, Role)] = &[
    ("lto-CGO", Backend(CodegenLevel)),
    ("lto-O", Backend(OptimizationLevel)),
];
