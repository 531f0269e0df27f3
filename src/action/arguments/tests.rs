use proptest::prelude::*;

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The meaning of each argument in `line`.
fn meanings(line: &str) -> Vec<Meaning> {
    let words = words(line);
    parse(&words).iter().map(|it| it.meaning).collect()
}

#[test]
fn a_backend_command_line_is_understood() {
    use Meaning::{Index, Input, InputFile, Language, Output, OutputKind, Plain, Target};
    assert_eq!(
        meanings(
            "-c --target=x86_64-unknown-linux-gnu -O2 -fpic -x ir m.bc -fthinlto-index=m.thinlto.bc -o m.o -mllvm -o -fprofile-sample-use=p"
        ),
        [
            OutputKind, Target, Plain, Plain, Language, Input, Index, Output, Plain, InputFile
        ]
    );
}

#[test]
fn a_value_is_in_the_same_word_or_the_next() {
    let line = words("-o a -ob -fthinlto-index=c -include d --target=e -I");
    let values: Vec<_> = parse(&line)
        .iter()
        .map(|it| (it.words.len(), it.value))
        .collect();
    assert_eq!(
        values,
        [
            (2, Some("a")),
            (1, Some("b")),
            (1, Some("c")),
            (2, Some("d")),
            (1, Some("e")),
            (1, None)
        ]
    );
    assert_eq!(target(&parse(&line)), Some("e"));
}

#[test]
fn options_of_llvm_that_the_inner_command_gets_are_seen() {
    let of_inner = "-Xclang -mllvm -O2 -Xclang";
    for (line, is_plain) in [
        (format!("{of_inner} -lto-embed-bitcode=all"), false),
        (format!("{of_inner} -stats-file"), false),
        (format!("{of_inner} -inline-threshold=3"), true),
        ("-Xclang=-mllvm -Xclang -print-passes".to_owned(), false),
        ("-Xclang -mllvm=-print-passes".to_owned(), false),
        (
            "-Xclang -O2 -Xclang -lto-embed-bitcode=all".to_owned(),
            true,
        ),
    ] {
        let found = meanings(&line).iter().all(|it| *it == Meaning::Plain);
        assert_eq!(found, is_plain, "{line}");
    }
}

#[test]
fn the_processor_of_this_machine_is_seen_with_what_is_added_to_it() {
    for word in ["-march=native", "-mcpu=native+nosve", "-mtune=NATIVE"] {
        assert_eq!(meanings(word), [Meaning::Machine], "{word}");
    }
    for word in ["-march=natively", "-mcpu=cortex-a72+native", "-mabi=native"] {
        assert_eq!(meanings(word), [Meaning::Plain], "{word}");
    }
}

#[test]
fn an_option_without_its_value_is_left_to_clang() {
    for word in ["-D", "-I", "-MF", "-include"] {
        assert_eq!(meanings(word), [Meaning::Plain], "{word}");
    }
}

#[test]
fn all_words_after_two_dashes_are_inputs() {
    assert_eq!(
        meanings("-- -c @x"),
        [Meaning::Plain, Meaning::Input, Meaning::Input]
    );
}

#[test]
fn a_warning_that_backends_give_is_not_taken_for_a_front_end_warning() {
    for word in [
        "-Wa,-x",
        "-Wl,-x",
        "-Wp,-DX",
        "-Werror",
        "-Werror=unused",
        "-Wno-error=unused",
        "-Wframe-larger-than=1",
        "-Wall",
        "-Wno-pass-failed",
        "-w",
        "-Wfatal-errors",
        "-Wno-unused-command-line-argument",
    ] {
        assert_eq!(meanings(word), [Meaning::Plain], "{word}");
    }
    for word in ["-Wunused", "-Wno-unused-function"] {
        assert_eq!(
            meanings(word),
            [Meaning::FrontEnd { warns: false }],
            "{word}"
        );
    }
}

#[test]
fn unused_arguments_are_dropped_only_where_clang_does_not_warn_about_them() {
    let left = |line: &str| -> Vec<String> {
        let words = words(line);
        reaching(&parse(&words))
            .flat_map(|it| it.words)
            .cloned()
            .collect()
    };
    assert_eq!(left("-DX -Wunused -Ix -c"), ["-Ix", "-c"]);
    let silenced = left("-I x -Qunused-arguments -c");
    assert_eq!(silenced, ["-Qunused-arguments", "-c"]);
    let remarked = "-Wno-unused-command-line-argument -Ix -Werror=unused-command-line-argument";
    assert_eq!(left(remarked), words(remarked));
}

#[test]
fn a_profile_may_be_a_file_a_directory_or_the_default() {
    let file = |word: &str| parse(&words(word))[0].file(|path| path == "dir/");
    assert_eq!(file("-fprofile-use=p").as_deref(), Some("p"));
    assert_eq!(
        file("-fprofile-use=dir/").as_deref(),
        Some("dir/default.profdata")
    );
    assert_eq!(file("-fprofile-use").as_deref(), Some("default.profdata"));
    assert_eq!(file("-fprofile-sample-use=dir/").as_deref(), Some("dir/"));
    assert_eq!(file("-O2"), None);
}

#[test]
fn an_argument_with_another_value_keeps_its_spelling() {
    let other = |line: &str| parse(&words(line))[0].with_value("new");
    assert_eq!(other("-o x"), ["-o", "new"]);
    assert_eq!(other("-ox"), ["-onew"]);
    assert_eq!(other("-fprofile-use"), ["-fprofile-use=new"]);
    assert_eq!(other("-fprofile-use=x"), ["-fprofile-use=new"]);
    assert_eq!(other("x.bc"), ["new"]);
}

#[test]
fn the_last_option_about_an_extra_output_wins() {
    let extra = |line: &str| extra_outputs(&parse(&words(line)), "d.x/a.b.o");
    assert_eq!(extra("-O2"), [] as [&str; 0]);
    assert_eq!(
        extra("-gsplit-dwarf -fstack-usage"),
        ["d.x/a.b.dwo", "d.x/a.b.su"]
    );
    assert_eq!(extra("-gsplit-dwarf=single"), [] as [&str; 0]);
    assert_eq!(extra("-gsplit-dwarf -dumpdir x-"), [] as [&str; 0]);
    assert_eq!(extra("-gsplit-dwarf -gno-split-dwarf"), [] as [&str; 0]);
    assert_eq!(extra("-fsave-optimization-record"), ["d.x/a.b.opt.yaml"]);
    assert_eq!(
        extra("-fsave-optimization-record=bitstream"),
        ["d.x/a.b.opt.bitstream"]
    );
    assert_eq!(extra("-foptimization-record-file=r"), ["r"]);
    assert_eq!(
        extra_outputs(&parse(&words("-fstack-usage")), ".x/a"),
        [".x/a.su"]
    );
}

#[test]
fn files_named_to_the_inner_compiler_make_the_job_run_in_place() {
    for line in [
        "-Xclang -load",
        "-Xclang -coverage-data-file=x.gcda",
        "-Xclang -coverage-notes-file",
        "-Xclang -split-dwarf-output",
        "-Xclang -ftime-trace=x",
        "-Xclang -fprofile-sample-use=x",
        "-Xclang=-dumpdir",
        "-mllvm -info-output-file=x",
        "-Xclang=-load",
        "-mllvm=-info-output-file=x",
        "-mllvm -view-machine-block-freq-propagation-dags=fraction",
        "-mllvm -polly-dot",
        "-mllvm -time-passes",
        "-mllvm -forceattrs-csv-path=x",
        "-mllvm -lowertypetests-write-summary=x",
        "-mllvm -chr-function-list=x",
        "-save-temps=obj",
        "--via-file-asm",
        "-mllvm -lto-embed-bitcode=post-merge-pre-opt",
        "-mllvm=--lto-embed-bitcode=optimized",
        "-mllvm -print-pipeline-passes",
        "-v",
        "-",
    ] {
        assert!(
            matches!(meanings(line)[..], [Meaning::InPlace(_)]),
            "{line}"
        );
    }
    for line in [
        "-Xclang -target-cpu",
        "-Xclang -fdebug-compilation-dir",
        "-Xclang file",
        "-mllvm -enable-split-machine-functions",
        "-mllvm -dse-memoryssa-path-check-limit=50",
        "-mllvm -import-instr-limit=5",
        "-mllvm -profile-guided-section-prefix=false",
    ] {
        assert_eq!(meanings(line), [Meaning::Plain], "{line}");
    }
}

proptest! {
    #[test]
    fn every_word_belongs_to_exactly_one_argument(
        words in proptest::collection::vec("|--?[a-zA-Z]{0,3}|-(o|I|Xclang|MF|x|target|include|fprofile-use=)|[@a-z]{0,3}", 0..8)
    ) {
        let again: Vec<_> = parse(&words).iter().flat_map(|it| it.words).cloned().collect();
        prop_assert_eq!(again, words);
    }
}
