//! The keys of fixed jobs, as the first release made them: the results that users have in their
//! caches are found as long as these stay equal.
//!
//! Everything that a key is made of is fixed here: two small modules and their shards
//! (`testdata/keys`, written by clang 22 and lld 22), and a compiler that is a program of 129
//! bytes. A key that changes on purpose takes a new canonical form in `Action.salt`; see
//! `CONTRIBUTING.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::support::executable;
use crate::support::farm::{Farm, Method, Outcome, Profile};
use crate::support::link::Home;
use crate::support::skip::skip;

const FILES: [(&str, &[u8]); 4] = [
    ("a.bc", include_bytes!("../testdata/keys/a.bc")),
    ("b.bc", include_bytes!("../testdata/keys/b.bc")),
    (
        "a.bc.thinlto.bc",
        include_bytes!("../testdata/keys/a.bc.thinlto.bc"),
    ),
    (
        "b.bc.thinlto.bc",
        include_bytes!("../testdata/keys/b.bc.thinlto.bc"),
    ),
];

/// A static program for x86-64 that exits with 0.
fn compiler() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code = [0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05];
    let size = HEADERS + code.len() as u64;
    let mut program = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    program.extend([0; 8]);
    for half in [2_u16, 62] {
        program.extend(half.to_le_bytes());
    }
    program.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        program.extend(word.to_le_bytes());
    }
    program.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        program.extend(half.to_le_bytes());
    }
    // One segment, to be read and executed.
    for word in [1_u32, 5] {
        program.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 4096] {
        program.extend(word.to_le_bytes());
    }
    program.extend(code);
    program
}

/// A directory with the link of `a.bc` and `b.bc`, whose common arguments end with `arguments`.
fn link(arguments: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    for (name, bytes) in FILES {
        fs::write(path(name), bytes).expect("written");
    }
    executable::write(path("clang"), compiler());
    let job = |name: &str, import: &str| {
        json!({
            "args": [name, format!("-fthinlto-index={name}.thinlto.bc"), "-o", format!("{name}.o")],
            "inputs": [name, format!("{name}.thinlto.bc"), import],
            "outputs": [format!("{name}.o")],
        })
    };
    let clang = path("clang");
    let mut common = vec![clang.to_str().expect("a plain path"), "-c"];
    common.extend(["--target=x86_64-pc-linux-gnu", "-O2"]);
    common.extend(arguments);
    let jobs = json!({
        "common": { "linker_output": "app", "args": common, "inputs": Vec::<Value>::new() },
        "jobs": [job("a.bc", "b.bc"), job("b.bc", "a.bc")],
    });
    fs::write(path("jobs.json"), jobs.to_string()).expect("written");
    dir
}

fn relto(dir: &Path, home: &Home, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    command
        .current_dir(dir)
        .env_remove("SOURCE_DATE_EPOCH")
        .envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

fn is_testable_here() -> bool {
    let here = cfg!(target_arch = "x86_64");
    if !here {
        skip("the compiler in these keys is a program for x86-64");
    }
    here
}

/// The keys of the disk cache, as `relto explain` shows them.
fn explained(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let (dir, home) = (link(arguments), Home::new());
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let output = relto(dir.path(), &home, &variables)
        .args(["explain", "jobs.json"])
        .output()
        .expect("relto starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().map(str::trim);
    let actions = lines.filter_map(|line| line.strip_prefix("action "));
    actions.map(str::to_owned).collect()
}

/// The lines of `testdata/keys/NAME.txt`: what differs from the plain link, then a key a job.
fn table(rows: &[(&str, Vec<String>)]) -> String {
    let line = |(title, keys): &(&str, Vec<String>)| format!("{title}: {}\n", keys.join(" "));
    rows.iter().map(line).collect()
}

#[test]
fn the_keys_of_the_disk_cache_are_those_of_the_first_release() {
    if !is_testable_here() {
        return;
    }
    let arguments = |arguments: &[&str]| explained(arguments, &[]);
    let variable = |name: &str, value: &str| explained(&[], &[(name, value)]);
    let rows = [
        ("nothing", arguments(&[])),
        ("inert arguments", arguments(&["-DX=1", "-Ix", "-Wshadow"])),
        (
            "a section each",
            arguments(&["-ffunction-sections", "-fpic"]),
        ),
        ("assembly", arguments(&["-S"])),
        ("a salt", variable("RELTO_CACHE_SALT", "salt")),
        ("a date", variable("SOURCE_DATE_EPOCH", "1")),
        ("an override", variable("CCC_OVERRIDE_OPTIONS", "+-fpic")),
    ];
    assert_eq!(table(&rows), include_str!("../testdata/keys/disk.txt"));
}

/// The actions that a farm of this kind is asked for.
fn asked(profile: Profile, variables: &[(&'static str, &str)]) -> Vec<String> {
    let (dir, home) = (link(&[]), Home::new());
    // What the jobs become does not matter: the question comes before.
    let farm = Farm::scripted(profile, |_| Outcome::exit(1, "refused\n"));
    let mut environment = farm.environment();
    for (name, value) in variables {
        environment.push((name, (*value).to_owned()));
    }
    environment.push(("RELTO_STRATEGY", "remote".to_owned()));
    environment.push(("RELTO_DISK_CACHE", "off".to_owned()));
    let output = relto(dir.path(), &home, &environment)
        .arg("jobs.json")
        .output()
        .expect("relto starts");
    assert_eq!(output.status.code(), Some(1), "the compiler makes nothing");
    let record = farm.record();
    let calls = record.of(Method::GetActionResult);
    let actions = calls.flat_map(|call| call.digests.iter().map(ToString::to_string));
    // In no order of their own, and asked again when a call fails.
    let once: BTreeSet<_> = actions.collect();
    once.into_iter().collect()
}

#[test]
fn the_keys_of_farms_are_those_of_the_first_release() {
    if !is_testable_here() {
        return;
    }
    let blake3 = [("RELTO_DIGEST_FUNCTION", "blake3")];
    let platform = [("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", "Pool=large")];
    let rows = [
        ("nothing", asked(Profile::plain(), &[])),
        ("BLAKE3", asked(Profile::plain(), &blake3)),
        ("a platform", asked(Profile::plain(), &platform)),
        ("REAPI 2.0", asked(reapi_2_0(), &[])),
    ];
    assert_eq!(table(&rows), include_str!("../testdata/keys/farms.txt"));
}

/// A farm that reads `output_files`.
fn reapi_2_0() -> Profile {
    Profile {
        versions: (None, (2, 0), (2, 0)),
        speaks_2_0: true,
        ..Profile::plain()
    }
}
