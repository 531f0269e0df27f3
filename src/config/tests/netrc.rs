//! Passwords of `.netrc` for HTTP caches.

use super::*;

const FILE: &str = "machine other.example.com login x password y\n\
    machine cache.example.com\n  login me\n  password \"open sesame\"\n";
/// `me:open sesame`
const ME: &str = "Basic bWU6b3BlbiBzZXNhbWU=";
const CACHE: (&str, &str) = ("RELTO_REMOTE_CACHE", "https://cache.example.com/x");

fn with_netrc(project: &str, text: &str) -> TestHome {
    let place = TestHome::new(project, "");
    fs_err::write(place.path("home/.netrc"), text).expect("written");
    place
}

/// What a cache is told of who the user is.
fn authorization(loaded: &LoadedConfig) -> Option<String> {
    let farm = loaded.settings.link.farm.as_ref()?;
    let client = &farm.client;
    let mut headers = client.headers.iter().chain(&client.cache_headers);
    let header = headers.find(|it| it.name == "authorization");
    header.map(|it| it.value.clone())
}

#[test]
fn an_http_cache_gets_the_password_of_its_host_and_no_other() {
    let place = with_netrc("", FILE);
    let sent =
        |address: &str| authorization(&place.load_unallowed(&[("RELTO_REMOTE_CACHE", address)]));
    assert_eq!(sent(CACHE.1).as_deref(), Some(ME));
    assert_eq!(sent("https://CACHE.example.com:8443/").as_deref(), Some(ME));
    for address in [
        "https://example.com/",
        "https://a.cache.example.com/",
        "https://cache.example.com.evil.org/",
        "grpcs://cache.example.com",
    ] {
        assert_eq!(sent(address), None, "{address}");
    }
}

#[test]
fn the_entry_for_all_other_hosts_counts_last() {
    let text = format!("{FILE}default login d password e\n");
    let place = with_netrc("", &text);
    let sent = |address: &str| {
        let loaded = place.load_unallowed(&[("RELTO_REMOTE_CACHE", address)]);
        (authorization(&loaded), loaded.warnings.len())
    };
    assert_eq!(sent(CACHE.1), (Some(ME.to_owned()), 0));
    let of_all = Some("Basic ZDpl".to_owned());
    assert_eq!(sent("https://third.example.com"), (of_all, 0));
    assert_eq!(sent("http://third.example.com"), (None, 0));
}

#[test]
fn headers_and_credential_helpers_go_before() {
    let place = with_netrc("", FILE);
    let sent = |name, value| authorization(&place.load_unallowed(&[CACHE, (name, value)]));
    for name in ["RELTO_REMOTE_HEADER", "RELTO_REMOTE_CACHE_HEADER"] {
        let other = sent(name, "Authorization=Bearer token");
        assert_eq!(other.as_deref(), Some("Bearer token"));
    }
    let helper = "RELTO_CREDENTIAL_HELPER";
    assert_eq!(sent(helper, "helper"), None);
    assert_eq!(sent(helper, "*.example.com=helper"), None);
    assert_eq!(sent(helper, "other.org=helper").as_deref(), Some(ME));
    assert_eq!(sent("RELTO_REMOTE_HEADER", "x-key=1").as_deref(), Some(ME));
}

#[test]
fn a_password_does_not_travel_in_the_clear() {
    let text = format!("{FILE}machine 127.0.0.1 login me password \"open sesame\"\n");
    let place = with_netrc("", &text);
    let plain = [("RELTO_REMOTE_CACHE", "http://cache.example.com/x")];
    let loaded = place.load_unallowed(&plain);
    assert_eq!(authorization(&loaded), None);
    let warning = &loaded.warnings[0];
    assert!(
        warning.text.contains("`cache.example.com` without TLS"),
        "{warning:?}"
    );
    assert!(!format!("{warning:?}").contains("sesame"));
    let here = place.load_unallowed(&[("RELTO_REMOTE_CACHE", "http://127.0.0.1:80/x")]);
    assert_eq!(authorization(&here).as_deref(), Some(ME));
}

#[test]
fn the_variable_names_another_file() {
    let place = with_netrc("", "machine cache.example.com login a password b\n");
    let other = place.path("other");
    fs_err::write(&other, FILE).expect("written");
    let other = other.display().to_string();
    let sent = |path: &str| authorization(&place.load_unallowed(&[CACHE, ("NETRC", path)]));
    assert_eq!(sent(&other).as_deref(), Some(ME));
    assert_eq!(sent("").as_deref(), Some("Basic YTpi"));
    // It would be a file of the source tree.
    fs_err::write(place.path("project/other"), FILE).expect("written");
    assert_eq!(sent("other"), None);
    assert_eq!(sent("/nonexistent"), None);
}

#[test]
fn a_file_that_others_may_write_or_that_has_another_form_is_ignored() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = with_netrc("", FILE);
    let path = place.path("home/.netrc");
    let warned = |part: &str| {
        let loaded = place.load_unallowed(&[CACHE]);
        assert_eq!(authorization(&loaded), None);
        let warning = format!("{:?}", loaded.warnings);
        assert!(
            warning.contains(part) && !warning.contains("secret"),
            "{warning}"
        );
    };
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(&path, mode(0o646)).expect("set");
    warned("every user may write it");
    fs_err::set_permissions(&path, mode(0o644)).expect("set");
    fs_err::write(&path, "machine cache.example.com secret\n").expect("written");
    warned("not in the form");
    fs_err::write(&path, b"secret \xff").expect("written");
    warned("UTF-8");
    fs_err::remove_file(&path).expect("removed");
    assert!(place.load_unallowed(&[CACHE]).warnings.is_empty());
}

#[test]
fn a_password_goes_to_a_trees_address_only_once_that_was_allowed() {
    let tree = "remote_cache = \"https://cache.example.com\"\n";
    let place = with_netrc(tree, "");
    // Allowed when the user had no password for it.
    place.allow(&[]);
    assert_eq!(authorization(&place.load_unallowed(&[])), None);
    fs_err::write(place.path("home/.netrc"), FILE).expect("written");
    let loaded = place.load_unallowed(&[]);
    assert_eq!(authorization(&loaded), None);
    let warning = &loaded.warnings[0].text;
    assert!(
        warning.contains("not sent to https://cache.example.com"),
        "{warning}"
    );
    assert!(warning.contains("`netrc cache.example.com`"), "{warning}");

    let (request, _) = tree_request(Vec::new(), &place.environment(&[])).expect("good");
    let request = request.expect("a tree");
    assert_eq!(request.credentials[0].name, "netrc cache.example.com");
    place.allow(&[]);
    let loaded = place.load_unallowed(&[]);
    assert_eq!(authorization(&loaded).as_deref(), Some(ME));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    // The user's own address needs no permission.
    let own = with_netrc("", FILE).load_unallowed(&[CACHE]);
    assert_eq!(authorization(&own).as_deref(), Some(ME));
}
