//! All options that clang and LLVM say they have, with values to try.

use std::process::Command;

use crate::slices::source::Random;
use crate::support::llvm::Llvm;

/// What values are tried where the compiler does not list any: a function, a static variable's
/// name, a file beside the module, spelled in two ways, a number.
const VALUES: [&str; 4] = ["main", super::place::FILE, "./x.txt", "1"];

/// Values of one option at most, of those that the compiler lists.
const MOST_VALUES: usize = 8;

/// What names the parts that the sweep chooses itself, asks for no compile at all, or for another
/// kind of output behind the driver's back, which relto refuses.
const LEFT_OUT: [&str; 20] = [
    "-emit-llvm",
    "-###",
    "-o",
    "-output",
    "-x",
    "-language",
    "-fthinlto-index",
    "-cc1",
    "-cc1as",
    "-triple",
    "-main-file-name",
    "-help",
    "-help-hidden",
    "-help-list",
    "-help-list-hidden",
    "-print-options",
    "-print-all-options",
    "-version",
    "-h",
    "-autocomplete",
];

/// Prefixes of more such names.
const LEFT_OUT_PREFIXES: [&str; 4] = ["-ccc-", "-gen-reproducer", "-fcrash", "-offload"];

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// clang's driver.
    Driver,
    /// `clang -cc1`, reached with `-Xclang`.
    Inner,
    /// LLVM, reached with `-mllvm`.
    Llvm,
}

/// An option before it has a value.
#[derive(Debug, Clone)]
pub(super) struct Named {
    owner: Owner,
    name: String,
    /// What LLVM's help says of its values.
    form: Option<String>,
    listed: Vec<String>,
}

/// All of them, in an order that depends on `round`: an option may hide what its neighbours do.
pub(super) fn all(round: u64) -> Vec<Named> {
    let mut all = completed(Owner::Driver);
    all.extend(completed(Owner::Inner));
    all.extend(of_llvm());
    let mut random = Random::new(round);
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last + 1));
    }
    all
}

/// What the installed clang prints for `words`, on either stream.
fn printed(words: &[&str]) -> String {
    let output = Command::new(Llvm::get().tool("clang")).args(words).output();
    let output = output.expect("clang starts");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// What clang offers a shell after `start`.
fn completions(owner: Owner, start: &str) -> Vec<String> {
    let inner = if owner == Owner::Inner { "-cc1," } else { "" };
    let text = printed(&[&format!("--autocomplete={inner}{start}")]);
    let words = text.lines().map(|line| line.split('\t').next());
    words.flatten().map(str::to_owned).collect()
}

fn completed(owner: Owner) -> Vec<Named> {
    let mut found = completions(owner, "-");
    found.sort();
    found.dedup();
    let found = found.into_iter().filter(|name| !is_left_out(name));
    let named = |name| Named {
        owner,
        name,
        form: None,
        listed: Vec::new(),
    };
    found.map(named).collect()
}

fn of_llvm() -> Vec<Named> {
    let null = ["-x", "c", "-c", "/dev/null", "-o", "/dev/null"];
    let text = printed(&[&["-mllvm", "--help-list-hidden"], &null[..]].concat());
    let mut all: Vec<Named> = Vec::new();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("    =") {
            let value = value.split_whitespace().next();
            if let (Some(last), Some(value)) = (all.last_mut(), value) {
                last.listed.push(value.to_owned());
            }
        } else if let Some(option) = line.strip_prefix("  -") {
            let option = option.split_whitespace().next().unwrap_or_default();
            let option = option.replace(['[', ']'], "");
            let (name, form) = option
                .split_once("=<")
                .map_or((&*option, None), |(name, form)| (name, Some(form)));
            all.push(Named {
                owner: Owner::Llvm,
                name: format!("-{}", name.trim_start_matches('-')),
                form: form.map(|form| form.trim_end_matches('>').to_owned()),
                listed: Vec::new(),
            });
        }
    }
    all.retain(|option| option.name.len() > 1 && !is_left_out(&option.name));
    all
}

fn is_left_out(name: &str) -> bool {
    let name = name
        .strip_prefix('-')
        .filter(|it| it.starts_with('-'))
        .unwrap_or(name);
    let bare = name.trim_end_matches('=');
    !name.starts_with('-')
        || LEFT_OUT.contains(&bare)
        || LEFT_OUT_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

impl Named {
    pub(super) fn is_of_llvm(&self) -> bool {
        self.owner == Owner::Llvm
    }

    /// The words of the option with each of its values.
    pub(super) fn with_values(&self) -> Vec<Vec<String>> {
        match self.owner {
            Owner::Llvm => self.with_values_of_llvm(),
            Owner::Driver | Owner::Inner if self.name.ends_with(['=', ',']) => {
                let mut listed = completions(self.owner, &format!("{},", self.name));
                listed.retain(|value| !value.starts_with('-'));
                listed.truncate(MOST_VALUES);
                if listed.is_empty() {
                    listed = VALUES.map(str::to_owned).to_vec();
                    listed.push("a=b".to_owned());
                }
                let joined = listed.iter().map(|value| format!("{}{value}", self.name));
                joined.map(|word| self.words(&[&word])).collect()
            }
            Owner::Driver | Owner::Inner => {
                if self.needs_a_value() {
                    let separate = VALUES.iter();
                    separate
                        .map(|value| self.words(&[&self.name, value]))
                        .collect()
                } else {
                    vec![self.words(&[&self.name])]
                }
            }
        }
    }

    fn with_values_of_llvm(&self) -> Vec<Vec<String>> {
        let values = match self.form.as_deref() {
            _ if !self.listed.is_empty() => self.listed.iter().map(String::as_str).collect(),
            None => vec!["true", "false"],
            Some("int" | "uint" | "long" | "ulong" | "number" | "unsigned") => vec!["0", "1", "64"],
            Some(_) => [&VALUES[..], &["cells", "*"]].concat(),
        };
        let with = |value| self.words(&[&format!("{}={value}", self.name)]);
        values.into_iter().map(with).collect()
    }

    /// The driver sees these words as they are, the others through it.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let before = match self.owner {
            Owner::Driver => None,
            Owner::Inner => Some("-Xclang"),
            Owner::Llvm => Some("-mllvm"),
        };
        let words = words
            .iter()
            .flat_map(|word| before.into_iter().chain([*word]));
        words.map(str::to_owned).collect()
    }

    /// Whether clang misses the value of the option at the end of a command line.
    fn needs_a_value(&self) -> bool {
        let missing = "is missing (expected";
        match self.owner {
            Owner::Inner => {
                printed(&["-cc1", "-x", "ir", "/missing", &self.name]).contains(missing)
            }
            _ => printed(&["-###", "-c", "-x", "ir", "/dev/null", &self.name]).contains(missing),
        }
    }
}
