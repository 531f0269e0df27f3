//! Writes an object that claims groups and names symbols, and defines nothing.

use std::collections::HashMap;

use super::SymbolType;
use super::object::{
    COMDATS, CUSTOM, DATA_SYMBOL, DEFAULT_MODULE, EXPLICIT_NAME, FUNCTION_IMPORT, FUNCTION_SYMBOL,
    GLOBAL_SYMBOL, IMPORTS, SYMBOLS, TABLE_IMPORT, TABLE_SYMBOL, TYPES, UNDEFINED, WEAK, custom,
    sections,
};

/// A symbol that a stub refers to.
#[derive(Debug, Clone, Copy)]
pub(in crate::wrapper::comdat) struct Reference<'a> {
    pub(in crate::wrapper::comdat) name: &'a [u8],
    pub(in crate::wrapper::comdat) kind: &'a SymbolType,
    /// Whether the member of an archive that defines it is to be linked for this reference.
    pub(in crate::wrapper::comdat) strong: bool,
}

impl Reference<'_> {
    fn flags(&self) -> usize {
        if self.strong {
            UNDEFINED
        } else {
            UNDEFINED | WEAK
        }
    }
}

/// An object that holds nothing but empty groups of the names `claimed`, for the same processor as
/// `model`, and refers to the symbols `named`.
pub(in crate::wrapper::comdat) fn stub(
    model: &[u8],
    claimed: &[&[u8]],
    named: &[Reference<'_>],
) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    let references = References::of(named);
    if !references.types.is_empty() {
        let (count, types) = (references.types.len(), references.types.concat());
        push_counted(&mut out, TYPES, count, &types);
    }
    let imported: usize = references.imported.iter().sum();
    if imported > 0 {
        push_counted(&mut out, IMPORTS, imported, &references.imports);
    }
    let mut groups = Vec::new();
    for name in claimed {
        push_name(&mut groups, name);
        // No flags, no members.
        groups.extend_from_slice(&[0, 0]);
    }
    let mut linking = Vec::new();
    push_name(&mut linking, b"linking");
    linking.push(2);
    if !named.is_empty() {
        push_counted(&mut linking, SYMBOLS, named.len(), &references.symbols);
    }
    push_counted(&mut linking, COMDATS, claimed.len(), &groups);
    push(&mut out, CUSTOM, &linking);
    let sections = sections(model).unwrap_or_default();
    let features = sections
        .into_iter()
        .find(|it| custom(*it, b"target_features").is_some());
    if let Some((number, content)) = features {
        push(&mut out, number, content);
    }
    out
}

/// Undefined symbols as an object has them.
#[derive(Default)]
struct References<'a> {
    types: Vec<&'a [u8]>,
    imports: Vec<u8>,
    /// How many of each kind.
    imported: [usize; 5],
    symbols: Vec<u8>,
}

impl<'a> References<'a> {
    fn of(named: &[Reference<'a>]) -> Self {
        let mut all = Self::default();
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        for reference in named {
            let name = reference.name;
            match reference.kind {
                SymbolType::Function(kind) => {
                    let kind = all.number_of(&mut numbers, kind);
                    all.import(
                        FUNCTION_SYMBOL,
                        FUNCTION_IMPORT,
                        [DEFAULT_MODULE, name],
                        &kind,
                        reference.flags(),
                    );
                }
                SymbolType::ImportedFunction {
                    kind,
                    module,
                    name: outside,
                } => {
                    let kind = all.number_of(&mut numbers, kind);
                    all.import(
                        FUNCTION_SYMBOL,
                        FUNCTION_IMPORT,
                        [module, outside],
                        &kind,
                        reference.flags() | EXPLICIT_NAME,
                    );
                    push_name(&mut all.symbols, name);
                }
                SymbolType::Data => {
                    all.symbols.push(DATA_SYMBOL);
                    push_number(&mut all.symbols, reference.flags());
                    push_name(&mut all.symbols, name);
                }
                SymbolType::Import(TABLE_IMPORT, kind, flags) => {
                    // No limits.
                    let kind = [&kind[..], &[0, 0]].concat();
                    let outside = [DEFAULT_MODULE, name];
                    all.import(TABLE_SYMBOL, TABLE_IMPORT, outside, &kind, *flags);
                }
                SymbolType::Import(what, kind, flags) => {
                    all.import(GLOBAL_SYMBOL, *what, [DEFAULT_MODULE, name], kind, *flags);
                }
            }
        }
        all
    }

    /// The number of the type `kind`, as an import has it.
    fn number_of(&mut self, numbers: &mut HashMap<&'a [u8], usize>, kind: &'a [u8]) -> Vec<u8> {
        let number = *numbers.entry(kind).or_insert_with(|| {
            self.types.push(kind);
            self.types.len() - 1
        });
        let mut bytes = Vec::new();
        push_number(&mut bytes, number);
        bytes
    }

    /// `outside` are the module and the name that it is imported by.
    fn import(&mut self, symbol: u8, what: u8, outside: [&[u8]; 2], kind: &[u8], flags: usize) {
        for name in outside {
            push_name(&mut self.imports, name);
        }
        self.imports.push(what);
        self.imports.extend_from_slice(kind);
        let number = &mut self.imported[usize::from(what)];
        self.symbols.push(symbol);
        push_number(&mut self.symbols, flags);
        push_number(&mut self.symbols, *number);
        *number += 1;
    }
}

fn push_counted(out: &mut Vec<u8>, number: u8, count: usize, content: &[u8]) {
    let mut counted = Vec::new();
    push_number(&mut counted, count);
    counted.extend_from_slice(content);
    push(out, number, &counted);
}

pub(super) fn push(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number);
    push_name(out, content);
}

pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    push_number(out, name.len());
    out.extend_from_slice(name);
}

pub(super) fn push_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
