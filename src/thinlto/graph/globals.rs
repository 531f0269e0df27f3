//! Global values: their records with names instead of numbers, and initializers.

use std::collections::HashMap;

use md5::{Digest as _, Md5};

use super::constants::Edge;
use super::encoder::{Encoder, short_hash, within};
use super::file::lossy;
use super::metadata::{Guid, Metadata, Reference};
use super::tables::{GUID_KIND, Tables};
use super::{Decoded, Global, GlobalContent, GlobalKind, Opaque, Part};
use crate::thinlto::bitcode::block as outer;

/// Linkages by number, as bitcode has them.
mod linkage {
    pub(super) const APPENDING: u64 = 2;
    /// Internal, and the three that mean private.
    pub(super) const LOCAL: [u64; 4] = [3, 9, 13, 14];
}

/// Names of variables that hold names, hashes or counters of functions.
const INSTRUMENTED: [&[u8]; 7] = [
    b"__profn_",
    b"__profc_",
    b"__profd_",
    b"__profvp_",
    b"__llvm_prf",
    b"__llvm_coverage",
    b"__sancov",
];

#[derive(Debug)]
pub(super) struct Comdat<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: u64,
}

/// A record of a global, its name taken off.
#[derive(Debug)]
pub(super) struct GlobalRecord<'a> {
    pub(super) kind: GlobalKind,
    pub(super) name: &'a [u8],
    pub(super) operands: &'a [u64],
}

impl GlobalRecord<'_> {
    /// Whether it is a function that is defined here.
    pub(super) fn has_body(&self) -> bool {
        self.kind == GlobalKind::Function && self.operands[2] == 0
    }

    fn linkage(&self) -> u64 {
        self.operands[3]
    }
}

/// What the records of a module block say.
#[derive(Debug, Default)]
pub(super) struct Declared<'a> {
    pub(super) strtab: &'a [u8],
    pub(super) source_filename: Vec<u8>,
    pub(super) sections: Vec<&'a [u64]>,
    pub(super) collectors: Vec<&'a [u64]>,
    pub(super) comdats: Vec<Comdat<'a>>,
    /// The GUIDs of globals, by value number, where the module holds them; 0 for none.
    pub(super) guids: Vec<u64>,
    /// By value number.
    pub(super) globals: Vec<GlobalRecord<'a>>,
}

impl<'a> Declared<'a> {
    /// The text that a record's first two operands name.
    pub(super) fn name(&self, operands: &[u64]) -> Decoded<&'a [u8]> {
        match operands {
            [offset, size, ..] => self.piece(*offset, *size),
            _ => Err(Opaque::Damaged),
        }
    }

    fn piece(&self, offset: u64, size: u64) -> Decoded<&'a [u8]> {
        let start = usize::try_from(offset).map_err(|_| Opaque::Damaged)?;
        let size = usize::try_from(size).map_err(|_| Opaque::Damaged)?;
        let end = start.checked_add(size).ok_or(Opaque::Damaged)?;
        self.strtab.get(start..end).ok_or(Opaque::Damaged)
    }

    pub(super) fn add(&mut self, kind: GlobalKind, operands: &'a [u64]) -> Decoded<()> {
        let name = self.name(operands)?;
        if name.is_empty() {
            return Err(Opaque::Unnamed);
        }
        if INSTRUMENTED.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(Opaque::Instrumented(lossy(name)));
        }
        let operands = &operands[2..];
        let lengths = match kind {
            GlobalKind::Variable => [6, 18],
            GlobalKind::Function => [19, 20],
            GlobalKind::Alias => [11, 11],
            GlobalKind::Ifunc => [8, 8],
        };
        if !(lengths[0]..=lengths[1]).contains(&operands.len()) {
            return Err(unknown(kind));
        }
        self.globals.push(GlobalRecord {
            kind,
            name,
            operands,
        });
        Ok(())
    }
}

fn unknown(kind: GlobalKind) -> Opaque {
    use super::code::module;
    let code = match kind {
        GlobalKind::Variable => module::GLOBALVAR,
        GlobalKind::Function => module::FUNCTION,
        GlobalKind::Alias => module::ALIAS,
        GlobalKind::Ifunc => module::IFUNC,
    };
    Opaque::Record {
        block: outer::MODULE,
        code,
    }
}

/// All globals; bodies of functions are still to come.
pub(super) fn read(
    declared: &Declared<'_>,
    attachments: &[(u64, Vec<u64>)],
    tables: &Tables<'_>,
    metadata: &mut Metadata,
) -> Decoded<Vec<Global>> {
    let mut by_name = HashMap::new();
    for (global, index) in declared.globals.iter().zip(0_u32..) {
        if by_name.insert(global.name, index).is_some() {
            return Err(Opaque::Damaged);
        }
    }
    let mut attached: HashMap<u64, Vec<u64>> = HashMap::new();
    for (global, pairs) in attachments {
        attached.entry(*global).or_default().extend(pairs);
    }
    let mut globals = Vec::with_capacity(declared.globals.len());
    for (record, id) in declared.globals.iter().zip(0_u64..) {
        let local = linkage::LOCAL.contains(&record.linkage());
        let guid = guid(record.name, local.then_some(&declared.source_filename));
        let mut writer = GlobalWriter {
            declared,
            tables,
            by_name: &by_name,
            guid: Guid { value: guid, local },
            encoder: Encoder::default(),
            part: Part::default(),
        };
        writer.record(record)?;
        writer.guid(
            declared
                .guids
                .get(usize::try_from(id).unwrap_or(usize::MAX)),
        )?;
        writer.attachments(attached.get(&id).map_or(&[], Vec::as_slice), metadata)?;
        globals.push(Global {
            kind: record.kind,
            name: short_hash(record.name),
            guid,
            local,
            appending: record.linkage() == linkage::APPENDING,
            record: writer.finish(),
            content: initializer(record, tables)?,
        });
    }
    Ok(globals)
}

/// The GUID of a global: a local one's begins with the name of the source file.
pub(super) fn guid(name: &[u8], source_filename: Option<&Vec<u8>>) -> u64 {
    let name = name.strip_prefix(b"\x01").unwrap_or(name);
    let mut hasher = Md5::new();
    if let Some(file) = source_filename {
        hasher.update(source_of_guids(file));
        hasher.update(b";");
    }
    hasher.update(name);
    let digest: [u8; 16] = hasher.finalize().into();
    let (words, _) = digest.as_chunks::<8>();
    u64::from_le_bytes(words[0])
}

/// With what the GUIDs of the local values of a source file begin.
pub(super) fn source_of_guids(source_filename: &[u8]) -> &[u8] {
    if source_filename.is_empty() {
        b"<unknown>"
    } else {
        source_filename
    }
}

fn initializer(record: &GlobalRecord<'_>, tables: &Tables<'_>) -> Decoded<GlobalContent> {
    let Some(id) = record.operands[2].checked_sub(1) else {
        return Ok(GlobalContent::None);
    };
    if record.kind != GlobalKind::Variable {
        return Ok(GlobalContent::None);
    }
    let mut encoder = Encoder::default();
    let mut part = Part::default();
    match value(id, tables, &mut encoder, &mut part) {
        Ok(()) => {
            part.digest = encoder.finish();
            Ok(GlobalContent::Known(part))
        }
        Err(Opaque::Damaged) => Err(Opaque::Damaged),
        Err(reason) => Ok(GlobalContent::Unknown(reason)),
    }
}

/// A global or a constant of the module, and what it leads to.
fn value(id: u64, tables: &Tables<'_>, encoder: &mut Encoder, part: &mut Part) -> Decoded<()> {
    let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
    if let Some(name) = tables.names.get(id as usize) {
        encoder.tag(1);
        encoder.text(name);
        part.globals.push(id);
        return Ok(());
    }
    encoder.tag(2);
    encoder.hash(tables.constants.hash(id)?);
    let visit = &mut |edge| match edge {
        Edge::Body(function) => part.bodies.push(function),
        Edge::Global(global) | Edge::Constant(global) => part.globals.push(global),
    };
    tables.constants.reach(id, &tables.budget, visit)?;
    part.globals.sort_unstable();
    part.globals.dedup();
    Ok(())
}

/// The digest of one record.
struct GlobalWriter<'a> {
    declared: &'a Declared<'a>,
    tables: &'a Tables<'a>,
    by_name: &'a HashMap<&'a [u8], u32>,
    guid: Guid,
    encoder: Encoder,
    part: Part,
}

impl GlobalWriter<'_> {
    fn finish(mut self) -> Part {
        self.part.digest = self.encoder.finish();
        self.part
    }

    fn record(&mut self, record: &GlobalRecord<'_>) -> Decoded<()> {
        self.encoder.number(record.kind as u64);
        self.encoder.text(record.name);
        let operands = record.operands;
        self.encoder.tag(operands.len() as u64);
        self.encoder.hash(self.tables.types.hash(operands[0])?);
        for (position, operand) in operands.iter().enumerate().skip(1) {
            within((record.kind as u64) << 32 | position as u64);
            match (record.kind, position) {
                // That there is an initializer; what it is belongs to the content.
                (GlobalKind::Variable, 2) => self.encoder.number(u64::from(*operand != 0)),
                (GlobalKind::Variable, 5) | (GlobalKind::Function, 6) => {
                    self.text(*operand, &self.declared.sections)?;
                }
                (GlobalKind::Function, 8) => self.text(*operand, &self.declared.collectors)?,
                (GlobalKind::Variable, 11) | (GlobalKind::Function, 12) => self.comdat(*operand)?,
                (GlobalKind::Variable, 12) | (GlobalKind::Function, 4) => {
                    self.encoder.hash(&self.tables.attributes.hash(*operand)?);
                }
                (GlobalKind::Variable, 14)
                | (GlobalKind::Function, 17)
                | (GlobalKind::Alias, 9)
                | (GlobalKind::Ifunc, 6) => {
                    let size = operands.get(position + 1).ok_or(Opaque::Damaged)?;
                    self.encoder.text(self.declared.piece(*operand, *size)?);
                }
                (GlobalKind::Variable, 15)
                | (GlobalKind::Function, 18)
                | (GlobalKind::Alias, 10)
                | (GlobalKind::Ifunc, 7) => {}
                // Prologue, prefix and personality: one more than the number of a value.
                (GlobalKind::Function, 10 | 13 | 14) => match operand.checked_sub(1) {
                    None => self.encoder.tag(0),
                    Some(id) => self.value(id)?,
                },
                // Aliasee or resolver.
                (GlobalKind::Alias | GlobalKind::Ifunc, 2) => self.value(*operand)?,
                _ => self.encoder.number(*operand),
            }
        }
        within(0);
        Ok(())
    }

    /// That the module lists the global's GUID; what it is follows from the name.
    fn guid(&mut self, listed: Option<&u64>) -> Decoded<()> {
        match listed.copied() {
            None => Ok(()),
            Some(listed) if listed == 0 || listed == self.guid.value => {
                self.encoder.tag(u64::from(listed != 0));
                Ok(())
            }
            Some(_) => Err(Opaque::Instrumented(lossy(GUID_KIND))),
        }
    }

    fn value(&mut self, id: u64) -> Decoded<()> {
        value(id, self.tables, &mut self.encoder, &mut self.part)
    }

    /// A text that a record names by one more than its number.
    fn text(&mut self, number: u64, table: &[&[u64]]) -> Decoded<()> {
        let Some(index) = number.checked_sub(1) else {
            self.encoder.tag(0);
            return Ok(());
        };
        let index = usize::try_from(index).map_err(|_| Opaque::Damaged)?;
        let text = table.get(index).ok_or(Opaque::Damaged)?;
        self.encoder.tag(1);
        self.encoder.numbers(text);
        Ok(())
    }

    /// A comdat, and the global that has its name: where that is promoted, the comdat is renamed.
    fn comdat(&mut self, number: u64) -> Decoded<()> {
        let Some(index) = number.checked_sub(1) else {
            self.encoder.tag(0);
            return Ok(());
        };
        let index = usize::try_from(index).map_err(|_| Opaque::Damaged)?;
        let comdat = self.declared.comdats.get(index).ok_or(Opaque::Damaged)?;
        self.encoder.tag(1);
        self.encoder.text(comdat.name);
        self.encoder.number(comdat.kind);
        self.part.globals.extend(self.by_name.get(comdat.name));
        Ok(())
    }

    fn attachments(&mut self, pairs: &[u64], metadata: &mut Metadata) -> Decoded<()> {
        let context = self.tables.metadata_context();
        self.encoder.tag(pairs.len() as u64);
        for [kind, node] in pairs.as_chunks::<2>().0 {
            let is_listed = !self.declared.guids.is_empty();
            if is_listed
                && self.tables.is_guid(*kind)
                && metadata.is_guid(*node, self.guid, &context)?
            {
                self.encoder.text(GUID_KIND);
                self.encoder.tag(3);
                continue;
            }
            self.encoder.text(self.tables.metadata_kind(*kind)?);
            match metadata.reference(*node, &context)? {
                Reference::Plain(hash) => {
                    self.encoder.tag(1);
                    self.encoder.hash(&hash);
                }
                Reference::Node(node) => {
                    self.encoder.tag(2);
                    self.part.nodes.push(node);
                }
            }
        }
        Ok(())
    }
}
