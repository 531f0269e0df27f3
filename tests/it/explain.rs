//! `relto explain`: the key that a link used, and what made it another one.

use std::process::Command;

use fs_err as fs;

use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, feature};

fn explain(outcome: &LinkOutcome, home: &Home, earlier: &[&str]) -> String {
    let entries = fs::read_dir(outcome.dir()).expect("a directory");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    let job_file = names.find(|name| name.to_string_lossy().ends_with(".dist-file.json"));
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    relto.current_dir(outcome.dir()).arg("explain");
    run(relto.arg(job_file.expect("a job file")).args(earlier))
}

#[test]
fn the_action_is_the_one_that_the_cache_is_asked_for_and_a_change_is_named() {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let linked = Link::new(&program)
        .keep_objects()
        .run_at(&home)
        .expect_works();
    let before = explain(&linked, &home, &[]);
    let keys: Vec<&str> = before
        .lines()
        .filter_map(|line| line.strip_prefix("  action "))
        .collect();
    assert_eq!(keys.len(), 3, "{before}");
    for key in keys {
        let hash = key.split('/').next().expect("a hash");
        let kept = home.cache().join("relto/ac").join(&hash[..2]).join(hash);
        assert!(kept.exists(), "`{}` is not there", kept.display());
    }
    assert!(
        before.contains("  input relto/m/0000.bc ") && before.contains("(main.o)"),
        "{before}"
    );

    let link = Link::new(&program).argument("-Wl,--lto-O1").keep_objects();
    let source = link.dir().join("thrice.c");
    fs::write(&source, "int thrice(int x) { return x + x + x; }\n").expect("written");
    let mut clang = Llvm::get().command("clang");
    clang
        .args(["-O2", "-flto=thin", "-c"])
        .arg(&source)
        .arg("-o");
    run(clang.arg(link.dir().join("thrice.o")));
    let linked = link.run_at(&home).expect_works();
    fs::write(linked.dir().join("before"), &before).expect("written");
    let told = explain(&linked, &home, &["before"]);
    for part in [
        "- argument -O2",
        "+ argument -O1",
        "- input relto/m/",
        "(thrice.o)",
        "0 of 3 jobs have the same key",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    fs::write(linked.dir().join("now"), explain(&linked, &home, &[])).expect("written");
    let told = explain(&linked, &home, &["now"]);
    assert_eq!(told, "3 of 3 jobs have the same key in both links\n");
}
