//! Arguments that keep a job from having a slice key, wherever they come from.

use fs_err as fs;
use relto::internals::action::arguments::HEEDED;
use tempfile::TempDir;

use crate::support::compiler::CompilerCopy;
use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::program::Program;
use crate::support::repeat::remote;

use super::links::{base, edited_unseen, explain_jobs, link};

/// Changes no object, and would change the key of what it is added to alike.
const EXCLUDED: &str = "-fverbose-asm";
const HARMLESS: &str = "-ffunction-sections";

/// How many jobs are cached in a link after an edit that importers cannot see; `with` makes both
/// links what they are.
fn found<'a>(
    before: &'a Program,
    after: &'a Program,
    with: &dyn Fn(Link<'a>) -> Link<'a>,
) -> usize {
    let home = Home::new();
    with(link(before, "on")).run_at(&home).expect_works();
    let outcome = with(link(after, "on")).run_at(&home).expect_works();
    outcome.assert_identical_objects();
    outcome.counts().cached
}

/// A directory with a file that says `text`.
fn file_that_says(text: &str) -> (TempDir, String) {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("more.cfg");
    fs::write(&file, format!("{text}\n")).expect("written");
    let path = file.display().to_string();
    (dir, path)
}

#[test]
fn an_argument_excludes_a_job_wherever_it_comes_from() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    for (word, expected) in [(HARMLESS, 2), (EXCLUDED, 0)] {
        let (_dir, file) = file_that_says(word);
        let copy = CompilerCopy::new();
        fs::write(copy.file("clang.cfg"), word).expect("written");
        let compiler = copy.option("clang");
        for argument in [
            &remote(word),
            &remote(&format!("@{file}")),
            &remote(&format!("--config={file}")),
            &compiler,
        ] {
            let found = found(&before, &after, &|link| link.argument(argument));
            assert_eq!(found, expected, "{word} by {argument}");
        }
        let found = found(&before, &after, &|link| {
            link.env("CLANG_NO_DEFAULT_CONFIG", "1").argument(&compiler)
        });
        assert_eq!(found, 2, "{word} in a file that is not read");
    }
}

#[test]
fn the_processor_of_this_machine_excludes_no_job() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let native = remote("-march=native");
    let found = found(&before, &after, &|link| link.argument(&native));
    assert_eq!(found, 2);
}

#[test]
fn jobs_for_processors_that_were_not_compared_have_slice_keys_only_where_the_user_says_so() {
    let (home, (program, _kept)) = (Home::new(), base());
    let outcome = link(&program, "on").run_at(&home).expect_works();
    let excluded = |target: &str, switch: Option<&str>| {
        let mut relto = explain_jobs(&outcome, &home);
        let file = outcome.dir().join("jobs.json");
        let text = fs::read_to_string(&file).expect("read");
        let here = "--target=x86_64-pc-linux-gnu";
        assert!(text.contains(here), "{text}");
        fs::write(file, text.replace(here, &format!("--target={target}"))).expect("written");
        match switch {
            Some(switch) => relto.env("RELTO_SLICE_KEYS", switch),
            None => relto.env_remove("RELTO_SLICE_KEYS"),
        };
        run(&mut relto)
            .matches("  slice key none: it is for a processor")
            .count()
    };
    for target in ["x86_64-linux-gnu", "aarch64-linux-gnu"] {
        assert_eq!(excluded(target, None), 0, "{target}");
    }
    for target in ["riscv64-linux-gnu", "i386-linux-gnu", "x86_64-linux-gnux32"] {
        assert_eq!(excluded(target, None), 3, "{target}");
        assert_eq!(excluded(target, Some("on")), 0, "{target}");
    }
}

/// All of their locals would be promoted under the same numbers.
#[test]
fn modules_without_hashes_exclude_their_jobs() {
    let (home, (mut program, kept)) = (Home::new(), base());
    for module in &mut program.modules {
        let name = module.file_name().expect("a name").to_owned();
        let plain = kept.path().join("plain").join(name);
        fs::create_dir_all(plain.parent().expect("a directory")).expect("made");
        let mut opt = Llvm::get().command("opt");
        run(opt
            .arg("-module-summary")
            .arg(&*module)
            .arg("-o")
            .arg(&plain));
        *module = plain;
    }
    let outcome = link(&program, "on").run_at(&home).expect_works();
    outcome.assert_identical_objects();
    let told = run(&mut explain_jobs(&outcome, &home));
    assert_eq!(
        told.matches("  slice key none: one of its modules has no hash")
            .count(),
        3,
        "{told}"
    );
}

#[test]
fn arguments_that_a_variable_may_add_exclude_a_job() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    // Whatever it says; `#` keeps clang from showing it.
    for edit in ["#+-fverbose-asm", "#+-ffunction-sections"] {
        let found = found(&before, &after, &|link| {
            link.env("CCC_OVERRIDE_OPTIONS", edit)
        });
        assert_eq!(found, 0, "{edit}");
    }
}

#[test]
fn every_variable_that_a_backend_heeds_excludes_a_job() {
    let (home, (program, _kept)) = (Home::new(), base());
    let outcome = link(&program, "on").run_at(&home).expect_works();
    let excluded = |variable: Option<&str>| {
        let mut relto = explain_jobs(&outcome, &home);
        relto.envs(variable.map(|name| match name {
            "CCC_OVERRIDE_OPTIONS" => (name, "+-ffunction-sections"),
            _ => (name, "1"),
        }));
        let told = run(&mut relto);
        told.matches("  slice key none: the environment").count()
    };
    assert_eq!(excluded(None), 0);
    // These matter to objects for Windows and Apple only.
    let is_of_others = |name: &str| {
        ["SOURCE_DATE_EPOCH", "SDKROOT"].contains(&name) || name.ends_with("_DEPLOYMENT_TARGET")
    };
    for name in HEEDED {
        let wanted = if is_of_others(name) { 0 } else { 3 };
        assert_eq!(excluded(Some(name)), wanted, "{name}");
    }
}
