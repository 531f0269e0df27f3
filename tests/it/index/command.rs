//! `relto index`: its output for people, for scripts, and in lld's own format.

use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::support::backends::Backends;
use crate::support::link::Home;
use crate::support::program::{Feature, feature, generated};

/// Exit code, stdout, stderr of `relto index WORDS...` in the program's directory.
fn index(backends: &Backends, words: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    Home::new().apply(&mut command);
    command.current_dir(backends.dir()).arg("index");
    let output = command.args(words.split(' ')).output();
    let output = output.expect("relto starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn answer(backends: &Backends, words: &str) -> String {
    let (code, stdout, stderr) = index(backends, words);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words}");
    stdout
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn modules_and_hashes_are_shown_to_people_and_to_scripts() {
    let backends = Backends::new(&feature(Feature::Plain));
    let text = answer(&backends, "show main.o.thinlto.bc");
    let shown = json_of(&answer(&backends, "show --format=json main.o.thinlto.bc"));
    assert_eq!(shown["order"], "Canonical");
    assert_eq!(shown["skip_module"], false);
    let version = format!("summary version {}, flags 0x", shown["version"]);
    assert!(text.starts_with(&version), "{text}");
    let modules = shown["modules"].as_array().expect("a list");
    assert!(modules.iter().any(|module| module["path"] == "main.o"));
    for module in modules {
        let (path, hash) = (module["path"].as_str(), module["hash"].as_str());
        let (path, hash) = (path.expect("a path"), hash.expect("a hash"));
        assert_eq!(hash.len(), 40);
        assert!(text.contains(&format!("{hash}  {path}\n")), "{text}");
        assert_eq!(module["damaged_name"], false);
    }
}

#[test]
fn a_list_of_imports_is_the_one_that_lld_writes() {
    let program = generated(5);
    let emit = ["-Wl,--thinlto-emit-imports-files"];
    let backends = Backends::thin_linked(&program, &emit);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut seen = 0;
    for module in &backends.modules {
        let lld = fs::read_to_string(backends.path(&format!("{module}.imports"))).expect("a list");
        let words = format!("inputs --format=imports {module}.thinlto.bc");
        let ours = answer(&backends, &words);
        assert_eq!(sorted(&ours), sorted(&lld), "{module}");
        let inputs = answer(&backends, &format!("inputs {module}.thinlto.bc"));
        assert_eq!(sorted(&inputs), sorted(&format!("{ours}{module}\n")));
        let listed = json_of(&answer(
            &backends,
            &format!("inputs --format=json {module}.thinlto.bc"),
        ));
        let lines: Vec<&str> = inputs.lines().collect();
        assert_eq!(listed, json!({ "inputs": lines }));
        seen += ours.lines().count();
    }
    assert!(seen > 0, "no module imports anything");
}

#[test]
fn the_module_of_an_index_may_be_named_where_its_file_name_does_not() {
    let backends = Backends::new(&generated(5));
    fs::copy(backends.path("main.o.thinlto.bc"), backends.path("index")).expect("copied");
    fs::create_dir(backends.path("out")).expect("made");
    let elsewhere = backends.path("out/main.o.thinlto.bc");
    fs::copy(backends.path("main.o.thinlto.bc"), elsewhere).expect("copied");
    let expected = answer(&backends, "inputs --format=imports main.o.thinlto.bc");
    let moved = answer(&backends, "inputs --format=imports out/main.o.thinlto.bc");
    let named = answer(&backends, "inputs --format=imports --module=main.o index");
    assert_eq!((moved.as_str(), named.as_str()), (&*expected, &*expected));
    for words in [
        "inputs --format=imports index",
        "inputs --format=imports --module=other.o index",
    ] {
        let (code, stdout, stderr) = index(&backends, words);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("hint: pass `--module=NAME`"), "{stderr}");
    }
    let (code, _, stderr) = index(&backends, "show --format=imports index");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("is for `relto index inputs`"), "{stderr}");
}

#[test]
fn a_check_finds_missing_and_replaced_modules() {
    let backends = Backends::new(&generated(5));
    let text = answer(&backends, "check main.o.thinlto.bc");
    assert!(text.starts_with("sound: ") && text.ends_with(" modules\n"));
    let checked = answer(&backends, "check --format=json main.o.thinlto.bc");
    let sound = json!({ "sound": true, "reason": null, "hints": [] });
    assert_eq!(json_of(&checked), sound);
    // A module that was compiled again after the thin link.
    let inputs = answer(&backends, "inputs --format=imports main.o.thinlto.bc");
    let import = inputs.lines().next().expect("an import");
    let other = backends.modules.iter().rfind(|module| *module != import);
    fs::copy(
        backends.path(other.expect("another")),
        backends.path(import),
    )
    .expect("copied");
    for change in ["another", "none"] {
        if change == "none" {
            fs::remove_file(backends.path(import)).expect("removed");
        }
        let (code, stdout, stderr) = index(&backends, "check main.o.thinlto.bc");
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{change}");
        assert!(stderr.contains(import), "{stderr}");
        let words = "check --format=json main.o.thinlto.bc";
        let (code, stdout, stderr) = index(&backends, words);
        assert_eq!((code, stderr.as_str()), (Some(1), ""), "{change}");
        let checked = json_of(&stdout);
        assert_eq!(checked["sound"], false);
        let reason = checked["reason"].as_str().expect("a reason");
        assert!(reason.contains(import), "{reason}");
    }
}
