//! What the farm's client and the strategy become of the options.

use std::path::Path;

use super::*;
use crate::reapi::ClientOptions;

#[test]
fn a_client_without_settings_has_the_defaults_of_the_table() {
    let mut of_table = TestHome::new("", "").settings(&[], &[]).farm.client;
    let mut of_client = ClientOptions::default();
    for options in [&mut of_table, &mut of_client] {
        options.caller.invocation_id.clear();
    }
    assert_eq!(format!("{of_table:?}"), format!("{of_client:?}"));
}

#[test]
fn the_strategy_follows_the_executor_unless_it_is_chosen() {
    let place = TestHome::new("", "");
    let farm = ("remote_executor", "grpc://f:1");
    let strategy = |set: &[(&str, &str)]| place.settings(set, &[]).strategy;
    assert_eq!(strategy(&[]), Strategy::Local);
    assert_eq!(strategy(&[farm]), Strategy::Dynamic);
    for (word, chosen) in [
        ("local", Strategy::Local),
        ("remote", Strategy::Remote),
        ("dynamic", Strategy::Dynamic),
    ] {
        assert_eq!(strategy(&[farm, ("strategy", word)]), chosen);
    }
    insta::assert_snapshot!(place.refused(&[("strategy", "remote")]), @r"
    `strategy` needs `remote_executor`
      hint: set `remote_executor` too
    ");
}

#[test]
fn the_farm_works_alone_without_fallback_or_with_a_workers_compiler() {
    let place = TestHome::new("", "");
    let farm = ("remote_executor", "grpc://f:1");
    let strategy = |set: &[(&str, &str)]| place.settings(set, &[]).strategy;
    let no_fallback = ("remote_local_fallback", "false");
    let worker = ("toolchain", "worker");
    assert_eq!(strategy(&[farm, no_fallback]), Strategy::Remote);
    assert_eq!(strategy(&[farm, worker]), Strategy::Remote);
    let dynamic = ("strategy", "dynamic");
    assert_eq!(strategy(&[farm, no_fallback, dynamic]), Strategy::Dynamic);
    insta::assert_snapshot!(place.refused(&[farm, worker, dynamic]), @r"
    `strategy=dynamic` and `toolchain=worker` cannot be used together
      hint: one link would mix objects of two compilers; `strategy=remote` does not
    ");
}

#[test]
fn the_executor_is_the_cache_where_no_other_is_set() {
    let place = TestHome::new("", "");
    let farm = ("remote_executor", "grpc://f:1");
    let cache = |set: &[(&str, &str)]| {
        let cache = place.settings(set, &[]).farm.client.cache;
        cache.map(|address| address.to_string())
    };
    // The client takes the executor for both.
    assert_eq!(cache(&[farm]), None);
    assert_eq!(cache(&[farm, ("remote_cache", "grpc://f:1")]), None);
    assert_eq!(
        cache(&[farm, ("remote_cache", "c:2")]).as_deref(),
        Some("grpcs://c:2")
    );
}

#[test]
fn a_helpers_path_is_relative_to_its_file_and_replaced_for_the_same_host() {
    let place = TestHome::new(
        "",
        "credential_helper = [\"get-token\", \"*.example.com=./bin/token\"]",
    );
    let helper = ("credential_helper", "other-token");
    let helpers = place
        .settings(&[helper], &[])
        .farm
        .client
        .credential_helpers;
    assert_eq!(helpers.len(), 2);
    assert_eq!(helpers[0].host.as_deref(), Some("*.example.com"));
    assert_eq!(
        helpers[0].program,
        place.path("home/.config/relto/./bin/token")
    );
    assert_eq!(helpers[1].host, None);
    assert_eq!(helpers[1].program, Path::new("other-token"));
}

#[test]
fn the_farms_client_gets_what_was_set() {
    let place = TestHome::new(
        "remote_executor = \"grpc://f:1\"\nremote_instance_name = \"main\"\nremote_retries = 7",
        "remote_header = [\"x-key=1\"]\ntls_certificate = \"/ca.pem\"",
    );
    let options = place.settings(&[], &[]).farm.client;
    assert_eq!(
        options.executor,
        Some("grpc://f:1".parse().expect("an address"))
    );
    assert_eq!(options.cache, None);
    assert_eq!(options.instance_name, "main");
    assert_eq!(options.retries, 7);
    assert_eq!(options.headers[0].value, "1");
    assert_eq!(
        options.tls.certificate.as_deref(),
        Some(Path::new("/ca.pem"))
    );
    let near = [("remote_cache", "unix:/run/c.sock")];
    let options = place.settings(&near, &[]).farm.client;
    assert_eq!(
        options.cache,
        Some("unix:/run/c.sock".parse().expect("an address"))
    );
}

#[test]
fn properties_of_large_jobs_replace_default_ones_of_the_same_name() {
    let large = |of_large: &str| {
        let environment = Environment::new(
            "/",
            [
                (
                    "RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES",
                    "OSFamily=linux,pool=small".to_owned(),
                ),
                ("RELTO_REMOTE_EXEC_PROPERTIES_LARGE", of_large.to_owned()),
            ],
        );
        let settings = load(Vec::new(), &environment).expect("loaded").settings;
        let pairs = settings.farm.large_platform.into_iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        large("pool=big,mem=64"),
        ["OSFamily=linux", "mem=64", "pool=big"]
    );
    assert!(large("").is_empty());
}
