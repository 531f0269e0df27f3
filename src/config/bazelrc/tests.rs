//! What the flags of a `.bazelrc` become.

use std::fmt::Write as _;

use super::*;

/// Entries as `name=value`, of a file at `name` below a workspace.
fn parsed(text: &str, home: bool) -> (Bazelrc, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    fs_err::write(dir.path().join("MODULE.bazel"), "").expect("written");
    fs_err::create_dir(dir.path().join("sub")).expect("made");
    fs_err::write(
        dir.path().join("sub/more.bazelrc"),
        "build --remote_timeout=17\nbuild:slow --remote_timeout=99\n",
    )
    .expect("written");
    let path = dir.path().join(".bazelrc");
    fs_err::write(&path, text).expect("written");
    let variables = home.then(|| ("HOME", dir.path().display().to_string()));
    let environment = Environment::new(dir.path(), variables);
    let found = read(&path, false, &environment, &mut Vec::new()).expect("read");
    (found, dir)
}

fn shown(entries: &[ConfigEntry]) -> Vec<String> {
    let entries = entries.iter();
    let pair = |entry: &ConfigEntry| format!("{}={}", entry.option.name, entry.values.join("|"));
    entries.map(pair).collect()
}

#[test]
fn flags_of_all_forms_come_in_bazels_order_and_others_are_named_or_none_of_our_business() {
    let (found, dir) = parsed(
        "# a comment\nbuild --remote_executor=farm.example.com --jobs=200 # more\n\
         build --noremote_accept_cached --remote_cache_compression \\\n  --remote_retries 7\n\
         common --remote_instance_name='a b' --remote_download_minimal --c++opt=-std=c++20\n\
         build --experimental_remote_cache_async --remote_http_cache=https://x/ --google_default_credentials\n\
         build --tls_certificate=%workspace%/ca.pem --remote_max_connections=0\n\
         test --remote_timeout=3\n",
        false,
    );
    let certificate = format!("tls_certificate={}/ca.pem", dir.path().display());
    assert_eq!(
        shown(&found.plain),
        [
            "remote_instance_name=a b",
            "remote_executor=grpcs://farm.example.com",
            "remote_accept_cached=false",
            "remote_cache_compression=true",
            "remote_retries=7",
            "remote_cache=https://x/",
            &certificate,
        ]
    );
    assert_eq!(
        found.ignored,
        [
            "--experimental_remote_cache_async",
            "--google_default_credentials",
            "--remote_download_minimal",
            "--remote_max_connections",
        ]
    );
}

#[test]
fn imports_and_groups_stand_where_they_are_named() {
    let (found, _dir) = parsed(
        "import %workspace%/sub/more.bazelrc\ntry-import %workspace%/absent\n\
         build:farm --remote_executor=grpc://f:1 --config=slow\nbuild --config=farm\n\
         build --remote_retries=1\nbuild:loop --config=loop\n",
        false,
    );
    let expected = ["remote_executor=grpc://f:1", "remote_timeout=99"];
    assert_eq!(shown(&found.groups["farm"]), expected);
    assert_eq!(
        shown(&found.plain),
        [
            "remote_timeout=17",
            "remote_executor=grpc://f:1",
            "remote_timeout=99",
            "remote_retries=1",
        ]
    );
    assert_eq!(found.paths.len(), 2);
}

#[test]
fn groups_that_choose_each_other_are_not_followed_for_ever() {
    let mut text = String::from("build --config=c0\nbuild:c20 --remote_header=a=b\n");
    for number in 0..20 {
        let next = format!("--config=c{} ", number + 1).repeat(20);
        text.extend(["build:c", &number.to_string(), " ", &next, "\n"]);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(".bazelrc");
    fs_err::write(&path, text).expect("written");
    let environment = Environment::new(dir.path(), None);
    let refused = read(&path, true, &environment, &mut Vec::new());
    assert!(matches!(refused, Err(ConfigError::BazelrcTooLarge { .. })));
}

#[test]
fn a_long_chain_of_groups_is_an_error_and_no_stack_overflow() {
    let read_chain = |length: usize| {
        let mut text = String::from("build --config=c0\n");
        for number in 0..length {
            let _ = writeln!(text, "build:c{number} --config=c{}", number + 1);
        }
        let _ = writeln!(text, "build:c{length} --remote_retries=7");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".bazelrc");
        fs_err::write(&path, text).expect("written");
        let environment = Environment::new(dir.path(), None);
        read(&path, true, &environment, &mut Vec::new())
    };
    let short = read_chain(60).expect("not too deep");
    assert_eq!(shown(&short.plain), ["remote_retries=7"]);
    for length in [100, 30_000] {
        let refused = read_chain(length);
        let is_too_deep = matches!(refused, Err(ConfigError::BazelrcTooDeep { most: 64, .. }));
        assert!(is_too_deep, "{length}");
    }
}

#[test]
fn a_helper_program_is_taken_from_the_users_own_file_only() {
    let text = "build --credential_helper=/bin/helper\n";
    let (of_tree, _dir) = parsed(text, false);
    assert!(of_tree.plain.is_empty());
    assert_eq!(of_tree.ignored, ["--credential_helper"]);
    assert!(of_tree.files_in_tree[0].path.ends_with(".bazelrc"));
    let (of_user, _dir) = parsed(text, true);
    assert!(of_user.files_in_tree.is_empty());
    assert_eq!(shown(&of_user.plain), ["credential_helper=/bin/helper"]);
    assert!(!of_user.plain[0].source.is_tree());
}

/// A value that the flag may have.
fn sample(flag: &str) -> &'static str {
    match flag {
        "remote_cache" | "remote_executor" | "bes_backend" => "grpc://h:1",
        "remote_header"
        | "remote_cache_header"
        | "remote_exec_header"
        | "bes_header"
        | "remote_default_exec_properties" => "a=b",
        "bes_upload_mode" => "fully_async",
        "credential_helper" => "/bin/helper",
        _ => "1",
    }
}

/// The flags of Bazel that this relto obeys; it knows all others of [`known`] and leaves them out.
#[test]
fn each_flag_of_bazel_7_to_9_is_obeyed_or_named_once_by_all_of_its_names() {
    let mut obeyed = Vec::new();
    for flag in known::FLAGS {
        let value = sample(flag.name);
        for name in [flag.name].into_iter().chain(flag.others.iter().copied()) {
            for words in [format!("--{name}={value}"), format!("--no{name}")] {
                let line = format!("build {words}\nbuild {words}\n");
                let (found, _dir) = parsed(&line, true);
                let taken = shown(&found.plain);
                assert_eq!(taken.len() / 2 + found.ignored.len(), 1, "{line}");
                assert!(found.misspelt.is_empty(), "{line}");
                if taken.first() == Some(&format!("{}={value}", flag.name)) {
                    obeyed.push(name);
                }
            }
        }
    }
    insta::assert_snapshot!(obeyed.join("\n"), @r"
    remote_executor
    remote_cache
    remote_http_cache
    remote_instance_name
    remote_header
    remote_cache_header
    remote_exec_header
    remote_default_exec_properties
    remote_execution_priority
    remote_result_cache_priority
    remote_bytestream_uri_prefix
    remote_timeout
    remote_retries
    experimental_remote_retry_max_attempts
    remote_max_connections
    remote_cache_compression
    experimental_remote_cache_compression
    remote_accept_cached
    remote_local_fallback
    remote_upload_local_results
    tls_certificate
    tls_client_certificate
    tls_client_key
    grpc_keepalive_time
    credential_helper
    experimental_credential_helper
    bes_backend
    bes_header
    bes_instance_name
    project_id
    bes_results_url
    bes_timeout
    bes_upload_mode
    bes_lifecycle_events
    ");
}

#[test]
fn a_flag_that_bazel_would_refuse_is_warned_of_and_one_of_a_later_release_is_not() {
    let (found, _dir) = parsed(
        "build --remote_exectuor=grpc://h:1 --noremote_accept_cashed\n\
         build --remote_exectuor=grpc://h:1 --remote_telepathy=on --compilation_mode=opt\n",
        false,
    );
    assert!(found.plain.is_empty());
    assert_eq!(found.ignored, ["--remote_telepathy"]);
    let told = |warning: &Warning| {
        let text = warning.text.split(" (from").next().expect("text");
        format!("{text} {}", warning.hint.as_deref().unwrap_or_default())
    };
    let told: Vec<_> = found.misspelt.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "Bazel has no flag `--noremote_accept_cashed` did you mean `--remote_accept_cached`?",
            "Bazel has no flag `--remote_exectuor` did you mean `--remote_executor`?",
        ]
    );
}
