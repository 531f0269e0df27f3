//! Finds a backend whose index no word of the command line names: the compiler reads it from a
//! configuration file, a variable or a pipe, or a shell does.
//!
//! No job can be made of such a command. The compiler runs as it is, and what it says and writes is
//! checked.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::backend::INDEX;
use crate::action::overrides;
use crate::action::response::expand_config;
use crate::fs::{read_regular, read_regular_to_string};

/// Variables from which clang and `clang-cl` take arguments.
const VARIABLES: [&str; 3] = [overrides::VARIABLE, "CL", "_CL_"];

/// Options that name a configuration file, and those for directories of such files.
const CONFIG: &str = "--config";
const CONFIG_DIRS: [&str; 2] = ["--config-user-dir", "--config-system-dir"];

/// Where an index may stand, for a message. `None` if the words of the command line say everything.
pub(super) fn hidden_index(words: &[OsString]) -> Option<String> {
    in_variables(|name| std::env::var_os(name))
        .or_else(|| in_config_files(words))
        .or_else(|| words.iter().find_map(|word| in_stream(word)))
        .or_else(|| words.iter().find_map(|word| in_command(word)))
}

fn in_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let names = |name: &&&str| variable(name).is_some_and(|it| mentions(it.as_encoded_bytes()));
    let name = VARIABLES.iter().find(names)?;
    Some(format!("`{name}` names the index"))
}

fn in_config_files(words: &[OsString]) -> Option<String> {
    let dirs = CONFIG_DIRS.iter().flat_map(|option| values(words, option));
    let dirs: Vec<PathBuf> = dirs.map(PathBuf::from).collect();
    values(words, CONFIG).find_map(|named| {
        let mut places = [PathBuf::from(named)]
            .into_iter()
            .chain(dirs.iter().map(|dir| dir.join(named)));
        let place = places.find(|place| is_named_in(place))?;
        Some(format!("`{}` may name the index", place.display()))
    })
}

/// Whether a configuration file or one that it includes may name an index. One that clang cannot read may.
fn is_named_in(place: &Path) -> bool {
    let path = place.to_string_lossy();
    let read = &mut |path: &str| read_regular_to_string(path);
    let Ok(words) = expand_config(&path, read) else {
        return place.exists();
    };
    let may_name = |word: &String| word.starts_with(CONFIG) || mentions(word.as_bytes());
    words.iter().any(may_name)
}

/// The values of `option`, joined by `=` or in a word of their own.
fn values<'a>(words: &'a [OsString], option: &'a str) -> impl Iterator<Item = &'a OsStr> {
    words.iter().enumerate().filter_map(move |(at, word)| {
        let rest = word.as_bytes().strip_prefix(option.as_bytes())?;
        match rest {
            [] => words.get(at + 1).map(OsString::as_os_str),
            [b'=', value @ ..] => Some(OsStr::from_bytes(value)),
            _ => None,
        }
    })
}

/// A response file that is a pipe or a device: what is read here, the compiler would not get.
fn in_stream(word: &OsStr) -> Option<String> {
    let path = Path::new(OsStr::from_bytes(word.as_bytes().strip_prefix(b"@")?));
    let found = fs_err::metadata(path).ok()?;
    let is_stream = !found.is_file() && !found.is_dir();
    is_stream.then(|| {
        format!(
            "the response file `{}` can be read once only",
            path.display()
        )
    })
}

/// A whole command in one word, as for `sh -c`.
fn in_command(word: &OsStr) -> Option<String> {
    let word = word.as_bytes();
    let is_option = word.starts_with(b"-") || word.starts_with(b"/");
    let is_command = !is_option && word.contains(&b' ') && mentions(word);
    is_command.then(|| "the compiler is started by another program".to_owned())
}

/// Whether a response file may have the option in it, or in another file that it names. Links have
/// long ones without.
pub(super) fn mentions_or_includes(file: &Path) -> bool {
    let Ok(text) = read_regular(file) else {
        return false;
    };
    if text.contains(&b'@') || contains(&text, CONFIG) {
        return true;
    }
    // Quotes and backslashes may stand in the middle of a word, and zeros do in UTF-16.
    let plain = |byte: &u8| !matches!(byte, b'"' | b'\'' | b'\\' | 0);
    mentions(&text)
        || text.iter().any(|byte| !plain(byte))
            && mentions(&text.iter().copied().filter(plain).collect::<Vec<_>>())
}

pub(super) fn mentions(text: &[u8]) -> bool {
    contains(text, INDEX)
}

fn contains(text: &[u8], part: &str) -> bool {
    memmem::find(text, part.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn variables_of_the_compiler_may_name_the_index() {
        let of = |set: &'static str, value: &'static str| {
            in_variables(move |name| (name == set).then(|| value.into()))
        };
        assert!(of(overrides::VARIABLE, "# O0 +-fthinlto-index=i").is_some());
        assert!(of("_CL_", "/O2 -fthinlto-index=i").is_some());
        assert_eq!(of("CL", "/O2"), None);
        assert_eq!(of("CFLAGS", "-fthinlto-index=i"), None);
    }

    #[test]
    fn a_configuration_file_may_name_the_index_wherever_it_is_found() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("back.cfg");
        let dir = dir.path().display();
        let of = |line: String| in_config_files(&words(&line)).is_some();
        fs_err::write(&path, "-O2\n-fthinlto-index=i\n").expect("written");
        assert!(of(format!("--config={dir}/back.cfg -c m.o")));
        assert!(of(format!("-c --config {dir}/back.cfg m.o")));
        assert!(of(format!("--config-user-dir={dir} --config=back.cfg -c")));
        assert!(!of(format!("--config={dir}/none.cfg -c m.o")));
        assert!(!of("-c m.o --config".to_owned()));
        fs_err::write(&path, "-O2\n").expect("written");
        assert!(!of(format!("--config={dir}/back.cfg -c m.o")));
    }

    #[test]
    fn a_response_file_hides_nothing_in_quotes_another_encoding_or_further_files() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("args");
        let of = |bytes: &[u8]| {
            fs_err::write(&path, bytes).expect("written");
            mentions_or_includes(&path)
        };
        assert!(of(b"-fthinlto-index=i"));
        assert!(of(b"-fthin\"lto\"-index=i"));
        assert!(of(b"'-f'thinlto-in\\dex=i"));
        assert!(of(b"--config=back.cfg"));
        assert!(of(b"@more"));
        let wide: Vec<u8> = "\u{feff}-fthinlto-index=i"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(of(&wide));
        assert!(!of(b"-O2 'a b.o' -o \"app\""));
    }

    #[test]
    fn streams_and_commands_of_shells_are_known() {
        let of = |line: &str| hidden_index(&words(line));
        assert!(of("-c @/dev/null").is_some_and(|it| it.contains("/dev/null")));
        assert_eq!(of("-c @nothing m.o"), None);
        let shell = ["-c", "clang -c m.o -fthinlto-index=i"].map(OsString::from);
        assert!(hidden_index(&shell).is_some());
        assert_eq!(of("-c m.o -fthinlto-index=i -DX=-fthinlto-index="), None);
    }
}
