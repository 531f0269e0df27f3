//! Recognizes command lines that are ThinLTO backends.
//!
//! [`action`](crate::action) knows what arguments mean; a file's first bytes show whether it is
//! bitcode, as they do to clang. The object of every command line that names an index is checked:
//! clang exits 0 with an empty object when something is wrong with a shard or an import.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fs_err as fs;

use super::driver::{self, Driver, object_of, text_of};
use super::hidden::{hidden_index, mentions, mentions_or_includes};
use crate::action::arguments::{self, Argument, Meaning};
use crate::action::kind::{OutputKind, required_kind};
use crate::action::response::{Quoting, expand_response_files};
use crate::fs::{open_regular, read_regular_to_string};
use crate::thinlto::check_start;

/// The option that makes a compile a backend.
pub(super) const INDEX: &str = "-fthinlto-index=";

/// A backend, with the names that its command line uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BackendCommand {
    pub(super) module: String,
    pub(super) index: String,
    pub(super) object: String,
    pub(super) extra_outputs: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recognized {
    No,
    Yes(BackendCommand),
    /// A backend whose module cannot be determined.
    Unclear {
        object: String,
        reason: String,
    },
    /// A backend whose arguments are not those of the GCC-like driver.
    Foreign(BackendCommand),
    /// A backend whose module can be read only once, by the compiler.
    NotAFile {
        module: String,
    },
}

/// Whether a command line may be a backend, without looking closer. All others can be left to the
/// compiler at once.
#[must_use]
pub fn looks_like_a_backend(words: &[OsString]) -> bool {
    let mut bytes = words.iter().map(|word| word.as_encoded_bytes());
    let is_named = bytes.any(|word| match word {
        [b'@', file @ ..] => mentions_or_includes(Path::new(OsStr::from_bytes(file))),
        word => mentions(word),
    });
    is_named || hidden_index(words).is_some()
}

/// The one module that the command line names; otherwise what the command line is.
fn module<'a>(arguments: &[Argument<'a>], output: Option<&str>) -> Result<&'a str, Recognized> {
    let inputs: Vec<&str> = of(arguments, Meaning::Input).collect();
    match inputs[..] {
        [] if arguments.iter().any(|it| it.option == "-") => {
            let module = "-".to_owned();
            Err(Recognized::NotAFile { module })
        }
        [] => Err(Recognized::No),
        [module] => Ok(module),
        [_, other, ..] => Err(Recognized::Unclear {
            object: output.unwrap_or_default().to_owned(),
            reason: format!(
                "`{}` and `{other}` cannot both be the module: relto does not know an option that stands before one of them",
                inputs[0]
            ),
        }),
    }
}

/// Reads the command line of `compiler`. A command line that the compiler itself would refuse is
/// not a backend: the compiler has the better message.
pub(super) fn recognize(compiler: &str, words: &[String]) -> Recognized {
    let usual = match Driver::of(compiler, words) {
        Driver::Cl => Quoting::Windows,
        _ => Quoting::Gnu,
    };
    let read = &mut |path: &str| read_regular_to_string(path);
    let words = match expand_response_files(words, usual, read) {
        Ok(words) => words,
        Err(error) => {
            return Recognized::Unclear {
                object: object_of(words).map(text_of).unwrap_or_default(),
                reason: error.to_string(),
            };
        }
    };
    match Driver::of(compiler, &words) {
        Driver::Gcc => recognize_gcc(&words),
        driver => {
            let backend = driver::backend(driver, &words);
            backend.map_or(Recognized::No, Recognized::Foreign)
        }
    }
}

/// Reads a command line in the words of `clang` itself, response files expanded.
fn recognize_gcc(words: &[String]) -> Recognized {
    let arguments = arguments::parse(words);
    let Some(index) = last(&arguments, Meaning::Index).filter(|index| !index.is_empty()) else {
        return match driver::backend(Driver::Gcc, words) {
            // Behind the driver's back: `-Xclang -fthinlto-index=F`.
            Some(backend) => Recognized::Foreign(backend),
            None => Recognized::No,
        };
    };
    // The target decides only the object format.
    let kind = required_kind(&arguments, "");
    if kind == OutputKind::Other && (writes_nothing(&arguments) || !is_for_bitcode(&arguments)) {
        return Recognized::No;
    }
    let output = last(&arguments, Meaning::Output);
    let module = match module(&arguments, output) {
        Ok(module) => module,
        Err(recognized) => return recognized,
    };
    let object = output.map_or_else(|| default_output(module, kind), str::to_owned);
    if !is_for_bitcode(&arguments) {
        return Recognized::No;
    }
    if !is_bitcode(module) {
        let module = module.to_owned();
        return if is_stream(&module) {
            Recognized::NotAFile { module }
        } else {
            Recognized::No
        };
    }
    let unusual = match kind {
        _ if object == "-" => Some("the object goes to standard output"),
        _ if object == module => Some("the object replaces its module"),
        OutputKind::Other => Some("it is linked at once"),
        _ => None,
    };
    if let Some(reason) = unusual {
        let reason = reason.to_owned();
        return Recognized::Unclear { object, reason };
    }
    if kind == OutputKind::Ir {
        let reason = "LLVM's textual form holds the module's name".to_owned();
        return Recognized::Unclear { object, reason };
    }
    Recognized::Yes(BackendCommand {
        extra_outputs: arguments::extra_outputs(&arguments, &object),
        module: module.to_owned(),
        index: index.to_owned(),
        object,
    })
}

pub(super) fn of<'a>(
    arguments: &[Argument<'a>],
    meaning: Meaning,
) -> impl Iterator<Item = &'a str> {
    let found = arguments.iter().filter(move |it| it.meaning == meaning);
    found.filter_map(|argument| argument.value)
}

pub(super) fn last<'a>(arguments: &[Argument<'a>], meaning: Meaning) -> Option<&'a str> {
    of(arguments, meaning).last()
}

/// The file in the current directory that clang writes by default.
pub(super) fn default_output(module: &str, kind: OutputKind) -> String {
    let stem = Path::new(module).file_stem().unwrap_or_default();
    let ending = match kind {
        OutputKind::Assembly => "s",
        OutputKind::Ir => "ll",
        OutputKind::Bitcode => "bc",
        OutputKind::Object(_) | OutputKind::Other => "o",
    };
    format!("{}.{ending}", stem.to_string_lossy())
}

/// The last `-x` before the input decides; without one, clang takes anything but source for bitcode
/// here.
pub(super) fn is_for_bitcode(arguments: &[Argument<'_>]) -> bool {
    let before = arguments
        .iter()
        .take_while(|it| it.meaning != Meaning::Input);
    let language = before.filter(|it| it.meaning == Meaning::Language).last();
    let language = language.and_then(|it| it.value);
    matches!(language, None | Some("ir" | "none"))
}

/// Preprocessing, checks, or questions to the compiler.
fn writes_nothing(arguments: &[Argument<'_>]) -> bool {
    arguments.iter().any(|argument| {
        argument.meaning == Meaning::OutputKind
            && matches!(
                argument.option,
                "-E" | "--preprocess"
                    | "-M"
                    | "--dependencies"
                    | "-MM"
                    | "--user-dependencies"
                    | "-fsyntax-only"
                    | "-###"
                    | "--version"
                    | "--help"
                    | "-dumpmachine"
                    | "-dumpversion"
                    | "-ccc-print-"
                    | "-fdriver-only"
                    | "-extract-api"
                    | "-print-"
                    | "--print-"
            )
    })
}

/// Standard input, a pipe, a device: reading it would take it away from the compiler.
fn is_stream(path: &str) -> bool {
    path == "-" || fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir())
}

pub(super) fn is_bitcode(path: &str) -> bool {
    let mut start = [0; 4];
    let mut read = || open_regular(path)?.read_exact(&mut start);
    read().is_ok() && check_start(&start).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with bitcode `m.o`, a source `s.c`, and nothing else.
    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("m.o"), b"BC\xc0\xderest").expect("written");
        fs::write(dir.path().join("s.c"), b"int x;").expect("written");
        dir
    }

    fn recognized(dir: &Path, line: &str) -> Recognized {
        let line = line.replace("DIR", &dir.display().to_string());
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        recognize("clang", &words)
    }

    #[test]
    fn a_backend_is_known_by_index_and_bitcode() {
        let dir = dir();
        for line in [
            "-O2 -x ir -fthinlto-index=i -c -o o.o DIR/m.o",
            "-c DIR/m.o -fthinlto-index=i -oo.o",
            "-fthinlto-index=old -fthinlto-index=i -c -o o.o -- DIR/m.o",
            "-include a.h -DX -Wp,-MMD,d -Xclang -x -mllvm -y -fthinlto-index=i -c -o o.o DIR/m.o",
        ] {
            let Recognized::Yes(backend) = recognized(dir.path(), line) else {
                panic!("{line}");
            };
            assert_eq!((&backend.index[..], &backend.object[..]), ("i", "o.o"));
            assert!(backend.module.ends_with("/m.o"));
        }
    }

    #[test]
    fn an_object_without_a_name_gets_clangs_default_name() {
        let dir = dir();
        let line = "-fthinlto-index=i -c DIR/m.o";
        let Recognized::Yes(backend) = recognized(dir.path(), line) else {
            panic!("a backend");
        };
        assert_eq!(backend.object, "m.o");
        for (flags, expected) in [
            ("-S", "m.s"),
            ("-S -emit-llvm", "m.ll"),
            ("-c -emit-llvm", "m.bc"),
        ] {
            let line = format!("-fthinlto-index=i {flags} DIR/m.o");
            let object = match recognized(dir.path(), &line) {
                Recognized::Yes(BackendCommand { object, .. })
                | Recognized::Unclear { object, .. } => object,
                other => panic!("{line}: {other:?}"),
            };
            assert_eq!(object, expected);
        }
    }

    #[test]
    fn everything_else_is_left_to_the_compiler() {
        let dir = dir();
        for line in [
            "-c DIR/s.c -o o.o",
            "-c DIR/s.c -fthinlto-index=i -o o.o",
            "-c -x c DIR/m.o -fthinlto-index=i -o o.o",
            "-c DIR/m.o -fthinlto-index= -o o.o",
            "-c DIR/nothing.o -fthinlto-index=i -o o.o",
            "-c -fthinlto-index=i -o o.o",
            "-c DIR/m.o -fthinlto-index=i -### -o o.o",
            "-E DIR/m.o -fthinlto-index=i -o o.i",
        ] {
            assert_eq!(recognized(dir.path(), line), Recognized::No, "{line}");
        }
    }

    #[test]
    fn a_backend_in_an_unusual_form_is_still_one() {
        let dir = dir();
        for line in [
            "DIR/m.o -fthinlto-index=i -o o",
            "-c DIR/m.o -fthinlto-index=i -o -",
            "-c DIR/m.o -fthinlto-index=i -o DIR/m.o",
        ] {
            let found = recognized(dir.path(), line);
            assert!(
                matches!(found, Recognized::Unclear { .. }),
                "{line}: {found:?}"
            );
        }
        for line in [
            "-cc1 -emit-obj -fthinlto-index=i -x ir DIR/m.o -o o.o",
            "-c -Xclang -fthinlto-index=i DIR/m.o -o o.o",
            "--driver-mode=cl /c -fthinlto-index=i /Foo.o DIR/m.o",
            "--driver-mode=flang -c -fthinlto-index=i DIR/m.o -o o.o",
        ] {
            let Recognized::Foreign(backend) = recognized(dir.path(), line) else {
                panic!("{line}");
            };
            assert_eq!((&backend.index[..], &backend.object[..]), ("i", "o.o"));
            assert!(backend.module.ends_with("/m.o"));
        }
        let stdin = recognized(dir.path(), "-c -x ir - -fthinlto-index=i -o o.o");
        assert!(matches!(stdin, Recognized::NotAFile { .. }), "{stdin:?}");
    }

    #[test]
    fn a_value_of_an_unknown_option_makes_the_module_unclear() {
        let dir = dir();
        let line = "-c --of-tomorrow value DIR/m.o -fthinlto-index=i -o o.o";
        let Recognized::Unclear { reason, .. } = recognized(dir.path(), line) else {
            panic!("unclear");
        };
        assert!(reason.contains("`value`"), "{reason}");
    }

    #[test]
    fn a_response_file_may_hold_the_arguments() {
        let dir = dir();
        let text = format!("-c -fthinlto-index=i\n-o o.o {}/m.o", dir.path().display());
        fs::write(dir.path().join("args"), text).expect("written");
        let named = |name: &str| OsString::from(format!("@{}/{name}", dir.path().display()));
        assert!(looks_like_a_backend(&[named("args")]));
        fs::write(dir.path().join("more"), "@args").expect("written");
        assert!(looks_like_a_backend(&[named("more")]));
        fs::write(dir.path().join("objects"), "a.o b.o -o app").expect("written");
        assert!(!looks_like_a_backend(&[named("objects"), named("missing")]));
        assert!(matches!(
            recognized(dir.path(), "@DIR/args"),
            Recognized::Yes(_)
        ));
        assert!(!looks_like_a_backend(&["-c".into(), "a.c".into()]));
    }
}
