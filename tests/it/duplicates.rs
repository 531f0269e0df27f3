//! Jobs with the same action run once per link, and each has its own object and messages.

use fs_err as fs;
use tempfile::TempDir;

use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::farm::{Farm, Method, Profile};
use crate::support::link::Link;
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, of_texts};
use crate::support::remote::{here, strict};
use crate::support::saved::Saved;

/// Counts itself when the program starts.
const MODULE: &str =
    "extern int started;\n__attribute__((constructor)) static void start(void) { started++; }\n";

/// A program of which two modules are the same file under two names. The one with `main` is the
/// longest, so where one job runs at a time both are planned before either runs. The directory goes
/// with the guard.
fn with_duplicate(name: &str, module: &str) -> (Program, TempDir) {
    let mut main = "#include <stdio.h>\nint started;\n".to_owned();
    for number in 0..200 {
        use std::fmt::Write as _;
        writeln!(
            main,
            "__attribute__((used)) int f{number}(int x) {{ return x % {} ? x : {number}; }}",
            number + 3
        )
        .expect("a string");
    }
    main.push_str("int main(void) { puts(started == 2 ? \"ok\" : \"not all\"); return 0; }\n");
    let mut program = of_texts(name, &[("main.c", &main), ("a.c", module)], &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("b.o");
    fs::copy(&program.modules[1], &copy).expect("copied");
    program.modules.push(copy);
    (program, dir)
}

/// Who made each job's object, by the execution log.
fn runners(outcome: &LinkOutcome) -> Vec<String> {
    let log = fs::read_to_string(outcome.dir().join("log.json")).expect("a log");
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let mut runners: Vec<String> = lines
        .map(|line| line["runner"].as_str().expect("a name").to_owned())
        .collect();
    runners.sort();
    runners
}

fn logged(link: Link<'_>) -> LinkOutcome {
    link.env("RELTO_EXECUTION_LOG_JSON_FILE", "log.json")
        .keep_objects()
        .run_at(here())
        .expect_works()
}

#[test]
fn one_of_two_equal_modules_is_compiled_locally_and_both_have_clangs_object() {
    let (program, _dir) = with_duplicate("duplicates", MODULE);
    let link = Link::new(&program)
        .env("RELTO_DISK_CACHE", "off")
        .env("RELTO_LOCAL_JOBS", "1");
    let outcome = logged(link);
    let counts = outcome.counts();
    assert_eq!((counts.jobs, counts.local, counts.cached), (3, 2, 1));
    assert_eq!(
        runners(&outcome),
        ["local", "local", "result of an equal job"]
    );
    outcome.assert_identical_objects();
}

#[test]
fn one_of_two_equal_modules_is_looked_up_and_executed_at_the_farm() {
    let farm = Farm::start(Profile::plain());
    let (program, _dir) = with_duplicate("duplicates", MODULE);
    let link = strict(&program, &farm.environment()).env("RELTO_JOBS", "1");
    let outcome = logged(link);
    let counts = outcome.counts();
    assert_eq!((counts.jobs, counts.remote, counts.cached), (3, 2, 1));
    let record = farm.record();
    assert_eq!(record.count(Method::GetActionResult), 2);
    assert_eq!(record.count(Method::Execute), 2);
    assert_eq!(record.executed.len(), 2);
    outcome.assert_identical_objects();
}

#[test]
fn equal_modules_that_read_a_hidden_file_are_each_compiled_in_place() {
    let hidden = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let module = format!("{MODULE}__asm__(\".data\\n.incbin \\\"{hidden}\\\"\\n.previous\");\n");
    let (program, _dir) = with_duplicate("duplicates-incbin", &module);
    let link = Link::new(&program)
        .env("RELTO_DISK_CACHE", "off")
        .env("RELTO_LOCAL_JOBS", "1");
    let outcome = logged(link);
    let counts = outcome.counts();
    assert_eq!((counts.local, counts.in_place, counts.cached), (1, 2, 0));
    outcome.assert_identical_objects();
}

#[test]
fn messages_of_equal_modules_are_shown_for_each_under_its_own_name() {
    let (program, _dir) = with_duplicate("duplicates", MODULE);
    let mut saved = Saved::new(&program);
    let compiler = saved.path("clang");
    let behaviour = "for (int i = 1; i < count; i++) if (strstr(arguments[i], \".bc\") && !strchr(arguments[i], '=')) \
         fprintf(stderr, \"%s: odd\\n\", arguments[i]); object(ET_REL); return 0;";
    executable::copy(fake_clang(behaviour), &compiler);
    saved.compile_with(&compiler);
    let output = saved
        .command()
        .env("RELTO_DISK_CACHE", "off")
        .env("RELTO_LOCAL_JOBS", "1")
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for module in ["a.o: odd", "b.o: odd", "main.o: odd"] {
        let lines = stderr.lines().filter(|line| line.ends_with(module));
        assert_eq!(lines.count(), 1, "{stderr}");
    }
    assert!(stderr.contains("1 cached: 1 shared, 2 local"), "{stderr}");
    assert!(saved.objects().iter().all(|object| object.exists()));
}
