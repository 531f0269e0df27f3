//! Inputs with which clang and lld silently produce a wrong program: each makes the link fail here,
//! and leaves nothing.
//!
//! clang exits 0 with an empty object when a shard or an import is missing or damaged, and with a
//! plausible but wrong one when a name is spelled differently or a file was replaced; lld skips
//! empty objects. So each test takes the files of a good link, damages one, and runs relto on the
//! job.

use std::path::{Path, PathBuf};

use fs_err as fs;
use prost::Message as _;
use relto::internals::digest::DigestFunction;
use relto::internals::thinlto::Index;

use crate::support::fake::fake_clang;
use crate::support::link::{Home, Link};
use crate::support::program::{Feature, feature, generated, of_texts};
use crate::support::saved::{Saved, leftovers, result_files, result_in, results};

/// The job of `main.o`, which imports from `twice.o` and `thrice.o`.
fn saved() -> Saved {
    Saved::new(&feature(Feature::Plain)).only("main.o")
}

#[test]
fn the_undamaged_job_works_and_is_cached() {
    let saved = saved();
    let output = saved.run();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(saved.objects().iter().all(|object| object.exists()));
    assert_eq!(results(&saved.home), 1);
}

/// `object` in the place of the one in the result that `file` of the disk cache holds.
fn put_in_place_of_cached(home: &Home, file: &Path, object: &[u8]) {
    let mut result = result_in(file);
    let digest = DigestFunction::Sha256.digest(object);
    let hex = digest.hex();
    let blob = home.cache().join("relto/cas").join(&hex[..2]).join(&hex);
    fs::create_dir_all(blob.parent().expect("a directory")).expect("made");
    fs::write(blob, object).expect("written");
    result.output_files[0].digest = Some(digest.to_pb());
    result.output_files[0].contents.clear();
    fs::write(file, result.encode_to_vec()).expect("written");
}

#[test]
fn an_object_of_a_cache_that_is_cut_off_broken_or_for_another_processor_is_a_miss() {
    let saved = saved();
    assert!(saved.run().status.success());
    let object = fs::read(&saved.objects()[0]).expect("an object");
    let [file] = &result_files(&saved.home)[..] else {
        panic!("one result");
    };
    // `e_shoff` and `e_machine` of ELF.
    let changed = |at: usize, byte: u8| {
        let mut changed = object.clone();
        changed[at] ^= byte;
        changed
    };
    let cut_off = object[..object.len() * 2 / 3].to_vec();
    for bad in [cut_off, changed(45, 1), changed(18, 0xff)] {
        put_in_place_of_cached(&saved.home, file, &bad);
        assert!(saved.run().status.success());
        assert!(fs::read(&saved.objects()[0]).expect("an object") == object);
        let kept = result_in(file).output_files[0].digest.clone();
        let right = DigestFunction::Sha256.digest(&object).to_pb();
        assert_eq!(kept, Some(right), "the next link finds the right one");
    }
}

#[test]
fn a_shard_that_is_missing_empty_cut_off_or_garbage_is_refused() {
    let saved = saved();
    let name = saved.index().file_name().expect("a name").to_owned();
    let name = name.to_string_lossy().into_owned();
    let good = fs::read(saved.index()).expect("read");
    fs::remove_file(saved.index()).expect("removed");
    saved.refused(&["`main.o`", &name]);
    for bad in [
        &b""[..],
        &good[..good.len() / 2],
        &good[..good.len() - 4],
        b"BC\xc0\xde",
        b"no bitcode at all",
        &[0; 4096],
    ] {
        fs::write(saved.index(), bad).expect("written");
        saved.refused(&["`main.o`", &name]);
    }
}

/// A pipe that nobody writes would be waited for, and a file without contents would take the memory.
#[test]
fn pipes_and_giant_files_in_the_place_of_inputs_are_refused() {
    let index = saved().index();
    let index = index.file_name().expect("a name").to_string_lossy();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    for name in [&*index, "main.o", "thrice.o"] {
        let saved = saved();
        let path = saved.path(name);
        fs::remove_file(&path).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a pipe");
        saved.refused(&[name]);
        fs::remove_file(&path).expect("removed");
        let giant = fs::File::create(&path).expect("made");
        giant.set_len(1 << 43).expect("lengthened");
        saved.refused(&[name]);
    }
}

#[test]
fn an_import_that_is_missing_empty_or_garbage_is_refused() {
    let saved = saved();
    let import = saved.path("thrice.o");
    let good = fs::read(&import).expect("read");
    fs::remove_file(&import).expect("removed");
    saved.refused(&["`main.o`", "`thrice.o`"]);
    for bad in [&b""[..], &good[..good.len() / 2], b"BC\xc0\xde", b"garbage"] {
        fs::write(&import, bad).expect("written");
        saved.refused(&["`main.o`", "`thrice.o`"]);
    }
}

#[test]
fn an_import_that_was_replaced_by_another_module_is_refused() {
    let saved = saved();
    fs::copy(saved.path("twice.o"), saved.path("thrice.o")).expect("copied");
    saved.refused(&["`main.o`", "`thrice.o` is not the module", "Link again"]);
}

#[test]
fn a_module_that_is_missing_empty_or_replaced_is_refused() {
    let saved = saved();
    let module = saved.path("main.o");
    fs::remove_file(&module).expect("removed");
    saved.refused(&["cannot compile `main.o`"]);
    fs::write(&module, "").expect("written");
    saved.refused(&["cannot compile `main.o`", "`main.o` is empty"]);
    fs::copy(saved.path("twice.o"), &module).expect("copied");
    saved.refused(&["cannot compile `main.o`", "`main.o` is not the module"]);
}

#[test]
fn a_module_that_a_warm_hash_cache_knows_is_refused_once_it_is_replaced() {
    let saved = saved();
    assert_eq!(saved.run().status.code(), Some(0));
    fs::copy(saved.path("twice.o"), saved.path("thrice.o")).expect("copied");
    for object in saved.objects() {
        fs::remove_file(object).expect("removed");
    }
    let output = saved.run();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("`thrice.o` is not the module"), "{stderr}");
}

#[test]
fn a_module_that_the_shard_spells_otherwise_is_refused() {
    for spelling in ["./main.o", ".//main.o", "main.O"] {
        let mut saved = saved();
        if !saved.path(spelling).exists() {
            fs::copy(saved.path("main.o"), saved.path(spelling)).expect("copied");
        }
        saved.job()["inputs"][0] = spelling.into();
        saved.job()["args"][0] = spelling.into();
        saved.refused(&[&format!("`{spelling}`"), "does not list"]);
    }
}

#[test]
fn a_job_and_a_shard_that_disagree_about_imports_are_refused() {
    let mut more = saved();
    fs::copy(more.path("twice.o"), more.path("more.o")).expect("copied");
    let inputs = more.job()["inputs"].as_array_mut().expect("a list");
    inputs.push("more.o".into());
    more.refused(&["`main.o`", "does not list `more.o`"]);

    let mut fewer = saved();
    let inputs = fewer.job()["inputs"].as_array_mut().expect("a list");
    inputs.retain(|name| name != "thrice.o");
    fewer.refused(&["`main.o`", "imports from `thrice.o`"]);
}

#[test]
fn the_shard_of_another_module_is_refused() {
    let saved = saved();
    let other = Saved::new(&feature(Feature::Plain)).only("twice.o");
    fs::copy(other.index(), saved.index()).expect("copied");
    saved.refused(&["cannot compile `main.o`"]);
}

#[test]
fn a_shard_whose_hashes_are_zero_is_refused() {
    let saved = saved();
    let mut shard = fs::read(saved.index()).expect("read");
    let hashes: Vec<Vec<u8>> = {
        let index = Index::parse(&shard).expect("a good shard");
        let hashes = index
            .modules()
            .iter()
            .map(|entry| entry.hash.expect("a hash"));
        hashes
            .map(|hash| hash.map(u32::to_le_bytes).concat())
            .collect()
    };
    for hash in hashes {
        assert_eq!(erase(&mut shard, &hash), 1, "the hash stands there once");
    }
    fs::write(saved.index(), shard).expect("written");
    saved.refused(&["cannot compile `main.o`", "is not the module"]);
}

/// Zeroes the record of `hash` (five words, little end first, at any bit) wherever it stands;
/// counts the places.
fn erase(shard: &mut [u8], hash: &[u8]) -> usize {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1;
    let length = hash.len() * 8;
    let mut found = 0;
    for start in 0..=shard.len() * 8 - length {
        if (0..length).all(|at| bit(shard, start + at) == bit(hash, at)) {
            found += 1;
            for at in start..start + length {
                shard[at / 8] &= !(1 << (at % 8));
            }
        }
    }
    found
}

/// What the compiler does with each job, and what relto says of it.
const FALSE_SUCCESSES: &[(&str, &str)] = &[
    ("put(out, \"\", 0); return 0;", "the output is empty"),
    (
        "put(out, \"text\", 4); return 0;",
        "expected ELF object output",
    ),
    ("put(out, \"\\177ELF\\2\\1\", 6); return 0;", "truncated"),
    ("object(ET_EXEC); return 0;", "a linked file"),
    ("return 0;", "left no `main.1."),
    (
        "object(ET_REL); fputs(\"Error loading index file 'x'\\n\", stderr); return 0;",
        "exited with 0 but says `Error loading index file 'x'`",
    ),
    (
        "object(ET_REL); fputs(\"Error running ThinLTO backend: y\\n\", stderr); return 0;",
        "exited with 0 but says `Error running ThinLTO backend: y`",
    ),
];

#[test]
fn a_compiler_that_only_claims_success_fails_the_link() {
    for (behaviour, complaint) in FALSE_SUCCESSES {
        let mut saved = saved();
        saved.compile_with(&fake_clang(behaviour));
        saved.refused(&[
            "cannot compile `main.o`",
            complaint,
            "command (on this machine): ",
        ]);
    }
}

#[test]
fn a_compiler_that_fails_or_crashes_leaves_nothing() {
    for (behaviour, complaint) in [
        (
            "object(ET_REL); fputs(\"no, really\\n\", stderr); return 3;",
            "exited with 3",
        ),
        (
            "object(ET_REL); fputs(\"no, really\\n\", stderr); __builtin_trap();",
            "signal 4",
        ),
        // lld takes these two for failures to start relto: the code must not be handed on.
        (
            "fputs(\"no, really\\n\", stderr); return 126;",
            "exited with 126",
        ),
        (
            "fputs(\"no, really\\n\", stderr); return 127;",
            "exited with 127",
        ),
    ] {
        let mut saved = saved();
        saved.compile_with(&fake_clang(behaviour));
        saved.refused(&["cannot compile `main.o`", complaint, "  | no, really"]);
    }
}

/// clang removes its object alone, and a job file may name any file.
#[test]
fn a_failed_compile_removes_its_object_and_no_further_output() {
    let failing = [
        "fputs(\"no, really\\n\", stderr); return 3;",
        "fputs(\"no, really\\n\", stderr); __builtin_trap();",
        "object(ET_REL); fputs(\"Error loading index file 'x'\\n\", stderr); return 0;",
    ];
    for (behaviour, is_damaged) in failing
        .map(|it| (it, false))
        .into_iter()
        .chain([("", true)])
    {
        let mut saved = saved();
        let further = saved.path("precious.su");
        fs::write(&further, "of an earlier build").expect("written");
        fs::write(&saved.objects()[0], "of an earlier build").expect("written");
        saved.compile_with(&fake_clang(&format!("{behaviour} return 1;")));
        if is_damaged {
            fs::write(saved.index(), "no shard").expect("damaged");
        }
        let outputs = saved.job()["outputs"].as_array_mut().expect("a list");
        outputs.push("precious.su".into());
        saved.refused(&[]);
        let left = fs::read_to_string(&further).expect("it is still there");
        assert_eq!(left, "of an earlier build", "{behaviour}");
    }
}

/// clang itself removes what it has not finished, unless it is killed.
#[test]
fn a_compiler_that_is_killed_leaves_no_unfinished_output() {
    let mut saved = saved();
    let further = saved.path("main.su");
    fs::write(&further, "of an earlier build").expect("written");
    saved.compile_with(&fake_clang("put(\"main.su\", \"x\", 1); __builtin_trap();"));
    let outputs = saved.job()["outputs"].as_array_mut().expect("a list");
    outputs.push("main.su".into());
    saved.refused(&["signal 4"]);
    assert!(!further.exists());
}

#[test]
fn the_fake_compiler_is_accepted_when_it_works() {
    let mut saved = saved();
    saved.compile_with(&fake_clang("object(ET_REL); return 0;"));
    let output = saved.run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(results(&saved.home), 1);
}

#[test]
fn a_missing_output_directory_is_reported() {
    let mut saved = saved();
    saved.job()["outputs"][0] = "nowhere/main.o".into();
    saved.job()["args"][3] = "nowhere/main.o".into();
    let stderr = saved.run().stderr;
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("`nowhere/main.o`"), "{stderr}");
    assert!(stderr.contains("  hint: "), "{stderr}");
    assert!(!saved.path("nowhere").exists());
}

#[test]
fn an_object_that_a_link_leads_to_is_not_the_result_of_the_sandbox() {
    let mut saved = saved();
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("out.o");
    // In the sandbox the output's directory becomes a link to one that the compiler cannot read.
    let behaviour = format!(
        "if (!strncmp(out, \"relto/\", 6)) {{ if (rename(\"relto\", \"was\")) return 9; \
         return symlink(\"{}\", \"relto\"); }} object(ET_REL); return 0;",
        outside.path().display()
    );
    let other = saved.in_place[0].clone();
    fs::write(&secret, &other).expect("written");
    saved.compile_with(&fake_clang(&behaviour));
    let output = saved.run();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("1 in place"), "{stderr}");
    let object = fs::read(&saved.objects()[0]).expect("an object");
    assert!(object != other, "it was read");
    assert_eq!(results(&saved.home), 0, "it was kept");
}

#[test]
fn a_module_that_does_not_compile_fails_the_link_with_a_complete_message() {
    let mut program = generated(12);
    let bad = of_texts(
        "bad-assembly",
        &[(
            "bad.c",
            "__attribute__((used)) void bad(void) { __asm__(\"bogus 1, 2\"); }\n",
        )],
        &[],
    );
    program.modules.extend(bad.modules);
    let home = Home::new();
    let outcome = Link::new(&program).run_at(&home);
    assert_ne!(outcome.code, Some(0));
    assert_eq!(outcome.stdout, "");
    for part in [
        "relto: error: cannot compile `bad.o`: the compiler exited with 1",
        "command (on this machine): ",
        "-fthinlto-index=bad.",
        "  | ",
        "bogus",
        "distributor execution failed",
    ] {
        assert!(
            outcome.stderr.contains(part),
            "no `{part}` in:\n{}",
            outcome.stderr
        );
    }
    assert!(!outcome.executable().exists());
    assert_eq!(names_with(outcome.dir(), "native.o"), Vec::<String>::new());
    assert_eq!(leftovers(outcome.dir()), Vec::<PathBuf>::new());
}

fn names_with(dir: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains(part)).collect()
}
