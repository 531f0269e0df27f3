use super::*;
use crate::wrapper::command_line::{OptionTable, parse};

fn flags(words: &[&str]) -> Result<Vec<String>, Refusal> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let items = parse(&words, OptionTable::of(Flavour::Elf))?;
    let flags = BackendFlags::of(Flavour::Elf, &items)?;
    flags.arguments("x86_64-pc-linux-gnu", Flavour::Elf, &Release::of(22))
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
         -fpic -Wno-unused-command-line-argument"
    );
    let profile = said(&["-shared", "--lto-O3", "--lto-sample-profile=s.prof"]);
    assert!(profile.contains("-O3") && profile.contains("-fprofile-sample-use=s.prof"));
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
        &["-plugin-opt=dwo_dir=x"],
        &["-plugin-opt=save-temps"],
        &["--lto-basic-block-sections=labels"],
    ] {
        assert!(flags(words).is_err(), "{words:?}");
    }
}
