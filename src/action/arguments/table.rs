//! Clang's options, as far as they matter to a ThinLTO backend.
//!
//! Each row gives the spelling of an option, where its value is, and what it means here. An option
//! that is not listed is one plain word: it stays in the command and so becomes part of the key.
//! Measured with clang 22; tests ask the installed clang whether the options listed as inert are
//! inert.

use Meaning::{
    Config, ExtraOutput, FrontEnd, InPlace, Index, InputFile, Language, Output, OutputKind, Plain,
    Plugin, Target,
};
use ValuePosition::{Either, Exact, Joined, Separate};

/// What an argument is to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Kept as it is.
    Plain,
    /// A file to compile: in a backend, the module.
    Input,
    /// Names a file that the backend reads.
    InputFile,
    /// Names a shared library that the compiler loads.
    Plugin,
    /// Requests further output files, or changes which ones:
    /// [`extra_outputs`](super::extra_outputs).
    ExtraOutput,
    /// Depends on the machine that clang runs on: [`native`](crate::action::native).
    Machine,
    /// Decides what kind of output is written: [`kind`](crate::action::kind).
    OutputKind,
    /// Has no effect in a backend. `warns`: clang warns that it is unused.
    FrontEnd {
        warns: bool,
    },
    Output,
    Index,
    Language,
    Target,
    Config,
    /// A response file that does not exist; clang takes the word literally.
    ResponseFile,
    /// Cannot be described by an Action, for this reason.
    InPlace(&'static str),
}

/// Where the value of an option stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValuePosition {
    /// No value: `-c`.
    Exact,
    /// In the same word, possibly empty: `-std=c11`.
    Joined,
    /// The next word: `-Xclang X`.
    Separate,
    /// In the same word, or the next word if that is all of it: `-IX`, `-I X`.
    Either,
}

/// Inert in a backend; clang prints nothing.
const SILENT: Meaning = FrontEnd { warns: false };
/// Inert in a backend; clang warns `argument unused during compilation` unless warnings are off.
const UNUSED: Meaning = FrontEnd { warns: true };
/// Of `gcov`, where a backend itself instruments a module.
const COVERAGE: &str = "writes its directory into the object, and files beside it";

/// Keeps clang from reading configuration files that no argument names; known since LLVM 16.
pub const NO_DEFAULT_CONFIG: &str = "--no-default-config";

/// Between these clang does not warn of arguments that it does not use; known since LLVM 14.
pub const START_UNUSED: &str = "--start-no-unused-arguments";
pub const END_UNUSED: &str = "--end-no-unused-arguments";

/// The longest matching spelling wins.
pub(super) const OPTIONS: &[(&str, ValuePosition, Meaning)] = &[
    // Input, output and kind of output.
    ("-o", Either, Output),
    ("--output", Separate, Output),
    ("--output=", Joined, Output),
    ("-fthinlto-index=", Joined, Index),
    ("-x", Either, Language),
    ("--language=", Joined, Language),
    ("-c", Exact, OutputKind),
    ("--compile", Exact, OutputKind),
    ("-S", Exact, OutputKind),
    ("--assemble", Exact, OutputKind),
    ("-emit-llvm", Exact, OutputKind),
    ("-flto", Exact, OutputKind),
    ("-flto=", Joined, OutputKind),
    ("-fno-lto", Exact, OutputKind),
    ("-ffat-lto-objects", Exact, OutputKind),
    ("-E", Exact, OutputKind),
    ("--preprocess", Exact, OutputKind),
    ("-M", Exact, OutputKind),
    ("--dependencies", Exact, OutputKind),
    ("-MM", Exact, OutputKind),
    ("--user-dependencies", Exact, OutputKind),
    ("--precompile", Exact, OutputKind),
    ("--analyze", Exact, OutputKind),
    ("-fsyntax-only", Exact, OutputKind),
    ("-###", Exact, OutputKind),
    ("--version", Exact, OutputKind),
    ("--help", Exact, OutputKind),
    ("-emit-ast", Exact, OutputKind),
    ("-extract-api", Exact, OutputKind),
    ("-fmodule-header", Exact, OutputKind),
    ("-fdriver-only", Exact, OutputKind),
    ("-dumpmachine", Exact, OutputKind),
    ("-dumpversion", Exact, OutputKind),
    ("-ccc-print-", Joined, OutputKind),
    ("-print-", Joined, OutputKind),
    ("--print-", Joined, OutputKind),
    ("--target=", Joined, Target),
    ("-target", Separate, Target),
    // Files that the backend reads.
    ("-fprofile-use", Exact, InputFile),
    ("-fprofile-use=", Joined, InputFile),
    ("-fprofile-instr-use", Exact, InputFile),
    ("-fprofile-instr-use=", Joined, InputFile),
    ("-fprofile-sample-use=", Joined, InputFile),
    ("-fauto-profile=", Joined, InputFile),
    ("-fprofile-remapping-file=", Joined, InputFile),
    ("-fprofile-list=", Joined, InputFile),
    ("-fmemory-profile-use=", Joined, InputFile),
    ("-fcodegen-data-use", Exact, InputFile),
    ("-fcodegen-data-use=", Joined, InputFile),
    ("-fbasic-block-sections=list=", Joined, InputFile),
    ("-fsanitize-ignorelist=", Joined, InputFile),
    ("-fsanitize-blacklist=", Joined, InputFile),
    ("-fsanitize-system-ignorelist=", Joined, InputFile),
    ("-fsanitize-coverage-allowlist=", Joined, InputFile),
    ("-fsanitize-coverage-whitelist=", Joined, InputFile),
    ("-fsanitize-coverage-ignorelist=", Joined, InputFile),
    ("-fsanitize-coverage-blacklist=", Joined, InputFile),
    ("-fxray-always-instrument=", Joined, InputFile),
    ("-fxray-never-instrument=", Joined, InputFile),
    ("-fxray-attr-list=", Joined, InputFile),
    ("-frandomize-layout-seed-file=", Joined, InputFile),
    ("--warning-suppression-mappings=", Joined, InputFile),
    ("-fpass-plugin=", Joined, Plugin),
    ("-fplugin=", Joined, Plugin),
    // Files that it writes besides the object.
    ("-gsplit-dwarf", Exact, ExtraOutput),
    ("-gsplit-dwarf=", Joined, ExtraOutput),
    ("-gno-split-dwarf", Exact, ExtraOutput),
    ("-fsave-optimization-record", Exact, ExtraOutput),
    ("-fsave-optimization-record=", Joined, ExtraOutput),
    ("-fno-save-optimization-record", Exact, ExtraOutput),
    ("-foptimization-record-file=", Joined, ExtraOutput),
    ("-foptimization-record-passes=", Joined, ExtraOutput),
    ("-fstack-usage", Exact, ExtraOutput),
    // Configuration files.
    ("--config", Separate, Config),
    ("--config=", Joined, Config),
    (NO_DEFAULT_CONFIG, Exact, Config),
    ("--config-system-dir=", Joined, Config),
    ("--config-user-dir=", Joined, Config),
    // Cannot be described by an action. A clang that its loader was named for cannot start itself
    // once more: what it starts is the loader.
    (
        "-save-temps",
        Exact,
        InPlace("writes files named after its input"),
    ),
    (
        "-save-temps=",
        Joined,
        InPlace("writes files named after its input"),
    ),
    (
        "--save-temps",
        Exact,
        InPlace("writes files named after its input"),
    ),
    (
        "--save-temps=",
        Joined,
        InPlace("writes files named after its input"),
    ),
    ("-save-stats", Joined, InPlace("measures the run")),
    ("--save-stats", Joined, InPlace("measures the run")),
    ("-ftime-trace", Joined, InPlace("measures the run")),
    ("-ftime-report", Joined, InPlace("measures the run")),
    ("-fproc-stat-report", Joined, InPlace("measures the run")),
    ("-print-stats", Joined, InPlace("measures the run")),
    (
        "-v",
        Exact,
        InPlace("shows where the compiler is installed"),
    ),
    (
        "--verbose",
        Exact,
        InPlace("shows where the compiler is installed"),
    ),
    ("-MJ", Either, InPlace("writes the command into a file")),
    ("-fprofile-arcs", Exact, InPlace(COVERAGE)),
    ("-ftest-coverage", Exact, InPlace(COVERAGE)),
    ("-coverage", Exact, InPlace(COVERAGE)),
    ("--coverage", Exact, InPlace(COVERAGE)),
    (
        "-gen-cdb-fragment-path",
        Separate,
        InPlace("writes the command into a file"),
    ),
    (
        "-serialize-diagnostics",
        Separate,
        InPlace("writes messages into a file"),
    ),
    (
        "--serialize-diagnostics",
        Separate,
        InPlace("writes messages into a file"),
    ),
    (
        "-gen-reproducer",
        Joined,
        InPlace("writes its inputs into files"),
    ),
    ("-dumpdir", Separate, InPlace("names further outputs")),
    (
        "-working-directory",
        Either,
        InPlace("changes what file names refer to"),
    ),
    ("-fno-integrated-as", Exact, InPlace("starts an assembler")),
    ("-no-integrated-as", Exact, InPlace("starts an assembler")),
    (
        "-fno-integrated-cc1",
        Exact,
        InPlace("starts a second clang process"),
    ),
    (
        "-via-file-asm",
        Exact,
        InPlace("starts a second clang process"),
    ),
    (
        "--via-file-asm",
        Exact,
        InPlace("starts a second clang process"),
    ),
    (
        "-fembed-bitcode",
        Joined,
        InPlace("starts a second clang process"),
    ),
    ("-fembed-offload-object=", Joined, InPlace("embeds a file")),
    ("-ccc-", Joined, InPlace("is for debugging clang")),
    ("-", Exact, InPlace("reads standard input")),
    // Directories and names that end up in the object as text, or in which nothing is looked up.
    ("-frandom-seed=", Joined, Plain),
    ("--prefix=", Joined, Plain),
    ("-resource-dir=", Joined, Plain),
    ("--system-header-prefix=", Joined, Plain),
    ("--no-system-header-prefix=", Joined, Plain),
    ("--embed-dir=", Joined, Plain),
    ("-fprofile-generate=", Joined, Plain),
    ("-fcs-profile-generate=", Joined, Plain),
    ("-fprofile-instr-generate=", Joined, Plain),
    ("-fmemory-profile=", Joined, Plain),
    ("-fprofile-dir=", Joined, Plain),
    ("-fmodules-cache-path=", Joined, Plain),
    ("-fmodule-map-file=", Joined, Plain),
    ("-fmodule-file=", Joined, Plain),
    ("-fprebuilt-module-path=", Joined, Plain),
    ("--gcc-toolchain=", Joined, Plain),
    ("--gcc-install-dir=", Joined, Plain),
    ("--sysroot=", Joined, Plain),
    ("--ld-path=", Joined, Plain),
    ("-fuse-ld=", Joined, Plain),
    ("-Wa,", Joined, Plain),
    ("-Wl,", Joined, Plain),
    ("-Wp,", Joined, Plain),
    ("-Rpass", Joined, Plain),
    // Options whose next word is not an input.
    ("-Xclang", Separate, Plain),
    ("-Xassembler", Separate, Plain),
    ("-Xlinker", Separate, Plain),
    ("-Xpreprocessor", Separate, Plain),
    ("-Xopenmp-target", Separate, Plain),
    ("-Xarch_", Joined, InPlace("depends on the architecture")),
    ("-Xclang=", Joined, Plain),
    ("-mllvm", Separate, Plain),
    ("-mllvm=", Joined, Plain),
    ("-arch", Separate, Plain),
    ("--param", Separate, Plain),
    ("-mthread-model", Separate, Plain),
    ("-meabi", Separate, Plain),
    ("-resource-dir", Separate, Plain),
    ("--sysroot", Separate, Plain),
    ("-include-pch", Separate, Plain),
    ("-ivfsoverlay", Separate, Plain),
    ("-imultilib", Separate, Plain),
    ("-framework", Separate, Plain),
    ("-A", Either, Plain),
    ("-B", Either, Plain),
    ("-G", Either, Plain),
    ("-L", Either, Plain),
    ("-T", Either, Plain),
    ("-e", Either, Plain),
    ("-emit-", Joined, Plain),
    ("-l", Either, Plain),
    ("-u", Either, Plain),
    ("-z", Separate, Plain),
    // Options of the preprocessor. clang does not warn about `-D`, but about `-U`; about
    // `-nostdinc++` only together with `-nostdinc`.
    ("-D", Either, SILENT),
    // Names in debug information and coverage come with the module. CodeView holds the directory that the
    // backend runs in, and jobs with it run in place.
    ("-fdebug-prefix-map=", Joined, SILENT),
    ("-ffile-prefix-map=", Joined, SILENT),
    ("-fdebug-compilation-dir=", Joined, SILENT),
    ("-fdebug-compilation-dir", Separate, SILENT),
    ("-ffile-compilation-dir=", Joined, SILENT),
    ("-fcoverage-compilation-dir=", Joined, SILENT),
    // A compiler that crashes in an action runs once more in place.
    ("-fcrash-diagnostics-dir=", Joined, SILENT),
    ("-nostdinc", Exact, UNUSED),
    ("-nostdinc++", Exact, UNUSED),
    ("-undef", Exact, UNUSED),
    ("-U", Either, UNUSED),
    ("-I", Either, UNUSED),
    ("-F", Either, UNUSED),
    ("-isystem", Either, UNUSED),
    ("-iquote", Either, UNUSED),
    ("-idirafter", Either, UNUSED),
    ("-include", Separate, UNUSED),
    ("-imacros", Separate, UNUSED),
    ("-iprefix", Either, UNUSED),
    ("-iwithprefix", Either, UNUSED),
    ("-iwithprefixbefore", Either, UNUSED),
    ("-isysroot", Either, UNUSED),
    ("-iframework", Either, UNUSED),
    ("-cxx-isystem", Either, UNUSED),
    ("-isystem-after", Either, UNUSED),
    ("-stdlib++-isystem", Either, UNUSED),
    ("-fmacro-prefix-map=", Joined, UNUSED),
    ("-fcoverage-prefix-map=", Joined, UNUSED),
    // A backend does not preprocess, so it writes no dependency file either.
    ("-MD", Exact, UNUSED),
    ("-MMD", Exact, UNUSED),
    ("-MG", Exact, UNUSED),
    ("-MP", Exact, UNUSED),
    ("-MF", Either, UNUSED),
    ("-MT", Either, UNUSED),
    ("-MQ", Either, UNUSED),
    ("-Wp,-M", Joined, UNUSED),
];
