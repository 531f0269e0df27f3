//! Groups and symbols of WebAssembly objects: their `linking` section
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md>).

mod object;
mod stub;

use std::collections::HashMap;

use self::object::{
    COMDATS, CUSTOM, ComdatKind, ComdatSymbol, DATA_SYMBOL, DEFAULT_MODULE, FUNCTION_IMPORT,
    FUNCTION_SYMBOL, FUNCTIONS, HEADER, Imports, LOCAL, SYMBOLS, TYPES, UNDEFINED,
    UNDEFINED_AND_NAMED, WEAK, WasmReader, custom, entries, sections, symbol_table,
};
use self::stub::{push, push_name, push_number};
use super::{Definitions, Objects};
use crate::wrapper::Refusal;
use crate::wrapper::resolution::Resolution;

pub(super) use self::object::has_roots;
pub(in crate::wrapper) use self::object::symbols;
pub(super) use self::stub::{Reference, stub};

/// What a symbol must agree on with the same symbol of other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SymbolType {
    /// The bytes of a function's type.
    Function(Vec<u8>),
    /// The same of a function that has a name of its own outside: the module and the name there.
    ImportedFunction {
        kind: Vec<u8>,
        module: Vec<u8>,
        name: Vec<u8>,
    },
    Data,
    /// What is imported, a table or a global, the bytes of its type without limits, and the flags
    /// of the symbol.
    Import(u8, Vec<u8>, usize),
}

/// The types of symbols, by their names; `None` where files do not agree, or for what is no function
/// where the symbol has another name outside.
#[derive(Debug, Default)]
pub(super) struct SymbolTypes(HashMap<Vec<u8>, Option<SymbolType>>);

impl SymbolTypes {
    /// Adds those of a file.
    pub(super) fn add(&mut self, object: &[u8]) {
        for (name, own) in types_of_symbols(object).unwrap_or_default() {
            let known = self.0.entry(name.to_vec()).or_insert_with(|| own.clone());
            if *known != own {
                *known = None;
            }
        }
    }

    /// Those of both, where they agree.
    pub(super) fn of<'a>(files: [&'a Self; 2], name: &[u8]) -> Option<&'a SymbolType> {
        match files.map(|it| it.0.get(name)) {
            [Some(one), Some(other)] if one != other => None,
            [one, other] => one.or(other)?.as_ref(),
        }
    }
}

/// The types of all symbols that are not local.
fn types_of_symbols(object: &[u8]) -> Option<Vec<(&[u8], Option<SymbolType>)>> {
    let sections = sections(object)?;
    let part = |number| sections.iter().find(|it| it.0 == number).map(|it| it.1);
    let types = part(TYPES).map_or(Some(Vec::new()), |it| function_types(WasmReader(it)))?;
    let imports = Imports::read(&sections)?;
    let mut of_functions = Vec::new();
    for import in imports.of(FUNCTION_IMPORT) {
        of_functions.push(WasmReader(import.kind).number()?);
    }
    if let Some(part) = part(FUNCTIONS) {
        let mut part = WasmReader(part);
        for _ in 0..part.number()? {
            of_functions.push(part.number()?);
        }
    }
    let mut found = Vec::new();
    for symbol in symbol_table(&sections, &imports)? {
        if symbol.flags & LOCAL != 0 {
            continue;
        }
        let import = imports.of_symbol(&symbol);
        let plain = import.is_none_or(|it| it.module == DEFAULT_MODULE)
            && symbol.flags & UNDEFINED_AND_NAMED != UNDEFINED_AND_NAMED;
        let own = match symbol.kind {
            DATA_SYMBOL => Some(SymbolType::Data),
            FUNCTION_SYMBOL => {
                let kind = of_functions.get(symbol.entry.1);
                let kind = kind.and_then(|number| types.get(*number));
                kind.map(|kind| match import.filter(|_| !plain) {
                    None => SymbolType::Function(kind.to_vec()),
                    Some(import) => SymbolType::ImportedFunction {
                        kind: kind.to_vec(),
                        module: import.module.to_vec(),
                        name: import.name.to_vec(),
                    },
                })
            }
            _ => import
                .filter(|_| plain)
                .map(|it| SymbolType::Import(it.what, it.kind.to_vec(), symbol.flags)),
        };
        found.push((imports.name_of(&symbol), own));
    }
    Some(found)
}

/// The bytes of each type.
fn function_types(mut part: WasmReader<'_>) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    for _ in 0..part.number()? {
        let start = part.0;
        part.byte()?;
        part.name()?;
        part.name()?;
        found.push(&start[..start.len() - part.0.len()]);
    }
    Some(found)
}

pub(in crate::wrapper) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    let mut found = Definitions::default();
    let sections = sections(object)?;
    let Some(linking) = sections.into_iter().find_map(|it| custom(it, b"linking")) else {
        return Some(found);
    };
    let mut rest = WasmReader(linking);
    rest.number()?;
    let mut group_of = HashMap::new();
    let mut symbols = None;
    while !rest.0.is_empty() {
        match rest.part()? {
            (COMDATS, part) => comdats(WasmReader(part), &mut found, &mut group_of)?,
            (SYMBOLS, part) => symbols = Some(WasmReader(part)),
            _ => {}
        }
    }
    if let Some(symbols) = symbols {
        table(symbols, &mut found, &group_of)?;
    }
    Some(found)
}

fn comdats<'a>(
    mut part: WasmReader<'a>,
    found: &mut Definitions<'a>,
    group_of: &mut HashMap<ComdatSymbol, &'a [u8]>,
) -> Option<()> {
    for _ in 0..part.number()? {
        let name = part.name()?;
        found.groups.push(name);
        part.number()?;
        for _ in 0..part.number()? {
            let content = match part.byte()? {
                0 => ComdatKind::Data,
                1 => ComdatKind::Function,
                _ => ComdatKind::Other,
            };
            group_of.insert((content, part.number()?), name);
        }
    }
    Some(())
}

fn table<'a>(
    part: WasmReader<'a>,
    found: &mut Definitions<'a>,
    group_of: &HashMap<ComdatSymbol, &'a [u8]>,
) -> Option<()> {
    for symbol in entries(part)? {
        if symbol.flags & (UNDEFINED | LOCAL) != 0 {
            continue;
        }
        match group_of.get(&symbol.entry) {
            Some(group) => found.grouped.push((symbol.name, group)),
            None if symbol.flags & WEAK != 0 => found.weak.push(symbol.name),
            None => found.strong.push(symbol.name),
        }
    }
    Some(())
}

impl Objects<'_> {
    /// With `--emit-relocs` the program lists a function that is missing once for each file that names
    /// it, and a stub is one more.
    ///
    /// # Errors
    /// There is such a function.
    pub(in crate::wrapper) fn check_missing(&self, resolution: &Resolution) -> Result<(), Refusal> {
        let mut missing = resolution.symbols().filter(|name| {
            let is_function = matches!(
                self.wasm_type(name),
                Some(SymbolType::Function(_) | SymbolType::ImportedFunction { .. })
            );
            is_function && resolution.may_stay_undefined(name)
        });
        match missing.next() {
            None => Ok(()),
            Some(name) => Err(Refusal::new(format!(
                "`--emit-relocs` with the function `{}`, which may be missing",
                String::from_utf8_lossy(name)
            ))),
        }
    }
}

/// The object with its groups taken apart.
pub(super) fn without_claims(object: &[u8]) -> Option<Vec<u8>> {
    let mut out = object.get(..HEADER)?.to_vec();
    for section in sections(object)? {
        match custom(section, b"linking") {
            None => push(&mut out, section.0, section.1),
            Some(linking) => {
                let mut rest = WasmReader(linking);
                let mut content = Vec::new();
                push_name(&mut content, b"linking");
                push_number(&mut content, rest.number()?);
                while !rest.0.is_empty() {
                    let (number, part) = rest.part()?;
                    if number != COMDATS {
                        push(&mut content, number, part);
                    }
                }
                push(&mut out, CUSTOM, &content);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::object::TABLE_IMPORT;
    use super::*;

    #[test]
    fn a_stub_claims_its_groups_and_defines_nothing() {
        let stub = stub(b"", &[b"f", b"g"], &[]);
        let found = definitions(&stub).expect("an object");
        assert_eq!(found.groups, [b"f", b"g"]);
        assert_eq!(found.symbols().count(), 0);
        let loose = without_claims(&stub).expect("an object");
        assert!(definitions(&loose).expect("an object").groups.is_empty());
    }

    #[test]
    fn a_stub_names_symbols_in_order_and_files_agree_on_their_types() {
        let function = |kind: &[u8]| SymbolType::Function(kind.to_vec());
        let (one, other) = (function(&[0x60, 0, 0]), function(&[0x60, 1, 0x7f, 0]));
        let table = SymbolType::Import(TABLE_IMPORT, vec![0x70], UNDEFINED);
        let named: [(&[u8], &SymbolType); 5] = [
            (b"f", &one),
            (b"x", &SymbolType::Data),
            (b"g", &other),
            (b"t", &table),
            (b"h", &one),
        ];
        let stub_of = |named: &[(&[u8], &SymbolType)]| {
            let references = named.iter().map(|&(name, kind)| Reference {
                name,
                kind,
                strong: name == b"g",
            });
            stub(b"", &[], &references.collect::<Vec<_>>())
        };
        let object = stub_of(&named);
        let found = symbols(&object).expect("an object");
        let expected =
            [b"f", b"x", b"g", b"t", b"h"].map(|name| (&name[..], true, !b"tg".contains(&name[0])));
        assert_eq!(found, expected);
        let mut types = SymbolTypes::default();
        types.add(&object);
        for (name, kind) in named {
            assert_eq!(
                SymbolTypes::of([&types, &SymbolTypes::default()], name),
                Some(kind)
            );
        }
        let mut others = SymbolTypes::default();
        others.add(&stub_of(&[(b"f", &other), (b"g", &other)]));
        assert_eq!(SymbolTypes::of([&types, &others], b"f"), None);
        assert_eq!(SymbolTypes::of([&types, &others], b"g"), Some(&other));
        types.add(&stub_of(&[(b"h", &SymbolType::Data)]));
        assert_eq!(SymbolTypes::of([&types, &others], b"h"), None);
    }

    #[test]
    fn cut_off_objects_are_not_understood() {
        let stub = stub(b"", &[b"f", b"g"], &[]);
        for end in HEADER + 1..stub.len() {
            assert!(definitions(&stub[..end]).is_none(), "{end}");
        }
    }
}
