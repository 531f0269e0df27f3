//! Objects for Windows: their header, the time in it, and debug information that names the object.

use std::ops::Range;

use super::arguments::Argument;
use super::kind::{Format, OutputKind, WINDOWS, WrongOutput, format_of, magic};

/// How an object with more sections than 16 bits can count begins.
pub(super) const BIG: &[u8] = &[0x00, 0x00, 0xff, 0xff, 0x02, 0x00];

/// Checks the header: an object begins with its machine type, a big-object file with machine type 0,
/// a signature and a version.
pub(super) fn check(bytes: &[u8]) -> Result<(), WrongOutput> {
    const HEADER: usize = 20;
    const I386: &[u8] = &[0x4c, 0x01];
    const ARM: &[u8] = &[0xc4, 0x01];
    const X86_64: &[u8] = &[0x64, 0x86];
    const ARM64: &[u8] = &[0x64, 0xaa];
    const ARM64EC: &[u8] = &[0x41, 0xa6];
    const ARM64X: &[u8] = &[0x4e, 0xa6];
    if bytes.starts_with(b"MZ") {
        return Err(WrongOutput::Linked);
    }
    magic(
        bytes,
        "COFF object",
        &[I386, ARM, X86_64, ARM64, ARM64EC, ARM64X, BIG],
    )?;
    if bytes.len() < HEADER {
        return Err(WrongOutput::Truncated);
    }
    Ok(())
}

/// Where an object says when it was made: clang writes the time into COFF objects, for Microsoft's
/// incremental linker.
#[must_use]
pub fn time_of_compile(kind: OutputKind, object: &[u8]) -> Option<Range<usize>> {
    if kind != OutputKind::Object(Format::Coff) {
        return None;
    }
    let range = if object.starts_with(BIG) { 8..12 } else { 4..8 };
    (object.len() >= range.end).then_some(range)
}

/// Whether a module for `triple` can get debug information in the form of Windows.
#[must_use]
pub fn may_have_codeview(triple: &str) -> bool {
    let is_windows = WINDOWS.iter().any(|name| triple.contains(name));
    is_windows || format_of(triple) == Format::Coff
}

/// Whether an option asks for debug information, or may: clang then names the object in the debug
/// information for Windows, also where the module has none.
///
/// `-gdwarf32` and `-gdwarf64` ask for debug information in the usual form of the target, and only choose
/// the width of offsets in DWARF.
#[must_use]
pub fn may_ask_for_codeview(arguments: &[Argument<'_>]) -> bool {
    const DWARF: &str = "-gdwarf";
    const OTHERS: [&str; 9] = [
        "-g0",
        "-ggdb0",
        "-gdwarf-",
        "-gno-",
        "-gsplit-dwarf",
        "-gstrict-dwarf",
        "-gz",
        "-gcc-",
        "-gen-",
    ];
    let words = arguments.iter().map(|argument| &argument.words[0]);
    let mut asking = words.filter(|word| word.starts_with("-g") || word.starts_with("--debug"));
    asking.any(|word| word != DWARF && !OTHERS.iter().any(|other| word.starts_with(other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::arguments::parse;

    #[test]
    fn the_time_is_found_in_both_forms_of_a_windows_object() {
        let coff = OutputKind::Object(Format::Coff);
        let mut object = vec![0x64, 0x86];
        object.resize(20, 0);
        assert_eq!(time_of_compile(coff, &object), Some(4..8));
        assert_eq!(time_of_compile(coff, &object[..7]), None);
        object[..6].copy_from_slice(BIG);
        assert_eq!(time_of_compile(coff, &object), Some(8..12));
        assert_eq!(time_of_compile(coff, &object[..11]), None);
        assert_eq!(
            time_of_compile(OutputKind::Object(Format::Elf), &object),
            None
        );
    }

    #[test]
    fn options_for_debug_information_may_ask_for_that_of_windows() {
        let asks = |word: &str| may_ask_for_codeview(&parse(&["-O2".to_owned(), word.to_owned()]));
        for word in [
            "-g",
            "-g1",
            "-gdbx",
            "-ggdb3",
            "-gcodeview",
            "-gdwarf32",
            "-gdwarf64",
            "--debug",
            "-gmlt",
        ] {
            assert!(asks(word), "{word}");
        }
        for word in [
            "-g0",
            "-gdwarf",
            "-gdwarf-5",
            "-gno-column-info",
            "-fglobal-isel",
            "g.o",
        ] {
            assert!(!asks(word), "{word}");
        }
    }
}
