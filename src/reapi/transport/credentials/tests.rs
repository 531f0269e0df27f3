use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;

use super::*;

/// A helper that keeps what it was asked in `asked` and then runs `script`.
fn helper(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("helper");
    let asked = dir.join("asked").display().to_string();
    let text = format!("#!/bin/sh\n(echo \"$1\"; cat; echo) >> '{asked}'\n{script}\n");
    fs::write(&path, text).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, mode).expect("made executable");
    path
}

fn credentials(program: PathBuf) -> Credentials {
    let options = ClientOptions {
        credential_helpers: vec![CredentialHelper {
            host: None,
            program,
        }],
        credential_helper_timeout: Duration::from_secs(20),
        ..ClientOptions::default()
    };
    let address = "grpcs://farm.example.com:8980".parse().expect("an address");
    Credentials::new(&address, &options)
}

fn times_asked(dir: &Path) -> usize {
    let asked = fs::read_to_string(dir.join("asked")).unwrap_or_default();
    asked.matches("get\n").count()
}

#[tokio::test]
async fn a_helper_runs_once_for_many_calls_and_again_after_a_refusal() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = r#"echo '{"headers":{"Authorization":["Bearer t"],"x-two":["a","b"]},"more":1}'"#;
    let credentials = credentials(helper(dir.path(), script));
    let all = futures_util::future::join_all((0..20).map(|_| credentials.headers())).await;
    let headers = all[0].as_ref().expect("headers").clone();
    let shown: Vec<_> = headers
        .iter()
        .map(|h| (h.name.as_str(), h.value.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("authorization", "Bearer t"),
            ("x-two", "a"),
            ("x-two", "b")
        ]
    );
    assert_eq!(times_asked(dir.path()), 1);
    let asked = fs::read_to_string(dir.path().join("asked")).expect("asked");
    assert!(
        asked.contains(r#"{"uri":"https://farm.example.com:8980/"}"#),
        "{asked}"
    );
    credentials.refuse(&headers).await;
    credentials.headers().await.expect("headers");
    credentials.refuse(&[]).await;
    credentials.headers().await.expect("headers");
    assert_eq!(times_asked(dir.path()), 2);
}

#[tokio::test]
async fn expired_credentials_are_requested_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = r#"echo '{"headers":{},"expires":"2020-01-02T03:04:05Z"}'"#;
    let credentials = credentials(helper(dir.path(), script));
    for _ in 0..2 {
        credentials.headers().await.expect("headers");
    }
    assert_eq!(times_asked(dir.path()), 2);
}

#[test]
fn credentials_are_renewed_before_they_expire() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_934_245);
    let renew_after = |expires: Option<&str>| {
        let answer = HelperResponse {
            headers: BTreeMap::new(),
            expires: expires.map(str::to_owned),
        };
        let cached = answer.into_cached(now);
        cached
            .renew_at
            .duration_since(now)
            .expect("later")
            .as_secs()
    };
    assert_eq!(renew_after(Some("2020-01-02T04:04:05+01:00")), 0);
    assert_eq!(renew_after(Some("2020-01-02T03:09:05Z")), 4 * 60);
    assert_eq!(renew_after(Some("2020-01-02T13:04:05Z")), 9 * 3600);
    assert_eq!(renew_after(None), 27 * 60);
}

#[tokio::test]
async fn a_helper_that_fails_is_named_with_its_stderr_and_without_its_secrets() {
    let dir = tempfile::tempdir().expect("a directory");
    for (script, says) in [
        ("echo please log in >&2; exit 3", "please log in"),
        ("echo top-secret", "JSON"),
        (r#"echo '{"headers":{"a":"top-secret"}}'"#, "JSON"),
    ] {
        let credentials = credentials(helper(dir.path(), script));
        let error = credentials.headers().await.expect_err("no headers");
        let text = error.to_string();
        assert!(text.contains(says) && text.contains("helper"), "{text}");
        assert!(!text.contains("top-secret"), "{text}");
    }
    let missing = credentials("/nonexistent/helper".into());
    let error = missing.headers().await.expect_err("no helper").to_string();
    assert!(error.contains("/nonexistent/helper"), "{error}");
}

#[tokio::test]
async fn a_helper_that_hangs_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut credentials = credentials(helper(dir.path(), "exec sleep 1000"));
    credentials.timeout = Duration::from_millis(200);
    let error = credentials.headers().await.expect_err("no answer");
    assert!(error.to_string().contains("did not answer"), "{error}");
}

#[tokio::test]
async fn a_helper_that_prints_for_ever_is_given_up_and_takes_no_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    for script in ["exec yes", "exec yes >&2"] {
        let mut credentials = credentials(helper(dir.path(), script));
        credentials.timeout = Duration::from_hours(1);
        let error = credentials.headers().await.expect_err("no answer");
        let text = error.to_string();
        assert!(text.contains("helper` printed more than 1 MiB"), "{text}");
    }
}

#[test]
fn the_helper_for_the_nearest_host_is_taken() {
    let helper = |host: Option<&str>, program: &str| CredentialHelper {
        host: host.map(str::to_owned),
        program: program.into(),
    };
    let helpers = [
        helper(Some("*.example.com"), "wide"),
        helper(None, "any"),
        helper(Some("*.farm.example.com"), "narrow"),
        helper(Some("one.farm.example.com"), "exact"),
    ];
    for (host, program) in [
        ("one.farm.example.com", "exact"),
        ("two.farm.example.com", "narrow"),
        ("a.example.com", "wide"),
        ("example.com", "any"),
    ] {
        assert_eq!(choose(&helpers, host), Some(program.into()), "{host}");
    }
    assert_eq!(choose(&helpers[..1], "example.org"), None);
}
