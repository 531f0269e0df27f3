//! The symbols that the command line asks for, which are undefined before any input is read.

use std::path::Path;

use super::command_line::Item;
use super::{Flavour, LinkPlan};
use crate::fs::read_regular_to_string;

/// In the order in which the linker names them.
pub(super) fn undefined(plan: &LinkPlan) -> Vec<String> {
    let options: &[&str] = match plan.flavour {
        Flavour::Elf => &["u", "undefined"],
        // `wasm-ld` looks for them when it has read all files.
        Flavour::Wasm => &[],
        Flavour::MachO => &["u"],
    };
    let items = plan.items.iter();
    let asking = items.filter(|item| item.name().is_some_and(|name| options.contains(&name)));
    let mut names: Vec<String> = asking
        .filter_map(|item| item.value().map(str::to_owned))
        .collect();
    if plan.flavour == Flavour::MachO {
        if is_program(plan) {
            names.push(plan.value_of("e").unwrap_or("_main").to_owned());
        }
        names.extend(plan.values_of("exported_symbol").filter_map(exported));
        for list in plan.values_of("exported_symbols_list") {
            // The linker has the message for one that cannot be read.
            let text = read_regular_to_string(Path::new(list)).unwrap_or_default();
            names.extend(text.lines().filter_map(exported));
        }
    }
    names
}

/// Whether the output is a program of Apple's platforms, which has an entry point.
pub(super) fn is_program(plan: &LinkPlan) -> bool {
    let mut names = plan.items.iter().rev().filter_map(Item::name);
    let kind = names.find(|name| matches!(*name, "bundle" | "dylib" | "execute"));
    kind.is_none_or(|kind| kind == "execute")
}

/// The symbol that `line` exports, if it is one and not a pattern of several.
fn exported(line: &str) -> Option<String> {
    let name = line.split('#').next().unwrap_or_default().trim();
    let is_one = !name.is_empty() && !name.contains(['*', '?', '[']);
    is_one.then(|| name.to_owned())
}
