//! Walks a command line: looks libraries up, opens archives and scripts.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem;

use super::{Library, LinkInputs, Piece};
use crate::fs::read_regular;
use crate::wrapper::assigned::AssignedSymbols;
use crate::wrapper::command_line::{BackendOption, Item, Role, StateOption, last};
use crate::wrapper::kind::FileKind;
use crate::wrapper::script::{self, Named, Script};
use crate::wrapper::{Flavour, Refusal};

/// How a module begins.
const BITCODE: &[u8] = b"BC\xc0\xde";

/// The way through a command line.
pub(super) struct CommandLineWalk {
    pub(super) inputs: LinkInputs,
    flavour: Flavour,
    sysroot: String,
    dirs: Vec<PathBuf>,
    state: Linking,
    pushed: Vec<Linking>,
    in_lib: bool,
}

/// The directory `dir` of a command line, where `=` stands for `sysroot`.
fn below(sysroot: &str, dir: &str) -> PathBuf {
    match dir.strip_prefix('=') {
        Some(rest) => PathBuf::from(format!("{sysroot}{rest}")),
        None => PathBuf::from(dir),
    }
}

/// Apple's linkers look into `sysroot` first for every absolute directory, and have two of their
/// own.
fn apple_dirs<'a>(
    sysroot: &str,
    dirs: impl Iterator<Item = &'a str>,
    items: &[Item],
) -> Vec<PathBuf> {
    let moved = |dir: &str| PathBuf::from(format!("{sysroot}{dir}"));
    let mut all: Vec<PathBuf> = dirs
        .map(|dir| match moved(dir) {
            inside if dir.starts_with('/') && inside.is_dir() => inside,
            _ => PathBuf::from(dir),
        })
        .collect();
    if !items.iter().any(|item| item.words == ["-Z"]) {
        all.extend(["/usr/lib", "/usr/local/lib"].map(moved));
    }
    all
}

fn read_script(path: &str) -> Result<Script, Refusal> {
    let bytes = read_regular(Path::new(path))
        .map_err(|error| Refusal::unreadable(Path::new(path), &error))?;
    script::read(path, &String::from_utf8_lossy(&bytes))
}

#[derive(Debug, Clone, Copy, Default)]
struct Linking {
    static_only: bool,
    whole: bool,
}

impl CommandLineWalk {
    pub(super) fn new(flavour: Flavour, items: &[Item]) -> Self {
        let sysroot = last(items, Role::Sysroot).unwrap_or_default();
        let fat = items.iter().rev().find_map(|item| match item.role() {
            Some(Role::Backend(BackendOption::FatObjects(fat))) => Some(fat),
            _ => None,
        });
        let dirs = items
            .iter()
            .filter(|it| it.role() == Some(Role::LibraryPath));
        let dirs = dirs.map(|item| item.value().unwrap_or_default());
        let dirs = match flavour {
            Flavour::Elf | Flavour::Wasm => dirs.map(|dir| below(sysroot, dir)).collect(),
            Flavour::MachO => apple_dirs(sysroot, dirs, items),
        };
        let whole = items.iter().rev().find_map(|item| match item.role() {
            Some(Role::State(StateOption::AllLoad(all))) => Some(all),
            _ => None,
        });
        Self {
            dirs,
            sysroot: sysroot.to_owned(),
            flavour,
            inputs: LinkInputs {
                pieces: Vec::new(),
                named: Vec::new(),
                libraries: HashMap::new(),
                patterns: HashSet::new(),
                assigned: AssignedSymbols::default(),
                trouble: None,
                fat: fat.unwrap_or(false),
                flavour,
            },
            state: Linking {
                whole: whole.unwrap_or(false),
                ..Linking::default()
            },
            pushed: Vec::new(),
            in_lib: false,
        }
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), Refusal> {
        let value = item.value().unwrap_or_default();
        match item.role() {
            None => self.file(value, item.words.clone()),
            Some(Role::Library) if let Some(path) = self.library(value) => {
                self.file(&path, item.words.clone())
            }
            Some(Role::State(state)) => {
                self.change(state, &item.words);
                Ok(())
            }
            // The linker has the message for a library that is not there.
            Some(Role::Library | Role::Placed) => {
                self.inputs.pieces.push(Piece::Library {
                    words: item.words.clone(),
                    inside: Vec::new(),
                });
                Ok(())
            }
            Some(Role::Script) => {
                let read = self.script_of_option(value, &item.words);
                self.note(read);
                Ok(())
            }
            Some(Role::ForceLoad) => {
                let before = std::mem::replace(&mut self.state.whole, true);
                let done = self.file(value, item.words.clone());
                self.state.whole = before;
                done
            }
            Some(_) => {
                match item.name() {
                    Some("defsym") => self.inputs.assigned.add_option(value),
                    Some("emit-relocs") => self.inputs.assigned.has_relocations = true,
                    _ => {}
                }
                Ok(())
            }
        }
    }

    fn change(&mut self, state: StateOption, words: &[String]) {
        match state {
            StateOption::StaticLibraries => self.state.static_only = true,
            StateOption::SharedLibraries => self.state.static_only = false,
            StateOption::WholeArchive(whole) => self.state.whole = whole,
            StateOption::Push => self.pushed.push(self.state),
            StateOption::Pop => self.state = self.pushed.pop().unwrap_or_default(),
            StateOption::StartLib => self.in_lib = true,
            StateOption::EndLib => self.in_lib = false,
            StateOption::AsNeeded | StateOption::Group | StateOption::AllLoad(_) => {}
        }
        let positional = !matches!(
            state,
            StateOption::WholeArchive(_)
                | StateOption::AllLoad(_)
                | StateOption::StartLib
                | StateOption::EndLib
                | StateOption::Group
        );
        if positional {
            self.inputs.pieces.push(Piece::State(words.to_vec()));
        }
    }

    /// The file that `-lNAME` means.
    fn library(&self, name: &str) -> Option<String> {
        let names = match name.strip_prefix(':') {
            Some(file) => vec![file.to_owned()],
            None if self.state.static_only => vec![format!("lib{name}.a")],
            None if self.flavour == Flavour::MachO => ["tbd", "dylib", "so", "a"]
                .map(|ending| format!("lib{name}.{ending}"))
                .to_vec(),
            None => vec![format!("lib{name}.so"), format!("lib{name}.a")],
        };
        let paths = self
            .dirs
            .iter()
            .flat_map(|dir| names.iter().map(|it| dir.join(it)));
        let mut found = paths.filter(|path| path.exists());
        found.next()?.to_str().map(str::to_owned)
    }

    /// `words` name the file at `path`.
    fn file(&mut self, path: &str, words: Vec<String>) -> Result<(), Refusal> {
        self.inputs.named.push(path.to_owned());
        let kind = FileKind::of_file(Path::new(path));
        // `-all_load` counts more than `--start-lib`.
        let lazy = self.in_lib && !(self.flavour == Flavour::MachO && self.state.whole);
        let piece = match kind {
            Ok(FileKind::Bitcode) => Piece::Bitcode {
                path: path.to_owned(),
                lazy,
            },
            Ok(FileKind::Object) => Piece::Object {
                path: path.to_owned(),
                lazy,
            },
            Ok(FileKind::Archive) => match self.archive(path) {
                Ok(library) => Piece::Archive {
                    words,
                    library,
                    whole: self.state.whole && !lazy,
                },
                Err(refusal) => return self.not_understood(path, words, refusal),
            },
            Ok(FileKind::Text) if self.flavour == Flavour::Elf => return self.script(path, words),
            Ok(FileKind::Universal) if self.flavour == Flavour::MachO => {
                let refusal = Refusal::new(format!("`{path}` is for several processors"));
                return self.not_understood(path, words, refusal);
            }
            // Its symbols have no part in the order of the program's.
            Ok(FileKind::Shared) if self.flavour == Flavour::MachO => Piece::Library {
                words,
                inside: Vec::new(),
            },
            Ok(FileKind::Shared) => Piece::Library {
                words,
                inside: vec![Piece::Shared {
                    path: path.to_owned(),
                }],
            },
            // The linker could read it only once, and it runs twice.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let refusal = Refusal::unreadable(Path::new(path), &error);
                return self.not_understood(path, words, refusal);
            }
            // What cannot be read is the linker's to complain about.
            Ok(FileKind::Text | FileKind::Universal) | Err(_) => Piece::Library {
                words,
                inside: Vec::new(),
            },
        };
        self.inputs.pieces.push(piece);
        Ok(())
    }

    /// The file at `path` counts, for what the `refusal` says, only where there is a module.
    ///
    /// # Errors
    /// It may hold one itself.
    fn not_understood(
        &mut self,
        path: &str,
        words: Vec<String>,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        // A pipe is not read: what is read of it is gone.
        let bytes = read_regular(Path::new(path)).unwrap_or_default();
        if memmem::find(&bytes, BITCODE).is_some() {
            return Err(refusal);
        }
        self.note::<()>(Err(refusal));
        let inside = Vec::new();
        self.inputs.pieces.push(Piece::Library { words, inside });
        Ok(())
    }

    fn archive(&mut self, path: &str) -> Result<Arc<Library>, Refusal> {
        if let Some(known) = self.inputs.libraries.get(path) {
            return Ok(Arc::clone(known));
        }
        let library = Arc::new(Library::read(path)?);
        let known = self
            .inputs
            .libraries
            .insert(path.to_owned(), Arc::clone(&library));
        debug_assert!(known.is_none(), "looked up before");
        Ok(library)
    }

    /// A script among the inputs is kept unless something in it changes for the final link.
    fn script(&mut self, path: &str, words: Vec<String>) -> Result<(), Refusal> {
        let read = read_script(path);
        let Some(script) = self.note(read) else {
            let inside = Vec::new();
            self.inputs.pieces.push(Piece::Library { words, inside });
            return Ok(());
        };
        let before = self.inputs.pieces.len();
        for input in &script.named {
            self.named(path, input)?;
        }
        let whole = self.state.whole;
        let as_it_is = self.inputs.pieces[before..]
            .iter()
            .all(|piece| match piece {
                Piece::State(_) | Piece::Library { .. } => true,
                Piece::Archive { library, .. } => !whole && !library.has_bitcode(),
                Piece::Object { .. } | Piece::Bitcode { .. } | Piece::Shared { .. } => false,
            });
        if as_it_is {
            let inside = self.inputs.pieces.split_off(before);
            self.inputs.pieces.push(Piece::Library { words, inside });
            self.inputs.assigned.add_script(&script.words);
            self.inputs.patterns.extend(script.words);
        } else if !script.only_names {
            let refusal = format!("the linker script `{path}` does more than name inputs");
            self.note::<()>(Err(Refusal::new(refusal)));
        }
        Ok(())
    }

    /// Keeps the first thing that is wrong for when it matters.
    fn note<T>(&mut self, read: Result<T, Refusal>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.inputs.trouble.get_or_insert(refusal);
                None
            }
        }
    }

    /// The script of an option is there in both links, so it must not add inputs to the second.
    fn script_of_option(&mut self, name: &str, words: &[String]) -> Result<(), Refusal> {
        let plain = PathBuf::from(name);
        let below = self.dirs.iter().map(|dir| dir.join(name));
        let mut places = std::iter::once(plain).chain(below);
        let found = places.find(|path| path.exists());
        // The linker has the message for a script that is not there.
        let Some(path) = found.as_deref().and_then(Path::to_str) else {
            return Ok(());
        };
        self.inputs.named.push(path.to_owned());
        let script = read_script(path)?;
        if !script.named.is_empty() {
            let words = words.join(" ");
            return Err(Refusal::new(format!(
                "the script of `{words}` names inputs"
            )));
        }
        self.inputs.assigned.add_script(&script.words);
        self.inputs.patterns.extend(script.words);
        Ok(())
    }

    /// An input of the script at `script`, looked up as lld does it.
    fn named(&mut self, script: &str, named: &Named) -> Result<(), Refusal> {
        let path = self.path_in_script(script, &named.name);
        let word = match &path {
            Some(path) => path.clone(),
            None => named.name.clone(),
        };
        if named.as_needed {
            let words = ["--push-state", "--as-needed"].map(str::to_owned);
            self.inputs.pieces.push(Piece::State(words.to_vec()));
        }
        self.file(&word, vec![word.clone()])?;
        if named.as_needed {
            let words = vec!["--pop-state".to_owned()];
            self.inputs.pieces.push(Piece::State(words));
        }
        Ok(())
    }

    fn path_in_script(&self, script: &str, name: &str) -> Option<String> {
        if let Some(library) = name.strip_prefix("-l") {
            return self.library(library);
        }
        if let Some(rest) = name.strip_prefix('=') {
            return Some(format!("{}{rest}", self.sysroot));
        }
        if name.starts_with('/') {
            let below = !self.sysroot.is_empty() && script.starts_with(&self.sysroot);
            let moved = format!("{}{name}", self.sysroot);
            return Some(if below { moved } else { name.to_owned() });
        }
        let beside = Path::new(script).parent().map(|dir| dir.join(name));
        let paths = beside.into_iter().chain([PathBuf::from(name)]);
        let mut paths = paths.chain(self.dirs.iter().map(|dir| dir.join(name)));
        paths
            .find(|path| path.exists())?
            .to_str()
            .map(str::to_owned)
    }
}
