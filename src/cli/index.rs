//! `relto index show|inputs|check [--format=text|json|imports] FILE`: looks into a ThinLTO index
//! shard.
//!
//! `show` prints its modules with their hashes; `inputs` the modules that a backend reads, one per
//! line, its own among them; `check` verifies that every module exists and is the one that the
//! shard was made for. `--format=imports` leaves out the job's own module, like the files of
//! `--thinlto-emit-imports-files`. [`thinlto`](crate::thinlto) parses,
//! [`guard`](crate::action::guard) checks.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{IndexAction, IndexFormat, IndexLook};
use super::{CommandError, output};
use crate::action::guard::{Unsound, check_modules};
use crate::digest::hex;
use crate::error::{ExitCode, Hinted, with_causes};
use crate::fs::read_at_most;
use crate::thinlto::{Index, IndexError, ModuleEntry, ModuleHash};

/// Bytes of an index; those of the largest programs have some MiB.
const LARGEST_INDEX: u64 = 1 << 30;

/// A list of imports that cannot be told from the module itself.
#[derive(Debug, thiserror::Error)]
#[error("the name of the index `{index}` does not show which of its modules it belongs to")]
struct UnknownOwnModule {
    index: String,
}

impl Hinted for UnknownOwnModule {
    fn hints(&self) -> Vec<String> {
        vec!["pass `--module=NAME` with a name that `relto index inputs` shows".to_owned()]
    }
}

/// The file that the user has named, and not one that a link reads.
#[derive(Debug, thiserror::Error)]
enum NotAnIndex {
    #[error("cannot read the index")]
    Unreadable(#[source] std::io::Error),
    #[error("`{name}` is not a sound index")]
    Unsound {
        name: String,
        #[source]
        source: IndexError,
    },
}

impl Hinted for NotAnIndex {
    fn hints(&self) -> Vec<String> {
        vec![
            "the index of `a.o` is `a.o.thinlto.bc`; a linker leaves it with `--thinlto-index-only` or `--save-temps`"
                .to_owned(),
        ]
    }
}

/// Only one of the questions has that form of answer.
#[derive(Debug, thiserror::Error)]
#[error("`--format=imports` is for `relto index inputs`")]
struct NoImports;

impl Hinted for NoImports {
    fn hints(&self) -> Vec<String> {
        vec!["choose `text` or `json`".to_owned()]
    }
}

pub(super) fn run(look: &IndexLook) -> Result<ExitCode, CommandError> {
    if look.format == IndexFormat::Imports && look.action != IndexAction::Inputs {
        output::error(&NoImports);
        return Ok(ExitCode::Usage);
    }
    let name = look.file.display().to_string();
    let failed = |error: NotAnIndex| Box::new(error) as CommandError;
    let bytes = read_at_most(&look.file, LARGEST_INDEX);
    let bytes = bytes.map_err(|error| failed(NotAnIndex::Unreadable(error)))?;
    let index = Index::parse(&bytes).map_err(|source| {
        let name = name.clone();
        failed(NotAnIndex::Unsound { name, source })
    })?;
    let text = match (look.action, look.format) {
        (IndexAction::Show, IndexFormat::Json) => lines(&show_json(&index)),
        (IndexAction::Show, _) => show(&index),
        (IndexAction::Inputs, IndexFormat::Text) => inputs(&index),
        (IndexAction::Inputs, IndexFormat::Json) => lines(&inputs_json(&index)),
        (IndexAction::Inputs, IndexFormat::Imports) => imports(look, &name, &index)?,
        (IndexAction::Check, format) => return checked(&name, &index, format),
    };
    Ok(output::print(&text))
}

/// Scripts read the answer where they asked for JSON, people the error.
fn checked(name: &str, index: &Index<'_>, format: IndexFormat) -> Result<ExitCode, CommandError> {
    let sound = check(name, index);
    if format != IndexFormat::Json {
        sound?;
        let modules = index.modules().len();
        return Ok(output::print(&format!("sound: {modules} modules\n")));
    }
    let reason = sound
        .as_ref()
        .err()
        .map(|error| with_causes(error.as_ref()));
    let hints = sound.as_ref().err().map_or_else(Vec::new, |it| it.hints());
    let answer = json!({ "sound": reason.is_none(), "reason": reason, "hints": hints });
    let printed = output::print(&lines(&answer));
    Ok(if sound.is_ok() {
        printed
    } else {
        ExitCode::Failure
    })
}

fn lines(value: &Value) -> String {
    format!("{value:#}\n")
}

fn unsound(error: Unsound) -> CommandError {
    Box::new(error)
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
    match index.rewrite(&names) {
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

fn show_json(index: &Index<'_>) -> Value {
    let module = |entry: &ModuleEntry| {
        json!({
            "path": String::from_utf8_lossy(&entry.path),
            "hash": entry.hash.as_ref().map(hash_text),
            "damaged_name": entry.damaged,
        })
    };
    json!({
        "version": index.version(),
        "flags": index.flags().0,
        "skip_module": index.flags().skip_module(),
        "order": order(index),
        "modules": index.modules().iter().map(module).collect::<Vec<_>>(),
    })
}

fn inputs(index: &Index<'_>) -> String {
    listed(index.modules().iter().map(shown))
}

fn listed(names: impl Iterator<Item = String>) -> String {
    names.fold(String::new(), |text, name| text + &name + "\n")
}

fn inputs_json(index: &Index<'_>) -> Value {
    let names = index.modules().iter();
    let names = names.map(|entry| String::from_utf8_lossy(&entry.path));
    json!({ "inputs": names.collect::<Vec<_>>() })
}

/// Without the module that the shard is for. lld calls a shard after its module, unless it was told
/// another directory.
fn imports(look: &IndexLook, index_name: &str, index: &Index<'_>) -> Result<String, CommandError> {
    let names: Vec<String> = index.modules().iter().map(shown).collect();
    let stem = index_name.strip_suffix(".thinlto.bc");
    let by_name = names.iter().find(|name| Some(name.as_str()) == stem);
    let by_ending = || {
        let is_end = |name: &&String| {
            stem.is_some_and(|stem| Path::new(stem).ends_with(name.trim_start_matches('/')))
        };
        let mut found = names.iter().filter(is_end);
        found.next().filter(|_| found.next().is_none())
    };
    let own = match &look.module {
        Some(module) => names.iter().find(|name| *name == module),
        None if names.is_empty() => return Ok(String::new()),
        None => by_name.or_else(by_ending),
    };
    let Some(own) = own else {
        let index = index_name.to_owned();
        return Err(Box::new(UnknownOwnModule { index }));
    };
    Ok(listed(names.iter().filter(|name| *name != own).cloned()))
}

/// Paths are taken as they stand in the shard: relative ones from the current directory, where the
/// linker was.
fn check(index_name: &str, index: &Index<'_>) -> Result<(), CommandError> {
    if let Some(entry) = index.modules().iter().find(|entry| entry.damaged) {
        return Err(unsound(Unsound::DamagedName {
            index: index_name.to_owned(),
            name: shown(entry),
        }));
    }
    check_modules(index_name, index).map_err(unsound)
}
