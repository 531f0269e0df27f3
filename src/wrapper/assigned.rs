//! Symbols that no input defines: those of linker scripts, of `--defsym` and of the linker itself.

use std::collections::HashSet;

/// What `ld.lld` defines where some file names it.
const OF_LINKER: [&str; 9] = [
    "__dso_handle",
    "__ehdr_start",
    "__executable_start",
    "__fini_array_end",
    "__fini_array_start",
    "__init_array_end",
    "__init_array_start",
    "__preinit_array_end",
    "__preinit_array_start",
];
/// The same, unless a script lays the program out.
const OF_LAYOUT: [&str; 7] = [
    "__bss_start",
    "_edata",
    "_end",
    "_etext",
    "edata",
    "end",
    "etext",
];

/// Variables that `wasm-ld` defines where some file names them.
const OF_WASM: [&str; 9] = [
    "__data_end",
    "__dso_handle",
    "__global_base",
    "__heap_base",
    "__heap_end",
    "__memory_base",
    "__stack_high",
    "__stack_low",
    "__table_base",
];

/// What may stand before the equals sign of an assignment.
const OPERATORS: [char; 9] = ['+', '-', '*', '/', '<', '>', '&', '|', '^'];

/// What the linker defines besides the inputs' symbols.
#[derive(Debug, Default)]
pub(super) struct AssignedSymbols {
    /// Those that are always there, in the order in which the linker meets them.
    pub(super) always: Vec<String>,
    /// What `--defsym` names in its expressions, which the linker meets before that.
    pub(super) used: Vec<String>,
    /// Those that are there if a file names them (`PROVIDE`).
    if_named: HashSet<String>,
    /// Whether a script has `SECTIONS`.
    has_layout: bool,
    /// Whether the program has relocations, and with them the symbols that objects name.
    pub(super) has_relocations: bool,
}

impl AssignedSymbols {
    /// Adds those of `--defsym=TEXT`.
    pub(super) fn add_option(&mut self, text: &str) {
        if let Some((name, value)) = text.split_once('=') {
            self.always.push(name.to_owned());
            let words = value.split(|it: char| !is_part_of_name(it));
            let names = words.filter(|word| is_name(word));
            self.used.extend(names.map(str::to_owned));
        }
    }

    /// Adds those of a script that has these `words`.
    pub(super) fn add_script(&mut self, words: &[String]) {
        let mut rest = words;
        let mut before = "";
        while let [word, after @ ..] = rest {
            rest = after;
            match (&word[..], after) {
                ("SECTIONS", _) => self.has_layout = true,
                // It assigns to parts of its own.
                ("MEMORY", _) => {
                    let end = after.iter().position(|word| word == "}");
                    rest = &after[end.unwrap_or(after.len())..];
                }
                ("PROVIDE" | "PROVIDE_HIDDEN", [open, name, inner @ ..]) if open == "(" => {
                    self.if_named
                        .extend(target(name, inner.first()).map(str::to_owned));
                    rest = inner;
                }
                // A memory region or a segment, which a fill may follow.
                _ if matches!(before, ":" | ">" | "AT>") => {}
                _ => self
                    .always
                    .extend(target(word, after.first()).map(str::to_owned)),
            }
            before = word;
        }
    }

    /// Whether a file that names `name` is enough for the linker to define it.
    pub(super) fn follows_name(&self, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        OF_LINKER.contains(&name)
            || !self.has_layout && OF_LAYOUT.contains(&name)
            || self.if_named.contains(name)
    }

    /// Whether `wasm-ld` defines the variable `name`, which a module alone does not put into the symbols
    /// of a program with relocations.
    pub(super) fn is_wasm_variable(&self, name: &[u8]) -> bool {
        let own = |variable: &&str| variable.as_bytes() == name;
        !self.has_relocations && OF_WASM.iter().any(own)
    }

    /// Whether a script or an option may define `name`.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        let own = |known: &String| known.as_bytes() == name;
        self.always.iter().any(own) || self.if_named.iter().any(own)
    }
}

/// What `word` and the one after it assign to.
fn target<'a>(word: &'a str, next: Option<&String>) -> Option<&'a str> {
    let (name, rest) = match word.find('=') {
        Some(at) => {
            let name = word[..at].trim_end_matches(OPERATORS);
            (name, &word[name.len()..])
        }
        None => (word, next?.as_str()),
    };
    (is_assignment(rest) && is_name(name)).then_some(name)
}

/// Whether `text` begins with an assignment's operator, not with a comparison.
fn is_assignment(text: &str) -> bool {
    let value = text.trim_start_matches(OPERATORS).strip_prefix('=');
    let compares = text.starts_with("<=") || text.starts_with(">=");
    value.is_some_and(|value| !value.starts_with('=')) && !compares
}

fn is_part_of_name(it: char) -> bool {
    it.is_alphanumeric() || "_.$@".contains(it)
}

fn is_name(word: &str) -> bool {
    word != "."
        && !word.starts_with(|it: char| it.is_ascii_digit())
        && !word.is_empty()
        && word.chars().all(is_part_of_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapper::script;

    fn of(text: &str) -> AssignedSymbols {
        let script = script::read("x", text).expect("understood");
        let mut found = AssignedSymbols::default();
        found.add_script(&script.words);
        found
    }

    #[test]
    fn assignments_of_scripts_are_found_in_order() {
        let found = of("first = 1; MEMORY { rom (rx) : ORIGIN = 0, LENGTH = 1M }\n\
            PHDRS { text PT_LOAD FLAGS(5); }\n\
            SECTIONS { . = 0x1000; .text : ALIGN(8) { stext=.; *(.text) HIDDEN(etext = .); } > rom =0x90\n\
            .data : { *(.data) sum += 4; shift <<= 1; } :text = 0x90 PROVIDE(may = .); PROVIDE_HIDDEN ( must=1 ); }\n\
            ASSERT(size <= 4, \"a\") ASSERT(size<=4, \"a\") ASSERT(a == b, \"c\") ASSERT(a==b, \"c\") ASSERT(a != b, \"c\")");
        assert_eq!(found.always, ["first", "stext", "etext", "sum", "shift"]);
        assert!(found.has(b"may") && found.has(b"stext") && !found.has(b"size"));
        let follows = |name: &str| found.follows_name(name.as_bytes());
        assert!(follows("may") && follows("must") && follows("__dso_handle"));
        assert!(!follows("stext") && !follows("_end"));
    }

    #[test]
    fn an_option_assigns_and_the_linker_has_symbols_of_its_own() {
        let mut found = of("f = 1;");
        found.add_option("g=f+(0x10-_end)");
        assert_eq!(found.always, ["f", "g"]);
        assert_eq!(found.used, ["f", "_end"]);
        assert!(found.follows_name(b"_end") && !found.follows_name(b"f"));
    }
}
