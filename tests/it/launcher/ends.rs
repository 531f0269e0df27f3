//! Compilers that fail, crash, are stopped, or cannot be uploaded: relto ends as they do.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::{Backends, WORDS};
use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::program::{Feature, feature, of_texts};
use crate::support::saved::results;

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

#[test]
fn a_compile_that_fails_has_clangs_messages_and_exit_code() {
    let assembly = "__attribute__((used)) void bad(void) { __asm__(\"bogus 1, 2\"); }\nint main(void) { return 0; }\n";
    let program = of_texts("bad-assembly-alone", &[("main.c", assembly)], &[]);
    let backends = Backends::new(&program);
    let mut clang = Command::new(backends.compiler());
    let theirs = clang
        .current_dir(backends.dir())
        .args(WORDS)
        .output()
        .expect("clang starts");
    let home = Home::new();
    fs::write(backends.path("o.o"), "of an earlier build").expect("written");
    let mut command = backends.relto(&home);
    let ours = command
        .env_remove("RELTO_LOG")
        .args(WORDS)
        .output()
        .expect("relto starts");
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(ours.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ours.stderr),
        String::from_utf8_lossy(&theirs.stderr)
    );
    assert!(!backends.path("o.o").exists());
    assert_eq!(results(&home), 0);
}

#[test]
fn the_compilers_exit_code_is_passed_on() {
    let (backends, home) = (plain(), Home::new());
    for code in [3, 70, 126, 127] {
        let compiler = fake_clang(&format!("fputs(\"no, really\\n\", stderr); return {code};"));
        let output = backends
            .relto_with(&home, &compiler)
            .args(WORDS)
            .output()
            .expect("relto starts");
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no, really"));
    }
}

#[test]
fn command_lines_that_the_compiler_refuses_get_the_compilers_own_message() {
    let backends = plain();
    fs::write(backends.path("text.o"), "no bitcode").expect("written");
    for module in ["nowhere.o", "text.o"] {
        let mut words = WORDS;
        words[7] = module;
        let mut clang = Command::new(backends.compiler());
        let theirs = clang
            .current_dir(backends.dir())
            .args(words)
            .output()
            .expect("clang starts");
        let ours = backends
            .relto(&Home::new())
            .args(words)
            .output()
            .expect("relto starts");
        assert_eq!(ours.status.code(), theirs.status.code());
        assert_eq!(
            String::from_utf8_lossy(&ours.stderr),
            String::from_utf8_lossy(&theirs.stderr)
        );
    }
}

/// The warning comes once, though each backend is a process of its own.
#[test]
fn an_unknown_argument_makes_backends_run_in_place_and_is_reported_once() {
    let (backends, home) = (plain(), Home::new());
    let mut told = 0;
    for module in &backends.modules {
        let mut command = backends.relto(&home);
        command
            .args(backends.arguments(module, "native.o"))
            .arg("-fms-secure-hotpatch-functions-file=./list");
        fs::write(backends.path("list"), "").expect("written");
        let output = command.output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("`: in place"), "{stderr}");
        told += stderr
            .matches("relto: warning: ThinLTO backends run in place, uncached: `-fms-secure")
            .count();
    }
    assert_eq!(told, 1);
    assert_eq!(results(&home), 0);
}

#[test]
fn a_file_that_an_unknown_argument_writes_is_not_lost() {
    // A compiler of tomorrow, which writes a report beside its object.
    let compiler = fake_clang(
        "object(ET_REL); for (int i = 1; i < count; i++) if (!strcmp(arguments[i], \"-freport\")) put(\"report\", \"x\", 1); return 0;",
    );
    let (backends, home) = (plain(), Home::new());
    let output = backends
        .relto_with(&home, &compiler)
        .args(WORDS)
        .arg("-freport")
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("`: in place"),
        "{stderr}"
    );
    assert!(backends.path("report").exists());
    assert_eq!(results(&home), 0);
}

/// A script may be a compiler; relto cannot send it anywhere, but what it leaves is looked at.
#[test]
fn a_compiler_that_is_a_script_compiles_in_place_under_the_same_guard() {
    let (backends, home) = (plain(), Home::new());
    let script = backends.path("clang-wrapper");
    for (text, code) in [
        (
            format!("#!/bin/sh\nexec {} \"$@\"\n", backends.compiler().display()),
            0,
        ),
        ("#!/bin/sh\n: > o.o\n".to_owned(), 1),
        ("#!/bin/sh\necho said; exit 7\n".to_owned(), 7),
    ] {
        executable::write(&script, text);
        let output = backends
            .relto_with(&home, &script)
            .args(WORDS)
            .output()
            .expect("relto starts");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(backends.path("o.o").exists(), code == 0);
        let _ = fs::remove_file(backends.path("o.o"));
    }
}

#[test]
fn a_signal_ends_the_compiler_and_relto_and_leaves_nothing() {
    // It tells its process id on a file of the test's, and sleeps.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mark = dir.path().join("started");
    let backends = plain();
    let script = backends.path("clang-wrapper");
    let text = format!(
        "#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}\nexec sleep 600\n",
        mark.display()
    );
    executable::write(&script, text);
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut command = backends.relto_with(&home, &script);
        let mut relto = command
            .args(WORDS)
            .stderr(Stdio::piped())
            .spawn()
            .expect("relto starts");
        while !mark.exists() {
            assert!(
                relto.try_wait().expect("a child").is_none(),
                "it ended early"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let compiler = fs::read_to_string(&mark).expect("a number");
        fs::remove_file(&mark).expect("removed");
        kill_process(Pid::from_child(&relto), signal).expect("sent");
        let status = relto.wait().expect("ended");
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(
            !std::path::Path::new(&format!("/proc/{}", compiler.trim())).exists(),
            "the compiler lives on"
        );
        assert!(!backends.path("o.o").exists());
    }
}
