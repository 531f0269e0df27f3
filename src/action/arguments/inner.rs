//! Options that the driver hands over as they are: to `clang -cc1` after `-Xclang`, to LLVM after
//! `-mllvm`. There are thousands, so names tell which ones use files.

use super::Meaning;

/// Options of `clang -cc1` and of LLVM that name files; all others are plain.
pub(super) fn inner_file_option(option: &str, value: Option<&str>) -> Option<Meaning> {
    /// What LLVM prints on standard output, which an action's result has no place for.
    const PRINTED: [&str; 2] = ["print-pipeline-passes", "print-passes"];
    /// What embeds the command line, which in an action is not the user's.
    const EMBEDS: &str = "lto-embed-bitcode";
    let value = value?;
    if let "-Xclang" | "-Xclang=" = option
        && let Some(of_llvm) = value.strip_prefix("-mllvm=")
    {
        return inner_file_option("-mllvm", Some(of_llvm));
    }
    if let "-mllvm" | "-mllvm=" = option {
        let value = value.trim_start_matches('-');
        if PRINTED.iter().any(|prefix| value.starts_with(prefix)) {
            return Some(Meaning::InPlace("prints to standard output"));
        }
        if value.starts_with(EMBEDS) && value != "lto-embed-bitcode=none" {
            return Some(Meaning::InPlace("writes the command line into the object"));
        }
    }
    let names_a_file = match option {
        "-Xclang" | "-Xclang=" => names_a_file_to_cc1(value),
        "-mllvm" | "-mllvm=" => names_a_file_to_llvm(value.trim_start_matches('-')),
        _ => false,
    };
    names_a_file.then_some(Meaning::InPlace("names a file behind the driver's back"))
}

/// Whether an option of `clang -cc1` reads or writes files, as far as its name tells; its value is often
/// in the next `-Xclang`.
fn names_a_file_to_cc1(option: &str) -> bool {
    /// Words of the names of such options.
    const WORDS: [&str; 12] = [
        "dir",
        "dot",
        "dumpdir",
        "file",
        "filename",
        "include",
        "list",
        "overlay",
        "path",
        "trace",
        "use",
        "vfsoverlay",
    ];
    /// Beginnings of the names of others.
    const OTHERS: [&str; 9] = [
        "-load",
        "-mlink-b",
        "-split-dwarf-",
        "-save-temps",
        "--save-temps",
        "-fembed-offload-object",
        "-fverify-debuginfo-preserve-export",
        "-ivfsoverlay",
        "-working-directory",
    ];
    /// Whose value is text that ends up in debug information.
    const TEXT: [&str; 2] = ["-fdebug-compilation-dir", "-fcoverage-compilation-dir"];
    if !option.starts_with('-') {
        return false;
    }
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    let is_other = OTHERS.iter().any(|start| name.starts_with(start));
    (has_word(name, &WORDS) || is_other) && !TEXT.contains(&name)
}

/// Whether an option of LLVM reads or writes files, as far as its name tells. LLVM has thousands of
/// options and no list of these; taking one too many for such an option costs a cached result.
fn names_a_file_to_llvm(option: &str) -> bool {
    /// Words of the names of options that use files, whatever their value.
    const ALWAYS: [&str; 8] = [
        "dir",
        "directory",
        "dot",
        "exec",
        "file",
        "filename",
        "time",
        "view",
    ];
    /// Words of the names of options whose value, if it is no number, names a file or a program.
    const WITH_TEXT: [&str; 7] = ["channel", "csv", "list", "log", "output", "path", "summary"];
    /// Used in a crash only, after which the compiler runs once more in place.
    const CRASHES: &str = "crash-diagnostics-dir";
    let (name, value) = option
        .split_once('=')
        .map_or((option, None), |(name, value)| (name, Some(value)));
    let is_text = value.is_some_and(|value| {
        !matches!(value, "" | "true" | "false") && value.parse::<f64>().is_err()
    });
    name != CRASHES && (has_word(name, &ALWAYS) || (is_text && has_word(name, &WITH_TEXT)))
}

fn has_word(name: &str, words: &[&str]) -> bool {
    let mut parts = name.split(['-', '.', '_']);
    parts.any(|part| words.contains(&part))
}
