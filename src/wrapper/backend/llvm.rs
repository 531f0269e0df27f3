//! LLVM's code generation options that the linkers know and clang does not.

/// What clang calls them; `None` where they make no difference to a linker's LTO.
pub(super) const CODEGEN: &[(&str, Option<&str>)] = &[
    ("function-sections", None),
    ("data-sections", None),
    // The default of every target of `ld.lld` that relto knows.
    ("debugger-tune=gdb", None),
    ("target-abi=", Some("-mabi=")),
];

/// Options that clang has in another form, which is not known to mean the same for a module.
pub(super) const LEFT_TO_THE_LINKER: &[&str] = &["debugger-tune"];

/// How the names of options begin that make LLVM print or count: for all modules in one process,
/// under the linker's name. Others record the linker's command line, or make each backend run twice.
pub(super) const SHOWING: &[&str] = &[
    "codegen-data",
    "debug-counter",
    "debug-only",
    "debug-pass",
    "dot-",
    "dump-",
    "help",
    "info-output-file",
    "lto-embed-bitcode",
    "opt-bisect",
    "pass-remarks",
    "print-",
    "save-stats",
    "stats",
    "time-passes",
    "track-memory",
    "training-log",
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
