//! A named `.bazelrc` among the other sources.

use super::*;

#[test]
fn a_bazelrc_is_weaker_than_relto_s_own_files_and_waits_with_its_tree() {
    let place = TestHome::new("bazelrc = \".bazelrc\"\nremote_retries = 3\n", "");
    let write = |text: &str| {
        fs_err::write(place.path("project/.bazelrc"), text).expect("written");
    };
    write(
        "build --remote_executor=grpc://f:1 --remote_retries=9 --remote_timeout=17\n\
         build:ci --remote_timeout=99\n",
    );
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.farm.client.executor, None);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    let seconds = |settings: &Settings| settings.farm.client.timeout.as_secs();
    let settings = place.settings(&[], &[]);
    assert!(settings.farm.client.executor.is_some());
    assert_eq!((settings.farm.client.retries, seconds(&settings)), (3, 17));
    assert_eq!(seconds(&place.settings(&[("config", "ci")], &[])), 99);
    assert_eq!(seconds(&place.settings(&[("remote_timeout", "5")], &[])), 5);

    write("build --remote_executor=grpc://other:1\n");
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.farm.client.executor, None);
    let text = &loaded.warnings[0].text;
    assert!(text.contains("has changed since you allowed it"), "{text}");
}

#[test]
fn a_bazelrc_of_a_tree_waits_also_where_the_user_names_it() {
    let place = TestHome::new("", "");
    let path = place.path("project/.bazelrc");
    fs_err::write(
        &path,
        "common --remote_cache=f:1 --noremote_accept_cached\n",
    )
    .expect("written");
    let named = [("RELTO_BAZELRC", path.to_str().expect("text"))];
    let loaded = place.load_unallowed(&named);
    assert_eq!(loaded.settings.farm.client.cache, None);
    assert!(!loaded.settings.farm.accept_cached, "that is harmless");
    let settings = place.settings(&[], &named);
    let cache = settings.farm.client.cache.expect("allowed");
    assert_eq!(cache.to_string(), "grpcs://f:1");

    let absent = [("RELTO_BAZELRC", "absent")];
    let error = load(Vec::new(), &place.environment(&absent)).expect_err("not there");
    assert!(error.to_string().contains("absent"), "{error}");
}

/// A comment that was not shown when the files were allowed may be a setting in another one.
#[test]
fn text_that_moves_from_one_file_to_another_waits_again() {
    let place = TestHome::new("bazelrc = \"a\"\n", "");
    let write = |a: &str, b: &str| {
        fs_err::write(place.path("project/MODULE.bazel"), "").expect("written");
        fs_err::write(place.path("project/a"), a).expect("written");
        fs_err::write(place.path("project/b"), b).expect("written");
    };
    let imports = "import %workspace%/b\n";
    let hidden = "build --remote_executor=grpc://f:1\n";
    write(&format!("{imports}# {hidden}"), "");
    let executor = |settings: Settings| settings.farm.client.executor;
    assert_eq!(executor(place.settings(&[], &[])), None);
    write(&format!("{imports}# "), hidden);
    let loaded = place.load_unallowed(&[]);
    assert!(loaded.warnings[0].text.contains("has changed"));
    assert_eq!(executor(loaded.settings), None);
}

#[test]
fn a_tree_takes_no_bazelrc_of_the_user_away() {
    let own = "build --remote_executor=grpc://own:1 --noremote_accept_cached --remote_retries=2\n\
        build:ci --remote_timeout=9\n";
    for named in ["x", "", "missing"] {
        let tree = format!("bazelrc = \"{named}\"\n");
        let place = TestHome::new(&tree, "bazelrc = \"~/.bazelrc\"\n");
        fs_err::write(place.path("home/.bazelrc"), own).expect("written");
        let of_tree = "build --remote_executor=grpc://tree:1 --remote_retries=1\n";
        fs_err::write(place.path("project/x"), of_tree).expect("written");
        let loaded = place.load_unallowed(&[("RELTO_CONFIG", "ci")]);
        let farm = loaded.settings.farm;
        let executor = farm.client.executor.expect("the user's own");
        assert_eq!(executor.to_string(), "grpc://own:1", "{named}");
        assert!(!farm.accept_cached, "{named}");
        assert_eq!(farm.client.timeout.as_secs(), 9, "{named}");
        let retries = if named == "x" { 1 } else { 2 };
        assert_eq!(farm.client.retries, retries, "{named}");
    }
    let place = TestHome::new("bazelrc = \"missing\"\n", "");
    let error = tree_request(Vec::new(), &place.environment(&[])).expect_err("not there");
    assert!(error.to_string().contains("missing"), "{error}");
}

/// A limit of the user's may stand in a `.bazelrc`, or in a table.
#[test]
fn what_is_held_back_is_what_allowing_shows() {
    let tree = "remote_upload_local_results = true\nremote_timeout = 50\nremote_retries = 4\n";
    let user = "bazelrc = \"~/.bazelrc\"\n[config.few]\nremote_retries = 1\n";
    let place = TestHome::new(tree, user);
    let own = "build --noremote_upload_local_results --remote_timeout=5\n";
    fs_err::write(place.path("home/.bazelrc"), own).expect("written");
    let chosen = [("RELTO_CONFIG", "few")];
    let warning = place.load_unallowed(&chosen).warnings.remove(0).text;
    let request = tree_request(Vec::new(), &place.environment(&chosen)).expect("valid");
    let settings = request.0.expect("a tree").settings;
    let shown: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
    let names = [
        "remote_upload_local_results",
        "remote_timeout",
        "remote_retries",
    ];
    assert_eq!(shown, names);
    assert!(names.iter().all(|name| warning.contains(name)), "{warning}");
}
