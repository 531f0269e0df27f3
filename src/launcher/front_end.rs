//! Tells from a compiler's arguments which files will be modules of a ThinLTO link after the
//! compile.
//!
//! This is a guess for uploading early: whoever reads a file decides what it is. Response files are
//! not read.

use std::ffi::OsString;
use std::path::Path;

use fs_err as fs;

use super::backend::{last, of};
use super::texts;
use crate::action::arguments::{self, Argument, Meaning};
use crate::action::kind::{OutputKind, required_kind};

const THIN: &str = "-flto=thin";
const COMPILE: &str = "-c";

/// Whether a command line may write a module, without a closer look.
#[must_use]
pub fn may_leave_a_module(words: &[OsString]) -> bool {
    [THIN, COMPILE]
        .iter()
        .all(|wanted| words.iter().any(|word| word == wanted))
}

/// The modules that `words` will write, by the compiler's names for them.
#[must_use]
pub fn modules(words: &[OsString]) -> Vec<String> {
    let words = texts(words).unwrap_or_default();
    let arguments = arguments::parse(&words);
    // The target decides about the format of objects only.
    if required_kind(&arguments, "") != OutputKind::Bitcode || !is_thin(&arguments) {
        return Vec::new();
    }
    let sources: Vec<&str> = of(&arguments, Meaning::Input).collect();
    // `cc-option` of a kernel, and other command lines that only ask the compiler a question.
    if sources.iter().all(|source| is_nothing(source)) {
        return Vec::new();
    }
    let modules = match last(&arguments, Meaning::Output) {
        Some(output) => vec![output.to_owned()],
        None => sources.into_iter().map(default_name).collect(),
    };
    let is_file = |module: &String| module != "-" && !is_nothing(module);
    modules.into_iter().filter(is_file).collect()
}

fn is_thin(arguments: &[Argument<'_>]) -> bool {
    let mut lto = arguments
        .iter()
        .filter(|it| ["-flto", "-flto=", "-fno-lto"].contains(&it.option));
    lto.next_back().is_some_and(|it| it.value == Some("thin"))
}

/// The name that clang gives a module written as an object. `-emit-llvm` is not meant for a link.
fn default_name(source: &str) -> String {
    let stem = Path::new(source).file_stem().unwrap_or_default();
    format!("{}.o", stem.to_string_lossy())
}

/// A device or a pipe.
fn is_nothing(path: &str) -> bool {
    path == "-" || fs::metadata(Path::new(path)).is_ok_and(|found| !found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let modules = modules(&words);
        assert!(modules.is_empty() || may_leave_a_module(&words), "{line}");
        modules
    }

    #[test]
    fn a_module_is_expected_where_the_compiler_will_write_it() {
        for (line, module) in [
            ("-O2 -flto=thin -c a.c -o out/a.o", "out/a.o"),
            ("-c -fno-lto -flto=thin -oa.o -- a.c", "a.o"),
            ("-flto=thin -c dir/a.c", "a.o"),
            ("-flto=thin -fsplit-lto-unit -o old.o -c -o a.o a.cc", "a.o"),
        ] {
            assert_eq!(left(line), [module], "{line}");
        }
        assert_eq!(left("-flto=thin -c a.c dir/b.c"), ["a.o", "b.o"]);
    }

    #[test]
    fn compiles_that_write_no_thinlto_module_are_left_alone() {
        for line in [
            "-c a.c -o a.o",
            "-flto -c a.c -o a.o",
            "-flto=thin -flto=full -c a.c -o a.o",
            "-flto=thin -fno-lto -c a.c -o a.o",
            "-flto=thin a.o b.o -o app",
            "-flto=thin -S a.c -o a.s",
            "-flto=thin -E -c a.c -o a.i",
            "-flto=thin -### -c a.c -o a.o",
            "-flto=thin -c -x c /dev/null -o a.o",
            "-flto=thin -c a.c -o /dev/null",
            "-flto=thin -c a.c -o -",
            "-flto=thin -c -x c -",
            "-Xclang -flto=thin -c a.c",
        ] {
            assert_eq!(left(line), Vec::<String>::new(), "{line}");
        }
    }
}
