//! Library directories that files in `/etc` name.
//!
//! Files that cannot be read or parsed are ignored, as `ldconfig` does, which only warns about
//! them.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::tokens::dir_of;

/// Maximum nesting of includes. `ldconfig` has no limit, but a file that includes itself must not
/// hang relto.
const MAX_DEPTH: usize = 8;

/// The directories in `/etc/ld.so.conf`: one or several a line, separated by `:`, `,` or blanks;
/// `include PATTERN`; `#` comments.
pub(super) fn ld_so_conf(path: &Path) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    read_into(path, 0, &mut dirs);
    dirs
}

fn read_into(path: &Path, depth: usize, dirs: &mut Vec<PathBuf>) {
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("include") if depth < MAX_DEPTH => {
                let patterns = words.flat_map(|pattern| matching(&dir_of(path).join(pattern)));
                patterns.for_each(|file| read_into(&file, depth + 1, dirs));
            }
            Some("include" | "hwcap") | None => {}
            Some(_) => dirs.extend(entries(line)),
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

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| fits(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, name))) => fits(rest, name),
        (Some((one, rest)), Some((other, name))) => one == other && fits(rest, name),
        _ => false,
    }
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
