//! clang's options, as far as they mean something to a ThinLTO backend.
//!
//! A table to read and to extend: an option's spelling, where its value stands, what it means here.
//! Options that are not listed are plain single words: they stay in the command, and so are part of
//! the key. Measured with clang 22; the tests ask the installed clang whether what is listed as
//! inert is inert.

use Meaning::{
    Config, ExtraOutput, FrontEnd, InPlace, Index, InputFile, Language, Machine, Output,
    OutputKind, Plain, Plugin, Target,
};
use Shape::{Either, Exact, Joined, Separate};

/// What an argument is to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Stays as it is.
    Plain,
    /// A file to compile; in a backend the module.
    Input,
    /// Names a file that the backend reads.
    InputFile,
    /// Names a shared library that the compiler loads.
    Plugin,
    /// Asks for further output files, or changes which: `extra_outputs`.
    ExtraOutput,
    /// Stands for the machine that clang runs on: `native`.
    Machine,
    /// Decides what is written: `kind`.
    OutputKind,
    /// Cannot reach a backend. `warns`: but clang remarks on it being unused.
    FrontEnd {
        warns: bool,
    },
    Output,
    Index,
    Language,
    Target,
    Config,
    /// A response file that is not there; clang takes the word as it is.
    ResponseFile,
    /// No action can describe it; why not.
    InPlace(&'static str),
}

/// Where the value of an option stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// No value: `-c`.
    Exact,
    /// In the same word, possibly empty: `-std=c11`.
    Joined,
    /// The next word: `-Xclang X`.
    Separate,
    /// In the same word, or the next word if that is all of it: `-IX`, `-I X`.
    Either,
}

/// Inert in a backend, without any message.
const SILENT: Meaning = FrontEnd { warns: false };
/// Inert in a backend, but clang says `argument unused during compilation` unless told not to.
const UNUSED: Meaning = FrontEnd { warns: true };

/// The longest spelling that fits a word decides.
pub(super) const OPTIONS: &[(&str, Shape, Meaning)] = &[
    // What is made of what.
    ("-o", Either, Output),
    ("--output", Separate, Output),
    ("--output=", Joined, Output),
    ("-fthinlto-index=", Joined, Index),
    ("-x", Either, Language),
    ("--language=", Joined, Language),
    ("-c", Exact, OutputKind),
    ("-S", Exact, OutputKind),
    ("-emit-llvm", Exact, OutputKind),
    ("-flto", Exact, OutputKind),
    ("-flto=", Joined, OutputKind),
    ("-fno-lto", Exact, OutputKind),
    ("-E", Exact, OutputKind),
    ("-M", Exact, OutputKind),
    ("-MM", Exact, OutputKind),
    ("-fsyntax-only", Exact, OutputKind),
    ("-###", Exact, OutputKind),
    ("--version", Exact, OutputKind),
    ("--help", Exact, OutputKind),
    ("-emit-ast", Exact, OutputKind),
    ("--target=", Joined, Target),
    ("-target", Separate, Target),
    // Means something else on every machine.
    ("-march=native", Exact, Machine),
    ("-mcpu=native", Exact, Machine),
    ("-mtune=native", Exact, Machine),
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
    ("--no-default-config", Exact, Config),
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
        InPlace("changes what names mean"),
    ),
    ("-fno-integrated-as", Exact, InPlace("starts an assembler")),
    ("-no-integrated-as", Exact, InPlace("starts an assembler")),
    (
        "-fno-integrated-cc1",
        Exact,
        InPlace("starts itself once more"),
    ),
    ("-via-file-asm", Exact, InPlace("starts itself once more")),
    (
        "-fembed-bitcode",
        Joined,
        InPlace("starts itself once more"),
    ),
    ("-fembed-offload-object=", Joined, InPlace("embeds a file")),
    ("-ccc-", Joined, InPlace("is for debugging clang")),
    ("-", Exact, InPlace("reads standard input")),
    // Directories and names that go into the object or the debug information as texts, or that
    // nothing is looked for in.
    ("-fdebug-prefix-map=", Joined, Plain),
    ("-ffile-prefix-map=", Joined, Plain),
    ("-fdebug-compilation-dir=", Joined, Plain),
    ("-ffile-compilation-dir=", Joined, Plain),
    ("-fcoverage-compilation-dir=", Joined, Plain),
    ("-fcrash-diagnostics-dir=", Joined, Plain),
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
    // Words whose next word is no input.
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
    // The preprocessor's. clang says nothing of `-D`, but of `-U`; of `-nostdinc++` only beside
    // `-nostdinc`.
    ("-D", Either, SILENT),
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
    // A backend preprocesses nothing, so it writes no dependency file either.
    ("-MD", Exact, UNUSED),
    ("-MMD", Exact, UNUSED),
    ("-MG", Exact, UNUSED),
    ("-MP", Exact, UNUSED),
    ("-MF", Either, UNUSED),
    ("-MT", Either, UNUSED),
    ("-MQ", Either, UNUSED),
    ("-Wp,-M", Joined, UNUSED),
];
