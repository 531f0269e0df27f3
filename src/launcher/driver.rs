//! Determines which of clang's drivers reads a command line, and reads the backends of the less
//! usual ones.
//!
//! [`backend`](super::backend) knows the options of the GCC-like driver. `clang-cl`, `-cc1` and
//! others spell the same things differently: only the module, the shard and the object are found
//! here, so that such a backend can run in place and its object can be checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::backend::{BackendCommand, INDEX, is_bitcode};

/// The reader of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// `clang`, `clang++`.
    Gcc,
    /// `clang-cl`.
    Cl,
    /// The inner compiler.
    Cc1,
    /// Flang, DXC, or an unknown one.
    Other,
}

impl Driver {
    /// The driver that `compiler words...` starts.
    pub(super) fn of(compiler: &str, words: &[String]) -> Self {
        if words.first().is_some_and(|word| word.starts_with("-cc1")) {
            return Self::Cc1;
        }
        let mode = words
            .iter()
            .rev()
            .find_map(|word| word.strip_prefix("--driver-mode="));
        match mode {
            Some("cl") => Self::Cl,
            Some("gcc" | "g++" | "cpp") => Self::Gcc,
            Some(_) => Self::Other,
            None if is_cl(compiler) => Self::Cl,
            None => Self::Gcc,
        }
    }
}

/// `clang-cl`, `clang-cl-22`, `x/clang-cl.exe`, `cl`.
fn is_cl(compiler: &str) -> bool {
    let name = Path::new(compiler).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let is_version = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let name = match name.rsplit_once('-') {
        Some((name, version)) if is_version(version) => name,
        _ => name,
    };
    name == "cl" || name.ends_with("-cl")
}

/// The backend that `words` describe for `driver`. `None` if they write no object, or compile no
/// bitcode.
pub(super) fn backend(driver: Driver, words: &[String]) -> Option<BackendCommand> {
    let index = index(words)?.to_owned();
    if driver == Driver::Cl && words.iter().any(|word| writes_no_object(word)) {
        return None;
    }
    let module = words.iter().rfind(|word| is_bitcode(word))?.clone();
    let object = match driver {
        Driver::Cl => cl_object(words, &module),
        _ => text_of(object_of(words).unwrap_or(OsStr::new("a.out"))),
    };
    Some(BackendCommand {
        module,
        index,
        object,
        extra_outputs: Vec::new(),
    })
}

/// `name`, a part of words that are text.
pub(super) fn text_of(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// The last index that a word names, however it is wrapped (`/clang:-fthinlto-index=F`).
pub(super) fn index(words: &[String]) -> Option<&str> {
    let mut indexes = words
        .iter()
        .rev()
        .filter_map(|word| Some(word.split_once(INDEX)?.1));
    indexes.find(|index| !index.is_empty())
}

/// `-E`, `-EP`, `-P` and `-Zs` of `clang-cl`, and options that only describe the compile.
fn writes_no_object(word: &str) -> bool {
    let option = word.strip_prefix(['-', '/']).unwrap_or_default();
    matches!(option, "E" | "EP" | "P" | "Zs" | "###" | "?" | "help") || word == "--version"
}

/// The value of the last `-o`. Options of the Objective-C migrator begin like one.
pub(super) fn object_of<W: AsRef<OsStr>>(words: &[W]) -> Option<&OsStr> {
    let mut found = None;
    let mut rest = words.iter().map(AsRef::as_ref);
    while let Some(word) = rest.next() {
        let bytes = word.as_encoded_bytes();
        if bytes == b"-o" {
            found = rest.next().or(found);
        } else if let Some(name) = bytes.strip_prefix(b"-o")
            && !bytes.starts_with(b"-objcmt-")
            && bytes != b"-object"
        {
            found = Some(OsStr::from_bytes(name));
        }
    }
    found
}

/// `/FoNAME`, `-Fo:NAME`, `/o NAME`, `-oNAME`: the last one counts. What ends in a slash is a
/// directory; a name without an ending gets `.obj` (`MakeCLOutputFilename`).
fn cl_object(words: &[String], module: &str) -> String {
    let stem = Path::new(module).file_stem().unwrap_or_default();
    let default = format!("{}.obj", stem.to_string_lossy());
    let mut named = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(option) = word.strip_prefix(['-', '/']).filter(|_| word != module) else {
            continue;
        };
        match (option.strip_prefix("Fo"), option.strip_prefix('o')) {
            (Some(""), _) | (None, None) => {}
            (Some(name), _) => named = Some(name.strip_prefix(':').unwrap_or(name)),
            (None, Some("")) => named = rest.next().map(String::as_str),
            (None, Some(name)) => named = Some(name),
        }
    }
    match named {
        None => default,
        Some(dir) if dir.ends_with(['/', '\\']) => format!("{dir}{default}"),
        Some(name) if Path::new(name).extension().is_none() => format!("{name}.obj"),
        Some(name) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_name_and_the_arguments_choose_the_driver() {
        for (compiler, line, driver) in [
            ("clang", "-c", Driver::Gcc),
            ("/usr/bin/clang-22", "-c", Driver::Gcc),
            ("clang-cl", "/c", Driver::Cl),
            ("x/clang-cl-22", "/c", Driver::Cl),
            ("clang", "--driver-mode=cl /c", Driver::Cl),
            ("clang-cl", "--driver-mode=g++ -c", Driver::Gcc),
            ("clang", "--driver-mode=flang -c", Driver::Other),
            ("clang", "-cc1 -emit-obj", Driver::Cc1),
        ] {
            assert_eq!(
                Driver::of(compiler, &words(line)),
                driver,
                "{compiler} {line}"
            );
        }
    }

    #[test]
    fn clang_cl_names_its_object_in_several_ways() {
        for (line, object) in [
            ("/c", "m.obj"),
            ("/c /Foo.obj", "o.obj"),
            ("-c -Fo:o.obj", "o.obj"),
            ("-c -Foo", "o.obj"),
            ("/c /Foout/", "out/m.obj"),
            ("/c /Foa.obj /o b.obj", "b.obj"),
            ("/c -ob.obj", "b.obj"),
        ] {
            assert_eq!(cl_object(&words(line), "x/m.obj"), object, "{line}");
        }
    }

    #[test]
    fn the_last_object_counts_and_no_option_that_begins_like_one() {
        for (line, object) in [
            ("-c -o a.o -o b.o", Some("b.o")),
            ("-c -oa.o -o", Some("a.o")),
            ("-o bjc.o", Some("bjc.o")),
            ("-objc.o", Some("bjc.o")),
            ("-o a.o -objcmt-migrate-all -object", Some("a.o")),
            ("-c", None),
        ] {
            assert_eq!(object_of(&words(line)), object.map(OsStr::new), "{line}");
        }
    }

    #[test]
    fn an_index_is_found_however_it_is_wrapped() {
        for line in [
            "-c -fthinlto-index=i",
            "/clang:-fthinlto-index=i",
            "-Xclang -fthinlto-index=i",
        ] {
            assert_eq!(index(&words(line)), Some("i"), "{line}");
        }
        assert_eq!(index(&words("-c -fthinlto-index=")), None);
    }
}
