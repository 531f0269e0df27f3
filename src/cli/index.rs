//! `relto index show|inputs|check FILE`: a look into a ThinLTO index shard.
//!
//! Enters: the shard's path. Leaves on stdout: its modules with their hashes (`show`), the modules that a backend reads,
//! its own among them, one a line, as in an `.imports` file (`inputs`), or nothing, when every module is there and is
//! the one that the shard was made for (`check`). The parsing is `thinlto`'s, the rules are `action::guard`'s.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;

use super::arguments::IndexAction;
use super::{Failure, output};
use crate::action::guard::{Unsound, check_module};
use crate::digest::hex;
use crate::error::ExitCode;
use crate::thinlto::{Index, ModuleEntry, ModuleHash, SummaryOrder, module};

pub(super) fn run(action: IndexAction, file: &Path) -> Result<ExitCode, Failure> {
    let name = file.display().to_string();
    let bytes = fs::read(file).map_err(|source| unreadable(&name, source))?;
    let index = Index::parse(&bytes).map_err(|source| {
        unsound(Unsound::Index {
            name: name.clone(),
            source,
        })
    })?;
    match action {
        IndexAction::Show => Ok(output::print(&show(&index))),
        IndexAction::Inputs => Ok(output::print(&inputs(&index))),
        IndexAction::Check => check(&name, &index).map(|()| ExitCode::Success),
    }
}

fn unsound(error: Unsound) -> Failure {
    Box::new(error)
}

fn unreadable(name: &str, source: std::io::Error) -> Failure {
    unsound(Unsound::Unreadable {
        name: name.to_owned(),
        source,
    })
}

fn show(index: &Index<'_>) -> String {
    let mut text = format!(
        "summary version {}, flags {:#x}",
        index.version(),
        index.flags().0
    );
    if index.flags().skip_module() {
        text.push_str(" (the module is to be skipped)");
    }
    let _ = writeln!(text, "\norder: {}", order(index));
    for entry in index.modules() {
        let hash = entry
            .hash
            .as_ref()
            .map_or_else(|| "-".repeat(40), hash_text);
        let _ = writeln!(text, "{hash}  {}", shown(entry));
    }
    text
}

/// Whether another link of the same bitcode would give the same canonical shard.
fn order(index: &Index<'_>) -> String {
    let names: Vec<&[u8]> = index
        .modules()
        .iter()
        .map(|entry| &entry.path[..])
        .collect();
    match index.rewrite(&names, SummaryOrder::Canonical) {
        Ok(rewritten) => format!("{:?}", rewritten.form),
        Err(error) => error.to_string(),
    }
}

fn hash_text(hash: &ModuleHash) -> String {
    let bytes: Vec<u8> = hash.iter().flat_map(|word| word.to_be_bytes()).collect();
    hex(&bytes)
}

fn shown(entry: &ModuleEntry) -> String {
    let name = String::from_utf8_lossy(&entry.path);
    if entry.damaged {
        format!("{name} (damaged name)")
    } else {
        name.into_owned()
    }
}

fn inputs(index: &Index<'_>) -> String {
    let names = index.modules().iter().map(shown);
    names.fold(String::new(), |text, name| text + &name + "\n")
}

/// Paths are taken as they stand in the shard: relative ones from the current folder, where the linker was.
fn check(index_name: &str, index: &Index<'_>) -> Result<(), Failure> {
    for entry in index.modules() {
        let name = shown(entry);
        if entry.damaged {
            return Err(unsound(Unsound::DamagedName {
                index: index_name.to_owned(),
                name,
            }));
        }
        let bytes = fs::read(&name).map_err(|source| unreadable(&name, source))?;
        let facts = module::facts(&bytes).map_err(|source| {
            unsound(Unsound::Module {
                name: name.clone(),
                source,
            })
        })?;
        check_module(index_name, entry, &facts).map_err(unsound)?;
    }
    Ok(())
}
