//! The files that have other names in the final link than in the linker's own.
//!
//! A linker script may place sections by the names of their files. The linker's own LTO gives its
//! objects names that no file has, and members of archives move to new archives; a script that
//! tells these names apart would lay out another program. Messages and maps get the linker's own
//! names back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memchr;

use crate::wrapper::{Refusal, Release, base, script, without_dots};

/// Files with their names here and what the linker itself may call them. A member of an archive is
/// `ARCHIVE:MEMBER`, as in a script.
#[derive(Debug, Default)]
pub(in crate::wrapper) struct RenamedFiles {
    all: Vec<(String, Vec<String>)>,
    /// Made for the first text, when all files are there.
    finder: OnceLock<Option<(AhoCorasick, Vec<String>)>>,
}

impl RenamedFiles {
    pub(super) fn add(&mut self, ours: String, theirs: String) {
        self.add_one_of(ours, vec![theirs]);
    }

    /// The same where the linker's name is not known for certain.
    pub(super) fn add_one_of(&mut self, ours: String, theirs: Vec<String>) {
        self.all.push((ours, theirs));
    }

    /// `text` of the final link with the linker's own names.
    pub(in crate::wrapper) fn restored(&self, text: &[u8]) -> Vec<u8> {
        // Most links print nothing. What has zeros is no text.
        if text.is_empty() || memchr(0, text).is_some() {
            return text.to_vec();
        }
        match self.finder.get_or_init(|| self.finder()) {
            None => text.to_vec(),
            Some((finder, theirs)) => finder.replace_all_bytes(text, theirs),
        }
    }

    /// Finds our names; beside it, the names that replace them. `None` if there are too many: the
    /// size of an automaton is limited.
    fn finder(&self) -> Option<(AhoCorasick, Vec<String>)> {
        let names = self
            .all
            .iter()
            .flat_map(|(ours, theirs)| shown(ours, theirs));
        let (ours, theirs): (Vec<_>, Vec<_>) = names.unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&ours);
        Some((finder.ok()?, theirs))
    }

    /// # Errors
    /// One of the `patterns` means a file by one of its names only.
    pub(super) fn check(&self, patterns: &HashSet<String>) -> Result<(), Refusal> {
        for pattern in patterns.iter().filter(|pattern| *pattern != "*") {
            for (ours, theirs) in &self.all {
                let selected = selects(pattern, ours);
                let same = theirs.iter().all(|name| selects(pattern, name) == selected);
                if selected.is_none() || !same {
                    return Err(Refusal::new(format!(
                        "`{pattern}` in a linker script may select files by names that LTO gives them"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// How messages name a file, and how they would if it had the linker's own name. A member is
/// `ARCHIVE(MEMBER)`, or its name and later that of the archive.
fn shown(ours: &str, theirs: &[String]) -> Vec<(String, String)> {
    let Some(theirs) = theirs.last() else {
        return Vec::new();
    };
    let whole = |name: &str| match name.rsplit_once(':') {
        Some((archive, member)) => format!("{archive}({})", base(member)),
        None => name.to_owned(),
    };
    let mut names = vec![(whole(ours), whole(theirs))];
    if let (Some((ours, _)), Some((theirs, _))) = (ours.rsplit_once(':'), theirs.rsplit_once(':')) {
        names.push((ours.to_owned(), theirs.to_owned()));
    }
    names
}

/// `ARCHIVE:` means all members of archives of that name, `:FILE` no member.
fn selects(pattern: &str, name: &str) -> Option<bool> {
    let archive = name.split_once(':').map(|(archive, _)| archive);
    match (pattern.strip_suffix(':'), pattern.strip_prefix(':')) {
        (Some(pattern), _) => archive.map_or(Some(false), |it| script::selects(pattern, it)),
        (None, Some(_)) if archive.is_some() => Some(false),
        (None, Some(pattern)) => script::selects(pattern, name),
        (None, None) => script::selects(pattern, name),
    }
}

/// The last release that calls all objects of its LTO the same, and the first that does not.
const LAST_NAMELESS: u32 = 16;
const FIRST_NAMED: u32 = 19;

/// What the linker of `release` may call the object of `module`, or of all modules for regular LTO,
/// in a link of `output`.
pub(super) fn object_of_lto(output: &str, module: Option<&str>, release: &Release) -> Vec<String> {
    let mut names = Vec::new();
    if release.major() < FIRST_NAMED {
        names.push("lto.tmp".to_owned());
    }
    if release.major() > LAST_NAMELESS {
        names.push(match module {
            None => format!("{output}.lto.o"),
            Some(module) => named(output, module),
        });
    }
    names
}

/// `dir/x.o` gives `dir/OUTPUT.lto.x.o`, `dir/liby.a(x.o at 96)` `dir/OUTPUT.lto.liby.a(x.o at 96).o`.
fn named(output: &str, module: &str) -> String {
    let path = Path::new(module);
    let name = if module.ends_with(')') {
        path.file_name()
    } else {
        path.file_stem()
    };
    let output = Path::new(output).file_name().unwrap_or_default();
    let (output, name) = (output.display(), name.unwrap_or_default().display());
    let place = path.parent().unwrap_or(Path::new(""));
    let whole = place.join(format!("{output}.lto.{name}.o"));
    without_dots(&whole).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_what_their_release_calls_them() {
        let names = |module, major| object_of_lto("out/app", module, &Release::of(major));
        assert_eq!(names(Some("d/x.o"), 16), ["lto.tmp"]);
        assert_eq!(names(Some("d/x.o"), 17), ["lto.tmp", "d/app.lto.x.o"]);
        assert_eq!(names(Some("../d/./x.o"), 22), ["../d/app.lto.x.o"]);
        assert_eq!(
            names(Some("d/liby.a(x.o at 96)"), 22),
            ["d/app.lto.liby.a(x.o at 96).o"]
        );
        assert_eq!(names(None, 22), ["out/app.lto.o"]);
    }

    #[test]
    fn messages_get_the_linkers_own_names() {
        let mut files = RenamedFiles::default();
        files.add("/s/o/000001.x.o".to_owned(), "app.lto.x.o".to_owned());
        files.add("/s/n/1/liby.a:z.o".to_owned(), "lib/liby.a:z.o".to_owned());
        files.add("/s/n/2/w.o".to_owned(), "lib/liby.a:w.o".to_owned());
        let object = vec!["lto.tmp".to_owned(), "app.lto.v.o".to_owned()];
        files.add_one_of("/s/n/3/libv.a:000002.v.o".to_owned(), object);
        for (text, restored) in [
            ("in /s/o/000001.x.o:(.text)", "in app.lto.x.o:(.text)"),
            ("/s/n/1/liby.a(z.o): bad", "lib/liby.a(z.o): bad"),
            (
                "z.o:(f) in archive /s/n/1/liby.a",
                "z.o:(f) in archive lib/liby.a",
            ),
            ("/s/n/2/w.o", "lib/liby.a(w.o)"),
            ("/s/n/3/libv.a(000002.v.o)", "app.lto.v.o"),
            ("/s/o/000001.x", "/s/o/000001.x"),
        ] {
            let found = files.restored(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), restored);
        }
        let program = b"\0/s/o/000001.x.o";
        assert_eq!(files.restored(program), program, "no text");
        assert_eq!(RenamedFiles::default().restored(b"text"), b"text");
    }

    #[test]
    fn a_pattern_must_mean_both_names_or_none() {
        let mut files = RenamedFiles::default();
        files.add(
            "/tmp/x/000001.main.o".to_owned(),
            "app.lto.main.o".to_owned(),
        );
        files.add(
            "/tmp/x/0/libx.a:y.o".to_owned(),
            "lib/libx.a:y.o".to_owned(),
        );
        let fine = |pattern: &str| files.check(&HashSet::from([pattern.to_owned()])).is_ok();
        for pattern in [
            "*",
            "*main.o",
            "*.o",
            "*crtend?.o",
            "*libx.a:*",
            "*libx.a:",
            ".text.*",
        ] {
            assert!(fine(pattern), "{pattern}");
        }
        for pattern in ["app*", "/tmp/*", "*/*", "lib/libx.a:*", "[a-z]*.o", ":app*"] {
            assert!(!fine(pattern), "{pattern}");
        }
    }
}
