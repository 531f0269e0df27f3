//! Library directories that files in `/etc` name: musl's own, and those of which `ldconfig` makes
//! `ld.so.cache`, where that cannot be used.
//!
//! Files that cannot be read or parsed are ignored, as `ldconfig` does, which only warns about
//! them.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::tokens::dir_of;
use crate::fs::read_regular_to_string;

/// Maximum nesting of includes. `ldconfig` has no limit, but a file that includes itself must not
/// hang relto.
const MAX_DEPTH: usize = 8;
/// Maximum number of files, each as often as it is included: a file that includes itself twice
/// would otherwise be read a few hundred times, one that does so a hundred times for ever.
const MAX_FILES: usize = 1000;

/// The directories in `/etc/ld.so.conf`: one or several a line, separated by `:`, `,` or blanks;
/// `include PATTERN`; `#` comments.
#[must_use]
pub fn ld_so_conf(path: &Path) -> Vec<PathBuf> {
    let mut reader = Reader {
        dirs: Vec::new(),
        files_left: MAX_FILES,
    };
    reader.file(path, 0);
    reader.dirs
}

struct Reader {
    dirs: Vec<PathBuf>,
    files_left: usize,
}

impl Reader {
    fn file(&mut self, path: &Path, depth: usize) {
        let Some(fewer) = self.files_left.checked_sub(1) else {
            return;
        };
        self.files_left = fewer;
        let Ok(text) = read_regular_to_string(path) else {
            return;
        };
        self.lines(path, &text, depth);
    }

    fn lines(&mut self, path: &Path, text: &str, depth: usize) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("include") if depth < MAX_DEPTH => {
                    let patterns = words.flat_map(|pattern| matching(&dir_of(path).join(pattern)));
                    patterns.for_each(|file| self.file(&file, depth + 1));
                }
                Some("include" | "hwcap") | None => {}
                Some(_) => self.dirs.extend(entries(line)),
            }
        }
    }
}

/// The directories of one line; in `DIR=TYPE`, an old syntax, `TYPE` names the C library.
fn entries(line: &str) -> impl Iterator<Item = PathBuf> {
    line.split([':', ',', ' ', '\t'])
        .map(|entry| entry.split('=').next().unwrap_or(entry))
        .filter(|entry| entry.starts_with('/'))
        .map(PathBuf::from)
}

/// The files that match a pattern with `*` and `?` in its last component, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let Ok(entries) = fs::read_dir(dir_of(pattern)) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let found = entry.file_name();
            let found = found.as_encoded_bytes();
            !found.starts_with(b".") && fits(name.as_bytes(), found)
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Whether `name` fits `pattern`: after a mismatch the last `*` takes one byte more, so that no
/// pattern takes longer than the product of both lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(one) if *one == b'?' || *one == name[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((place, taken)) = star else {
                    return false;
                };
                star = Some((place, taken + 1));
                (at, read) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The directories in `/etc/ld-musl-ARCH.path`, which replace the default ones.
pub(super) fn musl_path(configuration: &Path, loader: Option<&Path>) -> Vec<PathBuf> {
    let file = loader
        .and_then(Path::file_stem)
        .and_then(|stem| fs::read_to_string(configuration.join(stem).with_extension("path")).ok());
    let text = file.as_deref().unwrap_or("/lib:/usr/local/lib:/usr/lib");
    text.split([':', '\n'])
        .filter(|entry| !entry.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dirs: &[&str]) -> Vec<PathBuf> {
        dirs.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn included_files_are_read_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let conf = dir.path().join("ld.so.conf");
        fs::create_dir(dir.path().join("d")).expect("made");
        fs::write(
            &conf,
            "/a # x\ninclude d/*.conf\nhwcap 1 x\n/y:/z,/w=libc6\nrelative\n",
        )
        .expect("written");
        for (name, text) in [
            ("2.conf", "/two\n"),
            ("1.conf", "/one\n"),
            ("no", "/no\n"),
            (".h.conf", "/h"),
        ] {
            fs::write(dir.path().join("d").join(name), text).expect("written");
        }
        assert_eq!(
            ld_so_conf(&conf),
            paths(&["/a", "/one", "/two", "/y", "/z", "/w"])
        );
    }

    #[test]
    fn reading_a_file_that_includes_itself_ends() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let conf = dir.path().join("ld.so.conf");
        fs::write(&conf, "include ld.so.conf\n/a\n").expect("written");
        assert_eq!(ld_so_conf(&conf).len(), MAX_DEPTH + 1);
    }

    #[test]
    fn a_file_that_includes_itself_often_takes_no_longer_than_a_thousand_files() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let conf = dir.path().join("ld.so.conf");
        fs::write(&conf, "include ld.so.conf\n".repeat(100) + "/a\n").expect("written");
        assert!(ld_so_conf(&conf).len() <= MAX_FILES);
    }

    #[test]
    fn patterns_fit_as_in_a_shell_and_many_stars_take_no_time() {
        for (pattern, name, wanted) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.old", false),
            ("a?*c*", "abbcc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("*a*ab", "aaab", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                wanted,
                "{pattern} {name}"
            );
        }
        assert!(!fits("*a".repeat(100).as_bytes(), &[b'b'; 255]));
        assert!(!fits(("*a".repeat(40) + "b").as_bytes(), &[b'a'; 255]));
    }

    #[test]
    fn musl_has_its_own_file_and_defaults() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let loader = Path::new("/lib/ld-musl-x86_64.so.1");
        assert_eq!(
            musl_path(dir.path(), Some(loader)),
            paths(&["/lib", "/usr/local/lib", "/usr/lib"])
        );
        fs::write(dir.path().join("ld-musl-x86_64.path"), "/m\n/n:/o\n").expect("written");
        assert_eq!(
            musl_path(dir.path(), Some(loader)),
            paths(&["/m", "/n", "/o"])
        );
    }
}
