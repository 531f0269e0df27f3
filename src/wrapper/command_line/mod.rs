//! Parses a linker's command line.
//!
//! An option that the tables do not list is a refusal: relto would have to guess whether the next
//! word is its value or an input, and a wrong guess could drop a file from the program.

mod common;
mod elf;
mod macho;
mod wasm;

use std::os::unix::fs::FileTypeExt as _;

use super::{Flavour, Refusal};

#[cfg(test)]
mod tests;

/// What an option means for a link in three steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Means the same for the thin link and for the final link.
    Keep,
    /// Writes or prints something about the finished program, so the thin link must not see it.
    FinalOnly,
    /// Is about the backends in the linker's own process, and nothing else.
    Drop,
    /// The file to link.
    Output,
    /// `-l`: a library that is looked up.
    Library,
    /// `-L`: where libraries are looked up.
    LibraryPath,
    Sysroot,
    /// A linker script that replaces the linker's own or adds to it.
    Script,
    /// An input that is linked as it is, at its place among the libraries.
    Placed,
    /// An archive of which every member is linked.
    ForceLoad,
    /// Where the linker's own LTO keeps its objects.
    ObjectDir,
    /// Decides what is loaded, or is about LTO and only checked: all over when the final link
    /// begins.
    ThinOnly,
    State(StateOption),
    Backend(BackendOption),
    /// Not a link with a program at its end: for the linker alone, without a word.
    PassThrough,
    /// What this option promises cannot be kept in three steps; the reason.
    Refuse(&'static str),
}

/// An option that changes what later inputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateOption {
    /// Whether shared libraries that nothing refers to are recorded.
    AsNeeded,
    StaticLibraries,
    SharedLibraries,
    WholeArchive(bool),
    /// The same for all archives, before and after the option.
    AllLoad(bool),
    Push,
    Pop,
    StartLib,
    EndLib,
    /// Without a meaning to lld.
    Group,
}

/// An option that backends depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendOption {
    OptimizationLevel,
    CodegenLevel,
    Llvm,
    PluginOption,
    SampleProfile,
    ContextProfile,
    ContextProfileGenerate,
    ProfileMismatchSilent,
    ProfileMismatchWarned,
    BasicBlockSections,
    UniqueBasicBlockNames(bool),
    Partitions,
    /// Position-independent code, or not.
    Pic,
    NoPic,
    Relocatable,
    FatObjects(bool),
    /// Whether code that is the same may be folded, and which.
    Folding,
    Cpu,
}

/// Options and their roles. Names are without their dashes.
type OptionList = &'static [(&'static str, Role)];

/// The options of one flavour, in lists of which no two have a name in common.
#[derive(Debug)]
pub(super) struct OptionTable {
    /// Options without a value, though some may have one joined: `--build-id=sha1`.
    pub(super) flags: &'static [OptionList],
    /// `--name=VALUE` and `--name VALUE`.
    pub(super) values: &'static [OptionList],
    /// One dash, and the value in the same word or the next.
    pub(super) short: &'static [OptionList],
    /// The value in the same word: `--lto-O2`.
    pub(super) joined: &'static [OptionList],
    /// Options with several values, each in a word of its own, and how many.
    pub(super) several: &'static [(&'static str, usize, Role)],
}

impl OptionTable {
    pub(super) fn of(flavour: Flavour) -> &'static Self {
        match flavour {
            Flavour::Elf => &elf::TABLE,
            Flavour::Wasm => &wasm::TABLE,
            Flavour::MachO => &macho::TABLE,
        }
    }
}

/// One option with its value, or one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) words: Vec<String>,
    pub(super) meaning: ItemMeaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemMeaning {
    Input(String),
    Option {
        name: &'static str,
        role: Role,
        value: Option<String>,
    },
}

impl Item {
    pub(super) fn role(&self) -> Option<Role> {
        match &self.meaning {
            ItemMeaning::Input(_) => None,
            ItemMeaning::Option { role, .. } => Some(*role),
        }
    }

    /// The name of the option.
    pub(super) fn name(&self) -> Option<&'static str> {
        match &self.meaning {
            ItemMeaning::Input(_) => None,
            ItemMeaning::Option { name, .. } => Some(name),
        }
    }

    /// Whether relto has no part in a link with this option.
    pub(super) fn passes_through(&self) -> bool {
        match self.role() {
            Some(Role::PassThrough) => true,
            // clang's spelling of options that relto knows by themselves.
            Some(Role::Backend(BackendOption::PluginOption)) => {
                let value = self.value().unwrap_or_default();
                value == "thinlto-index-only" || value.starts_with("thinlto-index-only=")
            }
            _ => false,
        }
    }

    /// # Errors
    /// It names a pipe or a device, which cannot be read in both links.
    pub(super) fn check_repeatable(&self) -> Result<(), Refusal> {
        let read_twice = match self.role() {
            None => true,
            Some(role) => matches!(role, Role::Keep | Role::Script | Role::Backend(_)),
        };
        let value = self.value().into_iter();
        let words = value.chain(self.words.iter().skip(1).map(|word| &word[..]));
        // A file may stand after the name of an option of LLVM or of the plugin.
        let inner = |word| str::rsplit_once(word, '=').map_or(word, |(_, inner)| inner);
        let mut files = words.filter(|_| read_twice).map(inner);
        match files.find(|file| is_read_once(file)) {
            None => Ok(()),
            Some(file) => Err(Refusal::new(format!(
                "`{file}` can be read only once, and three steps read it twice"
            ))),
        }
    }

    pub(super) fn value(&self) -> Option<&str> {
        match &self.meaning {
            ItemMeaning::Input(name) => Some(name),
            ItemMeaning::Option { value, .. } => value.as_deref(),
        }
    }
}

/// Whether `name` means a pipe, a device or relto's own input, which the linker does not get.
fn is_read_once(name: &str) -> bool {
    if ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].contains(&name) {
        return true;
    }
    name != "/dev/null"
        && fs_err::metadata(name).is_ok_and(|found| {
            let kind = found.file_type();
            kind.is_fifo() || kind.is_char_device() || kind.is_socket()
        })
}

/// The value of the last option with this role, which is the one that counts.
pub(super) fn last(items: &[Item], role: Role) -> Option<&str> {
    let mut items = items.iter().rev();
    items.find(|item| item.role() == Some(role))?.value()
}

/// Reads `words`, the linker's arguments with response files expanded.
///
/// # Errors
/// A word is not a known option.
pub(super) fn parse(words: &[String], table: &OptionTable) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::with_capacity(words.len());
    let mut rest = words;
    while let [word, after @ ..] = rest {
        let (item, taken) = if word.starts_with('-') && word.len() > 1 {
            option(word, after, table)?
        } else {
            let meaning = ItemMeaning::Input(word.clone());
            let words = vec![word.clone()];
            (Item { words, meaning }, 0)
        };
        items.push(item);
        rest = &after[taken..];
    }
    Ok(items)
}

/// The option that `word` begins, and how many of the words `after` it belong to it.
fn option(word: &str, after: &[String], table: &OptionTable) -> Result<(Item, usize), Refusal> {
    let long = word.strip_prefix("--");
    let name = long.unwrap_or(&word[1..]);
    let unknown = || Refusal::new(format!("relto does not know the option `{word}`"));
    let short = || long.is_none().then(|| find_short(name, table)).flatten();
    // lld takes `-omagic` for an output called `magic`.
    let found = match find_long(name, table) {
        Some(("omagic", ..)) if long.is_none() => short(),
        found => found.or_else(short),
    };
    let (name, role, value, following) = found.ok_or_else(unknown)?;
    if after.len() < following {
        return Err(Refusal::new(format!("`{word}` lacks its value")));
    }
    let value = value.or_else(|| (following > 0).then(|| after[following - 1].clone()));
    let mut words = vec![word.to_owned()];
    words.extend_from_slice(&after[..following]);
    let meaning = ItemMeaning::Option { name, role, value };
    Ok((Item { words, meaning }, following))
}

fn all(lists: &'static [OptionList]) -> impl Iterator<Item = &'static (&'static str, Role)> {
    lists.iter().copied().flatten()
}

/// Name, role, joined value, and how many words follow.
type OptionMatch = (&'static str, Role, Option<String>, usize);

fn find_long(word: &str, table: &OptionTable) -> Option<OptionMatch> {
    let (name, joined) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if let Some((name, role)) = all(table.values).find(|it| it.0 == name) {
        let following = usize::from(joined.is_none());
        return Some((name, *role, joined, following));
    }
    if let Some((name, role)) = all(table.flags).find(|it| it.0 == name) {
        return Some((name, *role, joined, 0));
    }
    if let Some((name, values, role)) = table.several.iter().find(|it| it.0 == word) {
        return Some((name, *role, None, *values));
    }
    let mut prefixes = all(table.joined).filter(|it| word.starts_with(it.0));
    let (name, role) = prefixes.next()?;
    Some((name, *role, Some(word[name.len()..].to_owned()), 0))
}

fn find_short(word: &str, table: &OptionTable) -> Option<OptionMatch> {
    let (name, role) = all(table.short).find(|it| word.starts_with(it.0))?;
    match &word[name.len()..] {
        "" => Some((name, *role, None, 1)),
        value => Some((name, *role, Some(value.to_owned()), 0)),
    }
}
