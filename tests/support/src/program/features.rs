//! Small programs, each for one thing that a link may hold besides plain modules.
//!
//! Archives, thin archives and `--start-lib` are ways to link any program: see
//! [`Form`](crate::link::Form).

use super::super::corpus::cached;
use super::super::llvm::Llvm;
use super::generated::written;
use super::{Program, strings};
use fs_err as fs;

/// What is special about the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Two modules and nothing special.
    Plain,
    /// Objects that hold both machine code and bitcode; lld unpacks the latter under names of its
    /// own.
    FatLto,
    /// A file that only the assembler in the backend opens: no input that a job could declare.
    Incbin,
    /// A sample profile that the link line names: a common input of all jobs.
    SampleProfile,
    /// Two modules in one bitcode file.
    SplitLtoUnit,
    /// Type-id records in the shards.
    WholeProgramVtables,
    /// The backend warns and succeeds.
    Warning,
    /// One module of regular LTO among those of ThinLTO.
    MixedModes,
    /// Full debug information.
    Debug,
    /// Windows objects for `lld-link`; the result cannot run here.
    Coff,
}

impl Feature {
    const ALL: [Self; 10] = [
        Self::Plain,
        Self::FatLto,
        Self::Incbin,
        Self::SampleProfile,
        Self::SplitLtoUnit,
        Self::WholeProgramVtables,
        Self::Warning,
        Self::MixedModes,
        Self::Debug,
        Self::Coff,
    ];

    /// The features that the LLVM under test can distribute: FatLTO objects since release 22.
    pub fn all() -> impl Iterator<Item = Self> {
        let fat = Llvm::get().major() >= 22;
        let known = move |feature: &Self| fat || *feature != Self::FatLto;
        Self::ALL.into_iter().filter(known)
    }
}

const MAIN_C: &str = "#include <stdio.h>\nint twice(int);\nint thrice(int);\n\
    int main(void) { puts(twice(3) + thrice(2) == 12 ? \"ok\" : \"wrong\"); return 0; }\n";
const TWICE_C: &str = "int thrice(int);\nint twice(int x) { return thrice(x) - x; }\n";
const THRICE_C: &str = "__attribute__((noinline)) static int step(int x) { return x * 3; }\nint thrice(int x) { return step(x); }\n";
const C: &[(&str, &str)] = &[
    ("main.c", MAIN_C),
    ("twice.c", TWICE_C),
    ("thrice.c", THRICE_C),
];

const INCBIN_C: &str = "#include <stdio.h>\nextern const char data[], data_end[];\nint more(void);\n\
    int main(void) {\n\
    asm volatile(\".pushsection .rodata\\n.globl data\\ndata: .incbin \\\"data.bin\\\"\\n.globl data_end\\ndata_end:\\n.popsection\");\n\
    fwrite(data, 1, (size_t)(data_end - data), stdout); return more(); }\n";

const WARNING_C: &str = "#include <stdio.h>\nvoid fill(volatile char *);\n\
    int main(void) { volatile char room[500]; fill(room); puts(room[499] == 7 ? \"ok\" : \"wrong\"); return 0; }\n";
const FILL_C: &str =
    "void fill(volatile char *room) { for (int i = 0; i < 500; i++) room[i] = 7; }\n";

const SHAPE_H: &str = "#pragma once\nstruct Shape { virtual ~Shape(); virtual int area() const = 0; };\n\
    Shape *square(int), *circle(int);\n";
const SHAPES_MAIN: &str = "#include <cstdio>\n#include \"shape.h\"\n\
    int main() { Shape *s = square(3), *c = circle(2); std::puts(s->area() + c->area() == 21 ? \"ok\" : \"wrong\"); delete s; delete c; }\n";
const SQUARE_CPP: &str = "#include \"shape.h\"\nShape::~Shape() {}\n\
    struct Square : Shape { int a; Square(int a) : a(a) {} int area() const override { return a * a; } };\n\
    Shape *square(int a) { return new Square(a); }\n";
const CIRCLE_CPP: &str = "#include \"shape.h\"\n\
    struct Circle : Shape { int r; Circle(int r) : r(r) {} int area() const override { return 3 * r * r; } };\n\
    Shape *circle(int r) { return new Circle(r); }\n";
const SHAPES: &[(&str, &str)] = &[
    ("shape.h", SHAPE_H),
    ("main.cpp", SHAPES_MAIN),
    ("square.cpp", SQUARE_CPP),
    ("circle.cpp", CIRCLE_CPP),
];

const COFF_C: &[(&str, &str)] = &[
    (
        "main.c",
        "int twice(int);\nint start(void) { return twice(21); }\n",
    ),
    ("twice.c", "int twice(int x) { return x * 2; }\n"),
];

/// The program that shows `feature`.
pub fn feature(feature: Feature) -> Program {
    let thin = |name: &str, texts, flags: &[&str]| {
        let flags = [&["-O2", "-flto=thin"], flags].concat();
        Program::c(name, written(name, "clang", texts, &flags))
    };
    match feature {
        Feature::Plain => thin("plain", C, &[]),
        Feature::Debug => thin("debug", C, &["-g"]),
        Feature::FatLto => {
            thin("fat-lto", C, &["-ffat-lto-objects"]).linked_with(&["-ffat-lto-objects"])
        }
        Feature::Warning => {
            let texts = &[("main.c", WARNING_C), ("fill.c", FILL_C)];
            thin("warning", texts, &["-Wframe-larger-than=100"])
        }
        Feature::Incbin => incbin(),
        Feature::SampleProfile => sample_profile(),
        Feature::MixedModes => mixed_modes(),
        Feature::SplitLtoUnit => shapes("split-lto-unit", &["-fsplit-lto-unit"], &[]),
        Feature::WholeProgramVtables => shapes(
            "whole-program-vtables",
            &[
                "-fwhole-program-vtables",
                "-fvisibility=hidden",
                "-fno-split-lto-unit",
            ],
            &["-fwhole-program-vtables", "-fno-split-lto-unit"],
        ),
        Feature::Coff => {
            let flags = ["-O2", "-flto=thin", "--target=x86_64-pc-windows-msvc"];
            Program {
                driver: "lld-link",
                link_arguments: strings(&["/nodefaultlib", "/entry:start", "/subsystem:console"]),
                check: None,
                ..Program::c("coff", written("coff", "clang", COFF_C, &flags))
            }
        }
    }
}

impl Program {
    fn linked_with(mut self, arguments: &[&str]) -> Self {
        self.link_arguments.extend(strings(arguments));
        self
    }
}

fn shapes(name: &str, compile: &[&str], link: &[&str]) -> Program {
    let flags = [&["-O2", "-flto=thin"], compile].concat();
    let program = Program {
        driver: "clang++",
        ..Program::c(name, written(name, "clang++", SHAPES, &flags))
    };
    program.linked_with(link)
}

/// `data.bin` is found in the directory that the backend runs in, as the assembler does it.
fn incbin() -> Program {
    let texts = &[
        ("main.c", INCBIN_C),
        ("more.c", "int more(void) { return 0; }\n"),
    ];
    let data = cached("incbin-data", "ok, says the file\n", |dir| {
        fs::write(dir.join("data.bin"), "ok, says the file\n").expect("written");
    });
    // Nothing opens assembly inside a function before the backend: the compile step does not
    // miss the file.
    let mut program = Program::c(
        "incbin",
        written("incbin", "clang", texts, &["-O2", "-flto=thin"]),
    );
    program.files.push(data.join("data.bin"));
    program
}

/// The text form of a profile; the counts say that the loop is hot.
fn sample_profile() -> Program {
    const PROFILE: &str =
        "main:1000:0\n 1: 10\ntwice:90000:9000\n 0: 9000\nthrice:80000:8000\n 0: 8000\n";
    let flags = [
        "-O2",
        "-flto=thin",
        "-gline-tables-only",
        "-fdebug-info-for-profiling",
    ];
    let profile = cached("sample-profile-data", PROFILE, |dir| {
        fs::write(dir.join("sample.prof"), PROFILE).expect("written");
    });
    let mut program = Program::c(
        "sample-profile",
        written("sample-profile", "clang", C, &flags),
    );
    program.files.push(profile.join("sample.prof"));
    program.linked_with(&["-fprofile-sample-use=sample.prof"])
}

fn mixed_modes() -> Program {
    let thin = written("mixed-thin", "clang", &C[..2], &["-O2", "-flto=thin"]);
    let full = written("mixed-full", "clang", &C[2..], &["-O2", "-flto=full"]);
    Program::c("mixed-modes", [thin, full].concat())
}
