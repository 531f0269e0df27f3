//! What the arguments of a ThinLTO backend mean.
//!
//! [`parse`] splits a command line, response files already expanded
//! ([`response`](super::response)), into [`Argument`]s. The spellings are in [`table`]. Callers
//! decide what happens to the files that arguments name.

mod inner;
mod table;
#[cfg(test)]
mod tests;
mod warnings;

pub use table::{END_UNUSED, Meaning, NO_DEFAULT_CONFIG, START_UNUSED};

use super::kind::{Format, OutputKind};
use super::overrides;
use inner::inner_file_option;
use table::{OPTIONS, ValuePosition};
use warnings::is_front_end_warning;

/// Environment variables that change what clang does in a backend. They go into the Command when
/// they are set; clang runs without all others. The list comes from the strings in the libraries of
/// clang 22.
///
/// Not listed, because a backend has no use for them: include paths (`CPATH`, `C_INCLUDE_PATH`),
/// helper programs (`COMPILER_PATH`, `LIBRARY_PATH`), and where crash reports and module caches go.
/// `CLANG_CONFIG_PATH` and `CLANG_NO_DEFAULT_CONFIG` choose configuration files: clang is asked for
/// those in the user's environment ([`toolchain::config`](crate::toolchain::config)), and the
/// command then names them.
pub const HEEDED: &[&str] = &[
    // Edits the driver's arguments.
    overrides::VARIABLE,
    SOURCE_DATE_EPOCH,
    // Arguments that `clang-cl` puts before and after the others.
    "CL",
    "_CL_",
    // The version in an Apple target triple when the arguments do not give it.
    "MACOSX_DEPLOYMENT_TARGET",
    "IPHONEOS_DEPLOYMENT_TARGET",
    "TVOS_DEPLOYMENT_TARGET",
    "WATCHOS_DEPLOYMENT_TARGET",
    "XROS_DEPLOYMENT_TARGET",
    "DRIVERKIT_DEPLOYMENT_TARGET",
    SDKROOT,
    // 32 or 64 bits on AIX.
    "OBJECT_MODE",
    // Puts the command line into the debug information on Apple systems.
    "RC_DEBUG_OPTIONS",
    // Who wrote it, in bitcode.
    "LLVM_OVERRIDE_PRODUCER",
];

/// The time that front ends write instead of the current one. Objects other than those for Windows hold
/// none, so that builds of packages, which set it to the time of the package, share results.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Where the SDK of an Apple system is.
const SDKROOT: &str = "SDKROOT";

/// Whether the [`HEEDED`] variable `name` can matter to an output of this kind.
#[must_use]
pub fn is_heeded_for(kind: OutputKind, name: &str) -> bool {
    let of_others =
        [SOURCE_DATE_EPOCH, SDKROOT].contains(&name) || name.ends_with("_DEPLOYMENT_TARGET");
    !(of_others && matches!(kind, OutputKind::Object(Format::Elf | Format::Wasm)))
}

/// One argument: one or two words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument<'a> {
    pub meaning: Meaning,
    pub words: &'a [String],
    /// The option's spelling without its value; empty for inputs.
    pub option: &'static str,
    /// `None` for an option without a value, or when the command line ends before the value.
    pub value: Option<&'a str>,
}

impl Argument<'_> {
    /// The same argument with another value.
    #[must_use]
    pub fn with_value(&self, value: &str) -> Vec<String> {
        match (self.words, self.option) {
            ([_, _], option) => vec![option.to_owned(), value.to_owned()],
            // Spelled without a value, these options read the default file.
            (_, "-fprofile-use" | "-fprofile-instr-use" | "-fcodegen-data-use") => {
                vec![format!("{}={value}", self.option)]
            }
            (_, option) => vec![format!("{option}{value}")],
        }
    }

    /// The file that an [`InputFile`](Meaning::InputFile) reads, relative to the compiler's
    /// directory. If the argument names a directory, the profile is in it.
    #[must_use]
    pub fn file(&self, is_dir: impl FnOnce(&str) -> bool) -> Option<String> {
        if self.meaning != Meaning::InputFile {
            return None;
        }
        let default = match self.option {
            "-fcodegen-data-use" | "-fcodegen-data-use=" => "default.cgdata",
            _ => "default.profdata",
        };
        let profile = self.option.starts_with("-fprofile-use")
            || self.option.starts_with("-fprofile-instr-use")
            || self.option.starts_with("-fcodegen-data-use");
        match self.value {
            None | Some("") if profile => Some(default.to_owned()),
            Some(dir) if profile && is_dir(dir) => {
                Some(format!("{}/{default}", dir.trim_end_matches('/')))
            }
            value => value.map(str::to_owned),
        }
    }
}

/// Splits a command line, without the compiler itself, into its arguments.
#[must_use]
pub fn parse(words: &[String]) -> Vec<Argument<'_>> {
    let mut arguments = Vec::with_capacity(words.len());
    let mut rest = words;
    let mut only_inputs = false;
    let mut to_cc1 = None;
    while let Some(word) = rest.first() {
        if !only_inputs && word == "--" {
            only_inputs = true;
        }
        let mut argument = if only_inputs {
            whole(
                rest,
                if word == "--" {
                    Meaning::Plain
                } else {
                    Meaning::Input
                },
            )
        } else {
            one(rest)
        };
        rest = &rest[argument.words.len()..];
        if let ("-Xclang" | "-Xclang=", value) = (argument.option, argument.value) {
            // The driver hands these over one behind the other, wherever they stand.
            if to_cc1.replace(value) == Some(Some("-mllvm")) {
                let inner = inner_file_option("-mllvm", value);
                argument.meaning = inner.unwrap_or(argument.meaning);
            }
        }
        arguments.push(argument);
    }
    arguments
}

/// The first argument of `rest`, which is not empty.
fn one(rest: &[String]) -> Argument<'_> {
    let word = rest[0].as_str();
    if word.len() > 1 && word.starts_with('@') {
        return whole(rest, Meaning::ResponseFile);
    }
    if !word.starts_with('-') {
        return whole(rest, Meaning::Input);
    }
    if is_front_end_warning(word) {
        return whole(rest, Meaning::FrontEnd { warns: false });
    }
    let found = OPTIONS
        .iter()
        .filter(|(option, shape, _)| match shape {
            ValuePosition::Exact | ValuePosition::Separate => word == *option,
            ValuePosition::Joined | ValuePosition::Either => word.starts_with(option),
        })
        .max_by_key(|(option, ..)| option.len());
    let Some(&(option, shape, meaning)) = found else {
        return whole(rest, unlisted(word));
    };
    let takes_next = match shape {
        ValuePosition::Separate => true,
        ValuePosition::Either => word.len() == option.len(),
        ValuePosition::Exact | ValuePosition::Joined => false,
    };
    let words = &rest[..rest.len().min(if takes_next { 2 } else { 1 })];
    let value = match shape {
        ValuePosition::Exact => None,
        _ if takes_next => words.get(1).map(String::as_str),
        _ => Some(&word[option.len()..]),
    };
    // clang says that the value is missing, or that it is none.
    let is_map = option.ends_with("-prefix-map=");
    let is_complete = (!takes_next || words.len() == 2)
        && (!is_map || value.is_some_and(|value| value.contains('=')));
    let meaning = match meaning {
        Meaning::FrontEnd { .. } if !is_complete => Meaning::Plain,
        meaning => meaning,
    };
    Argument {
        meaning: inner_file_option(option, value).unwrap_or(meaning),
        words,
        option,
        value,
    }
}

/// Treats an option that is not in the table as plain, unless it may name a file to read or to
/// write.
fn unlisted(word: &str) -> Meaning {
    match word.split_once('=') {
        Some(("-march" | "-mcpu" | "-mtune", processor)) if is_native(processor) => {
            Meaning::Machine
        }
        Some((_, value)) if value.contains('/') => {
            Meaning::InPlace("names a file for a purpose that relto does not know")
        }
        _ => Meaning::Plain,
    }
}

/// Whether a processor, before what is added to it or taken from it, is that of this machine. Some
/// targets do not tell capital letters from others.
fn is_native(processor: &str) -> bool {
    let name = processor.split('+').next().unwrap_or_default();
    name.eq_ignore_ascii_case("native")
}

fn whole(rest: &[String], meaning: Meaning) -> Argument<'_> {
    Argument {
        meaning,
        words: &rest[..1],
        option: "",
        value: Some(&rest[0]),
    }
}

/// The arguments that can affect what a backend writes, prints or returns.
///
/// clang warns about many unused arguments, and `-Werror` turns that into an error. Those arguments
/// are dropped only where the warning is disabled, as lld and the build of Linux do.
pub fn reaching<'p, 'a>(arguments: &'p [Argument<'a>]) -> impl Iterator<Item = &'p Argument<'a>> {
    let silenced = arguments
        .iter()
        .filter_map(|argument| match argument.words[0].as_str() {
            "-Qunused-arguments" | "-Wno-unused-command-line-argument" => Some(true),
            "-Wunused-command-line-argument" | "-Werror=unused-command-line-argument" => {
                Some(false)
            }
            _ => None,
        })
        .next_back()
        .unwrap_or(false);
    let mut is_inside = false;
    arguments.iter().filter(move |argument| {
        is_inside = match argument.words[0].as_str() {
            START_UNUSED => true,
            END_UNUSED => false,
            _ => is_inside,
        };
        match argument.meaning {
            Meaning::FrontEnd { warns } => warns && !silenced && !is_inside,
            _ => true,
        }
    })
}

/// The target triple that the arguments name.
#[must_use]
pub fn target<'a>(arguments: &[Argument<'a>]) -> Option<&'a str> {
    let mut backwards = arguments.iter().rev();
    backwards.find_map(|argument| match argument.meaning {
        Meaning::Target => argument.value,
        _ => None,
    })
}

/// The files that clang writes besides `output`, by clang's own names; none where `-dumpdir` names
/// them.
#[must_use]
pub fn extra_outputs(arguments: &[Argument<'_>], output: &str) -> Vec<String> {
    if arguments.iter().any(|it| it.option == "-dumpdir") {
        return Vec::new();
    }
    let (mut split_dwarf, mut stack_usage) = (false, false);
    let (mut record, mut format, mut record_file) = (false, "yaml", None);
    for argument in arguments {
        match (argument.option, argument.value) {
            ("-gsplit-dwarf", _) => split_dwarf = true,
            ("-gsplit-dwarf=", value) => split_dwarf = value != Some("single"),
            ("-gno-split-dwarf", _) => split_dwarf = false,
            ("-fstack-usage", _) => stack_usage = true,
            ("-fsave-optimization-record" | "-foptimization-record-passes=", _) => record = true,
            ("-fsave-optimization-record=", value) => {
                (record, format) = (true, value.unwrap_or(format));
            }
            ("-foptimization-record-file=", value) => (record, record_file) = (true, value),
            ("-fno-save-optimization-record", _) => record = false,
            _ => {}
        }
    }
    let mut files = Vec::new();
    if split_dwarf {
        files.push(with_extension(output, "dwo"));
    }
    if record {
        let beside = with_extension(output, &format!("opt.{format}"));
        files.push(record_file.map_or(beside, str::to_owned));
    }
    if stack_usage {
        files.push(with_extension(output, "su"));
    }
    files
}

/// Whether the object contains its own file name.
#[must_use]
pub fn names_its_output(arguments: &[Argument<'_>]) -> bool {
    let mut backwards = arguments.iter().rev();
    let last = backwards.find(|it| it.option.contains("split-dwarf"));
    last.is_some_and(|it| (it.option, it.value) == ("-gsplit-dwarf=", Some("single")))
}

fn with_extension(output: &str, extension: &str) -> String {
    let (dir, name) = output
        .rsplit_once('/')
        .map_or(("", output), |(dir, name)| (&output[..=dir.len()], name));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("{dir}{stem}.{extension}")
}
