use super::*;
use crate::wrapper::command_line::{OptionTable, parse};

fn flags(words: &[&str]) -> Result<Vec<String>, Refusal> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let items = parse(&words, OptionTable::of(Flavour::Elf))?;
    let flags = BackendFlags::of(Flavour::Elf, &items)?;
    flags.arguments("x86_64-pc-linux-gnu", Flavour::Elf, &Release::of(22), false)
}

fn said(words: &[&str]) -> String {
    flags(words).expect("expressed").join(" ")
}

#[test]
fn options_that_dtlto_forwards_become_its_own_arguments() {
    assert_eq!(
        said(&[
            "-pie",
            "-plugin-opt=mcpu=x86-64",
            "-plugin-opt=O2",
            "-plugin-opt=thinlto"
        ]),
        "-c --target=x86_64-pc-linux-gnu -O2 -faddrsig -ffunction-sections -fdata-sections \
         --no-default-config -fpic -Wno-unused-command-line-argument"
    );
    let profile = said(&["-shared", "--lto-O3", "--lto-sample-profile=s.prof"]);
    assert!(profile.contains("-O3") && profile.contains("-fprofile-sample-use=s.prof"));
}

/// At the place that it has in a job file of DTLTO, because the key counts the order.
#[test]
fn releases_that_interchange_loops_are_told_to() {
    let items = parse(&["-pie".to_owned()], OptionTable::of(Flavour::Elf)).expect("understood");
    let flags = BackendFlags::of(Flavour::Elf, &items).expect("expressed");
    let words = flags.arguments("x86_64-pc-linux-gnu", Flavour::Elf, &Release::of(23), false);
    assert_eq!(
        words.expect("expressed").join(" "),
        "-c --target=x86_64-pc-linux-gnu -O2 -faddrsig -ffunction-sections -fdata-sections \
         --no-default-config -floop-interchange -fpic -Wno-unused-command-line-argument"
    );
}

#[test]
fn apples_backends_get_what_ld64_would_use() {
    let said = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let items = parse(&words, OptionTable::of(Flavour::MachO)).expect("understood");
        let flags = BackendFlags::of(Flavour::MachO, &items).expect("expressed");
        let words = flags.arguments(
            "arm64-apple-macosx13.0.0",
            Flavour::MachO,
            &Release::of(22),
            false,
        );
        words.expect("expressed").join(" ")
    };
    let plain = "-c --target=arm64-apple-macosx13.0.0 -O2 --no-default-config \
        -Wno-unused-command-line-argument";
    assert_eq!(
        said(&["-platform_version", "macos", "13", "13", "-dylib"]),
        plain
    );
    for (words, flag) in [
        (&["--icf=safe"][..], "-faddrsig"),
        (&["-mcpu", "apple-m2"], "-mcpu=apple-m2"),
        (&["--lto-O3"], "-O3"),
        (&["-mllvm", "-x=7"], "-mllvm -x=7"),
    ] {
        assert!(said(words).contains(flag), "{words:?}");
    }
    assert_eq!(said(&["--icf=all"]), plain);
}

#[test]
fn options_that_dtlto_does_not_forward_reach_the_compiler() {
    assert!(said(&[]).contains("-fno-pic"));
    for (words, flag) in [
        (
            &["-mllvm", "-inline-threshold=7"][..],
            "-mllvm -inline-threshold=7",
        ),
        (&["-plugin-opt=-emulated-tls"], "-femulated-tls"),
        (&["-plugin-opt=-target-abi=lp64d"], "-mabi=lp64d"),
        (&["-plugin-opt=mcpu=haswell"], "-march=haswell"),
        (&["--lto-cs-profile-file=c.prof"], "-fprofile-use=c.prof"),
        (
            &[
                "-plugin-opt=cs-profile-generate",
                "-plugin-opt=cs-profile-path=d/default_%m.profraw",
            ],
            "-fcs-profile-generate=d",
        ),
        (
            &["--lto-basic-block-sections=all"],
            "-fbasic-block-sections=all",
        ),
        (&["-plugin-opt=-function-sections=1"], "-fdata-sections"),
    ] {
        let all = said(words);
        assert!(all.contains(flag), "{words:?}: {all}");
    }
}

#[test]
fn options_without_a_clang_equivalent_are_left_to_the_linker() {
    for words in [
        &["--lto-O1"][..],
        &["--lto-O2", "--lto-CGO3"],
        &["-mllvm", "-code-model=large"],
        &["-mllvm", "-dwarf-version=3"],
        &["-mllvm", "-enable-no-nans-fp-math"],
        &["-plugin-opt=save-temps"],
        &["--lto-basic-block-sections=labels"],
    ] {
        assert!(flags(words).is_err(), "{words:?}");
    }
}
