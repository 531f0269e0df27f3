//! Writes objects that hold nothing: they claim groups and name symbols.

use object::elf;

use super::super::order::NamedReference;
use super::{ABI, is_wide, system};
use crate::thinlto::Visibility;

/// An object like `model` that holds nothing but empty groups of the names `claimed`, and refers
/// weakly to the symbols `named`. If sections are `kept`, the output has all that it has. It is for
/// the system `abi`.
pub(in crate::wrapper::comdat) fn stub(
    model: &[u8],
    abi: u8,
    claimed: &[&[u8]],
    named: &[NamedReference<'_>],
    kept: bool,
) -> Option<Vec<u8>> {
    let writer = ElfWriter {
        wide: is_wide(model)?,
        little: model.get(5) == Some(&1),
        kept,
    };
    let mut stub = writer.stub(model, claimed, named);
    if system(model).is_some() {
        stub[ABI] = 0;
    }
    if stub[ABI] == 0 {
        stub[ABI] = abi;
    }
    Some(stub)
}

/// An object like `model` that defines the one symbol `name`.
pub(in crate::wrapper::comdat) fn definition(model: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let named = [NamedReference {
        name,
        kind: elf::STT_NOTYPE.0,
        visibility: Visibility::Default,
        defined: true,
    }];
    stub(model, 0, &[], &named, false)
}

#[derive(Debug, Clone, Copy)]
struct ElfWriter {
    wide: bool,
    little: bool,
    kept: bool,
}

/// A section that is to be written: type, flags, offset, size, link, info, alignment, entry size.
type OutputSection = [usize; 8];

const NULL: OutputSection = [0; 8];
const STRTAB: usize = 3;
const SYMTAB: usize = 2;
const GROUP: usize = 17;
const NOTE: usize = 7;
const ADDRSIG: usize = 0x6fff_4c03;
/// Not for the program.
const EXCLUDE: usize = 0x8000_0000;

/// The one section whose name matters; it stands at the beginning of the names, after an empty one.
const PROPERTY_NAME: &[u8] = b"\0.note.gnu.property\0";

impl ElfWriter {
    fn push(self, out: &mut Vec<u8>, value: usize, bytes: usize) {
        let value = value as u64;
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        if self.little {
            out.extend_from_slice(&little[..bytes]);
        } else {
            out.extend_from_slice(&big[8 - bytes..]);
        }
    }

    /// The size of an address.
    fn word(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn stub(self, model: &[u8], claimed: &[&[u8]], named: &[NamedReference<'_>]) -> Vec<u8> {
        let header = if self.wide { 64 } else { 52 };
        let mut out = model[..header].to_vec();
        let mut strings = PROPERTY_NAME.to_vec();
        let texts = claimed.iter().chain(named.iter().map(|it| &it.name));
        let offsets = texts.map(|name| {
            let at = strings.len();
            strings.extend_from_slice(name);
            strings.push(0);
            at
        });
        let offsets: Vec<usize> = offsets.collect();
        let strtab = [STRTAB, 0, out.len(), strings.len(), 0, 0, 1, 0];
        out.extend_from_slice(&strings);
        let symtab = self.symbols(&mut out, &offsets, named);
        let mut sections = vec![NULL, strtab, symtab];
        if !self.kept {
            // Without this, the linker takes the addresses of all its symbols for compared.
            sections.push([ADDRSIG, EXCLUDE, out.len(), 0, 2, 0, 1, 0]);
        }
        sections.extend(self.property(&mut out, model));
        for number in 0..claimed.len() {
            out.resize(out.len().next_multiple_of(4), 0);
            sections.push([GROUP, 0, out.len(), 4, 2, number + 1, 4, 4]);
            self.push(&mut out, 1, 4);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let table = out.len();
        for section in &sections {
            self.section(&mut out, section);
        }
        self.finish(out, table, sections.len(), header)
    }

    /// Symbols without a section, whose names are at `offsets`. The last are what is `named`, the others
    /// nothing but names.
    fn symbols(
        self,
        out: &mut Vec<u8>,
        offsets: &[usize],
        named: &[NamedReference<'_>],
    ) -> OutputSection {
        const GLOBAL: u8 = 1 << 4;
        const WEAK: u8 = 2 << 4;
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len();
        let local = offsets.len() - named.len();
        let (size, info) = if self.wide { (24, 4) } else { (16, 12) };
        let mut absolute = Vec::new();
        self.push(&mut absolute, elf::SHN_ABS.0.into(), 2);
        for (number, name) in [0].iter().chain(offsets).enumerate() {
            let symbol = out.len();
            self.push(out, *name, 4);
            out.resize(symbol + size, 0);
            if let Some(reference) = number.checked_sub(local + 1).map(|at| named[at]) {
                out[symbol + info] = WEAK | reference.kind;
                let visibility = match reference.visibility {
                    Visibility::Default => elf::STV_DEFAULT,
                    Visibility::Hidden => elf::STV_HIDDEN,
                    Visibility::Protected => elf::STV_PROTECTED,
                };
                out[symbol + info + 1] = visibility.0;
                if reference.defined {
                    out[symbol + info] = GLOBAL | reference.kind;
                    out[symbol + info + 2..symbol + info + 4].copy_from_slice(&absolute);
                }
            }
        }
        let count = offsets.len() + 1;
        [SYMTAB, 0, start, count * size, 1, local + 1, 8, size]
    }

    /// The linker keeps a feature of the processor only if every object has it: this one has all.
    fn property(self, out: &mut Vec<u8>, model: &[u8]) -> Option<OutputSection> {
        const X86: usize = 0xc000_0002;
        const AARCH64: usize = 0xc000_0000;
        let machine = [model[18], model[19]];
        let machine = if self.little {
            u16::from_le_bytes(machine)
        } else {
            u16::from_be_bytes(machine)
        };
        let kind = match elf::Machine(machine) {
            elf::EM_X86_64 | elf::EM_386 => X86,
            elf::EM_AARCH64 => AARCH64,
            _ => return None,
        };
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len();
        let described = (3 * 4_usize).next_multiple_of(self.word());
        for value in [4, described, 5] {
            self.push(out, value, 4);
        }
        out.extend_from_slice(b"GNU\0");
        for value in [kind, 4, 0xffff_ffff] {
            self.push(out, value, 4);
        }
        out.resize(start + 16 + described, 0);
        Some([NOTE, 2, start, 16 + described, 0, 0, self.word(), 0])
    }

    fn section(self, out: &mut Vec<u8>, section: &OutputSection) {
        let [kind, flags, offset, size, link, info, align, entry] = *section;
        let word = self.word();
        let name = usize::from(kind == NOTE);
        for (value, bytes) in [
            (name, 4),
            (kind, 4),
            (flags, word),
            (0, word),
            (offset, word),
            (size, word),
            (link, 4),
            (info, 4),
            (align, word),
            (entry, word),
        ] {
            self.push(out, value, bytes);
        }
    }

    /// Puts the place of the section table into the header.
    fn finish(self, mut out: Vec<u8>, table: usize, count: usize, header: usize) -> Vec<u8> {
        let word = self.word();
        let section_size = if self.wide { 64 } else { 40 };
        let mut fields = Vec::new();
        // Entry point, program headers, section headers.
        for value in [0, 0, table] {
            self.push(&mut fields, value, word);
        }
        out[24..24 + fields.len()].copy_from_slice(&fields);
        // The flags stay those of the model.
        let sizes = 24 + 3 * word + 4;
        let mut fields = Vec::new();
        for value in [header, 0, 0, section_size, count, 1] {
            self.push(&mut fields, value, 2);
        }
        out[sizes..sizes + fields.len()].copy_from_slice(&fields);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::{claims, definitions};
    use super::*;
    use crate::wrapper::comdat::ObjectChange;

    #[test]
    fn a_stub_claims_its_groups_and_defines_nothing() {
        for wide in [true, false] {
            let class = if wide { 2 } else { 1 };
            let mut model = vec![0; 64];
            model[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
            model[16..20].copy_from_slice(&[1, 0, 62, 0]);
            model[20] = 1;
            let named = [NamedReference {
                name: b"g",
                kind: 6,
                visibility: Visibility::Hidden,
                defined: false,
            }];
            let stub = stub(&model, 3, &[b"f", b"_ZN1AC5Ev"], &named, false).expect("written");
            assert_eq!(stub[ABI], 3);
            let found = definitions(&stub).expect("an object");
            assert_eq!(found.groups, [&b"f"[..], b"_ZN1AC5Ev"]);
            assert_eq!(found.symbols().count(), 0);
            assert_eq!(found.undefined, [b"g"]);
            assert_eq!(found.hidden, [b"g"]);
            let claims = claims(&stub).expect("an object");
            let loose = ObjectChange::Zeros(claims).applied(stub);
            assert!(definitions(&loose).expect("an object").groups.is_empty());
        }
    }
}
