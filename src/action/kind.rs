//! Determines the kind of output that a backend is asked for, and checks that it wrote that kind.
//!
//! clang can exit with 0 and write nothing, or something else. Only the headers of an output are
//! checked, not its contents.

use super::arguments::{Argument, Meaning};
use super::coff;
use crate::error::Hinted;

/// File formats of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Elf,
    Coff,
    MachO,
    Wasm,
    Xcoff,
    Goff,
    SpirV,
    DxContainer,
}

/// What an object is compiled for, as far as it matters to which results slice keys may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    X86_64,
    Aarch64,
    Other,
}

/// The kind of file that `-o` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    Object(Format),
    Assembly,
    Bitcode,
    /// LLVM's textual form, `-S -emit-llvm`.
    Ir,
    /// Not the output of a compilation: preprocessing, checks, or a whole link.
    Other,
}

/// The output is not of the requested kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongOutput {
    #[error("the output is empty")]
    Empty,
    #[error("expected {wanted} output, but it starts with `{start}`")]
    Magic { wanted: &'static str, start: String },
    #[error("the output is a linked file, not an object")]
    Linked,
    #[error("the output is truncated inside its header")]
    Truncated,
    #[error("the output is not text")]
    NotText,
    #[error("the output is incomplete: a table or a section of it is not within the file")]
    Incomplete,
    #[error("the output is for another processor")]
    OtherProcessor,
}

impl Hinted for WrongOutput {}

/// The kind of output that a command line asks for. `target` is the triple that it compiles for,
/// the compiler's default where the arguments name none.
#[must_use]
pub fn required_kind(arguments: &[Argument<'_>], target: &str) -> OutputKind {
    let (mut compile, mut assembly, mut llvm, mut lto, mut fat, mut other) =
        (false, false, false, false, false, false);
    let kinds = arguments
        .iter()
        .filter(|it| it.meaning == Meaning::OutputKind);
    for argument in kinds {
        match argument.option {
            "-c" | "--compile" => compile = true,
            "-S" | "--assemble" => assembly = true,
            "-emit-llvm" => llvm = true,
            "-flto" | "-flto=" => lto = true,
            "-fno-lto" => lto = false,
            // An object that holds bitcode. clang does not look at the option's negation here.
            "-ffat-lto-objects" => fat = true,
            _ => other = true,
        }
    }
    match (assembly, llvm || lto && !fat) {
        _ if other || !(compile || assembly) => OutputKind::Other,
        (true, true) => OutputKind::Ir,
        (true, false) => OutputKind::Assembly,
        (false, true) => OutputKind::Bitcode,
        (false, false) => OutputKind::Object(format_of(target)),
    }
}

/// Windows, and what LLVM takes for it.
pub(super) const WINDOWS: [&str; 6] = ["windows", "win32", "uefi", "mingw", "cygwin", "msys"];

/// How the names of Apple's systems begin. The vendor alone does not decide the format.
pub(super) const SYSTEMS_OF_APPLE: [&str; 9] = [
    "darwin",
    "macos",
    "ios",
    "tvos",
    "watchos",
    "xros",
    "visionos",
    "driverkit",
    "bridgeos",
];

/// The object format of a target triple, by LLVM's rules (`Triple::getDefaultFormat`).
#[must_use]
pub fn format_of(triple: &str) -> Format {
    let system = triple.split_once('-').map_or("", |(_, system)| system);
    let has = |name: &str| system.split('-').any(|part| part.starts_with(name));
    let environment = triple.rsplit('-').next().unwrap_or_default();
    match environment {
        _ if environment.ends_with("elf") && !has("apple") => Format::Elf,
        _ if environment.ends_with("macho") => Format::MachO,
        _ if environment.ends_with("xcoff") || has("aix") => Format::Xcoff,
        _ if environment.ends_with("coff") => Format::Coff,
        _ if environment.ends_with("goff") || has("zos") => Format::Goff,
        _ if triple.starts_with("spirv") => Format::SpirV,
        _ if triple.starts_with("dxil") => Format::DxContainer,
        _ if triple.starts_with("wasm") => Format::Wasm,
        _ if SYSTEMS_OF_APPLE.iter().any(|name| has(name)) => Format::MachO,
        _ if WINDOWS.iter().any(|name| has(name)) => Format::Coff,
        _ => Format::Elf,
    }
}

/// What a command line compiles for, as [`required_kind`].
#[must_use]
pub fn processor(arguments: &[Argument<'_>], target: &str) -> Processor {
    const OTHERS: [&str; 7] = [
        "-m16",
        "-m32",
        "-mx32",
        "-mabi=ilp32",
        "-miamcu",
        "-mbig-endian",
        "-EB",
    ];
    let mut words = arguments.iter().flat_map(|it| it.words);
    let is_changed = words.any(|word| OTHERS.contains(&&word[..]));
    let environment = target.rsplit('-').next().unwrap_or_default();
    match target.split('-').next().unwrap_or_default() {
        _ if is_changed || environment.ends_with("x32") || environment.ends_with("ilp32") => {
            Processor::Other
        }
        "x86_64" | "amd64" => Processor::X86_64,
        "aarch64" | "arm64" => Processor::Aarch64,
        _ => Processor::Other,
    }
}

/// Checks the header of an output.
///
/// # Errors
/// The output is empty, cut off, or of another kind.
pub fn check_output(kind: OutputKind, bytes: &[u8]) -> Result<(), WrongOutput> {
    if bytes.is_empty() && kind != OutputKind::Other {
        return Err(WrongOutput::Empty);
    }
    match kind {
        OutputKind::Object(Format::Elf) => check_elf(bytes),
        OutputKind::Object(Format::Coff) => coff::check(bytes),
        OutputKind::Object(Format::MachO) => check_macho(bytes),
        OutputKind::Object(Format::Wasm) => {
            magic(bytes, "WebAssembly object", &[b"\0asm\x01\0\0\0"])
        }
        OutputKind::Object(Format::Xcoff) => check_xcoff(bytes),
        // The first record of a GOFF file is its header.
        OutputKind::Object(Format::Goff) => magic(bytes, "GOFF object", &[b"\x03\xf0\x00"]),
        OutputKind::Object(Format::SpirV) => magic(
            bytes,
            "SPIR-V module",
            &[b"\x03\x02\x23\x07", b"\x07\x23\x02\x03"],
        ),
        OutputKind::Object(Format::DxContainer) => magic(bytes, "DXContainer", &[b"DXBC"]),
        // A module, bare or in the wrapper of Darwin's tools.
        OutputKind::Bitcode => magic(bytes, "bitcode", &[b"BC\xc0\xde", b"\xde\xc0\x17\x0b"]),
        OutputKind::Assembly | OutputKind::Ir => check_text(bytes),
        OutputKind::Other => Ok(()),
    }
}

/// Checks the header of a file that clang writes besides its output, which is of kind `object`: by
/// its name, as [`extra_outputs`](super::arguments::extra_outputs) gives it. An empty one is legal,
/// but for a `.dwo` file beside an object.
///
/// # Errors
/// The file is cut off, or of another kind.
pub fn check_extra_output(object: OutputKind, name: &str, bytes: &[u8]) -> Result<(), WrongOutput> {
    let extension = name.rsplit('.').next().unwrap_or_default();
    match (extension, object) {
        // clang writes one with headers even if there is no debug information.
        ("dwo", OutputKind::Object(_)) => check_output(object, bytes),
        _ if bytes.is_empty() => Ok(()),
        ("su" | "yaml", _) => check_text(bytes),
        _ => Ok(()),
    }
}

fn check_elf(bytes: &[u8]) -> Result<(), WrongOutput> {
    const HEADER: usize = 52;
    magic(
        bytes,
        "ELF object",
        &[
            b"\x7fELF\x01\x01",
            b"\x7fELF\x01\x02",
            b"\x7fELF\x02\x01",
            b"\x7fELF\x02\x02",
        ],
    )?;
    if bytes.len() < HEADER {
        return Err(WrongOutput::Truncated);
    }
    match (bytes[5], [bytes[16], bytes[17]]) {
        (1, [1, 0]) | (2, [0, 1]) => Ok(()),
        _ => Err(WrongOutput::Linked),
    }
}

/// The flags say whether the file has been linked.
fn check_xcoff(bytes: &[u8]) -> Result<(), WrongOutput> {
    const HEADER: usize = 20;
    const EXECUTABLE: u8 = 0x02;
    const SHARED: u8 = 0x20;
    magic(bytes, "XCOFF object", &[b"\x01\xdf", b"\x01\xf7"])?;
    if bytes.len() < HEADER {
        return Err(WrongOutput::Truncated);
    }
    if bytes[19] & EXECUTABLE != 0 || bytes[18] & SHARED != 0 {
        return Err(WrongOutput::Linked);
    }
    Ok(())
}

fn check_macho(bytes: &[u8]) -> Result<(), WrongOutput> {
    const HEADER: usize = 28;
    const LITTLE: [&[u8]; 2] = [b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"];
    const BIG: [&[u8]; 2] = [b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce"];
    magic(
        bytes,
        "Mach-O object",
        &[LITTLE[0], LITTLE[1], BIG[0], BIG[1]],
    )?;
    match bytes.get(12..16) {
        None => Err(WrongOutput::Truncated),
        Some(_) if bytes.len() < HEADER => Err(WrongOutput::Truncated),
        Some([1, 0, 0, 0] | [0, 0, 0, 1]) => Ok(()),
        Some(_) => Err(WrongOutput::Linked),
    }
}

/// Assembly has no magic number, but binary files have zero bytes early on.
fn check_text(bytes: &[u8]) -> Result<(), WrongOutput> {
    let start = &bytes[..bytes.len().min(4096)];
    let binary =
        start.contains(&0) || start.starts_with(b"BC\xc0\xde") || start.starts_with(b"\x7fELF");
    if binary {
        Err(WrongOutput::NotText)
    } else {
        Ok(())
    }
}

pub(super) fn magic(
    bytes: &[u8],
    wanted: &'static str,
    allowed: &[&[u8]],
) -> Result<(), WrongOutput> {
    if allowed.iter().any(|magic| bytes.starts_with(magic)) {
        return Ok(());
    }
    let start = &bytes[..bytes.len().min(8)];
    Err(WrongOutput::Magic {
        wanted,
        start: start.escape_ascii().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::arguments::parse;

    #[test]
    fn extra_outputs_are_checked_by_what_their_names_stand_for() {
        let object = OutputKind::Object(Format::Elf);
        let check = |name: &str, bytes: &[u8]| check_extra_output(object, name, bytes);
        assert!(check("a.dwo", b"no object").is_err());
        assert_eq!(check("a.dwo", b""), Err(WrongOutput::Empty));
        let assembly = check_extra_output(OutputKind::Assembly, "a.dwo", b"");
        assert_eq!(assembly, Ok(()));
        assert!(check("a.opt.yaml", b"\0\0\0").is_err());
        assert!(check("a.su", b"\x7fELF\x02\x01").is_err());
        assert!(check("a.su", b"a.c:1:f\t8\tstatic\n").is_ok());
        assert!(check("a.opt.yaml", b"").is_ok());
        assert!(check("named.by.the.user", b"\0").is_ok());
    }

    fn kind(line: &str, triple: &str) -> OutputKind {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        required_kind(&parse(&words), triple)
    }

    #[test]
    fn the_arguments_decide_the_kind_of_output() {
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(kind("-c -O2", linux), OutputKind::Object(Format::Elf));
        assert_eq!(
            kind("-c -flto=thin -fno-lto", linux),
            OutputKind::Object(Format::Elf)
        );
        assert_eq!(kind("-c -flto=thin", linux), OutputKind::Bitcode);
        let elf = OutputKind::Object(Format::Elf);
        assert_eq!(kind("-c -flto=thin -ffat-lto-objects", linux), elf);
        assert_eq!(kind("-c -emit-llvm", linux), OutputKind::Bitcode);
        assert_eq!(kind("-c -S", linux), OutputKind::Assembly);
        assert_eq!(kind("-S -emit-llvm", linux), OutputKind::Ir);
        assert_eq!(kind("-c -fsyntax-only", linux), OutputKind::Other);
        assert_eq!(kind("-O2", linux), OutputKind::Other);
    }

    #[test]
    fn the_target_decides_the_object_format() {
        for (triple, format) in [
            ("aarch64-linux-android24", Format::Elf),
            ("x86_64-pc-windows-msvc19.33.0", Format::Coff),
            ("x86_64-w64-windows-gnu", Format::Coff),
            ("x86_64-w64-mingw32", Format::Coff),
            ("x86_64-pc-windows-elf", Format::Elf),
            ("x86_64-apple-linux", Format::Elf),
            ("arm64-apple-firmware1.0", Format::Elf),
            ("x86_64-pc-cygwin", Format::Coff),
            ("i686-pc-msys", Format::Coff),
            ("arm64-apple-macosx14", Format::MachO),
            ("wasm32-wasi", Format::Wasm),
            ("riscv64", Format::Elf),
            ("x86_64-scei-ps4", Format::Elf),
            ("powerpc64-ibm-aix", Format::Xcoff),
            ("powerpc-ibm-aix7.2.0.0", Format::Xcoff),
            ("s390x-ibm-zos", Format::Goff),
            ("spirv64-unknown-unknown", Format::SpirV),
            ("dxil-pc-shadermodel6.3-library", Format::DxContainer),
        ] {
            assert_eq!(format_of(triple), format, "{triple}");
        }
    }

    #[test]
    fn empty_truncated_and_linked_outputs_are_refused() {
        let elf = OutputKind::Object(Format::Elf);
        let coff = OutputKind::Object(Format::Coff);
        let mut object = [0; 64];
        object[..6].copy_from_slice(b"\x7fELF\x02\x01");
        object[16] = 1;
        assert_eq!(check_output(elf, &object), Ok(()));
        assert_eq!(
            check_output(elf, &object[..30]),
            Err(WrongOutput::Truncated)
        );
        object[16] = 3;
        assert_eq!(check_output(elf, &object), Err(WrongOutput::Linked));
        assert_eq!(check_output(elf, b""), Err(WrongOutput::Empty));
        assert!(matches!(
            check_output(elf, b"BC\xc0\xde"),
            Err(WrongOutput::Magic { .. })
        ));
        assert_eq!(check_output(coff, b"MZ......"), Err(WrongOutput::Linked));
        assert_eq!(check_output(OutputKind::Other, b""), Ok(()));
    }

    #[test]
    fn an_aix_object_is_told_from_a_linked_file() {
        let xcoff = OutputKind::Object(Format::Xcoff);
        let mut object = [0; 64];
        object[..2].copy_from_slice(b"\x01\xf7");
        assert_eq!(check_output(xcoff, &object), Ok(()));
        assert_eq!(
            check_output(xcoff, &object[..10]),
            Err(WrongOutput::Truncated)
        );
        object[19] = 2;
        assert_eq!(check_output(xcoff, &object), Err(WrongOutput::Linked));
        let elf = check_output(OutputKind::Object(Format::Elf), &object);
        assert!(matches!(elf, Err(WrongOutput::Magic { .. })));
    }

    #[test]
    fn binary_output_is_not_accepted_as_text() {
        let assembly = OutputKind::Assembly;
        assert_eq!(check_output(assembly, b"\t.text\n"), Ok(()));
        assert_eq!(
            check_output(assembly, b"\x7fELF\x02\x01\x01\0"),
            Err(WrongOutput::NotText)
        );
        assert_eq!(
            check_output(assembly, b"BC\xc0\xdex"),
            Err(WrongOutput::NotText)
        );
    }
}
