//! Arguments that keep a job from having a slice key.

use crate::action::native::{TO_CLANG, is_of_native};

/// Arguments after which an object, or what is written beside it, may depend on more than a slice
/// holds: names, GUIDs or profiles as data, bitcode, remarks, measurements, libraries, and options
/// of passes.
const EXCLUDED: [&str; 36] = [
    "-B",
    "-M",
    "-R",
    "-S",
    "-X",
    "--coverage",
    "--save-",
    "-dump",
    "-emit-",
    "-fauto-profile",
    "-fbasic-block",
    "-fcoverage",
    "-fcs-",
    "-fdebug",
    "-fembed",
    "-ffat-lto",
    "-fmemory-profile",
    "-foptimization-record",
    "-fpass-plugin",
    "-fplugin",
    "-fproc-stat",
    "-fprofile",
    "-fpseudo",
    "-frecord",
    "-fsanitize",
    "-fsave",
    "-fsplit",
    "-fstack-usage",
    "-ftest-coverage",
    "-ftime",
    "-fverbose",
    "-fxray",
    "-g",
    "-mllvm",
    "-pg",
    "-save-",
];

/// An argument that [`EXCLUDED`] would keep out: in what form bitcode is written. Linux gives it to
/// its backends.
const HARMLESS: &str = "-fsplit-lto-unit";

/// The first excluded argument. What stands for `-march=native` is none.
pub(super) fn excluded(arguments: &[String]) -> Option<&String> {
    let mut rest = arguments;
    while let [word, after @ ..] = rest {
        rest = match after {
            [name, clang, _, after @ ..]
                if word == TO_CLANG && clang == TO_CLANG && is_of_native(name) =>
            {
                after
            }
            _ if is_excluded(word) => return Some(word),
            _ => after,
        };
    }
    None
}

fn is_excluded(word: &str) -> bool {
    word != HARMLESS && EXCLUDED.iter().any(|prefix| word.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of [`EXCLUDED`] keeps out, in its order.
    const ARGUMENTS: [&str; EXCLUDED.len()] = [
        "-B/usr/lib",
        "-MD",
        "-Rpass=inline",
        "-S",
        "-Xclang",
        "--coverage",
        "--save-temps",
        "-dumpdir",
        "-emit-llvm",
        "-fauto-profile=samples.prof",
        "-fbasic-block-sections=all",
        "-fcoverage-mapping",
        "-fcs-profile-generate",
        "-fdebug-pass-manager",
        "-fembed-bitcode",
        "-ffat-lto-objects",
        "-fmemory-profile-use=heap.prof",
        "-foptimization-record-file=remarks.yaml",
        "-fpass-plugin=pass.so",
        "-fplugin=plugin.so",
        "-fproc-stat-report",
        "-fprofile-sample-use=samples.prof",
        "-fpseudo-probe-for-profiling",
        "-frecord-command-line",
        "-fsanitize=kcfi",
        "-fsave-optimization-record",
        "-fsplit-stack",
        "-fstack-usage",
        "-ftest-coverage",
        "-ftime-trace",
        "-fverbose-asm",
        "-fxray-instrument",
        "-gsplit-dwarf",
        "-mllvm",
        "-pg",
        "-save-temps",
    ];

    #[test]
    fn arguments_that_ask_for_more_than_an_object_are_excluded() {
        for (word, prefix) in ARGUMENTS.iter().zip(EXCLUDED) {
            assert!(is_excluded(word), "{word}");
            let others = EXCLUDED.iter().filter(|other| **other != prefix);
            let mut others = others.filter(|other| word.starts_with(**other));
            assert_eq!(others.next(), None, "`{prefix}` alone keeps out `{word}`");
        }
        for word in ["-fsplit-lto-unit", "-O2", "-mcmodel=kernel"] {
            assert!(!is_excluded(word), "{word}");
        }
    }

    #[test]
    fn the_processor_of_this_machine_is_not_excluded() {
        let excluded = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            excluded(&words).cloned()
        };
        let native = "-c -Xclang -target-cpu -Xclang znver4 -Xclang -target-feature -Xclang +avx";
        assert_eq!(excluded(native), None);
        for words in [
            "-Xclang -target-cpu",
            "-Xclang -target-cpu -Xclang",
            "-Xclang -target-cpu -c znver4",
            "-Xclang -emit-llvm-bc -Xclang x",
            "-Xclang -target-cpu -Xclang x -Xclang -emit-llvm",
        ] {
            assert_eq!(excluded(words).as_deref(), Some("-Xclang"), "{words}");
        }
    }
}
