//! What the flags of a `.bazelrc` become.

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
         build --experimental_remote_cache_async --remote_cache=https://x/ --google_default_credentials\n\
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
            &certificate,
        ]
    );
    assert_eq!(
        found.ignored,
        [
            "--experimental_remote_cache_async",
            "--google_default_credentials",
            "--remote_cache",
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
fn a_helper_program_is_taken_from_the_users_own_file_only() {
    let text = "build --credential_helper=/bin/helper\n";
    let (of_tree, _dir) = parsed(text, false);
    assert!(of_tree.plain.is_empty());
    assert_eq!(of_tree.ignored, ["--credential_helper"]);
    assert_eq!(of_tree.text_in_tree, text);
    let (of_user, _dir) = parsed(text, true);
    assert_eq!(shown(&of_user.plain), ["credential_helper=/bin/helper"]);
    assert!(!of_user.plain[0].source.is_tree());
}
