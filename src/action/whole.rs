//! Checks that an object from a farm or a cache is whole and for the processor of its job: a digest
//! proves only that it is what was announced.
//!
//! The headers are followed, not the contents, so this costs nothing beside the object's digest. What
//! a compiler writes that is not known here passes.

use object::read::coff::CoffHeader;
use object::read::elf::{FileHeader, SectionHeader as _};
use object::read::macho::{MachHeader, Section as _, Segment as _};
use object::{Endianness, LittleEndian, ReadRef as _, U32, elf, macho, pe};

use super::coff::BIG;
use super::kind::{Format, OutputKind, Processor, WrongOutput};

/// Checks the object of a job with these `arguments`, which are compiled for `processor`, as
/// [`check_whole`] does. Words that choose another target behind the driver's back leave the
/// processor open.
///
/// # Errors
/// The same.
pub fn check_object(
    kind: OutputKind,
    processor: Processor,
    arguments: &[String],
    object: &[u8],
) -> Result<(), WrongOutput> {
    const CHOOSING: [&str; 4] = ["-arch", "-triple", "-target-abi", "-arm64EC"];
    let mut words = arguments.iter();
    let processor = if words.any(|word| CHOOSING.contains(&&word[..])) {
        Processor::Other
    } else {
        processor
    };
    check_whole(kind, processor, object)
}

/// Checks an output that has passed [`check_output`](super::kind::check_output).
///
/// # Errors
/// A table or a section of the object is not within the file, or it is for another processor.
fn check_whole(kind: OutputKind, processor: Processor, object: &[u8]) -> Result<(), WrongOutput> {
    let OutputKind::Object(format) = kind else {
        return Ok(());
    };
    let found = match format {
        Format::Elf if object.get(4) == Some(&ELF_64) => {
            elf::<elf::FileHeader64<Endianness>>(object)
        }
        Format::Elf => elf::<elf::FileHeader32<Endianness>>(object),
        Format::Coff if object.starts_with(BIG) => coff::<pe::AnonObjectHeaderBigobj>(object),
        Format::Coff => coff::<pe::ImageFileHeader>(object),
        Format::MachO if is_macho_64(object) => macho::<macho::MachHeader64<Endianness>>(object),
        Format::MachO => macho::<macho::MachHeader32<Endianness>>(object),
        Format::Wasm => wasm(object).map(|()| processor),
        Format::Xcoff | Format::Goff | Format::SpirV | Format::DxContainer => return Ok(()),
    };
    match found.ok_or(WrongOutput::Incomplete)? {
        found if found == processor || processor == Processor::Other => Ok(()),
        _ => Err(WrongOutput::OtherProcessor),
    }
}

/// The class in an ELF header.
const ELF_64: u8 = 2;

fn is_macho_64(object: &[u8]) -> bool {
    object.starts_with(&[0xcf]) || object.starts_with(&[0xfe, 0xed, 0xfa, 0xcf])
}

fn elf<Header: FileHeader<Endian = Endianness>>(object: &[u8]) -> Option<Processor> {
    let header = Header::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.section_headers(endian, object).ok()?;
    if !sections.is_empty() {
        header.section_strings(endian, object, sections).ok()?;
    }
    // The first one holds counts that are too large for the header.
    for section in sections.iter().skip(1) {
        section.data(endian, object).ok()?;
    }
    let is_usual = header.is_class_64() && header.is_little_endian();
    Some(match header.e_machine(endian) {
        elf::EM_X86_64 if is_usual => Processor::X86_64,
        elf::EM_AARCH64 if is_usual => Processor::Aarch64,
        _ => Processor::Other,
    })
}

fn coff<Header: CoffHeader>(object: &[u8]) -> Option<Processor> {
    let mut after_header = 0;
    let header = Header::parse(object, &mut after_header).ok()?;
    let sections = header.sections(object, after_header).ok()?;
    header.symbols(object).ok()?;
    if header.pointer_to_symbol_table() != 0 {
        let symbol = size_of::<Header::SymbolBytes>() as u64;
        let symbols = u64::from(header.number_of_symbols()) * symbol;
        let strings = u64::from(header.pointer_to_symbol_table()) + symbols;
        let size = object.read_at::<U32<LittleEndian>>(strings).ok()?;
        let size = size.get(LittleEndian).into();
        object.read_bytes_at(strings, size).ok()?;
    }
    for section in sections.iter() {
        section.coff_data(object).ok()?;
        section.coff_relocations(object).ok()?;
    }
    Some(match header.machine() {
        pe::IMAGE_FILE_MACHINE_AMD64 => Processor::X86_64,
        pe::IMAGE_FILE_MACHINE_ARM64
        | pe::IMAGE_FILE_MACHINE_ARM64EC
        | pe::IMAGE_FILE_MACHINE_ARM64X => Processor::Aarch64,
        _ => Processor::Other,
    })
}

fn macho<Header: MachHeader<Endian = Endianness>>(object: &[u8]) -> Option<Processor> {
    let header = Header::parse(object, 0).ok()?;
    let endian = header.endian().ok()?;
    let mut commands = header.load_commands(endian, object, 0).ok()?;
    while let Some(command) = commands.next().ok()? {
        if let Some((segment, sections)) = Header::Segment::from_command(command).ok()? {
            for section in segment.sections(endian, sections).ok()? {
                section
                    .data(endian, object, section.offset(endian).into())
                    .ok()?;
                section.relocations(endian, object).ok()?;
            }
        } else if let Some(symtab) = command.symtab().ok()? {
            symtab.symbols::<Header, _>(endian, object).ok()?;
            let strings = symtab.stroff.get(endian).into();
            let size = symtab.strsize.get(endian).into();
            object.read_bytes_at(strings, size).ok()?;
        }
    }
    Some(match header.cputype(endian) {
        macho::CPU_TYPE_X86_64 => Processor::X86_64,
        macho::CPU_TYPE_ARM64 => Processor::Aarch64,
        _ => Processor::Other,
    })
}

/// Sections follow each other up to the end, each behind its number and its size.
fn wasm(object: &[u8]) -> Option<()> {
    let mut rest = object.get(8..)?;
    while let Some((_, after)) = rest.split_first() {
        let length = after.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let (size, contents) = after.split_at(length.min(after.len()));
        if length > 5 {
            return None;
        }
        let bits = size.iter().enumerate();
        let size = bits.fold(0, |sum, (at, byte)| {
            sum | u64::from(byte & 0x7f) << (7 * at)
        });
        rest = contents.get(usize::try_from(size).ok()?..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object for x86-64 with an empty first section and one that holds the names.
    fn elf_object() -> Vec<u8> {
        let mut object = vec![0; 64 + 8 + 2 * 64];
        object[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        for (at, value) in [
            (16, 1),
            (18, 62),
            (20, 1),
            (40, 72),
            (52, 64),
            (58, 64),
            (60, 2),
            (62, 1),
        ] {
            object[at] = value;
        }
        let names = 64 + 8 + 64;
        object[names + 4] = 3;
        object[names + 24] = 64;
        object[names + 32] = 8;
        object
    }

    fn check(object: &[u8]) -> Result<(), WrongOutput> {
        check_whole(OutputKind::Object(Format::Elf), Processor::X86_64, object)
    }

    #[test]
    fn an_elf_object_that_is_cut_off_or_names_places_outside_itself_is_refused() {
        let object = elf_object();
        assert_eq!(check(&object), Ok(()));
        for length in 0..object.len() {
            assert_eq!(check(&object[..length]), Err(WrongOutput::Incomplete));
        }
        for (at, value) in [(24, 0xff), (29, 1), (32, 0xff), (39, 0x80)] {
            let mut broken = object.clone();
            broken[64 + 8 + 64 + at] = value;
            assert_eq!(check(&broken), Err(WrongOutput::Incomplete), "{at}");
        }
        let mut without_contents = object.clone();
        without_contents[40] = 0;
        without_contents[60] = 0;
        assert_eq!(check(&without_contents[..64]), Ok(()));
        // Wherever it lies in memory.
        let moved = [&[0], &object[..]].concat();
        assert_eq!(check(&moved[1..]), Ok(()));
    }

    #[test]
    fn an_elf_object_with_more_sections_than_its_header_can_count_is_whole() {
        let (sections, names) = (70_000_u32, 69_999_u32);
        let mut object = elf_object();
        object[60] = 0;
        object[62..64].copy_from_slice(&[0xff, 0xff]);
        object[72 + 32..72 + 36].copy_from_slice(&sections.to_le_bytes());
        object[72 + 40..72 + 44].copy_from_slice(&names.to_le_bytes());
        object[72 + 64 + 4] = 1;
        object.resize(72 + 64 * 70_000, 0);
        let last = object.len() - 64;
        object[last + 4] = 3;
        object[last + 24] = 64;
        object[last + 32] = 8;
        assert_eq!(check(&object), Ok(()));
        object.pop();
        assert_eq!(check(&object), Err(WrongOutput::Incomplete));
    }

    #[test]
    fn an_object_for_another_processor_is_refused_where_the_jobs_is_known() {
        let elf = OutputKind::Object(Format::Elf);
        let mut object = elf_object();
        let aarch64 = check_whole(elf, Processor::Aarch64, &object);
        assert_eq!(aarch64, Err(WrongOutput::OtherProcessor));
        assert_eq!(check_whole(elf, Processor::Other, &object), Ok(()));
        object[18] = 183;
        assert_eq!(check(&object), Err(WrongOutput::OtherProcessor));
        assert_eq!(check_whole(elf, Processor::Aarch64, &object), Ok(()));
    }

    #[test]
    fn coff_macho_and_wasm_objects_are_refused_when_a_section_is_not_all_there() {
        let mut coff = vec![0; 20 + 40 + 8 + 6];
        coff[..2].copy_from_slice(&[0x64, 0x86]);
        coff[2] = 1;
        coff[8] = 68;
        coff[20 + 16] = 8;
        coff[20 + 20] = 60;
        coff[68] = 6;
        let mut macho = vec![0; 32 + 72 + 80 + 8];
        macho[..8].copy_from_slice(b"\xcf\xfa\xed\xfe\x07\0\0\x01");
        for (at, value) in [(12, 1), (16, 1), (20, 152), (32, 0x19), (36, 152), (96, 1)] {
            macho[at] = value;
        }
        macho[104 + 40] = 8;
        macho[104 + 48] = 184;
        let wasm = b"\0asm\x01\0\0\0\x01\x83\x80\x80\x80\0abc\x02\x01a".to_vec();
        for (format, object) in [
            (Format::Coff, coff),
            (Format::MachO, macho),
            (Format::Wasm, wasm),
        ] {
            let kind = OutputKind::Object(format);
            let check = |object: &[u8]| check_whole(kind, Processor::X86_64, object);
            assert_eq!(check(&object), Ok(()), "{format:?}");
            let shorter = check(&object[..object.len() - 1]);
            assert_eq!(shorter, Err(WrongOutput::Incomplete), "{format:?}");
        }
    }
}
