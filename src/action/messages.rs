//! Restores the user's file names in compiler messages, and in files of text that name the module.
//!
//! Caches store both with canonical names, so that they fit every job with the same key.

use std::path::Path;

use super::INDEX;
use super::canonical::{CanonicalJob, NamedOutput};
use crate::text;

/// Replaces every canonical name in `stderr`, which may come from a server or a cache: only what is
/// harmless on a terminal stays. Bytes that are not UTF-8 become U+FFFD.
pub fn with_user_names(stderr: &[u8], job: &CanonicalJob, index: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text::messages(&text);
    if !text.contains("relto/") {
        return text.into_owned();
    }
    let mut names: Vec<(&str, &str)> = job
        .files
        .iter()
        .map(|file| (&*file.tree_path, &*file.name))
        .chain(
            job.outputs
                .iter()
                .map(|output| (output.tree_path.as_str(), output.name.as_str())),
        )
        .chain([(INDEX, index)])
        .collect();
    // Longer names first: a name that is a prefix of another must not be replaced inside it.
    names.sort_by_key(|(canonical, _)| std::cmp::Reverse(canonical.len()));
    replace_all(&text, &names)
}

/// Whether `output` is the file of `-fstack-usage`.
#[must_use]
pub fn is_stack_usage(output: &NamedOutput) -> bool {
    Path::new(&output.tree_path).extension() == Some("su".as_ref())
}

/// The lines of a `.su` file with the user's name of the module. clang begins a line with the source
/// file if there is debug information for the function, else with the module.
#[must_use]
pub fn stack_usage_with_user_names(text: &[u8], job: &CanonicalJob) -> Vec<u8> {
    let line_with_user_name = |line: &[u8]| {
        let own = job.files.iter().find_map(|file| {
            let rest = line.strip_prefix(file.tree_path.as_bytes())?;
            rest.starts_with(b":").then_some((&file.name, rest))
        });
        match own {
            Some((name, rest)) => [name.as_bytes(), rest].concat(),
            None => line.to_vec(),
        }
    };
    text.split_inclusive(|byte| *byte == b'\n')
        .flat_map(line_with_user_name)
        .collect()
}

fn replace_all(text: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("relto/") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = names
            .iter()
            .find(|(canonical, _)| rest.starts_with(canonical));
        let (canonical, user) = found.copied().unwrap_or(("relto/", "relto/"));
        out.push_str(user);
        rest = &rest[canonical.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_restored_and_other_text_is_kept() {
        let names = [
            ("relto/m/0001.bc", "my relto/m/0002.bc"),
            ("relto/m/0002.bc", "b.o"),
        ];
        assert_eq!(
            replace_all("relto/m/0001.bc: in relto/m/0002.bc relto/x\n", &names),
            "my relto/m/0002.bc: in b.o relto/x\n"
        );
    }
}
