use super::*;

fn parsed(line: &str) -> Invocation {
    let words = std::iter::once("relto").chain(line.split_whitespace());
    parse(words.map(OsString::from)).expect(line)
}

fn set(line: &str) -> Vec<String> {
    let invocation = parsed(&format!("{line} j.json"));
    assert_eq!(invocation.command, Command::Distribute("j.json".into()));
    let options = invocation.options.iter();
    options
        .map(|option| format!("{}={}", option.option.name, option.values.join("|")))
        .collect()
}

#[test]
fn the_parser_is_sound() {
    parser().debug_assert();
}

#[test]
fn bazels_spellings_and_ours_mean_the_same() {
    for line in [
        "--remote-executor=grpc://f:1",
        "--remote-executor grpc://f:1",
        "--remote_executor=grpc://f:1",
        "--remote_executor grpc://f:1",
        "--remote-executor=x --remote_executor=grpc://f:1",
    ] {
        assert_eq!(set(line), ["remote_executor=grpc://f:1"], "{line}");
    }
}

#[test]
fn flags_that_only_bazel_needs_are_left_out_and_named() {
    let line = "--remote_download_minimal --noexperimental_remote_cache_async --jobs=3 \
                --remote-downloader=grpc://h:1 j.json";
    let invocation = parsed(line);
    assert_eq!(invocation.command, Command::Distribute("j.json".into()));
    assert_eq!(invocation.options.len(), 1);
    assert_eq!(
        invocation.ignored,
        [
            "--remote_download_minimal",
            "--noexperimental_remote_cache_async",
            "--remote-downloader",
        ]
    );
    let words = ["relto", "--remote_telepathy=on", "j.json"].map(OsString::from);
    assert!(parse(words).is_err());
}

#[test]
fn a_switch_has_all_of_bazels_forms_and_the_last_one_counts() {
    for (line, value) in [
        ("--remote_accept_cached", "true"),
        ("--remote-accept-cached=no", "no"),
        ("--noremote_accept_cached", "false"),
        ("--no-remote-accept-cached", "false"),
        ("--no_remote_accept_cached", "false"),
        ("--noremote_accept_cached --remote-accept-cached", "true"),
        ("--remote-accept-cached --noremote_accept_cached", "false"),
    ] {
        assert_eq!(
            set(line),
            [format!("remote_accept_cached={value}")],
            "{line}"
        );
    }
}

#[test]
fn lists_keep_every_item_with_its_commas() {
    assert_eq!(
        set("--remote_header=a=1,2 --remote-header b=3"),
        ["remote_header=a=1,2|b=3"]
    );
}

#[test]
fn options_may_stand_before_and_after_the_command() {
    let invocation = parsed("--jobs=3 cache trim --quiet");
    assert_eq!(
        invocation.command,
        Command::Cache {
            action: CacheAction::Trim
        }
    );
    assert_eq!(invocation.options.len(), 2);
}

#[test]
fn a_job_file_named_like_a_command_needs_its_directory() {
    assert_eq!(parsed("./cc").command, Command::Distribute("./cc".into()));
}

#[test]
fn the_help_shows_common_options_and_the_whole_help_every_one() {
    let (short, long) = (parser().render_help(), parser().render_long_help());
    let (short, long) = (short.to_string(), long.to_string());
    for option in crate::config::OPTIONS {
        let flag = format!("--{}", option.flag());
        assert_eq!(short.contains(&flag), option.common, "{flag}");
        assert!(long.contains(&flag), "{flag}");
    }
}

/// The option takes a number, the argument of `doctor` files.
#[test]
fn verify_means_files_to_doctor_and_a_share_everywhere_else() {
    assert_eq!(set("--verify=2.5"), ["verify=2.5"]);
    let invocation = parsed("doctor --verify a.json b.json");
    assert!(invocation.options.is_empty());
    assert_eq!(
        invocation.command,
        Command::Doctor {
            compiler: None,
            strict: false,
            job_files: vec!["a.json".into(), "b.json".into()],
        }
    );
}

#[test]
fn an_unknown_option_before_another_program_is_no_program() {
    for line in [
        "cc --lokal-jobs=8 clang -c a.c",
        "cc --quiet -O2 clang",
        "cc --lokal-jobs=8 -- clang",
        "ld --bogus ld.lld a.o",
    ] {
        let words = line.split(' ').map(OsString::from);
        let error = parse([OsString::from("relto")].into_iter().chain(words));
        let error = error.expect_err(line);
        assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{line}");
    }
    for (line, first) in [
        ("cc --quiet clang --lokal-jobs=8", "clang"),
        ("cc --quiet -- -odd -c", "-odd"),
        ("cc --remote_execution_priority=1 clang -c", "clang"),
        ("cc clang", "clang"),
    ] {
        let Command::Cc { words } = parsed(line).command else {
            panic!("{line}");
        };
        assert_eq!(words[0], first, "{line}");
    }
}
