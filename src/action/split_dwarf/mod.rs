//! Split DWARF in links: the debug information of each job goes into a `.dwo` file of its own.
//!
//! lld drops `-gsplit-dwarf`, and clang writes the name of the `.dwo` file into the object, where
//! lld's own names would differ in every link. So the file is named after what is compiled: by the
//! digest of the job's Action with a placeholder in the place of the name. Equal jobs then have
//! equal names and equal Actions, and a file of that name never has to change.

mod units;

use std::path::Path;

use super::arguments::{Argument, parse};
use super::canonical::{CanonicalJob, NamedOutput};
use super::kind::{Format, OutputKind};
use crate::client_context::ClientContext;
use crate::digest::Digest;

pub use units::{check, has_debug_information};

/// Path of the `.dwo` file in the input root.
pub const OUTPUT: &str = "relto/out.dwo";

/// What the Action is named by until it has a name.
const PLACEHOLDER: &str = "relto.dwo";
/// Hexadecimal digits of the digest that a name has: 128 bits.
const DIGITS: usize = 32;

/// The arguments that ask for a `.dwo` file as `name`, which the object then holds.
///
/// They are those that the driver makes of `-gsplit-dwarf`: it would use the name of the object.
fn arguments(name: &str) -> [String; 8] {
    [
        "-Xclang",
        "-split-dwarf-file",
        "-Xclang",
        name,
        "-Xclang",
        "-split-dwarf-output",
        "-Xclang",
        OUTPUT,
    ]
    .map(str::to_owned)
}

/// Where the name stands among [`arguments`].
const NAME: usize = 3;

/// The command line of a job that may have a `.dwo` file, without the options that ask the driver
/// for one; `None` if it asks for something else.
#[must_use]
pub fn without_driver_options(words: &[String], kind: OutputKind) -> Option<Vec<String>> {
    if kind != OutputKind::Object(Format::Elf) {
        return None;
    }
    let arguments = parse(words);
    let is_option = |it: &&Argument<'_>| it.option.contains("split-dwarf");
    let last = arguments.iter().rfind(is_option);
    let asks = last.is_none_or(|it| match (it.option, it.value) {
        ("-gsplit-dwarf=", value) => value == Some("split"),
        (option, _) => option == "-gsplit-dwarf",
    });
    let others = arguments.iter().filter(|it| !is_option(it));
    asks.then(|| others.flat_map(|it| it.words).cloned().collect())
}

/// Makes `job`, which has no such output yet, write a `.dwo` file. It is named by
/// [`name`] as soon as it has an Action.
pub fn request(job: &mut CanonicalJob) {
    // In front: what follows `--` is no option.
    job.arguments.splice(0..0, arguments(PLACEHOLDER));
    job.outputs.push(NamedOutput {
        tree_path: OUTPUT.to_owned(),
        name: PLACEHOLDER.to_owned(),
        host: PLACEHOLDER.into(),
    });
}

/// Names the `.dwo` file of `job` in the directory `dir`, by the digest of the Action that it has
/// under the placeholder.
pub fn name(job: &mut CanonicalJob, dir: &str, unnamed: &Digest, context: &ClientContext) {
    let dir = dir.trim_end_matches('/');
    let name = format!("{dir}/{}.dwo", &unnamed.hex()[..DIGITS]);
    let output = job.outputs.iter_mut().find(|it| is_dwo(it));
    let output = output.expect("the file was requested");
    output.host = context.resolve(&name);
    output.name.clone_from(&name);
    job.arguments[NAME] = name;
}

/// Whether `name` is that of a `.dwo` file, whoever named it.
#[must_use]
pub fn is_dwo_name(name: &str) -> bool {
    Path::new(name).extension() == Some("dwo".as_ref())
}

/// Whether `output` is a file that [`request`] added.
#[must_use]
pub fn is_dwo(output: &NamedOutput) -> bool {
    output.tree_path == OUTPUT
}

/// The arguments of an Action of `job`, without the name, which differs wherever anything else
/// does.
pub fn stable_words<'a>(
    job: &'a CanonicalJob,
    words: &'a [String],
) -> impl Iterator<Item = &'a str> {
    let output = job.outputs.iter().find(|it| is_dwo(it));
    words.iter().map(move |word| {
        let is_name = output.is_some_and(|it| it.name == *word);
        if is_name { PLACEHOLDER } else { word }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(line: &str) -> Option<String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let rest = without_driver_options(&words, OutputKind::Object(Format::Elf));
        rest.map(|words| words.join(" "))
    }

    #[test]
    fn jobs_that_ask_for_another_kind_of_debug_information_have_no_file() {
        assert_eq!(rest("-c a.o").as_deref(), Some("-c a.o"));
        assert_eq!(rest("-c -gsplit-dwarf a.o").as_deref(), Some("-c a.o"));
        assert_eq!(rest("-gsplit-dwarf=split -c").as_deref(), Some("-c"));
        assert_eq!(rest("-c -gsplit-dwarf=single"), None);
        assert_eq!(rest("-gsplit-dwarf -gno-split-dwarf -c"), None);
        let coff = without_driver_options(&["-c".to_owned()], OutputKind::Object(Format::Coff));
        assert_eq!(coff, None);
    }
}
