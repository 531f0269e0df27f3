//! Tests of the way from sources to settings.

mod trust;

use std::path::Path;

use super::*;
use crate::error::Rendered;
use crate::reapi::ClientOptions;

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
        let environment = self.environment(variables);
        if let Ok((Some(request), _)) = tree_request(Vec::new(), &environment) {
            let added = AllowList::of(&environment).add(&request.allowed());
            added.expect("written");
        }
    }

    /// With a tree that the user has allowed.
    fn load(
        &self,
        command_line: &[(&str, &str)],
        variables: &[(&'static str, &str)],
    ) -> Result<LoadedConfig, ConfigError> {
        self.allow(variables);
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
        "quiet" | "remote_upload_ahead" | "slice_keys" | "verify_fail" | "bes_lifecycle_events" => {
            "true"
        }
        "bes_upload_mode" => "fully_async",
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
fn a_client_without_settings_has_the_defaults_of_the_table() {
    let mut of_table = TestHome::new("", "").settings(&[], &[]).farm.client;
    let mut of_client = ClientOptions::default();
    for options in [&mut of_table, &mut of_client] {
        options.caller.invocation_id.clear();
    }
    assert_eq!(format!("{of_table:?}"), format!("{of_client:?}"));
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
fn an_empty_value_overrides_a_weaker_source() {
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\nremote_retries = 9", "");
    let settings = place.settings(&[("remote_retries", "")], &[("RELTO_REMOTE_EXECUTOR", "")]);
    assert_eq!(settings.farm.client.executor, None);
    assert_eq!(settings.farm.client.retries, 5);
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
    insta::assert_snapshot!(place.refused(&[("remote_header", "hunter2")]), @"invalid value `***` for `remote_header` (from the command line): expected NAME=VALUE");
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
