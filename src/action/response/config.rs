//! Configuration files: response files with comments, which may name their own directory and what lies in it.
//!
//! The rules are those of `ExpansionContext::readConfigFile`, and of clang's driver for words that begin
//! with `$`.

use std::io;

use super::{Files, ResponseFileError, check_length, tokenize};

/// What may stand before the `#` of a comment.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Stands for the directory of the file.
const DIRECTORY: &str = "<CFGDIR>";

/// The arguments in the configuration file `path`, and in those that it includes: names of these are
/// relative to the file that names them. Without the words for links only, which begin with `$`. `read`
/// returns a file's text.
///
/// # Errors
/// A file does not exist, cannot be read or is no text, or files include each other in a cycle.
pub fn expand_config(
    path: &str,
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<String>, ResponseFileError> {
    let mut expansion = ConfigExpansion {
        files: Files::new(read),
        words: Vec::new(),
    };
    expansion.expand(path, 0)?;
    Ok(expansion.words)
}

struct ConfigExpansion<'a> {
    files: Files<'a>,
    words: Vec<String>,
}

impl ConfigExpansion<'_> {
    fn expand(&mut self, path: &str, depth: usize) -> Result<(), ResponseFileError> {
        let text = self.files.text(path, depth)?;
        let text = text.ok_or_else(|| ResponseFileError::Unreadable {
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for word in tokenize_config(&text) {
            check_length(&self.words, path)?;
            let word = word.replace(DIRECTORY, dir);
            match word.strip_prefix('@') {
                Some(absolute) if absolute.starts_with('/') => self.expand(absolute, depth + 1)?,
                Some(name) if !name.is_empty() => {
                    self.expand(&format!("{dir}/{name}"), depth + 1)?;
                }
                _ if word.len() > 1 && word.starts_with('$') => {}
                _ => self.words.push(word),
            }
        }
        Ok(())
    }
}

/// Whether a backslash at the end is none that another one escapes.
fn is_continued(line: &str) -> bool {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

/// Splits the text of a configuration file. Lines that begin with `#` are comments, and a backslash
/// at the end of a line joins it with the next, be there one or not.
#[must_use]
pub fn tokenize_config(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if first.trim_start_matches(BLANKS).starts_with('#') {
            continue;
        }
        let mut line = first.to_owned();
        while is_continued(&line) && (lines.peek().is_some() || text.ends_with('\n')) {
            line.pop();
            line.extend(lines.next());
        }
        words.extend(tokenize(&line));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(files: &[(&str, &str)]) -> Result<Vec<String>, ResponseFileError> {
        expand_config(files[0].0, &mut |path| {
            let found = files.iter().find(|(name, _)| *name == path);
            let found = found.map(|(_, text)| (*text).to_owned());
            found.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    #[test]
    fn names_are_relative_to_the_file_that_has_them() {
        let files = [
            ("/a/x.cfg", "-O2 @b/y.cfg # @gone\n# @gone\n@/c/z.cfg @"),
            ("/a/b/y.cfg", "--sysroot=<CFGDIR>/<CFGDIR>\n@<CFGDIR>/more"),
            ("/a/b/more", "# nothing\n-g0"),
            ("/c/z.cfg", "<CFGDIR>"),
        ];
        let words = ["-O2", "--sysroot=/a/b//a/b", "-g0", "#", "@", "/c", "@"];
        let found = expanded(&[files[0], files[1], files[2], files[3]]);
        let error = found.expect_err("a comment is a whole line");
        assert!(error.to_string().contains("/a/gone"), "{error}");
        let first = ("/a/x.cfg", "-O2 @b/y.cfg # @\n# @gone\n@/c/z.cfg @");
        let found = expanded(&[first, files[1], files[2], files[3]]).expect("expanded");
        assert_eq!(found, words);
    }

    #[test]
    fn lines_are_joined_and_commented_out_as_clang_does_it() {
        for (text, words) in [
            ("-fno-plt\\\n", &["-fno-plt"][..]),
            ("-a\\\r\n-b \t# c\n\t # -d", &["-a-b", "#", "c"]),
            ("-a \\\n # b\n", &["-a", "#", "b"]),
            ("\u{a0}# a", &["\u{a0}#", "a"]),
            ("\u{c}# a", &["\u{c}#", "a"]),
        ] {
            let found = expanded(&[("c", text)]).expect("expanded");
            assert_eq!(found, words, "{text:?}");
        }
    }

    #[test]
    fn words_for_links_are_left_out() {
        let found = expanded(&[("c", "$-Wl,-z,now -O2 '$-lm' $")]).expect("expanded");
        assert_eq!(found, ["-O2", "$"]);
    }

    #[test]
    fn missing_files_circles_and_nuls_are_errors() {
        let of = |files: &[(&str, &str)]| expanded(files).expect_err("refused");
        let missing = of(&[("/c", "@gone")]);
        assert!(matches!(missing, ResponseFileError::Unreadable { path, .. } if path == "/gone"));
        let circle = of(&[("/c", "@c")]);
        assert!(matches!(circle, ResponseFileError::TooDeep { .. }));
        let nul = of(&[("/c", "-O2\0-O0")]);
        assert!(matches!(nul, ResponseFileError::Nul { .. }));
    }
}
