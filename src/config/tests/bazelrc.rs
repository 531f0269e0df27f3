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
