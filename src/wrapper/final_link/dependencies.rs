//! The list of files that a program was made of (`--dependency-file`), for Make and Ninja.
//!
//! The final link opens objects that are gone when it is over, and no modules. Its list keeps what
//! only the linker knows of: the files of options, and the libraries that native files ask for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::fs::read_regular_to_string;
use crate::wrapper::{LinkPlan, Refusal, without_dots};

/// The list of a link, and what belongs there.
#[derive(Debug)]
pub(in crate::wrapper) struct Dependencies {
    path: PathBuf,
    /// The files that the command line names, in order, as the list has them.
    named: Vec<String>,
    /// The directory of the files that only the final link has, with a slash.
    scratch: String,
}

impl Dependencies {
    /// `None` if the linker writes no list.
    pub(in crate::wrapper) fn of(plan: &LinkPlan, scratch: &Path) -> Option<Self> {
        let path = plan.value_of("dependency-file")?;
        let mut seen = HashSet::new();
        let named = plan.inputs.named.iter().filter(|name| seen.insert(*name));
        (!path.is_empty()).then(|| Self {
            path: PathBuf::from(path),
            named: named.map(|name| written(name)).collect(),
            scratch: written(&scratch.to_string_lossy()) + "/",
        })
    }

    /// Rewrites the list of the final link.
    ///
    /// # Errors
    /// It cannot be read or written, or has another form.
    pub(in crate::wrapper) fn correct(&self) -> Result<(), Refusal> {
        let path = &self.path;
        let list =
            read_regular_to_string(path).map_err(|error| Refusal::unreadable(path, &error))?;
        let list = self.corrected(&list).ok_or_else(|| {
            Refusal::new(format!(
                "`{}` is not a list of dependencies",
                path.display()
            ))
        })?;
        // Written in place, as the linker does.
        fs::write(path, list).map_err(|error| Refusal::unwritable(path, &error))
    }

    /// `list` of the final link as the linker's own LTO would write it.
    fn corrected(&self, list: &str) -> Option<String> {
        let (target, rest) = list.split_once(": \\\n")?;
        let (files, _) = rest.split_once("\n\n")?;
        let files = files.split(" \\\n").map(|line| line.strip_prefix(' '));
        let files = files.collect::<Option<Vec<_>>>()?;
        let named: HashSet<&str> = self.named.iter().map(|name| &**name).collect();
        let is_input = |file: &&str| file.starts_with(&self.scratch) || named.contains(file);
        // The linker opens the files of options before the inputs, and those that inputs ask for
        // after them.
        let (options, opened) = files.split_at(files.iter().position(&is_input)?);
        let asked = opened.iter().copied().filter(|file| !is_input(file));
        let inputs = self.named.iter().map(|name| &**name);
        let all: Vec<&str> = options.iter().copied().chain(inputs).chain(asked).collect();
        let needed: String = all.iter().flat_map(|file| [" \\\n ", file]).collect();
        // Targets without a rule, so that Make goes on where a file is gone.
        let gone: String = all.iter().flat_map(|file| ["\n", file, ":\n"]).collect();
        Some(format!("{target}:{needed}\n{gone}"))
    }
}

/// `name` as `lld` writes it: without `.` and `..`, and escaped for Make.
fn written(name: &str) -> String {
    let plain = without_dots(Path::new(name));
    let mut out = String::with_capacity(name.len());
    for character in plain.to_string_lossy().chars() {
        match character {
            ' ' | '#' => out.push('\\'),
            '$' => out.push('$'),
            _ => {}
        }
        out.push(character);
    }
    out
}
