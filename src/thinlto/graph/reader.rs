//! Decodes a module into its graph.

use std::collections::{BTreeSet, HashMap};

use memchr::{memchr_iter, memmem};

use super::attributes::Attributes;
use super::code::{block, constant, module as code};
use super::constants::{ConstantContext, Constants};
use super::encoder::{Encoder, short_hash};
use super::file::{ModuleFile, lossy, place_of};
use super::function::Body;
use super::globals::{self, Comdat, Declared};
use super::metadata::{Guid, Metadata, MetadataBlock, Reference};
use super::tables::{Budget, Tables};
use super::types::Types;
use super::{Decoded, GlobalContent, GlobalKind, ModuleGraph, ModuleView, Opaque, Part};
use crate::thinlto::PROMOTED;
use crate::thinlto::bitcode::block as outer;
use crate::thinlto::bitstream::{Records, text};

/// Bitcode whose names are in a string table.
const VERSION_WITH_STRTAB: u64 = 2;
/// Metadata that holds numbers made of names.
const PROBES: &[u8] = b"llvm.pseudo_probe_desc";
/// The directive of assembly that goes through the characters of a text, perhaps a symbol's name.
const BY_CHARACTER: &[u8] = b".irpc";
/// What metadata of a value profile begins with. Calls are promoted by hashes of the names that
/// functions have now.
const VALUE_PROFILE: &[u8] = b"VP";
/// Record of a function's place in a module's symbol table.
const VST_FUNCTION: u64 = 3;
/// What the compiler must not remove although nothing refers to it. `llvm.used` is for linkers too.
const KEPT_BY_COMPILER: &[u8] = b"llvm.compiler.used";

/// Reads a module.
#[expect(
    clippy::too_many_lines,
    reason = "one table after the other, each made with those before"
)]
pub(super) fn read(bytes: &[u8]) -> Decoded<ModuleGraph> {
    let file = ModuleFile::read(bytes)?;
    let mut suffixes = BTreeSet::new();
    let mut takes_apart = false;
    let mut texts = |text: &[u8]| {
        find_suffixes(text, &mut suffixes);
        takes_apart |= goes_by_character(text);
    };
    texts(&file.strtab);

    let mut head = Encoder::default();
    let release = file.identification(&mut head)?;
    file.summary(&mut head)?;
    let declared = declared(&file, &mut head, &mut texts)?;

    let types = file.block(block::TYPE)?.ok_or(Opaque::Place(block::TYPE))?;
    let types = Types::read(&types)?;
    let groups = file.block(block::PARAMATTR_GROUP)?;
    let attribute_lists = file.block(block::PARAMATTR)?;
    let attributes = Attributes::read(groups.as_ref(), attribute_lists.as_ref(), &types)?;
    let names: Vec<&[u8]> = declared.globals.iter().map(|global| global.name).collect();
    let constants = match file.block(block::CONSTANTS)? {
        Some(records) => {
            constant_texts(&records, &mut texts);
            let base = u32::try_from(names.len()).map_err(|_| Opaque::Damaged)?;
            let context = ConstantContext {
                types: &types,
                names: &names,
                outer: None,
            };
            Constants::read(&records, base, &context)?
        }
        None => Constants::default(),
    };
    let table = match file.block(block::METADATA)? {
        Some(records) => MetadataBlock::read(&records, 0)?,
        None => MetadataBlock::default(),
    };
    texts(table.text());
    let has_value_profiles = table.has_text(VALUE_PROFILE);
    let lists = table.named.clone();
    let attachments = table.attachments.clone();
    let mut metadata = Metadata::new(table);
    let tables = Tables {
        types,
        attributes,
        names,
        constants,
        kinds: file.kinds()?,
        tags: file.texts(block::OPERAND_BUNDLE_TAGS)?,
        scopes: file.texts(block::SYNC_SCOPE_NAMES)?,
        budget: Budget::of(bytes.len()),
    };

    let mut head_part = Part::default();
    named_metadata(&lists, &tables, &mut metadata, &mut head, &mut head_part)?;
    let mut globals = globals::read(&declared, &attachments, &tables, &mut metadata)?;
    bodies(
        &file,
        &declared,
        &tables,
        &mut metadata,
        &mut globals,
        &mut texts,
    )?;
    let appending = globals.iter().filter(|global| global.appending);
    // No backend reads this one of an import.
    let kept = short_hash(KEPT_BY_COMPILER);
    for global in appending.filter(|global| global.name != kept) {
        head.hash(&global.record.digest);
        head_part.nodes.extend(&global.record.nodes);
        match &global.content {
            GlobalContent::None => head.tag(0),
            GlobalContent::Known(content) => {
                head.tag(1);
                head.hash(&content.digest);
            }
            GlobalContent::Unknown(reason) => return Err(reason.clone()),
        }
    }
    head_part.digest = head.finish();
    let mut graph = ModuleGraph {
        release,
        own: None,
        source: short_hash(globals::source_of_guids(&declared.source_filename)),
        head: head_part,
        globals,
        nodes: metadata.nodes,
        suffixes: suffixes.into_iter().collect(),
        depends_on_names: takes_apart || has_value_profiles,
    };
    graph.own = own(&file, &tables, &metadata.source_values, &graph)?;
    Ok(graph)
}

/// The module as its own job reads it; `None` if it counts whole: it may have inline assembly in
/// what is not known.
fn own(
    file: &ModuleFile<'_>,
    tables: &Tables<'_>,
    source_values: &BTreeSet<u32>,
    graph: &ModuleGraph,
) -> Decoded<Option<ModuleView>> {
    let locals = graph.globals.iter().any(|global| global.local);
    if !tables.has_locations() && source_values.is_empty() {
        return Ok(Some(ModuleView {
            digest: file.own_digest(),
            locals,
            cookies: Vec::new(),
        }));
    }
    let Ok(everything) = graph.everything() else {
        return Ok(None);
    };
    let base = u32::try_from(tables.names.len()).map_err(|_| Opaque::Damaged)?;
    Ok(Some(ModuleView {
        digest: file.own_digest_without(base, source_values, &everything.digest)?,
        locals,
        cookies: everything.cookies,
    }))
}

/// Whether a module's assembly may have what a backend looks for in that of an import: `.symver`,
/// by which a symbol gets a version. Nothing else of it is linked into the importing module. A macro
/// or another file can spell the directive, too.
fn may_give_versions(assembly: &[u8]) -> bool {
    const SPELLINGS: [&[u8]; 5] = [b"symver", b"macro", b".irp", b".rep", b"include"];
    let assembly = assembly.to_ascii_lowercase();
    let mut spellings = SPELLINGS.iter();
    spellings.any(|spelling| memmem::find(&assembly, spelling).is_some())
}

/// What the records of the module block declare. All texts that no table holds go into the head.
fn declared<'a>(
    file: &'a ModuleFile<'_>,
    head: &mut Encoder,
    texts: &mut dyn FnMut(&[u8]),
) -> Decoded<Declared<'a>> {
    let mut declared = Declared {
        strtab: &file.strtab,
        ..Declared::default()
    };
    for record in &file.records {
        let (code, operands) = record.split_first().ok_or(Opaque::Damaged)?;
        match (*code, operands) {
            (code::VERSION, [VERSION_WITH_STRTAB]) | (code::HASH | code::VSTOFFSET, _) => {}
            (code::TRIPLE | code::DATALAYOUT | code::ASM_PROPERTY, _) => {
                head.number(*code);
                head.numbers(operands);
                texts(&text(operands));
            }
            (code::ASM, _) => {
                let assembly = text(operands);
                if may_give_versions(&assembly) {
                    head.number(*code);
                    head.numbers(operands);
                }
                texts(&assembly);
            }
            // It shows in GUIDs only, and in the object of this module.
            (code::SOURCE_FILENAME, _) => {
                declared.source_filename = text(operands);
                texts(&declared.source_filename);
            }
            (code::GUIDLIST, _) if declared.guids.is_empty() => declared.guids = guids(operands)?,
            (code::SECTIONNAME, _) => declared.sections.push(operands),
            (code::GCNAME, _) => declared.collectors.push(operands),
            (code::COMDAT, [_, _, kind]) => {
                let name = declared.name(operands)?;
                declared.comdats.push(Comdat { name, kind: *kind });
            }
            (code::GLOBALVAR, _) => declared.add(GlobalKind::Variable, operands)?,
            (code::FUNCTION, _) => declared.add(GlobalKind::Function, operands)?,
            (code::ALIAS, _) => declared.add(GlobalKind::Alias, operands)?,
            (code::IFUNC, _) => declared.add(GlobalKind::Ifunc, operands)?,
            (code, _) => {
                return Err(Opaque::Record {
                    block: outer::MODULE,
                    code,
                });
            }
        }
    }
    Ok(declared)
}

/// GUIDs of which each is written as two halves.
fn guids(halves: &[u64]) -> Decoded<Vec<u64>> {
    let (pairs, odd) = halves.as_chunks::<2>();
    if !odd.is_empty() || halves.iter().any(|half| *half >> 32 != 0) {
        return Err(Opaque::Damaged);
    }
    Ok(pairs.iter().map(|[high, low]| high << 32 | low).collect())
}

fn named_metadata(
    named: &[(Vec<u64>, Vec<u64>)],
    tables: &Tables<'_>,
    metadata: &mut Metadata,
    head: &mut Encoder,
    part: &mut Part,
) -> Decoded<()> {
    let context = tables.metadata_context();
    head.tag(named.len() as u64);
    for (name, nodes) in named {
        let name = text(name);
        if name == PROBES {
            return Err(Opaque::Instrumented(lossy(&name)));
        }
        head.text(&name);
        head.tag(nodes.len() as u64);
        for node in nodes {
            match metadata.reference(*node, &context)? {
                Reference::Plain(hash) => {
                    head.tag(1);
                    head.hash(&hash);
                }
                Reference::Node(node) => {
                    head.tag(2);
                    part.nodes.push(node);
                }
            }
        }
    }
    Ok(())
}

/// Reads all bodies, which are in the order of the functions; if the symbol table has their offsets
/// too, it must agree.
fn bodies(
    file: &ModuleFile<'_>,
    declared: &Declared<'_>,
    tables: &Tables<'_>,
    metadata: &mut Metadata,
    globals: &mut [super::Global],
    texts: &mut dyn FnMut(&[u8]),
) -> Decoded<()> {
    let defined = declared.globals.iter().zip(0_u64..);
    let defined: Vec<_> = defined.filter(|(global, _)| global.has_body()).collect();
    if defined.len() != file.functions.len() {
        return Err(Opaque::Damaged);
    }
    let mut places = HashMap::new();
    if let Some(records) = file.block(block::VALUE_SYMTAB)? {
        for record in records.iter() {
            match (record.code, record.operands) {
                (VST_FUNCTION, [id, offset]) => places.insert(*id, *offset),
                (code, _) => {
                    return Err(Opaque::Record {
                        block: block::VALUE_SYMTAB,
                        code,
                    });
                }
            };
        }
    }
    for ((global, id), header) in defined.into_iter().zip(&file.functions) {
        let here = place_of(header);
        if places.get(&id).is_some_and(|place| Some(*place) != here) {
            return Err(Opaque::Damaged);
        }
        let index = usize::try_from(id).map_err(|_| Opaque::Damaged)?;
        let guid = Guid {
            value: globals[index].guid,
            local: globals[index].local,
        };
        let body = Body {
            stream: file.stream,
            header,
            abbrevs: &file.abbrevs,
            guid: (!declared.guids.is_empty()).then_some(guid),
            signature: tables.types.signature(global.operands[0])?,
        };
        globals[index].content = match body.read(tables, metadata, texts) {
            Ok(part) => GlobalContent::Known(part),
            Err(reason) => GlobalContent::Unknown(reason),
        };
    }
    Ok(())
}

/// The texts among constants.
pub(super) fn constant_texts(records: &Records, texts: &mut dyn FnMut(&[u8])) {
    for record in records.iter() {
        if matches!(
            record.code,
            constant::STRING | constant::CSTRING | constant::INLINEASM
        ) {
            texts(&text(record.operands));
        }
    }
}

/// Whether a text has the directive [`BY_CHARACTER`], in any spelling.
fn goes_by_character(text: &[u8]) -> bool {
    let mut dots = memchr_iter(b'.', text);
    dots.any(|at| {
        let directive = text[at..].get(..BY_CHARACTER.len());
        directive.is_some_and(|it| it.eq_ignore_ascii_case(BY_CHARACTER))
    })
}

/// Numbers of up to 64 bits that follow `.llvm.`.
fn find_suffixes(text: &[u8], found: &mut BTreeSet<u64>) {
    for start in memmem::find_iter(text, PROMOTED) {
        let rest = &text[start + PROMOTED.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
        // More digits than a hash can have may begin with those of one: the string table holds
        // names without anything between them.
        for end in 1..=digits.len().min(20) {
            found.extend(digits[..end].parse::<u64>());
        }
    }
}
