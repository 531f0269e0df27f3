//! Text as it may leave this machine: without absolute paths and control characters, and no longer
//! than it is useful.

use std::path::{Component, Path};

/// `text` with only the last component of each absolute path in it, in at most `longest` bytes.
/// What lies below `dir` keeps its path from there.
pub(super) fn published(text: &str, dir: &Path, longest: usize) -> String {
    let dir = dir.to_string_lossy();
    let mut out = String::with_capacity(text.len().min(longest));
    let mut rest = text;
    let mut before = None;
    while let Some(next) = rest.chars().next() {
        if out.len() >= longest {
            break;
        }
        if let Some(after) = rest.strip_prefix("//")
            && before == Some(':')
        {
            // The name of a host; or else a path of this machine, as of `file:`.
            before = Some(if after.starts_with('/') { ':' } else { '/' });
            out.push_str("//");
            rest = after;
            continue;
        }
        if next == '/' && !before.is_some_and(is_part_of_a_name) {
            let end = rest.find(ends_a_path).unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            out.push_str(relative(path, &dir));
            before = path.chars().next_back();
            rest = after;
            continue;
        }
        if !next.is_control() || matches!(next, '\n' | '\t') {
            out.push(next);
        }
        before = Some(next);
        rest = &rest[next.len_utf8()..];
    }
    out.truncate(out.floor_char_boundary(longest));
    out
}

/// Whether a slash behind it goes on with a relative path, or is part of an address.
fn is_part_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~' | '/' | '%' | '*')
}

fn ends_a_path(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, ':' | '`' | '\'' | '"' | ',' | ';' | ')' | '>')
}

fn relative<'a>(path: &'a str, dir: &str) -> &'a str {
    let below = path.strip_prefix(dir).and_then(|it| it.strip_prefix('/'));
    match below {
        Some(below) if !below.is_empty() && dir != "/" => below,
        _ => {
            let name = path.trim_end_matches('/').rsplit('/').next();
            name.filter(|name| !name.is_empty()).unwrap_or("/")
        }
    }
}

/// The label of what is linked: `//build/bin:app`.
pub(super) fn label(output: &str, dir: &Path) -> String {
    let path = Path::new(output);
    let relative = path.strip_prefix(dir).unwrap_or(path);
    let mut parts = Vec::new();
    let mut is_below = true;
    for component in relative.components() {
        match component {
            Component::Normal(part) => parts.push(plain(&part.to_string_lossy())),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => is_below = false,
        }
    }
    let name = parts.pop().unwrap_or_else(|| "link".to_owned());
    let package = if is_below {
        parts.join("/")
    } else {
        String::new()
    };
    format!("//{package}:{name}")
}

/// Without the characters that have a meaning in labels.
fn plain(part: &str) -> String {
    let characters = part.chars();
    characters
        .map(|c| if c.is_control() || c == ':' { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_become_relative_or_lose_their_directories() {
        let dir = Path::new("/home/user/build");
        let published = |text| published(text, dir, 1000);
        for (text, expected) in [
            ("in /home/user/build/sub/a.o: bad", "in sub/a.o: bad"),
            ("`/usr/lib/llvm-22/bin/clang` failed", "`clang` failed"),
            ("-I=/opt/secret/include,/x/y", "-I=include,y"),
            ("a/b.o and ./c/d.o stay", "a/b.o and ./c/d.o stay"),
            ("at grpc://farm:8980/ too", "at grpc://farm:8980/ too"),
            ("/home/user/build", "build"),
            ("/home/user/buildings/x", "x"),
            ("tab\tand\u{1b}[31m red\r\n", "tab\tand[31m red\n"),
            ("unix:/run/user/1000/farm.sock", "unix:farm.sock"),
            ("file:///etc/passwd", "file://passwd"),
        ] {
            assert_eq!(published(text), expected, "{text}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(published("ääää", Path::new("/d"), 5), "ää");
    }

    #[test]
    fn a_label_names_the_output_below_the_directory() {
        let dir = Path::new("/home/user/build");
        for (output, expected) in [
            ("app", "//:app"),
            ("bin/app", "//bin:app"),
            ("./bin/app", "//bin:app"),
            ("/home/user/build/lib/x.so", "//lib:x.so"),
            ("/tmp/secret/app", "//:app"),
            ("../other/app", "//:app"),
            ("a:b", "//:a_b"),
            ("", "//:link"),
        ] {
            assert_eq!(label(output, dir), expected, "{output}");
        }
    }
}
