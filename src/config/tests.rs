//! Tests of the way from sources to settings.

mod bazelrc;
mod farm;
mod netrc;
mod trust;

use super::*;
use crate::error::Rendered;

/// A user's home and a project, in a temporary directory.
struct TestHome(tempfile::TempDir);

impl TestHome {
    fn new(project: &str, user: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().expect("a directory")).expect("created");
            fs_err::write(path, text).expect("written");
        };
        write("project/.relto.toml", project);
        write("home/.config/relto/config.toml", user);
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn environment(&self, variables: &[(&'static str, &str)]) -> Environment {
        let home = ("HOME", self.path("home").display().to_string());
        let variables = variables
            .iter()
            .map(|&(name, value)| (name, value.to_owned()));
        Environment::new(self.path("project"), variables.chain([home]))
    }

    /// As `relto allow` does.
    fn allow(&self, variables: &[(&'static str, &str)]) {
        self.try_to_allow(variables).expect("good");
    }

    fn try_to_allow(&self, variables: &[(&'static str, &str)]) -> Result<(), ConfigError> {
        let environment = self.environment(variables);
        if let (Some(request), _) = tree_request(Vec::new(), &environment)? {
            let added = AllowList::of(&environment).add(&request);
            added.expect("written");
        }
        Ok(())
    }

    /// With a tree that the user has allowed.
    fn load(
        &self,
        command_line: &[(&str, &str)],
        variables: &[(&'static str, &str)],
    ) -> Result<LoadedConfig, ConfigError> {
        self.try_to_allow(variables)?;
        load(assignments(command_line), &self.environment(variables))
    }

    fn load_unallowed(&self, variables: &[(&'static str, &str)]) -> LoadedConfig {
        load(Vec::new(), &self.environment(variables)).expect("good")
    }

    fn settings(
        &self,
        command_line: &[(&str, &str)],
        variables: &[(&'static str, &str)],
    ) -> Settings {
        self.load(command_line, variables).expect("good").settings
    }

    fn refused(&self, command_line: &[(&str, &str)]) -> String {
        let error = self.load(command_line, &[]).expect_err("refused");
        Rendered(&error)
            .to_string()
            .replace(&self.0.path().display().to_string(), "[T]")
    }
}

fn assignments(pairs: &[(&str, &str)]) -> Vec<ConfigEntry> {
    let assignment = |&(name, value): &(&str, &str)| ConfigEntry {
        option: Opt::find(name).expect("an option"),
        values: vec![value.to_owned()],
        source: ConfigSource::CommandLine,
    };
    pairs.iter().map(assignment).collect()
}

#[test]
fn each_source_beats_those_below_it() {
    let place = TestHome::new(
        "remote_retries = 3\n[config.fast]\nremote_retries = 30\n",
        "remote_retries = 4\n[config.fast]\nremote_retries = 40\n[config.home]\nremote_retries = 44\n",
    );
    let retries = |command_line: &[(&str, &str)], variables: &[(&'static str, &str)]| {
        place.settings(command_line, variables).farm.client.retries
    };
    let variable = ("RELTO_REMOTE_RETRIES", "2");
    assert_eq!(retries(&[("remote_retries", "1")], &[variable]), 1);
    assert_eq!(retries(&[("config", "fast")], &[variable]), 2);
    assert_eq!(retries(&[("config", "fast")], &[]), 30);
    assert_eq!(retries(&[], &[("RELTO_CONFIG", "home")]), 44);
    assert_eq!(retries(&[("config", "home"), ("config", "fast")], &[]), 30);
    assert_eq!(retries(&[("config", "fast"), ("config", "home")], &[]), 44);
    assert_eq!(retries(&[], &[]), 3);
    assert_eq!(
        TestHome::new("", "remote_retries = 4")
            .settings(&[], &[])
            .farm
            .client
            .retries,
        4
    );
    assert_eq!(
        TestHome::new("", "").settings(&[], &[]).farm.client.retries,
        5
    );
}

#[test]
fn every_option_reaches_the_settings() {
    let other_than_default = |option: &Opt| match option.name {
        "remote_executor" | "remote_cache" | "bes_backend" => "grpc://f:1",
        "remote_timeout"
        | "remote_deadline"
        | "grpc_keepalive_time"
        | "daemon_idle_timeout"
        | "bes_timeout" => "17s",
        "remote_retries"
        | "remote_max_connections"
        | "jobs"
        | "local_jobs"
        | "remote_execution_priority"
        | "remote_result_cache_priority" => "17",
        "digest_function" => "blake3",
        "bazelrc" => "/etc/passwd",
        "disk_cache_max_size" | "large_job_bytes" | "local_ram_resources" => "17M",
        "toolchain" => "worker",
        "remote_accept_cached"
        | "remote_upload_local_results"
        | "remote_local_fallback"
        | "fallback"
        | "remote_cache_compression" => "false",
        "quiet"
        | "remote_upload_ahead"
        | "slice_keys"
        | "remote_slice_results"
        | "verify_fail"
        | "bes_lifecycle_events" => "true",
        "bes_upload_mode" => "fully_async",
        "dwo_dir" => "dwo",
        "verify" => "2.5",
        "daemon" => "off",
        _ => "x=y",
    };
    let place = TestHome::new("", "");
    let shown = |set: &[(&str, &str)]| {
        let mut settings = place.settings(set, &[]);
        // Each has an id of its own.
        settings.farm.client.caller.invocation_id.clear();
        settings.link.farm = None;
        format!("{settings:?}")
    };
    let default = shown(&[]);
    for option in OPTIONS {
        let set = [(option.name, other_than_default(option))];
        let set: &[_] = match option.name {
            // These need a second one; `strategy` and `config` have tests of their own.
            "strategy" | "config" => continue,
            "tls_client_key" | "tls_client_certificate" => {
                &[("tls_client_key", "k"), ("tls_client_certificate", "c")]
            }
            _ => &set,
        };
        assert_ne!(shown(set), default, "`{}` changes nothing", option.name);
    }
}

#[test]
fn paths_start_from_where_they_are_written() {
    let place = TestHome::new(
        "profile = \"p.json\"",
        "tls_certificate = \"ca.pem\"\ndisk_cache = \"~/c\"",
    );
    let settings = place.settings(&[("execution_log_json_file", "log.json")], &[]);
    assert_eq!(settings.style.profile, Some(place.path("project/p.json")));
    assert_eq!(
        settings.style.execution_log,
        Some(place.path("project/log.json"))
    );
    assert_eq!(
        settings.farm.client.tls.certificate,
        Some(place.path("home/.config/relto/ca.pem"))
    );
    assert_eq!(settings.link.disk_cache, Some(place.path("home/c")));
}

/// Objects hold the path of this directory, so a relative one must not become absolute.
#[test]
fn a_relative_directory_of_debug_information_stays_relative() {
    let place = TestHome::new("dwo_dir = \"build/dwo\"\n", "dwo_dir = \"~/dwo\"\n");
    let dwo_dir = |below: &str, command_line: &[(&str, &str)]| {
        place.allow(&[]);
        let environment = place.environment(&[]).in_dir(place.path(below));
        let loaded = load(assignments(command_line), &environment).expect("good");
        loaded.settings.link.dwo_dir
    };
    assert_eq!(dwo_dir("project", &[]).as_deref(), Some("build/dwo"));
    assert_eq!(dwo_dir("project/build", &[]).as_deref(), Some("dwo"));
    assert_eq!(
        dwo_dir("project/x/y", &[]).as_deref(),
        Some("../../build/dwo")
    );
    let given = dwo_dir("project/build", &[("dwo_dir", "other")]);
    assert_eq!(given.as_deref(), Some("other"));
    let absolute = place.path("home/dwo").display().to_string();
    assert_eq!(dwo_dir("home", &[]), Some(absolute));
    let unallowed = TestHome::new("dwo_dir = \"dwo\"\n", "").load_unallowed(&[]);
    assert_eq!(unallowed.settings.link.dwo_dir, None);
    assert!(unallowed.warnings[0].text.contains("`dwo_dir`"));
}

#[test]
fn the_disk_cache_has_a_default_and_can_be_switched_off() {
    let place = TestHome::new("", "");
    let dir = |value: &[(&str, &str)]| place.settings(value, &[]).link.disk_cache;
    assert_eq!(dir(&[]), Some(place.path("home/.cache/relto")));
    assert_eq!(dir(&[("disk_cache", "off")]), None);
    assert_eq!(dir(&[("disk_cache", "")]), None);
    let unlimited = place.settings(&[("disk_cache_max_size", "0")], &[]);
    assert_eq!(unlimited.link.disk_cache_max_size, None);
}

#[test]
fn an_empty_value_overrides_a_weaker_source() {
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\nremote_retries = 9", "");
    let settings = place.settings(&[("remote_retries", "")], &[("RELTO_REMOTE_EXECUTOR", "")]);
    assert_eq!(settings.farm.client.executor, None);
    assert_eq!(settings.farm.client.retries, 5);
}

#[test]
fn bad_values_name_option_source_and_way_out() {
    let place = TestHome::new("\nremote_timeout = \"soon\"", "");
    insta::assert_snapshot!(place.refused(&[]), @r"
    invalid value `soon` for `remote_timeout` (from `[T]/project/.relto.toml` line 2): expected a duration
      hint: write it as in 500ms, 90s, 5m or 1h; a plain number counts seconds
    ");
    let place = TestHome::new("remote_header = [\"authorization=${TOKEN}\"]", "");
    insta::assert_snapshot!(place.refused(&[]), @r"
    invalid value `authorization=***` for `remote_header` (from `[T]/project/.relto.toml` line 1): a `.relto.toml` must not refer to files or variables
      hint: the file comes with a source tree; put the header into your own `config.toml`
    ");
    let place = TestHome::new("toolchain = \"./evil\"", "");
    insta::assert_snapshot!(place.refused(&[]), @r"
    invalid value `./evil` for `toolchain` (from `[T]/project/.relto.toml` line 1): a `.relto.toml` must not name a directory of programs
      hint: the file comes with a source tree; use the command line, the environment or your own `config.toml`
    ");
    let place = TestHome::new("[config.farm]", "[config.home]");
    insta::assert_snapshot!(place.refused(&[("config", "fram")]), @r"
    no configuration file has a table `[config.fram]`
      hint: the files have `farm`, `home`
    ");
    let place = TestHome::new("[config.farm]", "bazelrc = \"bazelrc\"");
    let path = place.path("home/.config/relto/bazelrc");
    fs_err::write(path, "build:remote --remote_timeout=1m\n").expect("written");
    insta::assert_snapshot!(place.refused(&[("config", "remtoe")]), @r"
    no configuration file has a table `[config.remtoe]`
      hint: the files have `farm`, `remote`
    ");
    insta::assert_snapshot!(place.refused(&[("tls_client_key", "k.pem")]), @r"
    `tls_client_key` needs `tls_client_certificate`
      hint: set `tls_client_certificate` too
    ");
    insta::assert_snapshot!(place.refused(&[("remote_executor", "https://farm.example.com")]), @r"
    invalid value `https://farm.example.com` for `remote_executor` (from the command line): relto speaks gRPC, not plain HTTP
      hint: try grpcs://farm.example.com:443
    ");
    let both = [
        ("remote_executor", "farm:1"),
        ("remote_cache", "https://cache/a"),
    ];
    insta::assert_snapshot!(place.refused(&both), @r"
    `remote_executor` and `remote_cache=http://` cannot be used together
      hint: workers take their inputs from the farm's own cache: leave `remote_cache` out
    ");
    for login in ["u:hunter2@", "u:hunter2@@@", "u:hunt/er2@", "hunter2@"] {
        let address = format!("http://{login}cache:99999/");
        let refused = place.refused(&[("remote_cache", &address)]);
        assert!(refused.contains("`http://***@cache:99999/`"), "{refused}");
    }
    insta::assert_snapshot!(place.refused(&[("remote_header", "hunter2")]), @"invalid value `***` for `remote_header` (from the command line): expected NAME=VALUE");
}

/// A usual slip where a service keeps secrets in variables.
#[test]
fn a_key_in_the_place_of_its_files_name_is_refused_and_not_shown() {
    let place = TestHome::new("", "tls_client_certificate = \"c.pem\"\n");
    insta::assert_snapshot!(
        place.refused(&[("tls_client_key", "-----BEGIN PRIVATE KEY-----\nhunter2=\n")]),
        @r"
    invalid value `***` for `tls_client_key` (from the command line): expected the name of a file, not what is in it
      hint: put it into a file that nobody else can read, and name that
    "
    );
    for key in [
        "\n-----BEGIN RSA PRIVATE KEY-----\\nhunter2=",
        "LS0tLS1CRUdJTiBQhunter2=",
    ] {
        let refused = place.refused(&[("tls_client_key", key)]);
        assert!(refused.contains("`***`"), "{refused}");
        let shown = Opt::find("profile").expect("an option").shown(key);
        assert_eq!(shown, "***");
    }
    // Part of a name, before an `=`.
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\n", "");
    let variables = [("RELTO_TLS_CLIENT_KEY", "-----BEGIN hunter2=\n")];
    let warnings = format!("{:?}", load(Vec::new(), &place.environment(&variables)));
    let allowed = format!(
        "{:?}",
        tree_request(Vec::new(), &place.environment(&variables))
    );
    assert!(!warnings.contains("hunter2"), "{warnings}");
    assert!(!allowed.contains("hunter2"), "{allowed}");
}

#[test]
fn secrets_are_nowhere_in_the_debug_form() {
    let place = TestHome::new("", "remote_header = { authorization = \"Bearer hunter2\" }");
    let loaded = place
        .load(&[("remote_exec_header", "x-key=hunter3")], &[])
        .expect("good");
    assert!(!format!("{loaded:?}").contains("hunter"));
    assert_eq!(
        loaded.settings.farm.client.headers[0].value,
        "Bearer hunter2"
    );
    for effective in loaded.settings.values.effective() {
        assert!(!effective.value.contains("hunter"), "{effective:?}");
    }
}
