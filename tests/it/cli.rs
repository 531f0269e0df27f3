//! The command line as a user meets it: arguments in, text and exit codes out.

use assert_cmd::Command;

use crate::support::clean_home::CleanHome;

#[test]
fn help_is_short_and_goes_to_stdout() {
    let place = CleanHome::new();
    for arguments in ["--help", "-h", "help", "help --help", "help doctor"] {
        let words = arguments.split(' ');
        let output = place.relto().args(words).output().expect("started");
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.lines().count() < 60, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn every_command_shows_all_options_on_request() {
    let place = CleanHome::new();
    for line in [
        "--help-all",
        "help --help-all",
        "cache --help-all",
        "j.json --help-all",
    ] {
        let told = place.relto_told(line);
        assert!(told.starts_with("exit 0\n"), "{line}: {told}");
        assert!(told.contains("--grpc-keepalive-time"), "{line}: {told}");
    }
}

#[test]
fn completions_and_manual_pages_are_made_for_packages() {
    let place = CleanHome::new();
    // They depend on no settings, not even on wrong ones.
    place.write("project/.relto.toml", "frobnicate = 1\n");
    for shell in ["bash", "zsh", "fish"] {
        let told = place.relto_told(&format!("completions {shell}"));
        assert!(told.starts_with("exit 0\n"), "{told}");
        assert!(told.contains("remote-executor"), "{told}");
        assert!(told.contains("dynamic"), "{told}");
    }
    assert_eq!(place.relto_told("man pages"), "exit 0\n");
    let page = |name: &str| {
        fs_err::read_to_string(place.path("project/pages").join(name)).expect("a page")
    };
    let (relto, doctor) = (page("relto.1"), page("relto-doctor.1"));
    // Also of an option that `-h` leaves out.
    for help in ["farm: grpc://", "attempts after a call"] {
        assert!(relto.contains(help), "{relto}");
    }
    assert!(doctor.contains("options of relto(1)"), "{doctor}");
    assert!(!doctor.contains("remote"), "{doctor}");
}

#[test]
fn the_version_is_a_command_and_an_option() {
    let place = CleanHome::new();
    let told = place.relto_told("version");
    assert!(told.starts_with("exit 0\n--- stdout\nrelto "), "{told}");
    assert_eq!(told, place.relto_told("--version"));
}

#[test]
fn relto_alone_says_on_a_terminal_which_commands_matter() {
    let place = CleanHome::new();
    let mut script = Command::new("script");
    script
        .args(["-qec", env!("CARGO_BIN_EXE_relto"), "/dev/null"])
        .env("HOME", place.path("home"))
        .current_dir(place.path("project"));
    let Ok(output) = script.output() else {
        crate::support::skip::skip("there is no `script` to make a terminal");
        return;
    };
    let told = String::from_utf8(output.stdout).expect("text");
    for part in ["relto doctor", "-fthinlto-distributor=", "relto stats"] {
        assert!(told.contains(part), "no `{part}` in: {told}");
    }
    let told = place.relto_told("");
    assert!(told.contains("missing argument <JOBS.json>"), "{told}");
}

#[test]
fn the_readme_fits_two_screens_and_names_what_there_is() {
    let readme = include_str!("../../README.md");
    assert!(readme.lines().count() <= 100, "two screens");
    let place = CleanHome::new();
    let mut commands = 0;
    for part in readme.split('`').skip(1).step_by(2) {
        if let Some(rest) = part.strip_prefix("relto ") {
            let command = rest.split([' ', '[']).next().expect("a word");
            let told = place.relto_told(&format!("{command} --help"));
            assert!(told.starts_with("exit 0\n"), "`{part}`: {told}");
            commands += 1;
        }
        let is_page = part.starts_with("docs/") || part.starts_with("examples/");
        if is_page {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(part);
            assert!(path.exists(), "`{part}`");
        }
    }
    assert!(commands > 5, "the README names commands");
    let pictures = readme
        .split("](")
        .skip(1)
        .filter_map(|it| it.split(')').next());
    for picture in pictures {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(picture);
        assert!(path.exists(), "`{picture}` is a file of the repository");
    }
}

#[test]
fn stats_answer_in_json_and_begin_again_at_zero() {
    let place = CleanHome::new();
    let told = place.relto_told("stats --json --since 2h -n 5");
    for part in ["exit 0\n", "\"links\": []", "\"hit_rate\": 0.0"] {
        assert!(told.contains(part), "{told}");
    }
    let told = place.relto_told("stats --zero");
    assert_eq!(told, "exit 0\n--- stdout\nall links are forgotten\n");
    let told = place.relto_told("stats --since yesterday");
    assert!(told.starts_with("exit 2\n"), "{told}");
}

#[test]
fn an_unknown_command_is_not_taken_for_a_job_file() {
    let told = answers(&["docter now", "frobnicate"]);
    insta::assert_snapshot!(told, @r"
    $ relto docter now
    exit 2
    --- stderr
    relto: error: unknown command `docter`
      hint: did you mean `relto doctor`?
    $ relto frobnicate
    exit 2
    --- stderr
    relto: error: unknown command `frobnicate`
      hint: `relto --help` lists the commands; a job file is named like `JOBS.json`
    ");
}

#[test]
fn the_settings_in_force_are_shown_with_their_sources() {
    let place = CleanHome::new();
    place.write("project/.relto.toml", "jobs = 3\n");
    let mut relto = place.relto();
    relto.env("RELTO_REMOTE_RETRIES", "9");
    relto.args(["--remote-header=x-key=hunter2", "config"]);
    let told = place.told(&mut relto);
    for line in [
        "read [T]/project/.relto.toml\n",
        "jobs = 3  (from `[T]/project/.relto.toml` line 1)\n",
        "remote_retries = 9  (from the environment variable `RELTO_REMOTE_RETRIES`)\n",
        "remote_header = x-key=***  (from the command line)\n",
        "remote_timeout = 60s  (the default)\n",
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let place = CleanHome::new();
    let script = format!(
        "'{}' --help-all | true; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_relto")
    );
    let told = place.told(Command::new("bash").arg("-c").arg(script));
    assert_eq!(told, "exit 0\n--- stdout\n0\n");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let place = CleanHome::new();
    for line in ["config", "--help", "version", "daemon stop", "doctor"] {
        let script = format!("'{}' {line} >/dev/full", env!("CARGO_BIN_EXE_relto"));
        let mut shell = Command::new("bash");
        shell.env("HOME", place.path("home"));
        let told = place.told(shell.arg("-c").arg(script));
        let error = "relto: error: cannot write to the standard output\n";
        assert_eq!(told.matches(error).count(), 1, "{line}: {told}");
        assert!(told.starts_with("exit 1\n"), "{line}: {told}");
        assert!(told.contains("No space left on device"), "{line}: {told}");
    }
}

/// The answers to several command lines, one after the other.
fn answers(lines: &[&str]) -> String {
    let place = CleanHome::new();
    let answer = |line: &&str| {
        format!(
            "$ {}\n{}",
            format!("relto {line}").trim_end(),
            place.relto_told(line)
        )
    };
    lines.iter().map(answer).collect()
}

#[test]
fn wrong_options_end_with_2_and_a_hint() {
    let told = answers(&[
        "--remote-executr=grpc://f:1 j.json",
        "--frobnicate j.json",
        "-x j.json",
        "--jobs",
        "--jobs=many j.json",
        "--quiet=perhaps j.json",
        "--remote-executor=http://f j.json",
    ]);
    insta::assert_snapshot!(told, @r"
    $ relto --remote-executr=grpc://f:1 j.json
    exit 2
    --- stderr
    relto: error: unknown option `--remote-executr`
      hint: did you mean `--remote-executor`?
    $ relto --frobnicate j.json
    exit 2
    --- stderr
    relto: error: unknown option `--frobnicate`
      hint: `relto --help-all` lists every option
    $ relto -x j.json
    exit 2
    --- stderr
    relto: error: unknown option `-x`
      hint: relto has long options only; `relto --help-all` lists them
    $ relto --jobs
    exit 2
    --- stderr
    relto: error: `--jobs` needs a value
      hint: write --jobs=N
    $ relto --jobs=many j.json
    exit 2
    --- stderr
    relto: error: invalid value `many` for `jobs` (from the command line): expected a whole number from 1 to 16384
      hint: write a number or `auto`
    $ relto --quiet=perhaps j.json
    exit 2
    --- stderr
    relto: error: invalid value `perhaps` for `quiet` (from the command line): expected a boolean
      hint: write `true` or `false`
    $ relto --remote-executor=http://f j.json
    exit 2
    --- stderr
    relto: error: invalid value `http://f` for `remote_executor` (from the command line): relto speaks gRPC, not plain HTTP
      hint: try grpc://f:80
    ");
}

#[test]
fn wrong_words_end_with_2_and_a_hint() {
    let told = answers(&["", "j.json k.json", "docter", "cache shrink", "index show"]);
    insta::assert_snapshot!(told, @r"
    $ relto
    exit 2
    --- stderr
    relto: error: missing argument <JOBS.json>
      hint: `relto --help` shows the usage
    $ relto j.json k.json
    exit 2
    --- stderr
    relto: error: unexpected argument `k.json`
      hint: the job file is the last argument, and there is only one
    $ relto docter
    exit 2
    --- stderr
    relto: error: unknown command `docter`
      hint: did you mean `relto doctor`?
    $ relto cache shrink
    exit 2
    --- stderr
    relto: error: invalid value `shrink` for [show|trim|clear]
      hint: choose among show, trim, clear
    $ relto index show
    exit 2
    --- stderr
    relto: error: missing argument <FILE>
      hint: `relto --help` shows the usage
    ");
}

/// What a user of Bazel has in a `.bazelrc` is accepted as it stands there.
#[test]
fn the_flags_of_a_bazelrc_are_accepted_as_they_are() {
    const BAZELRC: &str = "
        # the farm
        build:farm --remote_executor=grpcs://farm.example.com
        build:farm --remote_cache=grpcs://cache.example.com:443
        build:farm --remote_instance_name=main
        build:farm --remote_header=x-api-key=0123=
        build:farm --remote_cache_header x-a=1 --remote_exec_header=x-b=2
        build:farm --remote_default_exec_properties=OSFamily=linux
        build:farm --remote_default_exec_properties=container-image=docker://a@sha256:0
        build:farm --remote_timeout=3600 --remote_retries=5 --remote_max_connections=200
        build:farm --remote_timeout=600s
        build:farm --remote_cache_compression --noremote_accept_cached
        build:farm --remote_upload_local_results=false --remote_local_fallback=1
        build:farm --digest_function=BLAKE3 --grpc_keepalive_time=30s
        build:farm --credential_helper=*.example.com=/usr/bin/helper
        build:farm --disk_cache=~/.cache/bazel --jobs=200
        build:farm --tls_client_certificate=c.pem --tls_client_key=k.pem --tls_certificate=ca.pem
        build:farm --profile=/tmp/p.json --execution_log_json_file=/tmp/l.json
    ";
    let lines = BAZELRC.lines().map(str::trim);
    let flags = lines
        .filter_map(|line| line.strip_prefix("build:farm "))
        .flat_map(str::split_whitespace);
    let place = CleanHome::new();
    let told = place.told(place.relto().args(flags).arg("cache"));
    insta::assert_snapshot!(told, @r"
    exit 0
    --- stdout
    [T]/home/.cache/bazel does not exist yet
    ");
}

#[test]
fn clearing_the_cache_keeps_foreign_files() {
    let place = CleanHome::new();
    let blob = format!("cache/cas/ab/ab{}", "0".repeat(62));
    place.write(&blob, "blob");
    place.write(
        "cache/CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n# relto disk cache, layout 1\n",
    );
    let other = place.write("cache/notes.txt", "mine");
    let told = |action: &str| place.relto_told(&format!("--disk-cache=../cache cache {action}"));
    insta::assert_snapshot!(told("show"), @r"
    exit 0
    --- stdout
    [T]/project/../cache
      size     4.00 KiB of 10.00 GiB at most
      results  0
      blobs    1
    ");
    insta::assert_snapshot!(told("clear"), @r"
    exit 0
    --- stdout
    1 file removed, 4.00 KiB before, 0 B now
    ");
    assert!(other.exists());
    assert!(!place.path(&blob).exists());
}

#[test]
fn a_directory_without_the_mark_of_a_cache_is_not_cleared() {
    let place = CleanHome::new();
    let blob = format!("cache/cas/ab/ab{}", "0".repeat(62));
    place.write(&blob, "blob");
    let other = place.write("cache/notes.txt", "mine");
    insta::assert_snapshot!(place.relto_told("--disk-cache=../cache cache clear"), @r"
    exit 1
    --- stderr
    relto: error: the disk cache `[T]/project/../cache` is not trimmed: the directory is not marked as a cache of relto
      hint: it contains files that relto did not create: set `disk_cache` to a directory of its own
    ");
    assert!(other.exists());
    assert!(place.path(&blob).exists());
}

/// Bazel's, say: it has the same form, and may hold years of work.
#[test]
fn a_cache_that_another_program_began_is_neither_cleared_nor_trimmed() {
    let place = CleanHome::new();
    let names = ["cas/ab/ab", "ac/cd/cd"].map(|start| format!("cache/{start}{}", "0".repeat(62)));
    for name in &names {
        place.write(name, "blob");
    }
    insta::assert_snapshot!(place.relto_told("--disk-cache=../cache cache clear"), @r"
    exit 1
    --- stderr
    relto: error: the disk cache `[T]/project/../cache` is not trimmed: the directory is not marked as a cache of relto
      hint: it held a cache before relto used it, which may be Bazel's: set `disk_cache` to a directory of its own
    ");
    let trim = "--disk-cache=../cache --disk-cache-max-size=1 cache trim";
    let told = place.relto_told(trim);
    assert!(told.starts_with("exit 1\n"), "{told}");
    assert!(names.iter().all(|name| place.path(name).exists()));
    let told = place.relto_told("--disk-cache=../cache doctor");
    assert!(told.contains("not marked as a cache of relto"), "{told}");
    assert!(!place.path("cache/CACHEDIR.TAG").exists());
}

#[test]
fn a_cache_is_cleared_once_another_process_has_trimmed_it_or_that_is_an_error() {
    let place = CleanHome::new();
    let blob = format!("home/.cache/relto/cas/ab/ab{}", "0".repeat(62));
    place.write(&blob, "blob");
    let lock = fs_err::File::create(place.path("home/.cache/relto/trim.lock")).expect("made");
    lock.file().lock().expect("locked");
    insta::assert_snapshot!(place.relto_told("cache clear"), @r"
    exit 1
    --- stderr
    relto: error: the disk cache `[T]/home/.cache/relto` is not cleared: another process is trimming it
      hint: run it again when that has ended
    ");
    assert!(place.path(&blob).exists());
    let told = std::thread::scope(|scope| {
        let clearing = scope.spawn(|| place.relto_told("cache clear"));
        drop(lock);
        clearing.join().expect("it ends")
    });
    assert!(told.contains("1 file removed"), "{told}");
    assert!(!place.path(&blob).exists());
}

#[test]
fn a_database_that_was_replaced_goes_with_the_cache() {
    let place = CleanHome::new();
    let old = place.write("home/.cache/relto/state.db.old", "of another relto");
    place.relto_told("cache show");
    assert!(old.exists());
    place.relto_told("cache clear");
    assert!(!old.exists());
}

#[test]
fn who_names_a_job_file_that_is_not_there_learns_how_a_link_keeps_it() {
    let place = CleanHome::new();
    for line in [
        "doctor --verify no.json",
        "explain no.json",
        "report no.json",
    ] {
        let told = place.relto_told(line);
        assert!(told.starts_with("exit 1\n"), "{line}: {told}");
        let hint = "hint: a link with `-Wl,--save-temps` keeps the job file";
        assert!(told.contains(hint), "{line}: {told}");
    }
    let told = place.relto_told("no.json");
    assert!(told.contains("lld itself starts relto"), "{told}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_a_warning() {
    let place = CleanHome::new();
    let told = place.told(place.relto().env("RELTO_LOG", "=[").arg("stats"));
    assert!(told.starts_with("exit 0\n"), "{told}");
    assert!(
        told.contains("relto: warning: `RELTO_LOG` is ignored"),
        "{told}"
    );
}

/// A hidden command of debug builds has a bug.
#[test]
fn a_bug_is_one_line_with_the_version_and_exit_code_1() {
    let place = CleanHome::new();
    for thread in ["here", "elsewhere"] {
        let output = place.relto().args(["__panic", thread]).output();
        let output = output.expect("started");
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(output.stdout.is_empty());
        let lines: Vec<_> = text.lines().collect();
        let wanted = "relto: error: internal error of relto ";
        assert!(lines[0].starts_with(wanted), "{text}");
        assert!(lines[0].contains("a test wants it"), "{text}");
        assert!(lines[1].starts_with("  hint: "), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
    }
}

#[test]
fn an_unknown_option_before_a_compiler_or_a_linker_is_an_error() {
    let told = answers(&[
        "cc --lokal-jobs=8 clang -c a.c -o a.o",
        "cc --quiet --frobnicate clang -c -x ir a.o -fthinlto-index=a.o.thinlto.bc -o b.o",
        "cc -O2 clang",
        "ld --bogus ld.lld a.o",
        "cc --noquiet /bin/true -c a.c",
        "cc --frobnicate -- /bin/true -c a.c",
        "cc --frobnicate -- clang -c -x ir a.o -fthinlto-index=a.o.thinlto.bc -o b.o",
    ]);
    insta::assert_snapshot!(told, @r"
    $ relto cc --lokal-jobs=8 clang -c a.c -o a.o
    exit 2
    --- stderr
    relto: error: unknown option `--lokal-jobs`
      hint: did you mean `--local-jobs`?
    $ relto cc --quiet --frobnicate clang -c -x ir a.o -fthinlto-index=a.o.thinlto.bc -o b.o
    exit 2
    --- stderr
    relto: error: unknown option `--frobnicate`
      hint: `relto --help-all` lists every option
    $ relto cc -O2 clang
    exit 2
    --- stderr
    relto: error: unknown option `-O2`
      hint: relto has long options only; `relto --help-all` lists them
    $ relto ld --bogus ld.lld a.o
    exit 2
    --- stderr
    relto: error: unknown option `--bogus`
      hint: `relto --help-all` lists every option
    $ relto cc --noquiet /bin/true -c a.c
    exit 0
    $ relto cc --frobnicate -- /bin/true -c a.c
    exit 0
    --- stderr
    relto: warning: unknown option `--frobnicate`
      hint: `relto --help-all` lists every option
    $ relto cc --frobnicate -- clang -c -x ir a.o -fthinlto-index=a.o.thinlto.bc -o b.o
    exit 2
    --- stderr
    relto: error: unknown option `--frobnicate`
      hint: `relto --help-all` lists every option
    ");
}

#[test]
fn hints_are_about_the_command_that_was_typed() {
    let told = answers(&[
        "stats x",
        "completions bash zsh",
        "index show missing",
        "explain a.o b.o",
        "explain --last a.o nosuch",
    ]);
    insta::assert_snapshot!(told, @r"
    $ relto stats x
    exit 2
    --- stderr
    relto: error: unexpected argument `x`
      hint: `relto stats --help` shows the usage
    $ relto completions bash zsh
    exit 2
    --- stderr
    relto: error: unexpected argument `zsh`
      hint: `relto completions --help` shows the usage
    $ relto index show missing
    exit 1
    --- stderr
    relto: error: cannot read the index
      caused by: failed to open file `missing`: No such file or directory (os error 2)
      hint: the index of `a.o` is `a.o.thinlto.bc`; a linker leaves it with `--thinlto-index-only` or `--save-temps`
    $ relto explain a.o b.o
    exit 2
    --- stderr
    relto: error: unexpected argument `b.o`
      hint: name one module, or two job files to compare
    $ relto explain --last a.o nosuch
    exit 2
    --- stderr
    relto: error: unexpected argument `nosuch`
      hint: name one module, or two job files to compare
    ");
}
