//! LLVM's code generation options that the linkers know and clang does not.

/// What clang calls them; `None` where they make no difference to a linker's LTO.
pub(super) const CODEGEN: &[(&str, Option<&str>)] = &[
    ("function-sections", None),
    ("data-sections", None),
    ("target-abi=", Some("-mabi=")),
];

/// How the names of options begin that make LLVM print about itself: about all modules in one
/// process, under the linker's name.
pub(super) const SHOWING: &[&str] = &[
    "debug-only",
    "debug-pass",
    "dot-",
    "dump-",
    "help",
    "info-output-file",
    "pass-remarks",
    "print-",
    "save-stats",
    "stats",
    "time-passes",
    "track-memory",
    "version",
    "view-",
];

/// Options without a clang equivalent (`llvm/CodeGen/CommandFlags`).
pub(super) const UNKNOWN_TO_CLANG: &[&str] = &[
    "march",
    "mattr",
    "relocation-model",
    "thread-model",
    "code-model",
    "large-data-threshold",
    "exception-model",
    "filetype",
    "frame-pointer",
    "float-abi",
    "fp-contract",
    "denormal-fp-math",
    "disable-tail-calls",
    "stackrealign",
    "stack-symbol-ordering",
    "trap-func",
    "relax-elf-relocations",
    "x86-relax-relocations",
    "unique-section-names",
    "unique-basic-block-section-names",
    "basic-block-sections",
    "tls-size",
    "emit-call-site-info",
    "debugger-tune",
    "debug-entry-values",
    "force-dwarf-frame-section",
    "xcoff-traceback-table",
    "split-machine-functions",
    "binutils-version",
    "no-integrated-as",
    "meabi",
    "enable-unsafe-fp-math",
    "use-ctors",
    "addrsig",
];
