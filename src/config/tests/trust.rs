//! What a source tree may set, and where credentials go.
//!
//! Longer than other files: all tests are about one question, what of a tree counts before and after it is
//! allowed, and share its helpers.

use std::path::Path;

use super::*;
use crate::process::LocalMemory;

#[test]
fn a_tree_may_not_lower_what_the_user_has_verified() {
    let place = TestHome::new(
        "verify = 0\nverify_fail = false\n",
        "verify = 2.5\nverify_fail = true\n",
    );
    let loaded = place.load_unallowed(&[]);
    let verify = &loaded.settings.link.verify;
    assert_eq!((verify.percent, verify.fail), (2.5, true));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    place.allow(&[]);
    let verify = place.load_unallowed(&[]).settings.link.verify;
    assert_eq!((verify.percent, verify.fail), (0.0, false));
}

#[test]
fn sensitive_settings_of_a_tree_wait_until_their_file_is_allowed() {
    let tree = "jobs = 3\nremote_executor = \"grpc://f:1\"\nstrategy = \"remote\"\nprofile = \"~/.bashrc\"\n\
        disk_cache = \"~/.\"\ntoolchain = \"worker\"\ntls_client_key = \"k\"\ntls_client_certificate = \"c\"\n";
    let place = TestHome::new(tree, "");
    let loaded = place.load_unallowed(&[]);
    let settings = &loaded.settings;
    assert_eq!(settings.farm.jobs.get(), 3);
    assert_eq!(settings.strategy, Strategy::Local);
    assert!(settings.link.farm.is_none());
    assert_eq!(settings.style.profile, None);
    assert_eq!(
        settings.link.disk_cache,
        Some(place.path("home/.cache/relto"))
    );
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    for key in ["remote_executor", "profile", "disk_cache", "tls_client_key"] {
        let warning = &loaded.warnings[0].text;
        assert!(warning.contains(&format!("`{key}`")), "{warning}");
        assert!(!warning.contains("jobs"), "{warning}");
    }

    place.allow(&[]);
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.strategy, Strategy::Remote);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);

    fs_err::write(
        place.path("project/.relto.toml"),
        "remote_executor = \"grpc://evil:1\"\n",
    )
    .expect("written");
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.farm.client.executor, None);
    assert!(loaded.warnings[0].text.contains("has changed"));
}

#[test]
fn a_chosen_table_of_a_tree_waits_too() {
    let place = TestHome::new("config = \"a\"\n", "");
    fs_err::write(
        place.path("project/.relto.toml"),
        "[config.a]\nremote_cache = \"grpc://evil:1\"\nremote_header = { x = \"1\" }\n",
    )
    .expect("written");
    let loaded = place.load_unallowed(&[("RELTO_CONFIG", "a")]);
    assert_eq!(loaded.settings.farm.client.cache, None);
    assert!(loaded.settings.farm.client.headers.is_empty());
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn a_tree_may_take_less_of_the_machine_and_more_once_that_is_allowed() {
    let in_force = |place: &TestHome| {
        let loaded = place.load_unallowed(&[]);
        let warnings: Vec<_> = loaded.warnings.into_iter().map(|it| it.text).collect();
        let settings = loaded.settings;
        (
            settings.local_jobs.map(std::num::NonZeroUsize::get),
            settings.link.local_memory,
            warnings.concat(),
        )
    };
    let user = "local_jobs = 4\nlocal_ram_resources = \"8G\"\n";
    let less = "local_jobs = 2\nlocal_ram_resources = 2048\n";
    let expected = (Some(2), LocalMemory::AtMost(2 << 30), String::new());
    assert_eq!(in_force(&TestHome::new(less, user)), expected);
    let without_user = "local_jobs = 1\nlocal_ram_resources = \"4G\"\n";
    let expected = (Some(1), LocalMemory::AtMost(4 << 30), String::new());
    assert_eq!(in_force(&TestHome::new(without_user, "")), expected);

    let user = "local_jobs = 1\nlocal_ram_resources = \"8G\"\n";
    for (jobs, memory) in [(16384, "off"), (2, "auto"), (2, "9G"), (2, "")] {
        let more = format!("local_jobs = {jobs}\nlocal_ram_resources = \"{memory}\"\n");
        let place = TestHome::new(&more, user);
        let (found_jobs, found_memory, warning) = in_force(&place);
        assert_eq!(found_jobs, Some(1), "{more}");
        assert_eq!(found_memory, LocalMemory::AtMost(8 << 30), "{more}");
        assert!(warning.contains("`local_ram_resources`"), "{warning}");
        place.allow(&[]);
        let (found_jobs, found_memory, warning) = in_force(&place);
        assert_eq!(found_jobs, Some(jobs), "{more}");
        assert_ne!(found_memory, LocalMemory::AtMost(8 << 30), "{more}");
        assert_eq!(warning, "");
    }
    let place = TestHome::new("local_jobs = 16384\nlocal_ram_resources = \"off\"\n", "");
    assert_eq!(in_force(&place).0, None);
    assert_eq!(in_force(&place).1, LocalMemory::Free);
}

#[test]
fn a_tree_switches_nothing_on_that_the_user_has_off() {
    let switches = |to: &str| {
        let names = [
            "remote_accept_cached",
            "remote_upload_local_results",
            "slice_keys",
        ];
        names.map(|name| format!("{name} = {to}\n")).concat()
    };
    let in_force = |place: &TestHome| {
        let settings = place.load_unallowed(&[]).settings;
        let farm = &settings.farm;
        let slices = settings.link.slice_keys.unwrap_or(true);
        [farm.accept_cached, farm.upload_local_results, slices]
    };
    let place = TestHome::new(&switches("true"), &switches("false"));
    assert_eq!(in_force(&place), [false; 3]);
    place.allow(&[]);
    assert_eq!(in_force(&place), [true; 3]);
    let place = TestHome::new(&switches("false"), "");
    assert_eq!(in_force(&place), [false; 3]);
    assert!(place.load_unallowed(&[]).warnings.is_empty());
    let place = TestHome::new(&switches("true"), "slice_keys = true\n");
    assert!(place.load_unallowed(&[]).warnings.is_empty());
    // On without bounds, which is more than by default.
    let place = TestHome::new(&switches("true"), "");
    let loaded = place.load_unallowed(&[]);
    assert!(loaded.warnings[0].text.ends_with("ignored: `slice_keys`"));
    assert_eq!(loaded.settings.link.slice_keys, None);
}

#[test]
fn a_tree_takes_no_more_of_the_farm_and_of_time_until_it_is_allowed() {
    let cases = [
        ("remote_timeout", "30s", "\"1h\"", "\"10s\""),
        ("remote_timeout", "", "\"61s\"", "\"60s\""),
        ("remote_deadline", "30s", "\"1h\"", "\"10s\""),
        ("remote_deadline", "30s", "\"\"", "\"30s\""),
        ("remote_retries", "2", "4294967295", "0"),
        ("remote_retries", "", "6", "5"),
        ("remote_max_connections", "4", "16384", "1"),
        ("remote_execution_priority", "7", "-2147483648", "8"),
        ("remote_execution_priority", "", "-1", "2147483647"),
        ("remote_result_cache_priority", "", "-1", "1"),
        ("large_job_bytes", "1G", "0", "\"2G\""),
        ("bes_timeout", "2s", "\"1h\"", "\"1s\""),
        ("bes_timeout", "", "0", "\"10s\""),
        ("daemon_idle_timeout", "", "\"1000d\"", "\"1s\""),
        ("daemon", "off", "\"on\"", "\"off\""),
        ("daemon", "off", "\"auto\"", "\"off\""),
    ];
    for (name, user, more, less) in cases {
        let user = match user {
            "" => String::new(),
            value => format!("{name} = \"{value}\"\n"),
        };
        let warnings = |place: &TestHome| place.load_unallowed(&[]).warnings;
        let place = TestHome::new(&format!("{name} = {more}\n"), &user);
        let waits = warnings(&place);
        assert_eq!(waits.len(), 1, "{name} = {more}: {waits:?}");
        assert!(waits[0].text.contains(&format!("`{name}`")), "{waits:?}");
        place.allow(&[]);
        assert!(warnings(&place).is_empty(), "{name} = {more}");
        let place = TestHome::new(&format!("{name} = {less}\n"), &user);
        assert!(warnings(&place).is_empty(), "{name} = {less}");
    }
    let place = TestHome::new("daemon = \"on\"\nlarge_job_bytes = 0\n", "");
    let settings = place.load_unallowed(&[]).settings;
    assert_eq!(settings.daemon.when, DaemonUse::Always);
    assert_eq!(settings.farm.large_job_bytes, 64 << 20);
}

/// A table of the user's own names a farm for the trees that the user chooses.
#[test]
fn a_tree_chooses_no_table_of_the_user_until_it_is_allowed() {
    let user = "[config.work]\nremote_executor = \"grpc://mine:1\"\nremote_header = { x-key = \"hunter2\" }\n";
    let place = TestHome::new("config = \"work\"\n", user);
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.farm.client.executor, None);
    assert!(loaded.settings.farm.client.headers.is_empty());
    assert!(loaded.warnings[0].text.contains("`config`"));
    let (request, _) = tree_request(Vec::new(), &place.environment(&[])).expect("good");
    let shown = request.expect("a tree").settings;
    assert_eq!(shown, [("config", "work".to_owned())]);
    place.allow(&[]);
    let client = place.load_unallowed(&[]).settings.farm.client;
    assert_eq!(client.executor, "grpc://mine:1".parse().ok());
    assert_eq!(client.headers.len(), 1);
    // The user's own choice needs no leave.
    let place = TestHome::new("config = \"other\"\n", user);
    let client = place.load_unallowed(&[("RELTO_CONFIG", "work")]).settings;
    assert_eq!(client.farm.client.executor, "grpc://mine:1".parse().ok());
}

const USER: &str = "remote_header = { x-key = \"hunter2\" }\ncredential_helper = \"helper\"\n";

#[test]
fn credentials_go_to_the_address_for_which_they_were_allowed() {
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\n", USER);
    let (request, _) = tree_request(Vec::new(), &place.environment(&[])).expect("good");
    let request = request.expect("a tree");
    assert_eq!(request.addresses, ["grpc://f:1"]);
    let names: Vec<_> = request.credentials.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["remote_header x-key", "credential_helper"]);
    place.allow(&[]);
    let loaded = place.load_unallowed(&[]);
    assert_eq!(loaded.settings.farm.client.headers.len(), 1);
    assert_eq!(loaded.settings.farm.client.credential_helpers.len(), 1);

    // One that the user did not see when the tree was allowed stays.
    let variables = [("RELTO_REMOTE_CACHE_HEADER", "x-token=hunter3")];
    let loaded = place.load_unallowed(&variables);
    assert!(loaded.settings.farm.client.cache_headers.is_empty());
    assert_eq!(loaded.settings.farm.client.headers.len(), 1);
    let warning = &loaded.warnings[0].text;
    assert!(warning.contains("remote_cache_header x-token"), "{warning}");
    assert!(!warning.contains("hunter3"), "{warning}");
}

#[test]
fn a_helper_goes_to_the_hosts_of_its_pattern_alone() {
    let tree = "remote_executor = \"grpcs://farm.good.example.evil.com\"\n";
    let user = "credential_helper = [\"*.good.example=/own\", \"*.evil.com=/other\"]\n";
    let place = TestHome::new(tree, user);
    let (request, _) = tree_request(Vec::new(), &place.environment(&[])).expect("good");
    let credentials = request.expect("a tree").credentials;
    let names: Vec<_> = credentials.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["credential_helper *.evil.com"]);
    place.allow(&[]);
    let variables = [("RELTO_CREDENTIAL_HELPER", "*.com=/third,*.example=/fourth")];
    let loaded = place.load_unallowed(&variables);
    assert_eq!(loaded.settings.farm.client.credential_helpers.len(), 3);
    let warnings: Vec<_> = loaded.warnings.iter().map(|it| &*it.text).collect();
    let withheld = "not sent to grpcs://farm.good.example.evil.com: `credential_helper *.com`";
    assert_eq!(warnings, [withheld]);
}

#[test]
fn an_address_that_links_refuse_is_neither_allowed_nor_shown() {
    for (address, shown) in [
        ("grpcs://ada:hunter2@f:1", "grpcs://***@f:1"),
        ("ada:hunter2@f:1", "***@f:1"),
        ("grpcs://f:1/?key=hunter2", "grpcs://f:1/?***"),
        ("grpcs://f#hunter2", "grpcs://f#***"),
        ("dns:///x", "dns:///x"),
    ] {
        let place = TestHome::new(&format!("remote_executor = \"{address}\"\n"), USER);
        // Until then it waits.
        let loaded = place.load_unallowed(&[]);
        assert_eq!(loaded.settings.farm.client.executor, None);
        let refused = place.try_to_allow(&[]).expect_err("refused").to_string();
        assert!(refused.contains(&format!("`{shown}`")), "{refused}");
        assert!(AllowList::of(&place.environment(&[])).all().is_empty());
        let refused = place.refused(&[]);
        assert!(!refused.contains("hunter2"), "{refused}");
        // What an earlier decision or a warning names.
        assert_eq!(shown_addresses(&[address.to_owned()]), shown);
    }
}

/// The names of what is withheld.
fn withheld(place: &TestHome, variables: &[(&'static str, &str)]) -> String {
    let loaded = place.load_unallowed(variables);
    let texts = loaded.warnings.iter().map(|it| it.text.as_str());
    let withheld = texts.filter_map(|text| text.strip_prefix("not sent to grpc://f:1: "));
    withheld.collect()
}

#[test]
fn another_credential_of_the_same_name_is_withheld_until_it_is_allowed() {
    let user = |headers: &str, helper: &str| {
        format!("remote_header = {{ x-key = \"{headers}\" }}\ncredential_helper = \"{helper}\"\n")
    };
    let place = TestHome::new(
        "remote_executor = \"grpc://f:1\"\n",
        &user("hunter2", "helper"),
    );
    let write = |text: String| {
        fs_err::write(place.path("home/.config/relto/config.toml"), text).expect("written");
    };
    let (header, helper) = ("`remote_header x-key`", "`credential_helper`");
    place.allow(&[]);
    assert_eq!(withheld(&place, &[]), "");
    let by_variable = [("RELTO_REMOTE_HEADER", "x-key=hunter2")];
    assert_eq!(withheld(&place, &by_variable), header);
    let by_variable = [("RELTO_CREDENTIAL_HELPER", "helper")];
    assert_eq!(withheld(&place, &by_variable), helper);
    write(user("hunter3", "helper"));
    assert_eq!(withheld(&place, &[]), header);
    write(user("hunter2", "./helper"));
    assert_eq!(withheld(&place, &[]), helper);
    place.allow(&[]);
    assert_eq!(withheld(&place, &[]), "");

    let with_host = "credential_helper = \"f=/helper\"\n";
    write(with_host.to_owned());
    place.allow(&[]);
    write(with_host.replace("/helper", "/other"));
    assert_eq!(withheld(&place, &[]), "`credential_helper f`");
}

#[test]
fn a_secret_that_is_renewed_where_it_comes_from_needs_no_second_consent() {
    let user = "remote_header = { x-file = \"@~/token\", x-variable = \"${TOKEN}\" }\n";
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\n", user);
    let sent = |day: &str| {
        fs_err::write(place.path("home/token"), day).expect("written");
        let literal = format!("x-literal={day}");
        let variables = [("TOKEN", day), ("RELTO_REMOTE_CACHE_HEADER", &*literal)];
        if day == "monday" {
            place.allow(&variables);
        }
        assert_eq!(withheld(&place, &variables), "");
    };
    sent("monday");
    sent("tuesday");
    let other = [("TOKEN", "a"), ("RELTO_REMOTE_HEADER", "x-file=@other")];
    fs_err::write(place.path("project/other"), "a").expect("written");
    assert_eq!(withheld(&place, &other), "`remote_header x-file`");
}

/// Short passwords could be found by trying.
#[test]
fn what_is_remembered_of_a_credential_can_be_compared_only_with_the_users_secret() {
    let place = TestHome::new("remote_executor = \"grpc://f:1\"\n", USER);
    place.allow(&[]);
    let state = place.path("home/.local/state/relto");
    for record in fs_err::read_dir(state.join("allowed")).expect("there") {
        let text = fs_err::read_to_string(record.expect("an entry").path()).expect("text");
        assert!(!text.contains("hunter2"), "{text}");
    }
    fs_err::remove_file(state.join("secret.key")).expect("there");
    let all = "`remote_header x-key`, `credential_helper`";
    assert_eq!(withheld(&place, &[]), all);
}

#[test]
fn credentials_go_to_the_users_own_address_whatever_the_tree_says() {
    let user = format!("remote_executor = \"grpc://mine:1\"\n{USER}");
    let place = TestHome::new("remote_executor = \"grpc://evil:1\"\n", &user);
    let client = place.load_unallowed(&[]).settings.farm.client;
    assert_eq!(client.executor, "grpc://mine:1".parse().ok());
    assert_eq!(client.headers.len(), 1);
}

#[test]
fn authorities_of_a_tree_are_allowed_by_their_content() {
    let tree = "remote_executor = \"grpcs://f:1\"\ntls_certificate = \"ca.pem\"\n";
    let place = TestHome::new(tree, "");
    let certificate = place.path("project/ca.pem");
    let is_allowed = || {
        let loaded = place.load_unallowed(&[]);
        let tls = &loaded.settings.farm.client.tls;
        let named = tls.certificate.as_deref() == Some(&*certificate);
        assert_eq!(named, loaded.warnings.is_empty());
        named
    };
    fs_err::write(&certificate, "the farm's").expect("written");
    place.allow(&[]);
    assert!(is_allowed());
    fs_err::write(&certificate, "another's").expect("written");
    assert!(!is_allowed());
    // All of a long file counts.
    let long = |end: &str| format!("{}{end}", "#\n".repeat(1 << 20));
    fs_err::write(&certificate, long("the farm's")).expect("written");
    place.allow(&[]);
    assert!(is_allowed());
    fs_err::write(&certificate, long("another's")).expect("written");
    assert!(!is_allowed());
    place.allow(&[]);
    assert!(is_allowed());
    fs_err::remove_file(&certificate).expect("removed");
    assert!(!is_allowed());
    // A pipe is not waited for.
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&certificate, mode).expect("made");
    assert!(!is_allowed());
    let covered = |named: &str| {
        let place = TestHome::new(&tree.replace("ca.pem", named), "");
        let environment = place.environment(&[]);
        let (request, _) = tree_request(Vec::new(), &environment).expect("good");
        request.expect("a tree").tree.covered.len()
    };
    // Of the tree's files only its `.relto.toml`: what an update of the system brings need not be allowed.
    assert_eq!(covered("/etc/ssl/certs/ca.pem"), 1);
    assert_eq!(covered("/usr/share/ca.pem"), 1);
    assert_eq!(covered("/etc/passwd"), 2);
    assert_eq!(covered("/usr/src/tree/ca.pem"), 2);
}

/// A link to the machine's own authorities may lead to others of them after the next change of the tree.
#[test]
fn authorities_that_a_link_of_the_tree_names_are_allowed_by_their_content() {
    let tree = r#"remote_executor = "grpcs://f:1"
tls_certificate = "ca.pem"
"#;
    let place = TestHome::new(tree, "");
    let link = place.path("project/ca.pem");
    fs_err::os::unix::fs::symlink("/etc/ssl/openssl.cnf", &link).expect("linked");
    let environment = place.environment(&[]);
    let (request, _) = tree_request(Vec::new(), &environment).expect("good");
    assert_eq!(request.expect("a tree").tree.covered.len(), 2);
}

/// A link may come with the next change of the tree, which leaves its `.relto.toml` as it is.
#[test]
fn what_a_tree_has_written_is_allowed_by_where_it_leads() {
    let files = [
        "profile",
        "execution_log_json_file",
        "execution_log_compact_file",
        "timings",
    ];
    let dirs = ["dwo_dir", "disk_cache"];
    for name in files.into_iter().chain(dirs) {
        let place = TestHome::new(&format!("{name} = \"out/sub/x\"\n"), "");
        let dir = place.path("project/out/sub");
        let waits = || !place.load_unallowed(&[]).warnings.is_empty();
        place.allow(&[]);
        assert!(!waits(), "{name}");
        // A link to the file itself is replaced, one to a directory is followed.
        fs_err::create_dir_all(&dir).expect("made");
        fs_err::os::unix::fs::symlink("/nonexistent", dir.join("x")).expect("made");
        assert!(!waits(), "{name}");
        fs_err::remove_file(dir.join("x")).expect("removed");
        fs_err::os::unix::fs::symlink(place.path("home"), dir.join("x")).expect("made");
        assert_eq!(waits(), dirs.contains(&name), "{name}");
        fs_err::remove_file(dir.join("x")).expect("removed");
        fs_err::remove_dir(&dir).expect("removed");
        fs_err::os::unix::fs::symlink(place.path("home"), &dir).expect("made");
        assert!(waits(), "{name}");
        place.allow(&[]);
        assert!(!waits(), "{name}");
    }
    // The user's own may lead anywhere.
    let place = TestHome::new("", "profile = \"/etc/../x\"\n");
    let (request, _) = tree_request(Vec::new(), &place.environment(&[])).expect("good");
    assert_eq!(request.expect("a tree").tree.covered.len(), 1);
}

/// Without its path, the digest of one certificate would stand for that of the other.
#[test]
fn authorities_that_change_places_wait_again() {
    let tree = "remote_executor = \"grpcs://f:1\"\ntls_certificate = \"own.pem\"\n\
        [config.trial]\ntls_certificate = \"trial.pem\"\n";
    let place = TestHome::new(tree, "");
    let own = place.path("project/own.pem");
    let trial = place.path("project/trial.pem");
    let place_them = |of_the_machine: &Path, of_the_tree: &Path| {
        for path in [of_the_machine, of_the_tree] {
            crate::fs::remove_if_there(path).expect("removed");
        }
        fs_err::os::unix::fs::symlink("/etc/passwd", of_the_machine).expect("made");
        fs_err::write(of_the_tree, "a certificate").expect("written");
    };
    place_them(&own, &trial);
    place.allow(&[]);
    assert!(place.load_unallowed(&[]).warnings.is_empty());
    place_them(&trial, &own);
    let loaded = place.load_unallowed(&[]);
    assert!(loaded.warnings[0].text.contains("has changed"));
    assert_eq!(loaded.settings.farm.client.tls.certificate, None);
}

#[test]
fn a_decision_is_private_and_can_be_revoked() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = TestHome::new("profile = \"p\"\n", "");
    place.allow(&[]);
    let environment = place.environment(&[]);
    let list = AllowList::of(&environment);
    assert_eq!(list.all().len(), 1);
    let dir = place.path("home/.local/state/relto/allowed");
    for entry in fs_err::read_dir(&dir).expect("there") {
        let mode = entry.expect("an entry").metadata().expect("metadata");
        assert_eq!(mode.permissions().mode() & 0o077, 0);
    }
    let tree = place.path("project/.relto.toml");
    assert!(list.remove(&tree).expect("removed"));
    assert!(!list.remove(&tree).expect("nothing to remove"));
    assert_eq!(place.load_unallowed(&[]).warnings.len(), 1);
}
